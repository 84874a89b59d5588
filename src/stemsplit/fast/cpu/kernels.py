"""Chooses how this CPU computes an operation: by what PyTorch was built with, or by a measurement that is remembered.

What is chosen decides the last bits of a result. All processes on a machine must agree on it, so that a batch that
resumes continues as it began: the first choice that is written to the cache folder counts for all. Where none can be
written, the usual kernel computes.
"""

import json
import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from threading import RLock
from typing import NamedTuple

import torch

from stemsplit.disk import create_once, make_below, read_text
from stemsplit.disk.folders import cache_folder
from stemsplit.errors import WeightsError

FOLDER = PurePath("kernels")
"""Where choices are remembered in the cache folder."""

DECISIVE = 1.1
"""How many times as fast as the usual kernel another one must be."""

ROUNDS = 3
"""How often each kernel is timed, in turns, after a first call."""

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
_CHOOSING = RLock()


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
        path = make_below(cache_folder(), FOLDER) / f"{operation.replace(' ', '-')}-{NAMES[dtype]}-{machine()}.json"
        if os.path.lexists(path):
            return _remembered(path, usual, kernels)
        seconds = _seconds(kernels)
        fastest = min(seconds, key=lambda name: seconds[name] * (1 if name == usual.kernel else DECISIVE))
        found = usual._replace(kernel=fastest, rate=flops / seconds[fastest])
        create_once(path, json.dumps({"kernel": found.kernel, "rate": found.rate}).encode())
        # Another process may have been first.
        agreed = _remembered(path, usual, kernels)
    except (OSError, WeightsError, RuntimeError):
        return usual
    return agreed._replace(remembered=False) if agreed.kernel == found.kernel else agreed


def _remembered(path: Path, usual: Chosen, kernels: Mapping[str, object]) -> Chosen:
    """Return the choice in a file; the usual one if the file does not hold one of these kernels."""
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(read_text(path, 1_000))
        kernel, rate = (content.get(key) for key in ("kernel", "rate")) if isinstance(content, dict) else (None, None)
        if isinstance(kernel, str) and kernel in kernels and isinstance(rate, float) and 0 < rate < FASTEST:
            return usual._replace(kernel=kernel, rate=rate, remembered=True)
    return usual


@torch.inference_mode()
def _seconds(kernels: Mapping[str, Callable[[], Callable[[], object]]]) -> dict[str, float]:
    """Return the least seconds that each kernel takes."""
    examples = {name: make() for name, make in kernels.items()}
    least = dict.fromkeys(examples, float("inf"))
    for number in range(1 + ROUNDS):
        for name, example in examples.items():
            began = time.perf_counter()
            example()
            if number:
                least[name] = min(least[name], time.perf_counter() - began)
    return least


def machine() -> str:
    """Return a name for machines that compute alike, of characters that file names can have."""
    found = None
    with suppress(OSError):
        found = re.search(r"^model name\s*:(.*)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.M)
    # On some systems, `platform` starts a program to find out.
    model = found[1] if found else platform.processor() or platform.machine()
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    parts = torch.__version__, torch.backends.cpu.get_cpu_capability(), isa, model
    return re.sub(r"[^A-Za-z0-9.]+", "-", " ".join(parts)).strip("-")[:120]
