"""Remembers how fast each model was on this machine, to estimate how long a batch will take."""

import json
from contextlib import suppress
from pathlib import Path

from stemsplit.disk import read_text, replacing
from stemsplit.disk.folders import cache_folder
from stemsplit.errors import WeightsError


def _file() -> Path:
    return cache_folder() / "speeds.json"


def _all() -> dict[str, float]:
    try:
        content = json.loads(read_text(_file()))
        return {str(key): float(value) for key, value in content.items()}
    except (OSError, ValueError, AttributeError, TypeError, OverflowError, RecursionError, WeightsError):
        return {}


def known(model: str, device: str) -> float | None:
    """Seconds of song a second, when the model last ran on that device; None if it never did."""
    return _all().get(f"{model} {device}")


def remember(model: str, device: str, speed: float) -> None:
    """Write a speed down, if it is one; where that cannot be, nothing is lost."""
    if speed > 0:
        with suppress(OSError, WeightsError):
            _file().parent.mkdir(parents=True, exist_ok=True)
            with replacing(_file()) as file:
                file.write(json.dumps({**_all(), f"{model} {device}": round(speed, 4)}).encode())
