"""How fast a model is on this machine, held against what the machine can do at all."""

import ctypes
import gc
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from stemsplit.checkpoints.loading import fresh_network, load_network
from stemsplit.errors import DeviceError
from stemsplit.fast import PRECISIONS, Pool, accelerated, chosen
from stemsplit.fast.cpu.linear import Linear
from stemsplit.fast.device import memory_errors
from stemsplit.registry import ModelEntry

BATCH_SIZES = {"cuda": (1, 4, 8)}
"""Kind of device -> numbers of chunks to compute together; one where more gain nothing."""

CALLS, ENOUGH_SECONDS, MOST_CALLS = 3, 1.0, 50
"""A network is called at least so often, and until it took so long, but no oftener than that."""

SIDES = {"cpu": 2_048}
"""Kind of device -> side of the square matrices that show what it can do."""

GEMM_SECONDS = 0.2
"""How long each way to multiply them is tried, but at least three times."""

STATUS = Path("/proc/self/status")
"""Where Linux tells what memory a process has."""


@dataclass(frozen=True)
class Figures:
    """What one precision and batch size came to.

    Args:
        seconds: a chunk, the median of several calls divided by their chunks.
        real_time: seconds of song a second, where chunks overlap as the entry says.
        memory: bytes that a call needs for a while, besides the weights; None where that cannot be known.
        rate: floating-point operations of the network a second.
        share: of the machine's own rate in this precision.
    """

    seconds: float
    real_time: float
    memory: int | None
    rate: float
    share: float


@dataclass(frozen=True)
class Row:
    """One precision and batch size; its figures are None if the memory was too small."""

    precision: str
    batch_size: int
    figures: Figures | None


@dataclass(frozen=True)
class Report:
    """A model's figures, and the machine's.

    Args:
        entry: the model.
        random_weights: whether it was computed with weights of no training.
        flops: floating-point operations a chunk, as the network's definition has them.
        device: that computed.
        processor: its name.
        threads: that computed; None where it was no CPU.
        gemm: precision -> floating-point operations a second in products of large matrices.
        rows: in the order in which they were measured.
        torch: the version of PyTorch.
    """

    entry: ModelEntry
    random_weights: bool
    flops: int
    device: str
    processor: str
    threads: int | None
    gemm: dict[str, float]
    rows: list[Row]
    torch: str = torch.__version__


def formats(names: Sequence[str], device: torch.device) -> dict[str, torch.dtype]:
    """The types of these precisions by name; without any, all that the device has.

    Raises:
        DeviceError: it lacks one of them, or there is no such precision.
    """
    known = {dtype: name for name, dtype in PRECISIONS.items()}
    found = []
    for name in names or PRECISIONS:
        try:
            found.append(chosen(name, device))
        except DeviceError:
            if names:
                raise
    return {known[dtype]: dtype for dtype in found}


def count_flops(entry: ModelEntry) -> int:
    """Floating-point operations of a chunk: two for each multiply-add of products, convolutions and attention.

    Those of the plain network, whatever a faster way of computing it leaves out or adds.

    Raises:
        RegistryError: the entry's config makes no network.
    """
    with torch.device("meta"):
        network = fresh_network(entry).to("meta")  # with all its buffers: nothing is computed
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.empty(1, entry.channels, entry.chunk, device="meta"))
    return counter.get_total_flops()


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - started


def gemm_rate(dtype: torch.dtype, device: torch.device, pool: Pool) -> float:
    """Floating-point operations a second in products of large square matrices, by the best way there is.

    On a CPU each of the pool's threads computes a product of its own.
    """
    on_cpu = device.type == "cpu"
    side, copies = SIDES.get(device.type, 8_192), pool.threads if on_cpu else 1
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    outs = [torch.empty_like(left) for _ in range(copies)]
    packed = Linear(right, None, dtype) if on_cpu else None

    def product(number: int) -> None:
        torch.mm(left, right, out=outs[number])

    def packed_product(_: int) -> None:
        assert packed
        packed(left)

    kinds: list[Callable[[], object]] = [lambda: product(0)]
    if on_cpu:
        kinds = [lambda: pool.run(product, range(copies)), lambda: pool.run(packed_product, range(copies))]
    return copies * 2 * side**3 / min(least_seconds(kind, device) for kind in kinds)


def least_seconds(work: Callable[[], object], device: torch.device) -> float:
    """That a short call takes once it was made before."""
    timed(work, device)
    times = [timed(work, device) for _ in range(CALLS)]
    while sum(times) < GEMM_SECONDS:
        times.append(timed(work, device))
    return min(times)


def peak_memory(device: torch.device) -> int | None:
    """Bytes that this process has held at most; None where that cannot be known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if STATUS.is_file():
        # Not from getrusage, which on Linux counts the program that started this one, too.
        found = re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(encoding="utf-8", errors="replace"), re.M)
        return 1024 * int(found[1]) if found else None
    try:
        import resource  # Windows has none
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def forget_peak(device: torch.device) -> None:
    """Take the memory that is held now for the most that was, where the system lets one."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    # What the allocator keeps of earlier calls would be used again uncounted. Only Linux's has, and needs, this.
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def memory_growth(work: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that a call needs for a while; None where that cannot be known."""
    if device.type not in ("cpu", "cuda"):
        work()
        return None
    forget_peak(device)
    before = peak_memory(device)
    work()
    after = peak_memory(device)
    # Where the peak cannot be forgotten, only a call that surpasses it shows.
    return after - before or None if before is not None and after is not None else None


def figures(entry: ModelEntry, seconds: float, memory: int | None, flops: int, gemm: float) -> Figures:
    """What it means that a chunk takes so many seconds."""
    rate = flops / seconds
    return Figures(seconds, entry.hop / entry.sample_rate / seconds, memory, rate, rate / gemm)


def chunk_seconds(
    compute: Callable[[Tensor], Tensor], mixture: Tensor, tell: Callable[[str], object]
) -> tuple[float, int | None]:
    """Seconds a chunk of a mixture (b, c, t), the median of several calls; and bytes that a first call needs."""
    device, times = mixture.device, list[float]()
    tell("the first call")
    compute(mixture[:1, :, : -(-mixture.shape[-1] // 16)])  # lays the weights out, which is no memory of every call's
    memory = memory_growth(lambda: times.append(timed(lambda: compute(mixture), device)), device)
    tell(f"{CALLS} calls of about {times.pop():.2g} s")
    while len(times) < CALLS or (sum(times) < ENOUGH_SECONDS and len(times) < MOST_CALLS):
        times.append(timed(lambda: compute(mixture), device))
    return median(times) / len(mixture), memory


def processor(device: torch.device) -> str:
    """What the device is called."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@torch.inference_mode()
def measure(
    entry: ModelEntry,
    device: torch.device,
    precisions: dict[str, torch.dtype],
    batch_sizes: Iterable[int] = (),
    *,
    threads: int | None = None,
    random_weights: bool = False,
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Measure a model in each precision and batch size.

    Args:
        entry: the model, with the chunks it is to be given.
        device: that computes.
        precisions: from `formats`.
        batch_sizes: chunks computed together; without any, what suits the device.
        threads: that compute, on a CPU; None for as many as there are cores.
        random_weights: make fresh weights instead of reading the model's, which need not be here.
        tell: is told what is being done.

    Raises:
        RegistryError: the entry's config makes no network.
        WeightsError: the weights cannot be had, or do not fit.
        DeviceError: the network alone is too large for the memory.
    """
    pool, rows, gemm = Pool(threads), list[Row](), dict[str, float]()
    tell(f"loading {entry.name}")
    flops = count_flops(entry)
    with memory_errors(f"loading {entry.name}", "try a smaller model"):
        network = fresh_network(entry) if random_weights else load_network(entry)
        for weights in network.parameters():
            weights.sum()  # read, should they still lie in their file: that is no memory of the first call's
    sizes = tuple(batch_sizes) or BATCH_SIZES.get(device.type, (1,))

    def tried(precision: str, size: int) -> tuple[float, int | None] | None:
        what = f"{precision}, batch size {size}: "
        with suppress(DeviceError), memory_errors("on a batch", "try a smaller one"):
            # One for each size, as it would be used: some are laid out for the batches that they get first.
            compute = accelerated(network, precisions[precision], device, pool, chunk=entry.chunk)
            mixture = 0.1 * torch.randn(size, entry.channels, entry.chunk, device=device)
            return chunk_seconds(compute, mixture, lambda text: tell(what + text))
        return None

    def products(precision: str) -> float:
        tell(f"{precision}: products of large matrices")
        with memory_errors(f"multiplying matrices on {device}", "try --device cpu"):
            return gemm_rate(precisions[precision], device, pool)

    for precision in precisions:
        before = products(precision)
        took = {size: tried(precision, size) for size in sizes}
        # The better of both: other programs may have been busy meanwhile.
        gemm[precision] = max(before, products(precision))
        rows += [
            Row(precision, size, found and figures(entry, *found, flops, gemm[precision]))
            for size, found in took.items()
        ]
    counted = pool.threads if device.type == "cpu" else None
    return Report(entry, random_weights, flops, str(device), processor(device), counted, gemm, rows)
