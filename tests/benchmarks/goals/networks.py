"""Goals of single networks: a chunk's time and error in every precision, its share of the machine's rate, memory."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from math import log10
from statistics import median

import torch
from torch import Tensor, nn

from stemsplit import Separator
from stemsplit.bench import gemm_rate
from stemsplit.checkpoints.loading import load_network
from stemsplit.errors import DeviceError
from stemsplit.fast import Pool, accelerated, dtype_of
from stemsplit.fast.cpu.pool import cores
from stemsplit.fast.device import native_bfloat16
from stemsplit.registry import find
from tests.benchmarks.goals.size import Size
from tests.benchmarks.measuring import Timing, facts, in_process, interleaved, relative_error
from tests.benchmarks.networks import flops, music, network
from tests.benchmarks.parts import Row

CPU = torch.device("cpu")
FP32, BF16 = torch.float32, torch.bfloat16
DECIBELS = {BF16: 44.0}
"""Least distance of half precision from float32."""
EXACT = 1e-5
"""Largest error of float32."""
INT8_DECIBELS, INT8_RATIO = 35.0, 1.5
SHARE = 0.85
"""Share of the rate of large products that a network should reach."""

Goals = dict[torch.dtype, float]


def roformers() -> Goals:
    """How much faster than the plain network a RoFormer should be; in bfloat16 it depends on the instructions."""
    return {FP32: 2.5, BF16: 8.0 if "AMX-BF16" in facts()["capabilities"] else 5.0}


SUDORMRF: Goals = {FP32: 3.3, BF16: 5.0}


def decibels(error: float) -> float:
    """A relative error as a distance in dB."""
    return -20 * log10(max(error, 1e-12))


def row_of(title: str, before: Timing, now: Timing, dtype: torch.dtype, goal: float) -> Row:
    """The row of a network in one precision, against the plain one. A goal of 0 is none."""
    error = relative_error(now.result, before.result)
    exact = decibels(error) >= DECIBELS[dtype] if dtype in DECIBELS else error <= EXACT
    return Row(
        title,
        f"{before.wall:.2f} s",
        f"{now.wall:.2f} s",
        f"{before.wall / now.wall:.2f}x ({before.cpu / now.cpu:.2f}x CPU)",
        f"{goal:g}x" if goal else "",
        f"{decibels(error):.1f} dB" if dtype in DECIBELS else f"{error:.1e}",
        before.wall / now.wall >= goal and exact if goal else None,
    )


def compared(name: str, plain: nn.Module, mixture: Tensor, goals: Goals, rounds: int = 3) -> Iterator[Row]:
    """Rows of a network's chunk: time and error in every precision that this CPU has instructions for."""
    pool = Pool()
    works: dict[str, Callable[[], Tensor]] = {"plain": partial(plain, mixture)}
    for dtype in goals:
        if dtype == FP32 or native_bfloat16():
            works[str(dtype)] = partial(accelerated(plain, dtype, CPU, pool), mixture)
    found = interleaved(works, rounds)
    for dtype, goal in goals.items():
        if str(dtype) in found:
            title = f"{name}, {str(dtype).removeprefix('torch.')}"
            yield row_of(title, found["plain"], found[str(dtype)], dtype, goal)


def peaks(size: Size, name: str, network_name: str, seconds: float, goal: int, **changes: int) -> Row:
    """The row of how much a forward grows, in processes of their own; the goal is one over a number."""
    arguments = [network_name, str(seconds), json.dumps({**size.smaller.get(network_name, {}), **changes})]
    module = "tests.benchmarks.goals.growth"
    plain, fast = (in_process(module, way, *arguments)["growth"] for way in ("plain", "fast"))
    share = plain / max(fast, 0.01)
    title = f"{name}, growth of memory"
    return Row(title, f"{plain:.0f} MiB", f"{fast:.0f} MiB", f"1/{share:.1f}", f"1/{goal}", met=share >= goal)


def share(name: str, network_name: str, plain: nn.Module, mixture: Tensor, rounds: int, **changes: int) -> Row:
    """The row of how near a network comes to large products alone, which take turns with it."""
    pool = Pool()
    compute = accelerated(plain, FP32, CPU, pool)
    rates: list[float] = []

    def products() -> Tensor:
        rates.append(gemm_rate(FP32, CPU, pool))
        return mixture

    seconds = interleaved({"products": products, "network": lambda: compute(mixture)}, rounds)["network"].wall
    reached, most = flops(network_name, tuple(mixture.shape), **changes) / seconds, median(rates)
    return Row(
        f"{name}, float32: rate",
        f"GEMM {most / 1e9:.0f} GF/s",
        f"{reached / 1e9:.0f} GF/s",
        f"{reached / most:.0%}",
        f"{SHARE:.0%}",
        met=reached >= SHARE * most,
    )


def rates(_: Size) -> Iterator[Row]:
    """How fast this machine multiplies large matrices, by the best way that stemsplit knows."""
    for threads in sorted({1, Pool().threads}):
        for dtype in (FP32, BF16) if native_bfloat16() else (FP32,):
            rate = gemm_rate(dtype, CPU, Pool(threads))
            name = str(dtype).removeprefix("torch.")
            which = "one core" if threads == 1 else "all cores"
            yield Row(f"products of large matrices, {name}, {which}", "", f"{rate / 1e9:.0f} GF/s")


def mel(size: Size) -> Iterator[Row]:
    """The published Mel-Band RoFormer, whole."""
    name, changes = "Mel-Band RoFormer, dim 384, depth 6", size.smaller.get("Mel", {})
    mixture = music(size.chunk_seconds)
    yield from compared(name, network("Mel", **changes), mixture, roformers(), size.rounds)
    yield share(name, "Mel", network("Mel", **changes), mixture, size.rounds, **changes)
    yield peaks(size, name, "Mel", size.chunk_seconds, 3, depth=1)


def bs(size: Size) -> Iterator[Row]:
    """A quarter of the published BS-RoFormer, for time; all blocks are alike."""
    changes = {**size.smaller.get("BS", {}), "depth": 3}
    name, plain, mixture = "BS-RoFormer, dim 512, 3 of 12 blocks", network("BS", **changes), music(size.chunk_seconds)
    yield from compared(name, plain, mixture, roformers(), size.rounds)
    yield share(name, "BS", plain, mixture, size.rounds, **changes)


@contextmanager
def load() -> Iterator[None]:
    """As many busy programs as there are cores."""
    with ExitStack() as stack:
        for _ in range(cores()):
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        yield


def under_load(size: Size) -> Iterator[Row]:
    """One block of the Mel-Band RoFormer while others want the cores."""
    plain, mixture = network("Mel", **{**size.smaller.get("Mel", {}), "depth": 1}), music(size.chunk_seconds)
    with load():
        rows = list(compared("Mel, one block, all cores busy", plain, mixture, {FP32: 2.5}, size.rounds))
    yield from rows


def sudormrf(size: Size) -> Iterator[Row]:
    """The published SuDoRM-RF++ on half a chunk."""
    name, seconds = "SuDoRM-RF++, 16 blocks, 512 channels", size.chunk_seconds / 2
    plain = network("SuDoRM-RF", **size.smaller.get("SuDoRM-RF", {}))
    yield from compared(name, plain, music(seconds), SUDORMRF, size.rounds)
    yield peaks(size, name, "SuDoRM-RF", seconds, 4)


def starter(size: Size) -> Iterator[Row]:
    """The built-in model on a chunk, of sound and of silence."""
    mixture = music(size.chunk_seconds)
    plain = load_network(find("starter"))
    yield from compared("starter, a chunk of 8 s", plain, mixture, {FP32: 0, BF16: 0}, size.rounds)
    estimator = Separator("starter", device="cpu").estimator
    works = {"sound": lambda: estimator(mixture), "silence": lambda: estimator(torch.zeros_like(mixture))}
    found = interleaved(works, 3 * size.rounds)
    sound, silence = found["sound"].wall, found["silence"].wall
    yield Row(
        "a silent chunk, starter",
        f"{1e3 * sound:.0f} ms",
        f"{1e3 * silence:.2f} ms",
        f"{silence / sound:.2%}",
        "1 %",
        met=silence <= 0.01 * sound,
    )


def int8(size: Size) -> Iterator[Row]:
    """A block of each RoFormer in int8, against the best other precision; or why int8 is refused."""
    try:
        whole = dtype_of("int8", CPU)
    except DeviceError as error:
        yield Row("int8", error=f"refused: {error}")
        return
    usual = BF16 if native_bfloat16() else FP32
    pool, mixture = Pool(), music(size.chunk_seconds)
    for name in ("Mel", "BS"):
        plain = network(name, **{**size.smaller.get(name, {}), "depth": 1})
        ways = {
            "plain": plain,
            "usual": accelerated(plain, usual, CPU, pool),
            "int8": accelerated(plain, whole, CPU, pool),
        }
        found = interleaved({way: partial(compute, mixture) for way, compute in ways.items()}, size.rounds)
        ratio = found["usual"].wall / found["int8"].wall
        distance = decibels(relative_error(found["int8"].result, found["plain"].result))
        yield Row(
            f"{name}, one block, int8",
            f"{str(usual).removeprefix('torch.')} {found['usual'].wall:.2f} s",
            f"{found['int8'].wall:.2f} s",
            f"{ratio:.2f}x",
            f"{INT8_RATIO}x, {INT8_DECIBELS:g} dB",
            f"{distance:.1f} dB",
            ratio >= INT8_RATIO and distance >= INT8_DECIBELS,
        )


def ready(size: Size) -> Iterator[Row]:
    """From a checkpoint's file to a network that can compute."""
    module = "tests.benchmarks.ready"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mel.ckpt")  # noqa: PTH118 -- an argument
        in_process(module, "written", path)
        rounds = [{way: in_process(module, way, path) for way in ("copied", "mapped")} for _ in range(size.rounds)]
    for what, unit, goal in (("cpu", "s", 15), ("private", "MiB", 0)):
        before, now = (median(found[way][what] for found in rounds) for way in ("copied", "mapped"))
        name = {"cpu": "913 MB checkpoint ready, CPU time", "private": "913 MB checkpoint ready, private memory"}[what]
        met = before / now >= goal if goal else None
        told = f"1/{goal}" if goal else ""
        yield Row(name, f"{before:.2f} {unit}", f"{now:.2f} {unit}", f"1/{before / now:.1f}", told, met=met)
