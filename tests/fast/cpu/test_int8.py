"""Products with integers come close to those in float32, or are refused with the reason."""

import math

import pytest
import torch
from torch import Tensor

from stemsplit.errors import DeviceError
from stemsplit.fast import Pool, accelerated, device
from stemsplit.fast.cpu import int8
from stemsplit.fast.cpu.int8 import AfterGelu, Int8Linear, native_int8
from stemsplit.fast.cpu.roformer import FastRoFormer
from tests import golden
from tests.fast.cpu.test_roformer import FORMERS, POOL, network

in_int8 = pytest.mark.skipif(not native_int8(), reason="this CPU has no fast products of integers")
CPU = torch.device("cpu")


@in_int8
@pytest.mark.parametrize("kind", [Int8Linear, AfterGelu])
@pytest.mark.parametrize("rows", [1, 7, 250])
def test_a_layer_is_added_to_within_the_rounding_of_its_rows(kind: type[Int8Linear], rows: int) -> None:
    """Each row has its own scale, so a quiet row beside a loud one is as exact."""
    torch.manual_seed(0)
    x, weight, bias = torch.nn.functional.gelu(torch.randn(rows, 96)), torch.randn(48, 96), torch.randn(48)
    if kind is Int8Linear:
        x[0] *= 1e-4
    total = torch.zeros(rows, 48)
    expected = x @ weight.mT
    kind(weight, bias).add_to(total, x.clone())
    assert ((total - bias - expected).norm(dim=1) < 0.03 * expected.norm(dim=1)).all()


@in_int8
def test_silence_gives_the_bias_and_numbers_that_are_not_finite_stay_noticed() -> None:
    weight, bias = torch.randn(16, 32), torch.randn(16)
    layer = Int8Linear(weight, bias)
    assert torch.equal(layer(torch.zeros(3, 32)), bias.expand(3, 16))
    for bad in (math.nan, math.inf, -math.inf):
        x = torch.ones(3, 32)
        x[1, 5] = bad
        assert not layer(x).isfinite().all()
        for kind in (Int8Linear, AfterGelu) if bad != -math.inf else (Int8Linear,):  # GELU gives no -inf
            total = torch.zeros(3, 16)
            kind(weight, bias).add_to(total, x.clone())
            assert not total.isfinite().all(), (kind, bad)


@in_int8
@pytest.mark.parametrize("name", FORMERS)
def test_every_roformer_is_close_to_float32(name: str) -> None:
    architecture, settings = FORMERS[name]
    model = network(architecture, **settings)
    torch.manual_seed(1)
    mixture = 0.1 * torch.randn(1, settings.get("audio_channels", 2), 6_000)
    with torch.inference_mode():
        exact, coarse = (FastRoFormer(model, dtype, POOL)(mixture) for dtype in (torch.float32, torch.int8))
    assert golden.relative_error(coarse, exact) < 0.1
    assert not torch.equal(coarse, exact)


@in_int8
def test_threads_and_neighbours_in_a_batch_do_not_change_a_song() -> None:
    architecture, settings = next(iter(FORMERS.values()))
    model, mixtures = network(architecture, **settings), 0.1 * torch.randn(2, 2, 6_000)
    with torch.inference_mode():
        both = FastRoFormer(model, torch.int8, POOL)(mixtures)
        assert torch.equal(both[1:], FastRoFormer(model, torch.int8, Pool(1))(mixtures[1:]))


def test_a_cpu_without_the_instructions_or_with_better_ones_is_not_asked_for_integers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "native_bfloat16", lambda: False)
    monkeypatch.setattr(device, "native_int8", lambda: False)
    with pytest.raises(DeviceError, match="no fast products of integers"):
        device.dtype_of("int8", CPU)
    monkeypatch.setattr(device, "native_bfloat16", lambda: True)
    with pytest.raises(DeviceError, match="try bf16"):
        device.dtype_of("int8", CPU)
    with pytest.raises(DeviceError, match="int8 is for CPUs"):
        device.dtype_of("int8", torch.device("meta"))


def test_a_kernel_that_is_wrong_or_missing_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(layer: Int8Linear, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), layer.outputs)

    monkeypatch.setattr(int8.Int8Linear, "__call__", wrong)
    assert not native_int8.__wrapped__()


def test_a_model_that_would_not_be_faster_is_refused() -> None:
    architecture, settings = next(iter(FORMERS.values()))  # small
    with pytest.raises(DeviceError, match="int8 is for RoFormers"):
        accelerated(network(architecture, **settings), torch.int8, CPU, POOL)
