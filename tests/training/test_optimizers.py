"""What moves the weights."""

import copy

import pytest
import torch
from torch import Tensor, nn

from stemsplit.models import build
from stemsplit.training.optimizers import OPTIMIZERS, Optimizers, matrices
from tests.models.test_contract import CONFIGS
from tests.training.conftest import ROFORMER, TINY, network


def moved(optimizers: Optimizers, index: int) -> set[int]:
    return {id(parameter) for group in optimizers.all[index].param_groups for parameter in group["params"]}


def step(made: nn.Module, optimizers: Optimizers, rate: float = 1e-3) -> None:
    """One step down a loss that all weights have a say in."""
    optimizers.zero_grad()
    optimizers.set_rate(rate)
    loss: Tensor = sum(parameter.square().sum() for parameter in made.parameters() if parameter.requires_grad)  # type: ignore[assignment]
    loss.backward()
    for optimizer in optimizers.all:
        optimizer.step()


@pytest.mark.parametrize(("entry", "name"), [(TINY, "adamw"), *((ROFORMER, name) for name in OPTIMIZERS)])
def test_every_weight_is_moved_by_one_of_them_and_what_is_fixed_by_none(name: str, entry) -> None:  # type: ignore[no-untyped-def]
    made = network(entry)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    optimizers = Optimizers(name, made, 0.01)
    free = [parameter for parameter in made.parameters() if parameter.requires_grad]
    assert sum(len(group["params"]) for part in optimizers.all for group in part.param_groups) == len(free)
    step(made, optimizers)
    fixed = {key for key, parameter in made.named_parameters(remove_duplicate=False) if not parameter.requires_grad}
    unmoved = {key for key, value in made.state_dict().items() if torch.equal(value, before[key]) and value.any()}
    assert unmoved == fixed
    assert any("rotary" in key for key in fixed) == (entry is ROFORMER)


def test_muon_moves_the_transformers_matrices_alone() -> None:
    made = network(ROFORMER)
    optimizers = Optimizers("muon", made, 0.01)
    names = {id(parameter): key for key, parameter in made.named_parameters()}
    inner = [names[parameter] for parameter in moved(optimizers, 1)]
    assert inner
    assert all(key.startswith("layers.") and key.endswith("weight") for key in inner)
    rest = {names[parameter] for parameter in moved(optimizers, 0)}
    assert any(key.startswith("mask_estimators.") for key in rest)
    assert any(key.startswith("band_split.") for key in rest)
    assert any(key.endswith("gamma") for key in rest)


def test_a_network_without_such_matrices_is_told() -> None:
    with pytest.raises(ValueError, match="of which this network has none; take adamw"):
        Optimizers("muon", network(), 0.01)


def test_the_matrices_of_an_ensemble_are_its_members() -> None:
    architecture, config = CONFIGS["ensemble"]
    of_member = {f"members.1.{key}" for key in matrices(build("bs_roformer", config["members"][1]["config"]))}
    assert of_member
    assert matrices(build(architecture, config)) == of_member


def test_a_rate_of_nothing_moves_nothing() -> None:
    made = network(ROFORMER)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    step(made, Optimizers("muon", made, 0.01), rate=0.0)
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())


def test_what_is_taken_up_goes_on_as_it_would_have() -> None:
    one, other = network(ROFORMER), network(ROFORMER)
    first, second = (Optimizers("muon", made, 0.01) for made in (one, other))
    for _ in range(3):
        step(one, first)
    other.load_state_dict(one.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for made, optimizers in ((one, first), (other, second)):
        step(made, optimizers)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no optimizer 'sgd'; there are adamw, muon"):
        Optimizers("sgd", network(), 0.01)
