"""Chooses how this CPU computes an operation: by what PyTorch was built with, or by a measurement that is remembered.

What is chosen decides the last bits of a result. All processes on a machine must agree on it, so that a batch that
resumes continues as it began: the first choice that is written to the cache folder counts for all, until someone
removes it there. Where none can be written, the usual kernel computes.
"""

import json
import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import NamedTuple

import torch

from stemsplit.disk import create_once, make_below, read_text
from stemsplit.disk.folders import cache_folder
from stemsplit.errors import WeightsError
from stemsplit.fast.cpu.pool import torch_threads
from stemsplit.fast.forks import Turns

FOLDER = PurePath("kernels")
"""Where choices are remembered in the cache folder."""

DECISIVE = 1.1
"""How many times as fast as the usual kernel another one must be."""

ROUNDS, MOST_ROUNDS, STEADY = 3, 20, 1.05
"""How often each kernel is timed, in turns: more often until its two least times differ by less than this factor."""

PLACES = 3
"""Files that may hold a choice. What no process can have written stays where it is, and the next file counts."""

# Other programs that run on the same core do not count, where the system's clock is fine enough.
CLOCK = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-6 else time.perf_counter

FASTEST = 1e16
"""FLOP/s beyond which a remembered rate is not believed."""

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


class Chosen(NamedTuple):
    """What was chosen for an operation.

    Attributes:
        operation: the operation, such as "products with weights".
        precision: "fp32" or "bf16".
        kernel: name of what computes it.
        rate: FLOP/s of one thread when it was chosen; None if nothing was measured.
        remembered: whether an earlier process chose it.
    """

    operation: str
    precision: str
    kernel: str
    rate: float | None = None
    remembered: bool = False


_CHOSEN: dict[tuple[str, torch.dtype], Chosen] = {}
_CHOOSING = Turns()


def chosen() -> list[Chosen]:
    """Return what this process has chosen, in the order of first use."""
    return list(_CHOSEN.values())


def choose(
    operation: str, dtype: torch.dtype, kernels: Mapping[str, Callable[[], Callable[[], object]]], flops: float
) -> str:
    """Return the name of the kernel that computes an operation on this machine.

    Args:
        operation: the operation, in lower-case words.
        dtype: type of its numbers.
        kernels: name -> a function that makes an example of it, whose time is measured. The first is the usual one.
        flops: floating-point operations of the example.
    """
    if (operation, dtype) not in _CHOSEN:
        with _CHOOSING:  # the threads of a pool wait, which keeps the measurement undisturbed
            if (operation, dtype) not in _CHOSEN:
                _CHOSEN[operation, dtype] = _choice(operation, dtype, kernels, flops)
    return _CHOSEN[operation, dtype].kernel


def _choice(
    operation: str, dtype: torch.dtype, kernels: Mapping[str, Callable[[], Callable[[], object]]], flops: float
) -> Chosen:
    usual = Chosen(operation, NAMES[dtype], next(iter(kernels)))
    if len(kernels) < 2 or os.environ.get("STEMSPLIT_KERNELS") == "fixed":
        return usual
    try:
        folder = make_below(cache_folder(), FOLDER)
        name = f"{operation.replace(' ', '-')}-{NAMES[dtype]}-{machine()}"
        found: Chosen | None = None
        for place in range(PLACES):
            path = folder / f"{name}{f'-{place + 1}' if place else ''}.json"
            if not os.path.lexists(path):
                found = found or _measured(usual, kernels, flops)
                create_once(path, json.dumps({"kernel": found.kernel, "rate": found.rate}).encode())
            # Another process may have been first.
            if agreed := _remembered(path, usual, kernels):
                return agreed._replace(remembered=agreed[:4] != found[:4] if found else True)
    except (OSError, WeightsError, RuntimeError):
        pass
    return usual


def _measured(usual: Chosen, kernels: Mapping[str, Callable[[], Callable[[], object]]], flops: float) -> Chosen:
    """Return the fastest kernel, or the usual one if the fastest is not much faster."""
    seconds = _seconds(kernels)
    fastest = min(seconds, key=lambda name: seconds[name] * (1 if name == usual.kernel else DECISIVE))
    return usual._replace(kernel=fastest, rate=flops / max(seconds[fastest], 1e-6))


def _remembered(path: Path, usual: Chosen, kernels: Mapping[str, object]) -> Chosen | None:
    """Return the choice in a file; None if the file does not hold one of these kernels."""
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(read_text(path, 1_000))
        kernel, rate = (content.get(key) for key in ("kernel", "rate")) if isinstance(content, dict) else (None, None)
        if isinstance(kernel, str) and kernel in kernels and isinstance(rate, float) and 0 < rate < FASTEST:
            return usual._replace(kernel=kernel, rate=rate, remembered=True)
    return None


@torch.inference_mode()
def _seconds(kernels: Mapping[str, Callable[[], Callable[[], object]]]) -> dict[str, float]:
    """Return the least seconds that each kernel takes on one thread."""
    with torch_threads(1):
        examples = {name: make() for name, make in kernels.items()}
        times: dict[str, list[float]] = {name: [] for name in examples}
        for number in range(1 + MOST_ROUNDS):
            for name, example in examples.items():
                began = CLOCK()
                example()
                if number:  # the first call also prepares
                    times[name] = sorted([*times[name], CLOCK() - began])
            if number >= ROUNDS and all(best <= second <= STEADY * best for best, second, *_ in times.values()):
                break
    return {name: best for name, (best, *_) in times.items()}


def machine() -> str:
    """Return a name for machines that compute alike, of characters that file names can have."""
    found = None
    with suppress(OSError):
        found = re.search(r"^model name\s*:(.*)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.M)
    # On some systems, `platform` starts a program to find out.
    model = found[1] if found else platform.processor() or platform.machine()
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    blas = "mkl" if torch.backends.mkl.is_available() else ""
    parts = torch.__version__, blas, torch.backends.cpu.get_cpu_capability(), isa, model
    return re.sub(r"[^A-Za-z0-9.]+", "-", " ".join(parts)).strip("-")[:120]
