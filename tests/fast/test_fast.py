"""Which implementation computes a network, and that its result is the network's own."""

from collections.abc import Callable

import pytest
import torch

from stemsplit.fast import Pool, WithFallback, accelerated, at_first_call
from stemsplit.fast.cpu.roformer import FastRoFormer
from stemsplit.fast.plain import Plain
from stemsplit.models import build
from tests import golden
from tests.fast.conftest import in_bfloat16, magnified
from tests.models.test_contract import CONFIGS

CPU, POOL = torch.device("cpu"), Pool(2)


def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    architecture, config = CONFIGS[name]
    return build(architecture, config).eval().requires_grad_(False)


@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_every_implementation_gives_the_network_s_result(name: str) -> None:
    model, mixture = network(name), torch.randn(2, 2, 777)
    compute = accelerated(model, torch.float32, CPU, POOL, chunk=777)
    assert golden.relative_error(compute(mixture), model(mixture)) <= 1e-5 * magnified(model, mixture)


@in_bfloat16
@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_every_network_can_be_computed_in_bfloat16(name: str) -> None:
    """The networks are untrained and have few features, so rounding errors are at their largest."""
    model, mixture = network(name), torch.randn(2, 2, 777)
    estimates = accelerated(model, torch.bfloat16, CPU, POOL)(mixture)
    assert estimates.dtype == torch.float32
    error = golden.relative_error(estimates, model(mixture))
    assert error <= 0.05 * magnified(model, mixture)
    assert (error > 1e-4) == (name != "fullsubnet_plus convolutions")  # all of that one is computed in float32


def test_roformers_have_a_faster_implementation_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FastRoFormer, "__call__", lambda _, mixture: -mixture)
    mixture = torch.randn(1, 2, 99)
    assert torch.equal(accelerated(network("bs_roformer"), torch.float32, CPU, POOL)(mixture), -mixture)


def test_weights_are_laid_out_once_and_not_before_they_are_needed() -> None:
    """A song that fails at once, or is silent, does not cost the time."""
    calls: list[int] = []

    def make() -> Callable[[torch.Tensor], torch.Tensor]:
        calls.append(1)
        return torch.neg

    compute = at_first_call(make)
    assert not calls
    assert [float(compute(torch.ones(()))) for _ in range(3)] == [-1] * 3
    assert calls == [1]


def test_other_devices_compute_the_network_as_it_is() -> None:
    """An example is Apple's GPU; here the meta device stands in for it."""
    meta = torch.device("meta")
    compute = accelerated(network("mel_band_roformer"), torch.float32, meta, POOL)
    assert isinstance(compute, Plain)
    assert compute.network.get_buffer("window").is_meta


def test_pytorch_compiles_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []

    def compiler(model: torch.nn.Module, **_: object) -> torch.nn.Module:
        compiled.append(model)
        return model

    monkeypatch.setattr(torch, "compile", compiler)
    model = network("bs_roformer")
    accelerated(model, torch.float32, CPU, POOL)
    assert not compiled
    accelerated(model, torch.float32, CPU, POOL, compiled=True)
    assert compiled == [model]


def test_the_plain_implementation_uses_the_given_threads_and_restores_the_setting() -> None:
    before, seen = torch.get_num_threads(), []

    class Spy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(torch.get_num_threads())
            return x

    Plain(Spy(), torch.float32, CPU, before + 1)(torch.zeros(1))
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_after_a_failure_the_fallback_computes_everything() -> None:
    tried, messages = [], list[str]()

    def failing(mixture: torch.Tensor) -> torch.Tensor:
        tried.append(mixture)
        raise RuntimeError("no kernel image is available\nCUDA kernel errors might be ...")

    compute = WithFallback(failing, torch.neg, messages.append)
    assert [float(compute(torch.ones(()))) for _ in range(3)] == [-1] * 3
    assert len(tried) == 1
    assert messages == [
        "the fast implementation does not work on this device (no kernel image is available); using the plain one"
    ]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), ValueError("3 channels")])
def test_an_error_that_the_fallback_would_not_avoid_is_raised(error: Exception) -> None:
    def failing(_: torch.Tensor) -> torch.Tensor:
        raise error

    compute = WithFallback(failing, torch.neg, pytest.fail)
    for _ in range(2):
        with pytest.raises(type(error)):
            compute(torch.ones(()))


def test_an_error_of_both_implementations_is_raised() -> None:
    def failing(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes")

    compute = WithFallback(failing, failing, pytest.fail)
    with pytest.raises(RuntimeError, match="shapes"):
        compute(torch.ones(()))
