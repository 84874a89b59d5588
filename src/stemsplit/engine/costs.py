"""Measures what a call costs on a device or on the CPU: time, and memory."""

import ctypes
import gc
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
"""Where Linux says how much memory this process uses."""


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Return how many seconds a call takes."""
    started = time.perf_counter()
    work()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - started


def peak_memory(device: torch.device) -> int | None:
    """Return this process's peak memory in bytes; None if the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if STATUS.is_file():
        # On Linux, getrusage would also count the program that started this one.
        line = re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(encoding="utf-8", errors="replace"), re.M)
        return 1024 * int(line[1]) if line else None
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def reset_peak(device: torch.device) -> None:
    """Reset the peak memory to what is in use now, where the system allows it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    # Memory that the allocator keeps from earlier calls would be reused without being counted. Only Linux has this
    # call.
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def memory_growth(work: Callable[[], object], device: torch.device) -> int | None:
    """Return how many bytes a call needs temporarily; None if unknown."""
    if device.type not in ("cpu", "cuda"):
        work()
        return None
    reset_peak(device)
    before = peak_memory(device)
    work()
    after = peak_memory(device)
    # Where the peak cannot be reset, a call that does not exceed it shows no growth: its need is unknown.
    return after - before or None if before is not None and after is not None else None
