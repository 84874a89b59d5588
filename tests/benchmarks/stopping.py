"""How soon a signal ends a command: `python -m tests.benchmarks.stopping [ROUNDS]`.

Each command of the built-in model gets each signal at random moments, and the seconds until it has ended are printed. A
command is to end within two seconds on a quiet machine.
"""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import soundfile

from tests.conftest import noise

COMMANDS = {
    "split": ["song.flac", "--force", "-q"],
    "compare": ["compare", "song.flac", "--models", "starter", "--force"],
    "bench": ["bench", "starter"],
    "eval": ["eval", "songs", "--model", "starter"],
    "train": ["train", "songs", "--like", "starter", "-o", "new.safetensors"],
}

STEMS = ("drums", "bass", "other", "vocals", "mixture")


def ended_after(arguments: list[str], number: signal.Signals, wait: float, folder: Path) -> float:
    """Seconds from a signal to the end of a command."""
    command = [sys.executable, "-m", "stemsplit", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(wait)
        process.send_signal(number)
        began = time.monotonic()
        process.wait()
        return time.monotonic() - began


def main() -> None:
    """Signal every command."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    chance = random.Random(0)
    with TemporaryDirectory() as name:
        folder = Path(name)
        soundfile.write(folder / "song.flac", noise(44_100 * 600), 44_100)
        for song in "ab":
            (folder / "songs" / song).mkdir(parents=True)
            for stem in STEMS:
                soundfile.write(folder / "songs" / song / f"{stem}.wav", noise(400_000), 44_100)
        for command, arguments in COMMANDS.items():
            took = [
                ended_after(arguments, number, chance.uniform(0.1, 15), folder)
                for _ in range(rounds)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            ]
            print(
                f"{command:8} {' '.join(f'{seconds:.2f}' for seconds in took)}  longest {max(took):.2f} s", flush=True
            )


if __name__ == "__main__":
    main()
