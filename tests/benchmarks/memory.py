"""Peak memory of splitting songs of different lengths with the command.

python -m tests.benchmarks.memory [MINUTES ...]      default: 3 60

The song is the README's, played over and over; only one stem is kept, as 16-bit flac, to spare the disk.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from tests.benchmarks.measuring import SONG


def long_song(path: Path, minutes: float) -> None:
    """Write the README's song, repeated."""
    samples, rate = soundfile.read(SONG, dtype="int16")
    left = round(minutes * 60 * rate)
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], "PCM_16") as file:
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)


def main() -> None:
    """Print a line per length: peak resident memory, time, and both against the first."""
    first = 0.0
    for minutes in [float(word) for word in sys.argv[1:]] or [3.0, 60.0]:
        with tempfile.TemporaryDirectory() as folder:
            song = Path(folder) / "song.wav"
            long_song(song, minutes)
            command = [sys.executable, "-m", "stemsplit", song, "-o", folder, "-s", "vocals", "-f", "flac", "-q"]
            started = time.monotonic()
            process = subprocess.Popen([*command, "--bit-depth", "16"], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - started
            peak = usage.ru_maxrss / 1024
            first = first or peak
            print(
                f"{minutes:5.1f} min: peak {peak:6.0f} MiB ({peak / first:.3f} of the first), {seconds:6.1f} s, "
                f"{60 * minutes / seconds:.1f}x real time, exit status {os.waitstatus_to_exitcode(status)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
