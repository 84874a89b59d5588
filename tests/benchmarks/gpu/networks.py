"""Single networks on a GPU: the machine's own rate, exactness, time by batch size, memory, and too little of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext, suppress
from copy import deepcopy
from math import log10
from typing import Any

import torch
from torch import Tensor, nn

from stemsplit import registry
from stemsplit.bench import gemm_rate
from stemsplit.checkpoints.loading import load_network
from stemsplit.engine.costs import memory_growth
from stemsplit.engine.estimator import Estimator
from stemsplit.errors import DeviceError
from stemsplit.fast import Pool
from stemsplit.fast.device import memory_errors
from tests.benchmarks.gpu.scale import Compute, Ours, Scale, finished, freed, halves, made, plain, tf32
from tests.benchmarks.measuring import interleaved, relative_error
from tests.benchmarks.networks import flops_of, music
from tests.benchmarks.parts import Row

CPU = torch.device("cpu")
EXACT = {"fp32": 1e-5, "TF32": 5e-3, "fp16": 10 ** (-56 / 20), "bf16": 10 ** (-44 / 20)}
"""Largest relative L2 error of each precision."""
HALF_GOAL = 2.0
"""How much faster than the plain network in autocast half precision should be."""


def decibels(error: float) -> str:
    """A relative L2 error, in dB."""
    return f"{-20 * log10(max(error, 1e-12)):.1f} dB"


def rates(size: Scale) -> Iterator[Row]:
    """How fast the device multiplies large matrices."""
    pool, exact = Pool(), 0.0
    types = {"fp32": torch.float32, "TF32": torch.float32, **halves(size)}
    if size.device.type == "cpu":
        del types["fp16"]  # few CPUs can
    for name, dtype in types.items():
        with tf32() if name == "TF32" else nullcontext():
            rate = gemm_rate(dtype, size.device, pool)
        exact = exact or rate
        ratio = f"{rate / exact:.1f}x"
        yield Row(f"products of large matrices, {name}", "fp32", f"{rate / 1e12:.1f} TFLOP/s", ratio)


def on_cpu(size: Scale, name: str, network: nn.Module) -> Row:
    """The row of how near a plain network on the device is to the same on the CPU, in float32, on a second of music."""
    mixture = music(min(1.0, size.chunk / 44_100))
    expected = network(mixture)
    found = plain(size, deepcopy(network))(mixture.to(size.device)).cpu()
    error = relative_error(found, expected)
    return Row(f"{name}: plain network in fp32, against the CPU", "", "", "", "1e-04", f"{error:.1e}", error <= 1e-4)


@torch.inference_mode()
def parity(size: Scale) -> Iterator[Row]:
    """How near stemsplit's networks come to the plain ones in float32, in every precision."""
    mixture = size.mixture()
    for name in size.networks:
        network = made(size, name)
        yield on_cpu(size, name, network)
        computed = plain(size, deepcopy(network))
        expected = computed(mixture)
        for precision, dtype in {"fp32": torch.float32, "TF32": torch.float32, **halves(size)}.items():
            most = EXACT[precision]
            with tf32() if precision == "TF32" else nullcontext():
                ours = Ours(size, network, dtype)
                error = relative_error(ours(mixture), expected)
                usual = relative_error(plain(size, deepcopy(network), dtype)(mixture), expected)
            told = ours.trouble()
            row = Row(
                f"{name}, {precision}: exactness",
                decibels(usual) if usual else "the same",
                decibels(error),
                goal=decibels(most),
                error=told or f"{error:.1e}",
                met=error <= most and not told,
            )
            del ours
            freed(size)
            yield row
    yield on_cpu(size, "starter", load_network(registry.find("starter")))


def works(size: Scale, network: nn.Module, mixture: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The ways to compute a mixture: the plain network, its autocast, and stemsplit's in every precision."""
    found: dict[str, Compute] = {"plain": plain(size, deepcopy(network))}
    found["autocast"] = plain(size, deepcopy(network), torch.float16)
    for precision, dtype in {"fp32": torch.float32, **halves(size)}.items():
        found[precision] = Ours(size, network, dtype)
    return {way: finished(lambda compute=compute: compute(mixture), size.device) for way, compute in found.items()}


def fitting(
    size: Scale, ways: dict[str, Callable[[], Tensor]]
) -> tuple[dict[str, Callable[[], Tensor]], dict[str, int | None]]:
    """The ways whose first calls fit into the memory, and how many bytes these need besides the weights.

    The first, because a recorded graph keeps what it needs for all later ones.
    """
    fit, needs = dict[str, Callable[[], Tensor]](), dict[str, int | None]()
    for way, work in ways.items():
        with suppress(DeviceError), memory_errors("on a batch", "a smaller one"):
            needs[way] = memory_growth(work, size.device)
            fit[way] = work
        freed(size)
    return fit, needs


def told_bytes(count: int | None) -> str:
    """A number of bytes, in MiB."""
    return "?" if count is None else f"{count / 2**20:,.0f} MiB"


@torch.inference_mode()
def chunks(size: Scale, number: int) -> Iterator[Row]:
    """Time and memory of one of the networks' chunks by batch size, all ways in turns."""
    name = list(size.networks)[number]
    network = made(size, name)
    needed = flops_of(*size.networks[name], (1, 2, size.chunk))
    for batch in size.batch_sizes:
        fit, needs = fitting(size, works(size, network, size.mixture(batch)))
        times = {way: timing.wall / batch for way, timing in interleaved(fit, size.rounds).items()}
        usual = times.get("autocast")
        baseline = ", ".join(f"{way} {1e3 * times[way]:.1f} ms" for way in ("plain", "autocast") if way in times)
        for way in ("fp32", *halves(size)):
            title = f"{name}, {way}, batch size {batch}"
            if way not in times:
                yield Row(title, baseline, error="out of memory")
                continue
            base = times.get("plain" if way == "fp32" else "autocast")
            ratio = base / times[way] if base else None
            rate = needed / times[way]
            yield Row(
                title,
                baseline,
                f"{1e3 * times[way]:.2f} ms a chunk, {rate / 1e12:.1f} TFLOP/s",
                f"{ratio:.2f}x" if ratio else "",
                f"{HALF_GOAL:g}x autocast" if way != "fp32" else "1x plain",
                "" if usual else "the baseline ran out of memory",
                None if ratio is None else ratio >= (1.0 if way == "fp32" else HALF_GOAL),
            )
        least = needs.get("autocast")
        for way in ("fp16",):
            if needs.get(way) and least:
                title = f"{name}, {way}, batch size {batch}: memory"
                yield Row(title, told_bytes(least), told_bytes(needs[way]), f"{needs[way] / least:.2f}", "", "")
        del fit
        freed(size)


@torch.inference_mode()
def compiled(size: Scale) -> Iterator[Row]:
    """Some blocks of each network, compiled by PyTorch in autocast, against stemsplit's."""
    for name in size.networks:
        network = made(size, name, depth=size.blocks)
        mixture = size.mixture(min(4, size.batch_sizes[-1]))
        module = deepcopy(network).to(size.device)
        ready = torch.compile(module, dynamic=False, backend=size.backend)

        def usual(x: Tensor, ready: Any = ready) -> Tensor:
            with torch.autocast(size.device.type, torch.float16 if size.device.type == "cuda" else torch.bfloat16):
                return ready(x).float()

        started = time.perf_counter()
        finished(lambda usual=usual, mixture=mixture: usual(mixture), size.device)()
        ahead = time.perf_counter() - started
        ours = Ours(size, network, torch.float16)
        pair = {"compiled": usual, "ours": ours}
        found = interleaved(
            {
                way: finished(lambda compute=compute, mixture=mixture: compute(mixture), size.device)
                for way, compute in pair.items()
            },
            size.rounds,
        )
        times = {way: timing.wall / len(mixture) for way, timing in found.items()}
        title = f"{name.partition(', depth')[0]}, {size.blocks} block(s), fp16, batch size {len(mixture)}"
        yield Row(
            f"{title}, against compiled",
            f"{1e3 * times['compiled']:.2f} ms, and {ahead:.0f} s to compile",
            f"{1e3 * times['ours']:.2f} ms",
            f"{times['compiled'] / times['ours']:.2f}x",
            "1x",
            ours.trouble(),
            times["compiled"] >= times["ours"],
        )
        torch.compiler.reset()
        freed(size)


def starved(compute: Compute) -> Compute:
    """A computation for which the memory is too small from three chunks on."""

    def limited(mixture: Tensor) -> Tensor:
        if len(mixture) > 2:
            raise torch.OutOfMemoryError("rehearsed")
        return compute(mixture)

    return limited


@torch.inference_mode()
def halving(size: Scale) -> Iterator[Row]:
    """Batches for which the memory is too small: they are halved, the song goes on, and the result is the same."""
    name = next(iter(size.networks))
    network = made(size, name, depth=size.blocks)
    entry = registry.find("mel-roformer-vocals").with_chunks(size.chunk / 44_100)
    told: list[str] = []
    batch = 4 * size.batch_sizes[1]
    dtype = torch.float16 if size.device.type == "cuda" else torch.float32
    estimator = Estimator(
        network, entry, device=size.device, dtype=dtype, pool=Pool(), batch_size=batch, tell=told.append
    )
    mixtures = size.mixture(batch)
    with ExitStack() as stack:
        if size.device.type == "cuda":
            one = memory_growth(lambda: estimator.compute(mixtures[:2]), size.device) or 0
            used = torch.cuda.memory_allocated(size.device)
            total = torch.cuda.get_device_properties(size.device).total_memory
            # A recorded graph keeps the memory of its run, so there has to be room for several.
            stack.callback(torch.cuda.set_per_process_memory_fraction, 1.0)
            freed(size)
            torch.cuda.set_per_process_memory_fraction(min(1.0, (used + 3 * one) / total))
        else:
            estimator.compute = starved(estimator.compute)
        problem = ""
        try:
            with memory_errors("on a batch", "none"):
                estimates = estimator(mixtures)
        except DeviceError as error:
            problem = str(error)
    title = f"{batch} chunks where memory suffices for a few"
    if problem:
        yield Row(title, "", "failed", "", "halved", problem, False)
        return
    alone = torch.cat([estimator(mixture[None]) for mixture in mixtures])
    error = relative_error(estimates, alone)
    halved = estimator.batch_size < batch
    size_told = f"batch size {estimator.batch_size}, {len(told)} message(s)"
    yield Row(title, "", size_told, "", "halved, below 1e-03", f"{error:.1e}", halved and bool(told) and error < 1e-3)
