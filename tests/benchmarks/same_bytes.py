"""What a checkout makes of the same songs, as a digest of each file: `python -m tests.benchmarks.same_bytes > new`.

To compare with another checkout, run it again with that one's `src` first in PYTHONPATH, and `diff` what the two print.
It splits the README's song, then ten songs of all rates, channels and formats in one batch with more options, compares
two models on one of them, and trains a small network for twenty steps.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import stemsplit
from tests.benchmarks.measuring import SONG

SONGS = [
    ("a.wav", 44_100, 2, "PCM_16"),
    ("b.flac", 48_000, 2, "PCM_24"),
    ("c.flac", 22_050, 2, "PCM_16"),
    ("d.mp3", 44_100, 1, "MPEG_LAYER_III"),
    ("e.wav", 96_000, 1, "PCM_32"),
    ("f.aiff", 11_025, 2, "PCM_16"),
    ("g.wav", 44_100, 6, "PCM_24"),
    ("h.flac", 8_000, 1, "PCM_16"),
    ("i.w64", 32_000, 3, "DOUBLE"),
    ("silent.wav", 44_100, 2, "PCM_16"),
]
"""Name, sample rate, channels, encoding: of those that libsndfile writes the same every time."""

REGISTRY = """
[tiny]
description = "as small as can be"
architecture = "sudormrf"
stems = ["low", "high"]
sample_rate = 8000
channels = 1
chunk = 4000
hop = 2000
sources = []
author = "this script"
complete = true

[tiny.config]
variant = "improved"
out_channels = 8
in_channels = 16
num_blocks = 1
upsampling_depth = 2
enc_kernel_size = 21
enc_num_basis = 16
num_sources = 2
"""


def write_songs(folder: Path) -> None:
    """Write the songs of the batch, each another excerpt of noise that fades."""
    random = np.random.default_rng(0)
    for number, (name, rate, channels, subtype) in enumerate(SONGS):
        frames = rate * (number + 2) // 4 + 7 * number
        loudness = 0.0 if name.startswith("silent") else 0.3 * np.linspace(1, 0, frames)[:, None]
        samples = loudness * random.uniform(-1, 1, (frames, channels))
        soundfile.write(folder / name, samples, rate, subtype)


def write_album(folder: Path) -> None:
    """Write two multitracks of two tones each."""
    for song in range(2):
        (folder / f"song {song}").mkdir(parents=True)
        for name, pitch in (("low", 220 + song), ("high", 1_700 + song)):
            wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(16_000) / 8_000)
            soundfile.write(folder / f"song {song}" / f"{name}.wav", wave, 8_000, "PCM_16")


def main() -> None:
    """Print a line per file that the commands leave, and what they say of it on stdout."""
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        (here / "songs").mkdir()
        write_songs(here / "songs")
        write_album(here / "album")
        (here / "tiny.toml").write_text(REGISTRY)
        training = [
            "--registry",
            "tiny.toml",
            "--like",
            "tiny",
            "--steps",
            "20",
            "--batch-size",
            "2",
            "--seconds",
            "0.1",
        ]
        shutil.copy(Path(stemsplit.__file__).with_name("starter.safetensors"), here / "copy.safetensors")
        excerpt = ["--start", "0", "--duration", "0.4"]
        one = ["--device", "cpu", "--threads", "1"]
        commands = [
            [str(SONG), *one],
            ["songs", "-o", "batch", *one],
            ["songs", "-o", "mixes", "--two-stems", "vocals", "--mix", "beat=drums+bass", "--format", "flac", *one],
            ["songs", "-o", "alike", "--like-source", "--drop-silent", "--overlap", "0.25", "--window", "mean", *one],
            ["songs/a.wav", "-o", "chain", "--then", "vocals:starter", "--start", "0.1", "--duration", "0.3", *one],
            ["compare", "songs/b.flac", "--models", "starter,copy.safetensors", *excerpt, "-o", "clips"],
            ["train", "album", "--validation", "album", "-o", "new.safetensors", *training, *one],
            ["album/song 0/low.wav", "--model", "new.safetensors", "-o", "trained", *one],
        ]
        for command in commands:
            run = [sys.executable, "-m", "stemsplit", *command]
            done = subprocess.run(run, cwd=here, capture_output=True, check=False)
            print(f"exit {done.returncode}: {' '.join(command[:3]).replace(str(SONG), SONG.name)}")
        for path in sorted(path for path in here.rglob("*") if path.is_file()):
            # A run's table, its state and a comparison's record hold times, an entry the names of this version's keys.
            varying = path.suffix in (".csv", ".pt", ".toml") or path.name == "comparison.json"
            if not varying and "songs" not in path.parts and "album" not in path.parts:
                print(hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(here))


if __name__ == "__main__":
    main()
