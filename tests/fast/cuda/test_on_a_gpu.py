"""What only a GPU can show: copies beside its work, recorded graphs, too little memory, and whole songs.

Elsewhere these are skipped; `python -m tests.benchmarks.gpu` runs them where there is one.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stemsplit import Separator, registry
from stemsplit.engine.estimator import Estimator
from stemsplit.fast import Pool, WithFallback, accelerated
from stemsplit.fast.cuda.graph import Captured
from stemsplit.fast.cuda.transfer import Transfer
from stemsplit.fast.plain import Plain
from tests import golden
from tests.fast.variants import VARIANTS, network
from tests.models.test_contract import CONFIGS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

GPU = torch.device("cuda")
LENGTH = 1_237


@torch.inference_mode()
def test_copies_are_whole_while_the_gpu_computes() -> None:
    transfer = Transfer(GPU)
    mixtures = [torch.rand(4, 2, 100_000) for _ in range(20)]
    matrix = torch.rand(2_048, 2_048, device=GPU)
    coming = [transfer.to_device(mixture) for mixture in mixtures]
    results = []
    for arrived in coming:
        copy = arrived()
        for _ in range(3):
            matrix = torch.mm(matrix, matrix).clamp(-1, 1)
        results.append(transfer.to_host(copy + 1))
    for mixture, result in zip(mixtures, results, strict=True):
        assert torch.equal(result(), mixture + 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", VARIANTS)
@torch.inference_mode()
def test_every_roformer_is_recorded_on_a_gpu(name: str, dtype: torch.dtype) -> None:
    """Neither the recording nor the fast path falls back, and a batch that is filled up gives the same."""
    told: list[str] = []
    compute = accelerated(network(*VARIANTS[name]), dtype, GPU, Pool(1), chunk=LENGTH, tell=told.append)
    mixtures = torch.randn(3, 2, LENGTH, device=GPU)
    together = compute(mixtures)
    alone = compute(mixtures[:1])
    assert isinstance(compute, WithFallback)
    assert isinstance(compute.compute, Captured)
    assert (told, compute.compute.failure) == ([], None)
    assert len(compute.compute.replays) == 1
    assert golden.relative_error(alone.cpu(), together[:1].cpu()) <= 1e-3


@pytest.mark.parametrize("name", [name for name in CONFIGS if "roformer" not in name])
@torch.inference_mode()
def test_float32_is_as_exact_on_a_gpu_as_on_a_cpu(name: str) -> None:
    """Convolutions and recurrent layers too, whose factors PyTorch would round to TF32."""
    from stemsplit.models import build

    architecture, config = CONFIGS[name]
    torch.manual_seed(0)
    plain = build(architecture, config).eval()
    mixture = 0.1 * torch.randn(1, 2, 4_000)
    expected = plain(mixture)
    estimates = Plain(plain, torch.float32, GPU, 1)(mixture.to(GPU)).cpu()
    assert golden.relative_error(estimates, expected) <= 5e-5


@torch.inference_mode()
def test_a_batch_too_large_for_a_gpu_is_halved() -> None:
    entry = replace(registry.find("starter"), name="identity", stems=("song",), channels=2)
    told: list[str] = []

    class Greedy(torch.nn.Module):
        """Needs more memory for each chunk than a small GPU has for three."""

        def forward(self, mixture: Tensor) -> Tensor:
            share = torch.cuda.get_device_properties(GPU).total_memory // 3
            torch.empty(len(mixture) * share, dtype=torch.uint8, device=GPU)
            return mixture[:, None]

    estimator = Estimator(
        Greedy(), entry, device=GPU, dtype=torch.float32, pool=Pool(1), batch_size=8, tell=told.append
    )
    mixtures = torch.randn(8, 2, 1_000, device=GPU)
    assert torch.equal(estimator(mixtures), mixtures[:, None])
    assert estimator.batch_size in (1, 2)
    assert told[-1].startswith("cuda ran out of memory")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_song_on_a_gpu_is_that_of_a_cpu(precision: str) -> None:
    mixture = golden_noise(3 * 44_100)
    found, again = (Separator("starter", "cuda", precision=precision).separate(mixture, 44_100) for _ in range(2))
    expected = Separator("starter", "cpu").separate(mixture, 44_100)
    for stem, samples in expected.items():
        assert torch.equal(found[stem], again[stem])
        assert golden.relative_error(found[stem], samples) <= {"fp32": 1e-4, "fp16": 2e-2}[precision]


def golden_noise(frames: int) -> Tensor:
    """Noise that swells, in stereo."""
    torch.manual_seed(0)
    return 0.1 * torch.randn(2, frames) * torch.linspace(0, 1, frames)
