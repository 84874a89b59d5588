"""What many short songs cost more than one long one: `python -m tests.benchmarks.short_songs [COUNT] [OPTION ...]`.

COUNT songs of 7 s (200 by default) are split with the command, with its options (such as `-m NAME`); so are as many
seconds in one song, and a single song of 7 s, for start-up. Prints the CPU time and the wall time of both without
start-up, their ratio, and the sum of the songs' times beside the run's.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tests.benchmarks.measuring import SONG, machine

SECONDS = 7


@dataclass
class Cost:
    """What a run took, in seconds: of the CPUs, by the clock, and as it says itself, of its songs and in all."""

    cpu: float
    wall: float
    songs: float
    run: float


def write(folder: Path, count: int, seconds: int) -> None:
    """Write songs of a length, each from another place of a song that is repeated."""
    samples, rate = soundfile.read(SONG, dtype="int16")
    folder.mkdir()
    for number in range(count):
        starts = number * 10_007 % len(samples)
        soundfile.write(folder / f"{number}.wav", np.resize(np.roll(samples, -starts, 0), (seconds * rate, 2)), rate)


def cost(songs: Path, out: Path, options: list[str]) -> Cost:
    """Split a folder's songs with the command."""
    command = [sys.executable, "-m", "stemsplit", str(songs), "-o", str(out), "--json", "--quiet", *options]
    began = time.monotonic()
    with (out.parent / "lines").open("w+") as lines:
        process = subprocess.Popen(command, stdout=lines)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        if os.waitstatus_to_exitcode(status):
            raise SystemExit("the command failed")
        lines.seek(0)
        *told, last = map(json.loads, lines)
    return Cost(
        usage.ru_utime + usage.ru_stime, wall, sum(song["seconds"] for song in told), last["summary"]["seconds"]
    )


def main() -> None:
    """Print a line for each measure."""
    options = sys.argv[1:]
    count = int(options.pop(0)) if options and options[0].isdigit() else 200
    print(f"{machine()}; {count} songs of {SECONDS} s, and one of {count * SECONDS} s")
    with tempfile.TemporaryDirectory() as name:
        folder, costs = Path(name), {}
        for what, songs, seconds in (("start", 1, SECONDS), ("many", count, SECONDS), ("one", 1, count * SECONDS)):
            write(folder / what, songs, seconds)
            costs[what] = cost(folder / what, folder / f"{what} out", options)
    # In start-up, a song of 7 s is computed, too: so these are the costs of all songs but one.
    for measure in ("cpu", "wall"):
        start, many, one = (getattr(costs[what], measure) for what in ("start", "many", "one"))
        ratio = (many - start) / (one - start)
        print(
            f"{measure:5}: many {many - start:.2f} s, one {one - start:.2f} s, {ratio:.3f} times; start {start:.2f} s"
        )
    for what, found in costs.items():
        print(
            f"{what:5}: the songs took {found.songs:.2f} s, the run {found.run:.2f} s, the process {found.wall:.2f} s"
        )


if __name__ == "__main__":
    main()
