"""Peak memory of splitting few and many short songs with the command: `python -m tests.benchmarks.batch [COUNT ...]`.

Default: 20 200. The songs are the README's, half a second of it from another place each time, in all sample rates.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from tests.benchmarks.measuring import SONG

RATES = (22_050, 44_100, 48_000)


def short_songs(folder: Path, count: int) -> None:
    """Write that many songs of half a second."""
    samples, _ = soundfile.read(SONG, dtype="int16")
    for number in range(count):
        rate = RATES[number % len(RATES)]
        start = number * 1_000 % (len(samples) - rate)
        soundfile.write(folder / f"{number}.wav", samples[start : start + rate // 2], rate)


def main() -> None:
    """Print a line per count: peak resident memory, time, and the former against the first."""
    first = 0.0
    for count in [int(word) for word in sys.argv[1:]] or [20, 200]:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "songs").mkdir()
            short_songs(Path(folder) / "songs", count)
            command = [sys.executable, "-m", "stemsplit", "songs", "--quiet"]
            started = time.monotonic()
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - started
            peak = usage.ru_maxrss / 1024
            first = first or peak
            print(
                f"{count:5} songs: peak {peak:6.0f} MiB ({peak / first:.3f} of the first), {seconds:6.1f} s, "
                f"{seconds / count:.2f} s a song, exit status {os.waitstatus_to_exitcode(status)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
