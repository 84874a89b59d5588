"""The network in a checkpoint is found among everything that training programs put around it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from stemsplit import Separator, WeightsError, load_network, models
from stemsplit.checkpoints import checkpoint
from stemsplit.checkpoints.describe import describe
from stemsplit.checkpoints.resolve import find
from tests.models.test_contract import CONFIGS, SMALL

Tensors = dict[str, Tensor]


def tensors(name: str, seed: int = 0) -> Tensors:
    """The state dict of a small network."""
    torch.manual_seed(seed)
    architecture, config = CONFIGS[name]
    return models.build(architecture, config).state_dict()


PLAIN, AVERAGED, OTHER = (tensors("bs_roformer", seed) for seed in range(3))
NUMBER = torch.tensor(7)
OPTIMIZER = {"state": {0: {"step": NUMBER, "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
CRITIC = {"layers.0.weight": torch.ones(3), "layers.0.bias": torch.ones(1)}


def prefixed(prefix: str, weights: Tensors) -> Tensors:
    return {prefix + key: value for key, value in weights.items()}


def equal(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def held(tmp_path: Path) -> Callable[..., checkpoint.Contents]:
    """Saves something, and returns what is found in the file."""

    def read(content: object, part: str = "") -> checkpoint.Contents:
        torch.save(content, tmp_path / "a.ckpt")
        return checkpoint.read_contents(tmp_path / "a.ckpt", part)

    return read


Held = Callable[..., checkpoint.Contents]

PREFIXES = ["module.", "model.", "_orig_mod.", "net.", "state_dict.", "generator.", "a.strange.one.", "model.module."]


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "ensemble"])
@pytest.mark.parametrize("stray", [{}, {"loss.window": NUMBER}, {"anything": NUMBER, "critic.0.weight": NUMBER}])
def test_a_network_of_any_architecture_is_found_under_a_prefix(held: Held, name: str, stray: Tensors) -> None:
    weights = tensors(name)
    found = held({"state_dict": stray | prefixed("net.model.", weights)})
    assert equal(found.tensors, weights)
    assert len(found.ignored) == len(stray)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_one_stray_key_keeps_no_prefix_from_being_removed(held: Held, prefix: str, tmp_path: Path) -> None:
    content = {**prefixed(prefix, PLAIN), "stray": NUMBER}
    assert equal(held(content).tensors, PLAIN)
    save_file({key: value.clone() for key, value in content.items()}, tmp_path / "a.safetensors")
    assert equal(checkpoint.read(tmp_path / "a.safetensors"), PLAIN)


def test_an_ensemble_stays_whole(held: Held) -> None:
    weights = tensors("ensemble")
    for content in (weights, {"state": prefixed("model.", weights), "epoch": 1}, {**weights, "loss.gain": NUMBER}):
        assert equal(held(content).tensors, weights)


WRAPPED: dict[str, Any] = {
    "state_dict": {"state_dict": PLAIN, "epoch": 3},
    "weights": {"weights": PLAIN},
    "params": {"params": PLAIN},
    "nested": {"model": {"state_dict": PLAIN, "config": {"dim": 8}}},
    "any name": {"run": {"result": {"net": PLAIN}}},
    "lightning": {
        "epoch": 1,
        "global_step": 7,
        "state_dict": prefixed("model.", PLAIN) | {"loss.window": NUMBER, "sdr.total": NUMBER},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": NUMBER}},
        "optimizer_states": [OPTIMIZER],
        "lr_schedulers": [{"last_epoch": 1}],
        "hyper_parameters": {"lr": 0.1},
        "loops": {"fit_loop": {"state_dict": {}}},
    },
    "gan": {"generator": PLAIN, "discriminator": CRITIC, "optimizer_g": OPTIMIZER},
    "profiled": {**PLAIN, "total_ops": NUMBER, "layers.0.total_params": NUMBER},
    "among its own": {**PLAIN, "loss_fn.window": NUMBER, "discriminator.0.weight": NUMBER, "epoch": NUMBER},
}


@pytest.mark.parametrize("case", WRAPPED)
def test_what_training_adds_is_ignored(held: Held, case: str) -> None:
    found = held(WRAPPED[case])
    assert equal(found.tensors, PLAIN)
    assert not found.part
    assert not found.averaged


def test_what_is_ignored_is_told_briefly(held: Held) -> None:
    (ignored,) = held(WRAPPED["lightning"]).told
    for name in ("epoch", "optimizer_states", "callbacks", "state_dict.loss", "state_dict.sdr"):
        assert name in ignored.replace(",", " ").split()
    many = {f"{i}\n{'x' * 1_000}": i for i in range(10_000)}
    (ignored,) = held({"model": PLAIN, "critic": CRITIC, **many}).told
    assert len(ignored) < 1_000
    assert ignored.isprintable()
    assert "more" in ignored
    assert held({"model": PLAIN, "critic": CRITIC}).ignored == ("critic (2 tensors)",)
    assert held(PLAIN).told == held({"state_dict": PLAIN}).told == ()


COPIES: dict[str, tuple[Any, str]] = {
    "ema": ({"model": PLAIN, "ema": AVERAGED}, "ema"),
    "ema first": ({"ema_state_dict": AVERAGED, "state_dict": PLAIN}, "ema_state_dict"),
    "nested": ({"state": PLAIN, "ema": {"decay": 0.9, "module": AVERAGED}}, "ema.module"),
    "swa": ({"model": PLAIN, "swa_model": prefixed("module.", AVERAGED) | {"n_averaged": NUMBER}}, "swa_model.module"),
    "counted": ({"a": PLAIN, "b": prefixed("module.", AVERAGED) | {"n_averaged": NUMBER}}, "b.module"),
    "shadow": ({"model": PLAIN, "averages": {"shadow": AVERAGED, "num_updates": 3}}, "averages.shadow"),
    "in one table": (
        prefixed("online_model.", PLAIN)
        | prefixed("ema_model.module.", AVERAGED)
        | {"initted": NUMBER > 0, "step": NUMBER},
        "ema_model.module",
    ),
    "beside bare keys": ({**PLAIN, **prefixed("model_ema.", AVERAGED)}, "model_ema"),
    "in a callback": ({"state_dict": PLAIN, "callbacks": {"EMACallback": {"x": AVERAGED}}}, "callbacks.EMACallback.x"),
    "no dots": (
        prefixed("model.", PLAIN)
        | {"model_ema." + key.replace(".", ""): value for key, value in AVERAGED.items()}
        | {"model_ema.decay": NUMBER, "model_ema.num_updates": NUMBER},
        "model_ema",
    ),
    "averaging callback": (
        {"state_dict": AVERAGED, "current_model_state": PLAIN, "averaging_state": {"n_averaged": NUMBER}},
        "state_dict",
    ),
    "best": ({"state": PLAIN, "best_state": AVERAGED}, "best_state"),
    "best and averaged": ({"model": OTHER, "best_model": PLAIN, "best_ema": AVERAGED}, "best_ema"),
}


@pytest.mark.parametrize("case", COPIES)
def test_of_several_copies_the_averaged_one_is_taken_and_told(held: Held, case: str) -> None:
    content, part = COPIES[case]
    found = held(content)
    assert found.part == part
    assert equal(found.tensors, AVERAGED)
    assert found.averaged == (case not in ("best", "averaging callback"))
    assert f"weights in {part}" in found.told[0]
    assert any("tensors)" in name for name in found.ignored)


def test_the_other_copy_can_be_chosen(held: Held) -> None:
    assert equal(held({**PLAIN, "model": OTHER}, ".").tensors, PLAIN)
    content = {"model": PLAIN, "ema": AVERAGED, "teacher": OTHER}
    for part, weights in (("model", PLAIN), ("ema", AVERAGED), ("teacher", OTHER)):
        assert equal(held(content, part).tensors, weights)
        assert held(content, part).part == part
    with pytest.raises(WeightsError, match="no network 'student', only model, ema, teacher"):
        held(content, "student")


def test_an_average_that_lacks_what_is_not_trained_is_completed(held: Held) -> None:
    """Averages are often of parameters only, without buffers."""
    last = list(PLAIN)[-1]
    found = held({"model": PLAIN, "ema": {key: value for key, value in AVERAGED.items() if key != last}})
    assert equal(found.tensors, {**AVERAGED, last: PLAIN[last]})
    assert "1 tensor that ema lacks: taken from model" in found.told


@pytest.mark.parametrize(
    ("ema", "complaint"),
    [
        ({"shadow_params": list(AVERAGED.values()), "decay": 0.9}, "ema.shadow_params is a list without names"),
        ({**AVERAGED, "another.weight": NUMBER, "final_norm.gamma": torch.ones(1)}, ""),
        (dict(list(AVERAGED.items())[: len(AVERAGED) // 3]), "ema does not have the network's tensors"),
        ({**dict(list(AVERAGED.items())[:-2]), "another": NUMBER}, "ema does not have the network's tensors"),
    ],
    ids=["list", "other", "part", "variant"],
)
def test_an_average_that_cannot_be_used_is_told(held: Held, ema: dict[str, Any], complaint: str) -> None:
    found = held({"model": PLAIN, "ema": ema})
    if complaint:
        assert equal(found.tensors, PLAIN)
        assert any(complaint in line for line in found.told)
    else:
        assert found.averaged  # and whoever loads it is told what does not fit


@pytest.mark.parametrize(
    "content",
    [
        {"student": PLAIN, "teacher": AVERAGED},
        {**PLAIN, "model": AVERAGED},
        prefixed("a.", PLAIN) | prefixed("b.", AVERAGED),
        {"ema_1": PLAIN, "ema_2": AVERAGED, "model": OTHER},
    ],
    ids=["student", "bare", "prefixes", "averages"],
)
def test_two_networks_of_equal_standing_are_refused_by_name(held: Held, content: object) -> None:
    with pytest.raises(WeightsError, match=r"it holds 2 networks, .*; choose one with --set part=[\w.]+$"):
        held(content)


def test_the_same_network_twice_is_one(held: Held) -> None:
    assert equal(held({"student": PLAIN, "teacher": PLAIN}).tensors, PLAIN)
    assert equal(held({"student": PLAIN, "teacher": {key: x.clone() for key, x in PLAIN.items()}}).tensors, PLAIN)


def test_a_key_that_nobody_knows_is_not_ignored_among_the_networks_own(tmp_path: Path) -> None:
    """It may be a part of a variant, without which the estimates would be wrong."""
    torch.save({**PLAIN, "postnet.weight": NUMBER}, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=r"unexpected postnet\.weight"):
        Separator(describe(tmp_path / "a.ckpt", None, ["hop=1000", "chunk=4000"]).entry, "cpu")


def test_hostile_files_are_read_or_refused_in_time(held: Held) -> None:
    cyclic: dict[str, Any] = {"model": dict(PLAIN)}
    cyclic["again"] = cyclic["model"]["loop"] = cyclic
    assert equal(held(cyclic).tensors, PLAIN)
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(90):
        inner["x"] = inner = {}
    inner["model"] = PLAIN
    assert equal(held({"deep": deep, "model": PLAIN}).tensors, PLAIN)
    with pytest.raises(WeightsError, match="more than 16 networks"):
        held({f"{i}.sm.0.skipinit_gain": NUMBER for i in range(20_000)})
    with pytest.raises(WeightsError):
        held({f"{i}": {"sm.0.skipinit_gain": NUMBER} for i in range(2_000)})


# From the file to the estimates

SPEECH = {**SMALL, "variant": "base", "fb_model_hidden_size": 8}


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": prefixed("model.", w), "epoch": 1}])
def test_the_estimates_are_those_of_the_bare_weights(tmp_path: Path, wrap: Callable[[Tensors], Any]) -> None:
    network = models.build("fullsubnet_plus", SPEECH).eval()
    torch.save(wrap(network.state_dict()), tmp_path / "a.ckpt")
    facts = {"hop_length": 16, "look_ahead": 2}
    told: list[str] = []
    loaded = load_network(find(tmp_path / "a.ckpt", settings=facts, tell=told.append))
    mixture = torch.randn(1, 1, 800)
    with torch.inference_mode():
        assert torch.allclose(loaded(mixture), network(mixture), atol=1e-5)
    assert any("ignoring epoch" in line for line in told) == ("epoch" in wrap({}))


def test_the_copy_that_was_taken_is_told_once_and_is_part_of_the_identity(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"model": tensors("fullsubnet_plus"), "ema": tensors("fullsubnet_plus", 1)}, path)
    told: list[str] = []
    entry = find(path, tell=told.append)
    assert sum("using the averaged weights in ema; ignoring model" in line for line in told) == 1
    loaded = load_network(entry).state_dict()
    assert equal(dict(loaded), tensors("fullsubnet_plus", 1))
    chosen = find(path, settings={"part": "model"}, tell=told.append)
    assert equal(dict(load_network(chosen).state_dict()), tensors("fullsubnet_plus"))
    assert chosen.identity("") != entry.identity("")
    torch.save(tensors("fullsubnet_plus"), path)
    assert "part" not in find(path, tell=told.append).identity("")


def test_the_averaged_copy_is_told_for_an_entry_that_names_none(tmp_path: Path) -> None:
    path, told = tmp_path / "a.ckpt", list[str]()
    torch.save({"model": tensors("fullsubnet_plus"), "ema": tensors("fullsubnet_plus", 1)}, path)
    entry = replace(find(path, tell=told.append), part="")
    with pytest.warns(UserWarning, match="a: using the averaged weights in ema"):
        load_network(entry)
    told.clear()
    Separator(entry, "cpu", tell=told.append)
    assert told == ["a: using the averaged weights in ema"]
