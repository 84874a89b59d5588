"""What moves the weights."""

import copy
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from stemsplit.models import build
from stemsplit.training.optimizers import Optimizers, matrices
from stemsplit.training.plan import OPTIMIZER_NAMES
from tests.models.test_contract import CONFIGS
from tests.training.conftest import ROFORMER, TINY, network


def step(made: nn.Module, optimizers: Optimizers, rate: float = 1e-3) -> None:
    """One step down a loss that all weights have a say in."""
    optimizers.zero_grad()
    optimizers.set_learning_rate(rate)
    loss: Tensor = sum(parameter.square().sum() for parameter in made.parameters() if parameter.requires_grad)  # type: ignore[assignment]
    loss.backward()
    optimizers.share_gradients()
    for optimizer in optimizers.all:
        optimizer.step()


@pytest.mark.parametrize(("entry", "name"), list(product([TINY, ROFORMER], OPTIMIZER_NAMES)))
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
    inner = matrices(made)
    assert inner
    assert all(key.startswith("layers.") and key.endswith("weight") for key in inner)
    optimizers = Optimizers("muon", made, 0.01)
    of_muon = {parameter.data_ptr() for group in optimizers.all[1].param_groups for parameter in group["params"]}
    assert of_muon == {parameter.data_ptr() for key, parameter in made.named_parameters() if key in inner}


def test_muon_moves_the_pointwise_convolutions_between_layers() -> None:
    """Not the encoder's and the decoder's filters, nor those of each feature by itself."""
    inner = matrices(network(TINY))
    assert {"bottleneck.weight", "mask_net.1.weight", "sm.0.proj_1x1.conv.weight", "sm.0.res_conv.weight"} <= inner
    assert not any("spp_dw" in key or "coder" in key or "bias" in key for key in inner)


def test_a_convolution_moves_as_the_same_matrix_does() -> None:
    torch.manual_seed(0)
    made = [nn.ModuleDict({"sm": nn.ModuleList([layer])}) for layer in (nn.Conv1d(8, 6, 1), nn.Linear(8, 6))]
    weights = [part.sm[0].weight for part in made]
    weights[1].data = weights[0].data[..., 0].clone()
    for part in made:
        part.sm[0].bias.data.zero_()
        optimizers = Optimizers("muon", part, 0.01)
        for _ in range(3):
            step(part, optimizers)
    assert torch.allclose(weights[0][..., 0], weights[1], atol=1e-7)


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_forgotten_gradients_move_nothing(name: str) -> None:
    made = network(TINY)
    optimizers = Optimizers(name, made, 0.0)
    step(made, optimizers)
    optimizers.zero_grad()
    optimizers.share_gradients()
    assert all(parameter.grad is None for parameter in made.parameters())
    before = {key: value.clone() for key, value in made.state_dict().items()}
    for optimizer in optimizers.all:
        optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())


def test_a_network_without_such_matrices_is_told() -> None:
    with pytest.raises(ValueError, match="and this network has none; use adamw"):
        Optimizers("muon", nn.Linear(8, 8), 0.01)


def test_the_matrices_of_an_ensemble_are_its_members() -> None:
    architecture, config = CONFIGS["ensemble"]
    of_members = {
        f"members.{number}.{key}"
        for number, member in enumerate(config["members"])
        for key in matrices(build(member["architecture"], member["config"]))
    }
    assert {key.split(".")[1] for key in of_members} == {"0", "1"}
    assert matrices(build(architecture, config)) == of_members


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
