"""Measures how fast a model is on this machine, compared with how fast the machine multiplies matrices."""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from stemsplit.checkpoints.loading import completed, fresh_network, load_network
from stemsplit.engine.costs import memory_growth, timed
from stemsplit.engine.work import count_flops, linear_flops
from stemsplit.errors import DeviceError
from stemsplit.fast import PRECISIONS, Pool, accelerated, dtype_of, roformers
from stemsplit.fast.cpu.kernels import chosen
from stemsplit.fast.cpu.linear import ONEDNN, ROWS, Linear
from stemsplit.fast.device import memory_errors
from stemsplit.fast.plain import Plain
from stemsplit.registry import ModelEntry

BATCH_SIZES = {"cuda": (1, 4, 8)}
"""Kind of device -> batch sizes to try. On other devices, only 1 is tried, because larger ones gain nothing."""

CALLS, ENOUGH_SECONDS, MOST_CALLS = 3, 1.0, 50
"""Limits of timing: at least `CALLS` calls, more until they took `ENOUGH_SECONDS`, but at most `MOST_CALLS` calls."""

SIDES = {"cpu": 2_048}
"""Kind of device -> side of the square matrices that are multiplied; 8,192 on other devices."""

LEAST_WORK, MOST_KERNELS = 0.05, 6
"""Least part of a chunk's work for a layer to be measured by itself, and how many are at most."""

GEMM_SECONDS = 0.2
"""How long each way of multiplying them is timed; it is called at least `CALLS` times."""


@dataclass(frozen=True)
class Figures:
    """The measurements of one precision and batch size.

    Args:
        seconds: seconds per chunk: the median over several calls, divided by the batch size.
        real_time: seconds of a song computed per second, when chunks overlap as in the entry.
        memory: bytes that a call needs temporarily, besides the weights; None if unknown.
        rate: the network's FLOP/s.
        share: `rate` as a fraction of the FLOP/s of matrix products in this precision.
    """

    seconds: float
    real_time: float
    memory: int | None
    rate: float
    share: float


@dataclass(frozen=True)
class Row:
    """One precision and batch size, and its figures: None if the memory was too small."""

    precision: str
    batch_size: int
    figures: Figures | None


@dataclass(frozen=True)
class Kernel:
    """What computes an operation of the network on this CPU.

    Args:
        operation: the operation, in words.
        precision: precision in which it is computed.
        kernel: name of the library that computes it.
        work: its part of the chunk's floating-point operations; None if unknown.
        rate: its FLOP/s on all threads; None if nothing was measured.
        share: `rate` as a fraction of the FLOP/s of products of large matrices; None without a rate.
    """

    operation: str
    precision: str
    kernel: str
    work: float | None
    rate: float | None
    share: float | None


@dataclass(frozen=True)
class Report:
    """The figures of a model and of the machine.

    Args:
        entry: the model.
        random_weights: whether the model was measured with untrained weights.
        flops: floating-point operations per chunk, counted in the network's definition.
        device: PyTorch's name of the device.
        processor: the device's product name.
        threads: number of CPU threads; None on other devices.
        gemm: precision -> FLOP/s in products of large matrices.
        rows: the measurements, in the order in which they were made.
        loading: seconds that loading the network took.
        torch: PyTorch's version.
        kernels: what was chosen to compute operations on a CPU, then the network's largest products; empty elsewhere.
    """

    entry: ModelEntry
    random_weights: bool
    flops: int
    device: str
    processor: str
    threads: int | None
    gemm: dict[str, float]
    rows: list[Row]
    loading: float = 0.0
    torch: str = torch.__version__
    kernels: Sequence[Kernel] = ()


def formats(names: Sequence[str], device: torch.device, *, bfloat16: bool = False) -> dict[str, torch.dtype]:
    """Return the types of the named precisions by name; without names, all that the device supports.

    `bfloat16` says what "auto" is, see `dtype_of`.

    Raises:
        DeviceError: the device does not support one of them, or a name is unknown.
    """
    precision_of = {dtype: name for name, dtype in PRECISIONS.items()}
    dtypes = []
    for name in names or (each for each in PRECISIONS if each != "int8"):  # few models have it
        try:
            dtypes.append(dtype_of(name, device, bfloat16=bfloat16))
        except DeviceError:
            if names:
                raise
    return {precision_of[dtype]: dtype for dtype in dtypes}


def gemm_rate(dtype: torch.dtype, device: torch.device, pool: Pool) -> float:
    """Measure the FLOP/s in products of large square matrices, by the fastest method.

    On a CPU, each of the pool's threads computes a product of its own.
    """
    on_cpu, multiply = device.type == "cpu", torch.mm if dtype.is_floating_point else torch._int_mm
    side, copies = SIDES.get(device.type, 8_192), pool.threads if on_cpu else 1
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    outs = [multiply(left, right) for _ in range(copies)]

    def product(index: int) -> None:
        multiply(left, right, out=outs[index])

    methods: list[Callable[[], object]] = [lambda: product(0)]
    if on_cpu:
        methods = [lambda: pool.run(product, range(copies))]
    if on_cpu and dtype.is_floating_point:
        packed = Linear(right, None, dtype, onednn=ONEDNN)  # whatever was chosen: both are measured
        methods.append(lambda: pool.run(lambda _: packed(left), range(copies)))
    return copies * 2 * side**3 / min(least_seconds(method, device) for method in methods)


def least_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the least of several times that a short call takes, in seconds, after one call to warm up."""
    timed(work, device)
    times = [timed(work, device) for _ in range(CALLS)]
    while sum(times) < GEMM_SECONDS:
        times.append(timed(work, device))
    return min(times)


def figures(entry: ModelEntry, seconds: float, memory: int | None, flops: int, gemm: float) -> Figures:
    """Derive the figures of a chunk from its seconds and memory, and the machine's FLOP/s in matrix products."""
    rate = flops / seconds
    return Figures(seconds, entry.hop / entry.sample_rate / seconds, memory, rate, rate / gemm)


def chunk_seconds(
    compute: Callable[[Tensor], Tensor], mixture: Tensor, tell: Callable[[str], object]
) -> tuple[float, int | None]:
    """Measure the median seconds per chunk of a mixture (b, c, t), and the bytes that a call needs temporarily."""
    device, times = mixture.device, list[float]()
    tell("the first call")
    compute(mixture[:1, :, : -(-mixture.shape[-1] // 16)])  # lays out the weights: their memory does not count
    memory = memory_growth(lambda: times.append(timed(lambda: compute(mixture), device)), device)
    tell(f"{CALLS} calls of about {times.pop():.2g} s")
    while len(times) < CALLS or (sum(times) < ENOUGH_SECONDS and len(times) < MOST_CALLS):
        times.append(timed(lambda: compute(mixture), device))
    return median(times) / len(mixture), memory


def kernels(entry: ModelEntry, precision: str, flops: int, gemm: float, pool: Pool) -> Iterator[Kernel]:
    """Measure the linear layers that are most of a network's work, as they are computed on this CPU.

    Args:
        entry: the model.
        precision: one of `PRECISIONS`.
        flops: floating-point operations of a chunk.
        gemm: FLOP/s in products of large matrices.
        pool: threads, each of which computes a product of its own.

    Raises:
        RegistryError: no network can be built from the entry's config.
    """
    dtype, device, copies = PRECISIONS[precision], torch.device("cpu"), range(pool.threads)
    if not dtype.is_floating_point:
        return  # such layers are not `Linear`
    largest = [each for each in linear_flops(entry).items() if each[1] >= LEAST_WORK * flops]
    for (inputs, outputs), work in largest[:MOST_KERNELS]:
        layer = Linear(torch.randn(outputs, inputs), None, dtype)
        x = torch.randn(ROWS, inputs).to(dtype)

        def product(_: int, layer: Linear = layer, x: Tensor = x) -> None:
            layer(x, "benchmark")

        seconds = least_seconds(partial(pool.run, product, copies), device)
        rate = 2 * len(copies) * ROWS * inputs * outputs / seconds
        yield Kernel(f"linear {inputs} to {outputs}", precision, layer.library, work / flops, rate, rate / gemm)


def choices(gemm: dict[str, float], threads: int) -> Iterator[Kernel]:
    """Return the kernels that this process has chosen, in precisions with FLOP/s in products of large matrices."""
    for operation, precision, kernel, rate, _ in chosen():
        if precision in gemm:
            # Measured on one thread when it was chosen.
            whole = None if rate is None else rate * threads
            yield Kernel(operation, precision, kernel, None, whole, None if whole is None else whole / gemm[precision])


def processor(device: torch.device) -> str:
    """Return the device's product name."""
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
        entry: the model, with the chunks to measure.
        device: the device to measure.
        precisions: precisions to measure, from `formats`.
        batch_sizes: numbers of chunks to compute at once; without any, those of `BATCH_SIZES`.
        threads: number of CPU threads; None for one per core.
        random_weights: whether to use untrained weights, so that the model's need not be downloaded.
        tell: callback for a line about each step.

    Raises:
        RegistryError: no network can be built from the entry's config.
        WeightsError: the weights cannot be obtained, or do not fit the network.
        DeviceError: the network alone does not fit into the memory.
    """
    pool, rows, gemm, layers = Pool(threads), list[Row](), dict[str, float](), list[Kernel]()
    tell(f"loading {entry.name}")
    entry = entry if random_weights else completed(entry)
    flops = count_flops(entry)
    began = time.perf_counter()
    with memory_errors(f"loading {entry.name}", "try a smaller model"):
        network = fresh_network(entry) if random_weights else load_network(entry)
        for weights in network.parameters():
            weights.sum()  # reads them from their file, so that their memory does not count as the first call's
    loading = time.perf_counter() - began
    sizes = tuple(batch_sizes) or BATCH_SIZES.get(device.type, (1,))

    def measured(precision: str, size: int) -> tuple[float, int | None] | None:
        prefix = f"{precision}, batch size {size}: "
        if precisions[precision] == torch.int8 and not roformers.supports_int8(network):
            raise DeviceError(f"{entry.name}: {roformers.ONLY_INT8}")  # not to be taken for too little memory
        with suppress(DeviceError), memory_errors("on a batch", "try a smaller one"):
            # Set up anew for each size, because some implementations are laid out for the first batches that they get.
            compute = accelerated(network, precisions[precision], device, pool, chunk=entry.chunk)
            mixture = 0.1 * torch.randn(size, entry.channels, entry.chunk, device=device)
            return chunk_seconds(compute, mixture, lambda text: tell(prefix + text))
        return None

    def products(precision: str) -> float:
        tell(f"{precision}: products of large matrices")
        with memory_errors(f"multiplying matrices on {device}", "try --device cpu"):
            return gemm_rate(precisions[precision], device, pool)

    for precision in precisions:
        before = products(precision)
        measurements = {size: measured(precision, size) for size in sizes}
        # The better of two, because other programs may have been busy during one of them.
        gemm[precision] = max(before, products(precision))
        rows += [
            Row(precision, size, measurement and figures(entry, *measurement, flops, gemm[precision]))
            for size, measurement in measurements.items()
        ]
        if device.type == "cpu" and not isinstance(accelerated(network, torch.float32, device, pool), Plain):
            tell(f"{precision}: the largest layers")
            layers += kernels(entry, precision, flops, gemm[precision], pool)
    cpu_threads = pool.threads if device.type == "cpu" else None
    return Report(
        entry,
        random_weights,
        flops,
        str(device),
        processor(device),
        cpu_threads,
        gemm,
        rows,
        loading,
        kernels=[*choices(gemm, cpu_threads), *layers] if cpu_threads else (),
    )
