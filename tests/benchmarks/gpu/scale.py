"""What the benchmark of a GPU computes: published networks on a GPU, or small ones where it is only rehearsed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from stemsplit.errors import DeviceError
from stemsplit.fast import Pool, WithFallback, accelerated, dtype_of
from stemsplit.fast.cuda.graph import Captured
from stemsplit.fast.cuda.roformer import GpuRoFormer
from stemsplit.fast.plain import Plain
from stemsplit.models.roformer import RoFormer
from tests.benchmarks.networks import CONFIGS, STEREO, music, trained_like

Compute = Callable[[Tensor], Tensor]
Networks = dict[str, tuple[str, dict[str, Any]]]

Precisions = dict[str, torch.dtype]
HALVES: Precisions = {"fp16": torch.float16, "bf16": torch.bfloat16}
PUBLISHED: Networks = {
    "Mel-Band RoFormer, dim 384, depth 6": CONFIGS["Mel"],
    "BS-RoFormer, dim 512, depth 12": CONFIGS["BS"],
}
TINY = {**STEREO, "dim": 16, "dim_head": 8, "heads": 2, "depth": 1, "mlp_expansion_factor": 1}
SMALL: Networks = {
    "Mel-Band RoFormer, tiny": ("mel_band_roformer", {**TINY, "num_bands": 8}),
    "BS-RoFormer, tiny": ("bs_roformer", TINY),
}


@dataclass(frozen=True)
class Scale:
    """Sizes of what is computed.

    Args:
        device: the device to compute on.
        networks: name -> architecture and config.
        chunk: samples of a chunk.
        batch_sizes: numbers of chunks to compute together, ascending.
        rounds: how often each piece of work is timed.
        blocks: blocks of the networks that PyTorch compiles, for time.
        backend: what PyTorch compiles with.
        songs: number of songs in the folder.
        song_seconds: length of each.
        minutes: lengths of two songs whose memory is compared, in minutes.
    """

    device: torch.device
    networks: Networks
    chunk: int
    batch_sizes: tuple[int, ...]
    rounds: int
    blocks: int
    backend: str
    songs: int
    song_seconds: float
    minutes: tuple[float, float]

    def mixture(self, batch: int = 1) -> Tensor:
        """Music on the device, (batch, 2, chunk), no two chunks the same."""
        one = music(self.chunk / 44_100)[..., : self.chunk]
        return torch.cat([one.roll(1_000 * number, -1) for number in range(batch)]).to(self.device)


FULL = Scale(
    device=torch.device("cuda"),
    networks=PUBLISHED,
    chunk=352_800,
    batch_sizes=(1, 4, 8, 16),
    rounds=5,
    blocks=1,
    backend="inductor",
    songs=12,
    song_seconds=180.0,
    minutes=(1.0, 10.0),
)
REHEARSAL = Scale(
    device=torch.device("cpu"),
    networks=SMALL,
    chunk=8_820,
    batch_sizes=(1, 4),
    rounds=1,
    blocks=1,
    backend="eager",
    songs=2,
    song_seconds=0.5,
    minutes=(0.005, 0.01),
)


def scale(rehearse: bool) -> Scale:
    """The sizes to use.

    Raises:
        SystemExit: there is no GPU.
    """
    if rehearse:
        return REHEARSAL
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no NVIDIA GPU here; --rehearse needs none")
    return FULL


def halves(size: Scale) -> Precisions:
    """The half precisions that the device has; all of them in a rehearsal, as the path for GPUs takes both anywhere."""
    found = dict(HALVES)
    for name in HALVES if size.device.type == "cuda" else ():
        try:
            dtype_of(name, size.device)
        except DeviceError:
            del found[name]
    return found


def made(size: Scale, name: str, **changes: int) -> nn.Module:
    """One of the networks, on the CPU."""
    architecture, config = size.networks[name]
    return trained_like(architecture, {**config, **changes})


def plain(size: Scale, network: nn.Module, dtype: torch.dtype = torch.float32) -> Compute:
    """A network on the device as it is written, in PyTorch's autocast unless in float32."""
    return Plain(network, dtype, size.device, torch.get_num_threads())


class Ours:
    """A network as stemsplit computes it on a GPU, which tells whether it does so as it is meant to."""

    def __init__(self, size: Scale, network: nn.Module, dtype: torch.dtype) -> None:
        self.told: list[str] = []
        self.compute: Compute
        if size.device.type == "cuda":
            self.compute = accelerated(network, dtype, size.device, Pool(), chunk=size.chunk, tell=self.told.append)
        else:
            fast = GpuRoFormer(cast(RoFormer, network), dtype, size.device)
            self.compute = Captured(fast, size.chunk, record=lambda compute, _: compute)

    def __call__(self, mixture: Tensor) -> Tensor:
        """Estimate the stems, (b, c, t) -> (b, n, c, t)."""
        return self.compute(mixture)

    def trouble(self) -> str:
        """Why this is not the fast path, recorded as a graph; nothing if it is."""
        if self.told:
            return self.told[0]
        graph = self.compute.compute if isinstance(self.compute, WithFallback) else self.compute
        if not isinstance(graph, Captured):
            return "the plain network is in use"
        return f"no CUDA graph: {str(graph.failure).partition(chr(10))[0]}" if graph.failure else ""


def finished(work: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    """A piece of work that ends when the device is done with it."""

    def wait() -> Tensor:
        result = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result

    return wait


@contextmanager
def tf32() -> Iterator[None]:
    """Let products of float32 on the GPU round their factors to TF32."""
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def freed(size: Scale) -> None:
    """Give memory that nothing uses back to the device."""
    if size.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(size.device)
