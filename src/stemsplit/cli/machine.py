"""Says what can be seen of this machine without importing PyTorch, which takes seconds."""

import os
import re
import sys
from pathlib import Path

NO_GPU = "none seen"


def gpu() -> str:
    """Return the GPU that can be seen, in words."""
    import platform

    driver = Path("/proc/driver/nvidia/version")
    if driver.is_file():
        version = re.search(r"\d+\.\d+[\d.]*", driver.read_text(encoding="utf-8"))
        return f"NVIDIA, driver {version[0] if version else 'of unknown version'}"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "Apple's (mps)"
    return NO_GPU


def cores() -> int:
    """Return how many CPU cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # only on Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1
