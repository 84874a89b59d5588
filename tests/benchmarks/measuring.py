"""How measurements are taken: in turns within one run, and memory in processes of their own."""

import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

ROUNDS = 3

SONG = Path(__file__).parents[1] / "data" / "lithium.flac"
"""15 s of music. Not from conftest, which needs pytest: benchmarks run where nobody tests."""


@dataclass
class Timing:
    """Medians over all rounds, and the last result."""

    wall: float
    cpu: float
    result: Tensor


def interleaved(
    works: Mapping[str, Callable[[], Tensor]], rounds: int = ROUNDS, *, warm: bool = True
) -> dict[str, Timing]:
    """Time pieces of work in turns, after each was done once if `warm`."""
    walls: dict[str, list[float]] = {name: [] for name in works}
    cpus: dict[str, list[float]] = {name: [] for name in works}
    results = {}
    with torch.inference_mode():
        for number in range(0 if warm else 1, rounds + 1):
            for name, work in works.items():
                wall, cpu = time.perf_counter(), time.process_time()
                results[name] = work()
                if number:
                    walls[name].append(time.perf_counter() - wall)
                    cpus[name].append(time.process_time() - cpu)
    return {name: Timing(median(walls[name]), median(cpus[name]), results[name]) for name in works}


def relative_error(result: Tensor, reference: Tensor) -> float:
    """Relative L2 distance."""
    return float((result.double() - reference.double()).norm() / reference.double().norm())


def resident() -> float:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def private() -> float:
    """MiB of this process in memory that belong to no file."""
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def growth(work: Callable[[], object]) -> float:
    """MiB by which a piece of work makes this process larger at most."""
    before = peak = resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with torch.inference_mode():
            work()
    finally:
        done.set()
        watcher.join()
    return peak - before


def in_process(module: str, *arguments: str) -> dict[str, float]:
    """What a module of ours, run in a process of its own, prints as JSON in its last line."""
    command = [sys.executable, "-m", module, *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: float(value) for name, value in json.loads(printed.splitlines()[-1]).items()}


CAPABILITIES = {
    "AVX2": ("avx2",),
    "AVX512": ("avx512_f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "BF16": ("avx512_bf16", "bf16", "arm_bf16"),
    "AMX-BF16": ("amx_bf16",),
    "AMX-INT8": ("amx_int8",),
    "NEON": ("neon", "arm_neon"),
    "SVE": ("sve", "arm_sve"),
    "I8MM": ("i8mm", "arm_i8mm"),
}
"""What decides how fast products are -> PyTorch's names for it."""

LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OMP_NUM_THREADS")
"""Variables that make this machine less than it is."""


def facts() -> dict[str, Any]:
    """What this machine is: names, capabilities of its CPU that matter, and its GPU if it has one."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.*)", cpuinfo.read_text()) if cpuinfo.is_file() else None
    able = torch.cpu.get_capabilities()
    known: dict[str, Any] = {
        "processor": found[1] if found else platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "capabilities": [name for name, keys in CAPABILITIES.items() if any(able.get(key) for key in keys)],
        "limited": {name: os.environ[name] for name in LIMITS if name in os.environ},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "gpu": None,
    }
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        known["gpu"] = {
            "name": gpu.name,
            "memory_bytes": gpu.total_memory,
            "capability": f"{gpu.major}.{gpu.minor}",
            "cuda": torch.version.cuda,
        }
    return known


def machine(known: dict[str, Any] | None = None) -> str:
    """What this machine is, or the one with these facts, in a line."""
    known = known or facts()
    gpu = known["gpu"]
    words = [
        f"{known['processor']} ({', '.join(known['capabilities']) or known['architecture']})",
        f"{known['cores']} cores",
        *([f"{gpu['name']} ({gpu['memory_bytes'] / 2**30:.0f} GiB, CUDA {gpu['cuda']})"] if gpu else []),
        f"PyTorch {known['torch']}",
        f"Python {known['python']}",
        *(f"{name}={value}" for name, value in known["limited"].items()),
    ]
    return ", ".join(words)
