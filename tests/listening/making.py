"""Makes what `stemsplit listen` plays: songs with their stems and records, and comparisons, without a model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stemsplit.disk.digest import sha256
from stemsplit.songs.record import Record
from tests.conftest import Samples, noise

RATE = 44_100


def write(path: Path, samples: Samples, rate: int = RATE) -> Path:
    """Write samples (frames, channels): floats as WAV, 16 bits in other formats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"subtype": "FLOAT"} if path.suffix == ".wav" else {}
    soundfile.write(path, samples, rate, **options)
    return path


def facts(path: Path, name: str, weights: Sequence[float]) -> dict[str, Any]:
    """What a record says of a stem."""
    return {
        "file": name,
        "size": path.stat().st_size,
        "weights": list(weights),
        "peak": 0.5,
        "clipped": 0,
        "energy_share": 0.25,
        "silent": False,
    }


def split_song(
    folder: Path,
    song: Path,
    names: Sequence[str] = ("drums", "vocals"),
    frames: int = 5_000,
    rate: int = RATE,
    suffix: str = "wav",
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write a song, stems that add up to it, and their record; return the record's file."""
    stems = {name: noise(frames, seed=number) for number, name in enumerate(names)}
    write(song, sum(stems.values(), np.zeros((frames, 2), np.float32)), rate)
    files = {}
    for number, (name, samples) in enumerate(stems.items()):
        path = write(folder / f"{name}.{suffix}", samples, rate)
        files[name] = facts(path, path.name, [0.0, *(float(number == other) for other in range(len(names)))])
    figures = {"duration": frames / rate, "sample_rate": rate, "channels": 2, "frames": frames, "sum_error": -150.0}
    about = {"name": song.name, "size": song.stat().st_size, "sha256": sha256(song)}
    record = Record(about, {"stems": list(names)}, options or {"start": 0.0, "duration": None}, files, figures)
    path = folder / "stemsplit.json"
    path.write_text(record.text())
    return path


def changed(record: Path, **parts: Any) -> None:
    """Change parts of a record."""
    record.write_text(json.dumps({**json.loads(record.read_text()), **parts}))


def comparison(folder: Path, models: Sequence[str] = ("one", "two"), frames: int = 5_000) -> Path:
    """Write the clips of a comparison of vocals, and their record; return the record's file."""

    def clip(name: str, seed: int) -> dict[str, Any]:
        path = write(folder / f"{name}.wav", noise(frames, seed=seed))
        return {"path": f"elsewhere/{path.name}", "loudness": -20.0, "gain": -1.5, "matched": True}

    mixture = clip("mixture", 0)
    clips = [{"model": model, **clip(f"vocals - {model}", seed)} for seed, model in enumerate(models, 1)]
    content = {
        "song": "songs/a.flac",
        "start": 60.0,
        "duration": frames / RATE,
        "folder": "compare/a",
        "models": [{"model": model} for model in models],
        "mixture": mixture,
        "stems": {"vocals": {"clips": clips, "reference": clip("vocals - reference", 9), "differences": []}},
        "left_out": {},
        "files": sorted(path.name for path in folder.glob("*.wav")),
    }
    path = folder / "comparison.json"
    path.write_text(json.dumps(content))
    return path
