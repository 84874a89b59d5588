"""How long commands take to start: `python -m tests.benchmarks.startup`.

The quick ones in CPU seconds, as multiples of an empty Python. A song in seconds of wall time, as multiples of
`import torch`: its least part, so nearly all of that is start-up and one chunk; and 15 s of it.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "stemsplit list": ["-m", "stemsplit", "list"],
    "stemsplit list --json": ["-m", "stemsplit", "list", "--json"],
    "stemsplit list --stems vocals": ["-m", "stemsplit", "list", "--stems", "vocals"],
    "stemsplit info mel-roformer": ["-m", "stemsplit", "info", "mel-roformer"],
    "stemsplit --help": ["-m", "stemsplit", "--help"],
    "stemsplit --version": ["-m", "stemsplit", "--version"],
}
ROUNDS = 11

SONGS = {
    "import torch": ["-c", "import torch"],
    "stemsplit SONG, one chunk": ["-m", "stemsplit", "SONG", "--duration", "1", "--force", "--quiet"],
    "stemsplit SONG, 15 s": ["-m", "stemsplit", "SONG", "--force", "--quiet"],
}
SONG_ROUNDS = 3


def cpu_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def medians(rounds: int = ROUNDS) -> dict[str, float]:
    """CPU seconds of each command, all run in turn."""
    with tempfile.TemporaryDirectory() as bytecode:
        # Compiled once and kept, as by pip, whatever this environment says of that; the first round does it.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
        _, *measured = (
            {name: cpu_seconds(arguments, environment) for name, arguments in COMMANDS.items()}
            for _ in range(1 + rounds)
        )
    return {name: statistics.median(times[name] for times in measured) for name in COMMANDS}


def song_medians(rounds: int = SONG_ROUNDS) -> dict[str, float]:
    """Wall seconds of whole processes that split a song with the built-in model, and of `import torch`, in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        noise = np.random.default_rng(0).normal(0, 0.1, (15 * 44_100, 2))
        soundfile.write(folder / "song.wav", noise, 44_100)
        found: dict[str, list[float]] = {what: [] for what in SONGS}
        for number in range(1 + rounds):
            for what, arguments in SONGS.items():
                words = [str(folder / "song.wav") if word == "SONG" else word for word in arguments]
                begun = time.monotonic()
                subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, check=True)
                if number:  # the first round compiles
                    found[what].append(time.monotonic() - begun)
    return {what: statistics.median(times) for what, times in found.items()}


def main() -> None:
    """Print each command's median."""
    found = medians()
    for name, seconds in found.items():
        print(f"{name:30} {1000 * seconds:6.0f} ms  {seconds / found['python -c pass']:5.1f}x")
    songs = song_medians()
    for name, seconds in songs.items():
        print(f"{name:30} {seconds:6.2f} s   {seconds / songs['import torch']:5.2f}x")


if __name__ == "__main__":
    main()
