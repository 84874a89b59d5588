"""Published variants of the RoFormers for GPUs compute what the plain networks do."""

import pytest
import torch
from torch import Tensor

from stemsplit.fast.cuda.graph import recorded
from stemsplit.fast.cuda.roformer import GpuRoFormer
from stemsplit.models.roformer import RoFormer
from tests import golden
from tests.fast.conftest import magnified
from tests.fast.cuda.test_roformer import Launches
from tests.fast.variants import VARIANTS, network

CPU = torch.device("cpu")
LIMITS = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


@torch.inference_mode()
def error(plain: RoFormer, mixture: Tensor, dtype: torch.dtype) -> float:
    """How far the result is from the plain one, without what the network itself makes of small errors."""
    estimates = GpuRoFormer(plain, dtype, CPU)(mixture)
    return golden.relative_error(estimates, plain(mixture)) / magnified(plain, mixture)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (2, 33), (2, 1_237)])
def test_any_shape_gives_the_plain_network_s_result(name: str, batch: int, length: int) -> None:
    assert error(network(*VARIANTS[name]), torch.randn(batch, 2, length), torch.float32) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_close_in_half_precision(name: str, dtype: torch.dtype) -> None:
    assert error(network(*VARIANTS[name]), torch.randn(1, 2, 1_237), dtype) <= LIMITS[dtype]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_can_be_recorded(name: str) -> None:
    """Nothing is read back from the device, and all tensors are on it, so a device without any numbers suffices."""
    meta = torch.device("meta")
    fast = GpuRoFormer(network(*VARIANTS[name]), torch.float16, meta)
    fast(torch.empty(2, 2, 1_237, device=meta))  # makes the tables
    with Launches() as seen:
        estimates = fast(torch.empty(2, 2, 1_237, device=meta))
    assert seen.devices == {"meta"}
    assert estimates.shape == (2, fast.config.num_stems, 2, 1_237)
    assert estimates.dtype == torch.float32


@pytest.mark.parametrize("name", ["value residual", "windowed", "refiner", "Fourier operators"])
@torch.inference_mode()
def test_a_call_does_not_depend_on_the_calls_before(name: str) -> None:
    plain = network(*VARIANTS[name])
    fast = GpuRoFormer(plain, torch.float32, CPU)
    mixtures = [torch.randn(1, 2, length) for length in (900, 2_000, 100)]
    again = [fast(mixture) for mixture in mixtures + mixtures][3:]
    for mixture, estimates in zip(mixtures, again, strict=True):
        assert torch.equal(estimates, GpuRoFormer(plain, torch.float32, CPU)(mixture))


@torch.inference_mode()
def test_the_network_itself_is_unchanged() -> None:
    for name in ("refiner", "HyperACE 2, stereo"):
        plain = network(*VARIANTS[name])
        before = {key: value.clone() for key, value in plain.state_dict().items()}
        GpuRoFormer(plain, torch.float16, CPU)(torch.randn(1, 2, 500))
        assert all(torch.equal(plain.state_dict()[key], value) for key, value in before.items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", VARIANTS)
@torch.inference_mode()
def test_a_gpu_computes_and_records_the_same(name: str, dtype: torch.dtype) -> None:
    device = torch.device("cuda")
    plain = network(*VARIANTS[name])
    fast = GpuRoFormer(plain, dtype, device)
    first, second = torch.randn(2, 2, 2, 1_237)
    replay = recorded(fast, first.to(device))
    estimates = replay(second.to(device)).cpu()
    assert golden.relative_error(estimates, plain(second)) <= LIMITS[dtype] * magnified(plain, second)
