"""Overhead of sharing songs, and whether stems are the same: `python -m tests.benchmarks.sharing [SONGS [SECONDS]]`.

The same songs (default: 200 of 1 s) are split by one process, by two shards at once, and by Ray with two workers on
this machine, if it is installed. Each process computes in one thread. A network as small as can be is used, so that
what is measured is everything else. Prints for each way the wall time, the milliseconds for each song beyond start-up
(of the run, against the same run with a tenth of the songs), and whether all stems have the bytes of the first way.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import soundfile

from tests.benchmarks.measuring import SONG
from tests.cli.processes import registry

Ways = dict[str, list[list[str]]]


def write_songs(folder: Path, count: int, seconds: float) -> None:
    """Write short songs, each from another place of the README's."""
    samples, rate = soundfile.read(SONG, dtype="int16")
    length = round(seconds * rate)
    folder.mkdir()
    for number in range(count):
        start = number * 1_000 % (len(samples) - length)
        soundfile.write(folder / f"{number:04}.wav", samples[start : start + length], rate)


def ways() -> Ways:
    """Return the options of each process of each way."""
    known = {"one process": [[]], "two shards": [["--shard", "1/2"], ["--shard", "2/2"]]}
    if find_spec("ray"):
        known["Ray, two workers"] = [["--ray", "local", "--workers", "2", "--cpus-per-worker", "1"]]
    return known


def run(songs: Path, stems: Path, options: Sequence[Sequence[str]], folder: Path) -> float:
    """Split the songs, and return the seconds that it took."""
    environment = {**os.environ, "STEMSPLIT_REGISTRY": str(folder / "model" / "models.toml"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "stemsplit", str(songs), "-o", str(stems), "--quiet", "--threads", "1"]
    begun = time.monotonic()
    processes = [
        subprocess.Popen([*command, *more], cwd=folder, env=environment, stdout=subprocess.DEVNULL) for more in options
    ]
    statuses = [process.wait() for process in processes]
    assert not any(statuses), statuses
    return time.monotonic() - begun


def digests(stems: Path) -> dict[str, str]:
    """Return the digest of each stem and record."""
    files = [path for path in sorted(stems.rglob("*")) if path.is_file() and "stemsplit-notes" not in path.parts]
    return {str(path.relative_to(stems)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    """Print a line for each way."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    few = max(count // 10, 2)
    first: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        registry(folder / "model", "starter")
        write_songs(folder / "songs", count, seconds)
        write_songs(folder / "few", few, seconds)
        for number, (way, options) in enumerate(ways().items()):
            start = run(folder / "few", folder / f"few stems {number}", options, folder)
            whole = run(folder / "songs", folder / f"stems {number}", options, folder)
            found = digests(folder / f"stems {number}")
            first = first or found
            same = "the same bytes" if found == first else "OTHER BYTES"
            each = 1_000 * (whole - start) / (count - few)
            print(f"{way}: {whole:.1f} s, {each:.0f} ms for each song; {len(found)} files, {same}", flush=True)


if __name__ == "__main__":
    main()
