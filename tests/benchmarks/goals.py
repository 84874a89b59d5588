"""Every goal of speed and memory, measured: `python -m tests.benchmarks.goals [PART ...]`. Without parts, all of them.

A ratio is of two pieces of work in one run, done in turns, the median of at least three times; memory is measured in
processes of their own. The baseline is the plain network in float32, or what is said beside it. Prints a table.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import log10
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from stemsplit import Separator
from stemsplit.bench import gemm_rate
from stemsplit.checkpoints.loading import load_network
from stemsplit.fast import Pool, accelerated
from stemsplit.fast.cpu.pool import cores
from stemsplit.fast.device import native_bfloat16
from stemsplit.registry import find
from tests.benchmarks import startup, streaming
from tests.benchmarks.measuring import growth, in_process, interleaved, machine, relative_error
from tests.benchmarks.networks import flops, music, network

CPU = torch.device("cpu")
CHUNK_SECONDS = 8.0


@dataclass
class Row:
    """One line of the table."""

    name: str
    baseline: str
    ours: str
    ratio: str
    goal: str
    error: str = ""


def compared(name: str, plain: nn.Module, mixture: Tensor, limits: dict[torch.dtype, float]) -> Iterator[Row]:
    """Rows of a network's chunk: time and error in every precision."""
    pool = Pool()
    works: dict[str, Callable[[], Tensor]] = {"plain": partial(plain, mixture)}
    for dtype in limits:
        if dtype == torch.float32 or native_bfloat16():
            works[str(dtype)] = partial(accelerated(plain, dtype, CPU, pool), mixture)
    found = interleaved(works)
    before = found["plain"]
    for dtype, goal in limits.items():
        if str(dtype) not in found:
            continue
        now = found[str(dtype)]
        error = relative_error(now.result, before.result)
        told = f"{-20 * log10(error):.1f} dB" if dtype != torch.float32 else f"{error:.1e}"
        short = str(dtype).removeprefix("torch.")
        ratio = f"{before.wall / now.wall:.2f}x ({before.cpu / now.cpu:.2f}x CPU)"
        yield Row(
            f"{name}, {short}", f"{before.wall:.2f} s", f"{now.wall:.2f} s", ratio, f"{goal}x" if goal else "", told
        )


def peaks(name: str, network_name: str, seconds: float, goal: str, **changes: int) -> Row:
    """The row of how much a forward grows, in processes of their own."""
    module = "tests.benchmarks.goals"
    arguments = [network_name, str(seconds), json.dumps(changes)]
    plain, fast = (in_process(module, "--growth", way, *arguments)["growth"] for way in ("plain", "fast"))
    return Row(f"{name}, growth of memory", f"{plain:.0f} MiB", f"{fast:.0f} MiB", f"1/{plain / fast:.1f}", goal)


def print_growth(way: str, name: str, seconds: str, changes: str) -> None:
    """What `peaks` asks of another process."""
    made, mixture = network(name, **json.loads(changes)), music(float(seconds))
    compute = made if way == "plain" else accelerated(made, torch.float32, CPU, Pool())
    with torch.inference_mode():
        compute(mixture[..., :4_096])  # has the weights laid out, which stay
    print(json.dumps({"growth": growth(lambda: compute(mixture))}))


LIMITS = {
    "Mel": {torch.float32: 1.8, torch.bfloat16: 2.8},
    "BS": {torch.float32: 1.65, torch.bfloat16: 2.8},
    "SuDoRM-RF": {torch.float32: 3.3, torch.bfloat16: 5.0},
}


def share(name: str, plain: nn.Module, mixture: Tensor) -> Row:
    """The row of how near all of a Mel-Band RoFormer comes to large products alone, which take turns with it."""
    pool = Pool()
    compute = accelerated(plain, torch.float32, CPU, pool)
    rates: list[float] = []

    def products() -> Tensor:
        rates.append(gemm_rate(torch.float32, CPU, pool))
        return mixture

    seconds = interleaved({"products": products, "network": lambda: compute(mixture)})["network"].wall
    reached, most = flops("Mel", mixture.shape) / seconds, median(rates)
    rate = f"{reached / 1e9:.0f} GF/s"
    return Row(f"{name}, float32: rate", f"GEMM {most / 1e9:.0f} GF/s", rate, f"{reached / most:.0%}", "85 %")


def mel() -> Iterator[Row]:
    """The published Mel-Band RoFormer, whole."""
    name = "Mel-Band RoFormer, dim 384, depth 6"
    mixture = music(CHUNK_SECONDS)
    yield from compared(name, network("Mel"), mixture, LIMITS["Mel"])
    yield share(name, network("Mel"), mixture)
    yield peaks(name, "Mel", CHUNK_SECONDS, "1/3", depth=1)


def bs() -> Iterator[Row]:
    """A quarter of the published BS-RoFormer, for time; all blocks are alike."""
    yield from compared(
        "BS-RoFormer, dim 512, 3 of 12 blocks", network("BS", depth=3), music(CHUNK_SECONDS), LIMITS["BS"]
    )


@contextmanager
def load() -> Iterator[None]:
    """As many busy programs as there are cores."""
    with ExitStack() as stack:
        for _ in range(cores()):
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        yield


def under_load() -> Iterator[Row]:
    """One block of the Mel-Band RoFormer while others want the cores."""
    plain, mixture = network("Mel", depth=1), music(CHUNK_SECONDS)
    with load():
        rows = list(compared("Mel, one block, all cores busy", plain, mixture, {torch.float32: 2.5}))
    yield from rows


def sudormrf() -> Iterator[Row]:
    """The published SuDoRM-RF++ on half a chunk, and the starter on a whole one."""
    name = "SuDoRM-RF++, 16 blocks, 512 channels"
    yield from compared(name, network("SuDoRM-RF"), music(CHUNK_SECONDS / 2), LIMITS["SuDoRM-RF"])
    yield peaks(name, "SuDoRM-RF", CHUNK_SECONDS / 2, "1/4")
    yield from compared("starter", load_network(find("starter")), music(CHUNK_SECONDS), dict.fromkeys(LIMITS["Mel"], 0))


def command() -> Iterator[Row]:
    """The command, on three minutes of the README's song."""
    with tempfile.TemporaryDirectory() as folder:
        streaming.long_song(song := Path(folder) / "song.wav", 3, "PCM_16")
        for precision in ("fp32", "bf16") if native_bfloat16() else ("fp32",):
            arguments = [song, "-o", folder, "--force", "--quiet", "--json", "--precision", precision]
            times = []
            for _ in range(3):
                started = time.perf_counter()
                subprocess.run([sys.executable, "-m", "stemsplit", *arguments], check=True, stdout=subprocess.DEVNULL)
                times.append(time.perf_counter() - started)
            yield Row(
                f"`stemsplit song.wav`, 3 min, {precision}, with start-up",
                "real time",
                f"{median(times):.1f} s",
                f"{180 / median(times):.1f}x",
                "",
            )


def silence() -> Iterator[Row]:
    """A chunk of digital silence against a chunk of sound."""
    separator = Separator("starter", device="cpu")
    sound = music(CHUNK_SECONDS)
    found = interleaved(
        {
            "sound": lambda: separator.estimator(sound),
            "silence": lambda: separator.estimator(torch.zeros_like(sound)),
        },
        9,
    )
    sound_time, silence_time = found["sound"].wall, found["silence"].wall
    share = f"{silence_time / sound_time:.2%}"
    yield Row("a silent chunk, starter", f"{1e3 * sound_time:.0f} ms", f"{1e3 * silence_time:.2f} ms", share, "1 %")


def ready() -> Iterator[Row]:
    """From a checkpoint's file to a network that can compute."""
    module = "tests.benchmarks.ready"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mel.ckpt")  # noqa: PTH118 -- an argument
        in_process(module, "written", path)
        rounds = [{way: in_process(module, way, path) for way in ("copied", "mapped")} for _ in range(3)]
    for what, unit, goal in (("cpu", "s", "1/15"), ("private", "MiB", "")):
        before, now = (median(found[way][what] for found in rounds) for way in ("copied", "mapped"))
        name = {"cpu": "913 MB checkpoint ready, CPU time", "private": "913 MB checkpoint ready, private memory"}[what]
        yield Row(name, f"{before:.2f} {unit}", f"{now:.2f} {unit}", f"1/{before / now:.1f}", goal)


def around() -> Iterator[Row]:
    """Overlap-add and files, without a network."""
    found = streaming.measure(5)
    yield Row(
        "overlap-add and files, 5 min, 4 stems",
        f"whole file {found['whole_file_cpu']:.2f} s",
        f"{found['streamed_cpu']:.2f} s",
        f"{found['ratio']:.2f}",
        "0.5",
    )
    short, long = found["streamed_peak"], streaming.measure(60, "flac", 1)["streamed_peak"]
    yield Row(
        "peak memory, 60 min against 5 min, 4 stems",
        f"{short / 2**20:.0f} MiB",
        f"{long / 2**20:.0f} MiB",
        f"{long / short:.2f}",
        "1.1",
    )


def quick() -> Iterator[Row]:
    """Commands that need no network."""
    found = startup.medians()
    empty = found.pop("python -c pass")
    for name, seconds in found.items():
        yield Row(
            f"`{name}`",
            f"empty Python {1e3 * empty:.0f} ms",
            f"{1e3 * seconds:.0f} ms",
            f"{seconds / empty:.1f}x",
            "8x",
        )


PARTS = {part.__name__: part for part in (mel, bs, under_load, sudormrf, command, silence, ready, around, quick)}


def main() -> None:
    """Print the table as it comes."""
    started = time.monotonic()
    print(f"{machine()}; load before {os.getloadavg()[0]:.1f}\n")
    print("| goal | baseline | ours | ratio | wanted | error |")
    print("|---|---|---|---|---|---|", flush=True)
    for name in sys.argv[1:] or PARTS:
        for row in PARTS[name]():
            print("| " + " | ".join(vars(row).values()) + " |", flush=True)
    print(f"\n{(time.monotonic() - started) / 60:.1f} min")


if __name__ == "__main__":
    print_growth(*sys.argv[2:]) if sys.argv[1:2] == ["--growth"] else main()
