"""Remembers how fast each model was on this machine, so that the time of a batch can be estimated."""

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
    """Return the seconds of song that a model split per second in its last run on a device; None if it never ran."""
    return _all().get(f"{model} {device}")


def remember(model: str, device: str, speed: float) -> None:
    """Store the speed of a model on a device, unless it is 0. A file that cannot be written is ignored."""
    if speed > 0:
        with suppress(OSError, WeightsError):
            _file().parent.mkdir(parents=True, exist_ok=True)
            with replacing(_file()) as file:
                file.write(json.dumps({**_all(), f"{model} {device}": round(speed, 4)}).encode())
