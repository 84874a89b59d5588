"""Times finding and planning many songs, and takes the peak memory: `python -m tests.benchmarks.listing [COUNT]`.

COUNT songs (default 100,000), WAV files of a hundred samples, lie in COUNT / 100 folders. They are planned twice:
as they are, and with every second one already split. A song that is split has its record and four files of the sizes
that the record says; `plan` reads the record, and looks at each file.
Each figure is taken in a process of its own: `python -m tests.benchmarks.listing one SONGS STEMS`. With files of such
sizes, all is in the system's memory: a disk, and even more a network, adds its own time for each file.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

IN_A_FOLDER = 100

STEMS = ("drums", "bass", "other", "vocals")


def song(number: int) -> Path:
    """Return the path of a song below the folder of all songs."""
    return Path(f"album {number // IN_A_FOLDER:04}", f"{number:06} song of some length.wav")


def write_songs(folder: Path, count: int) -> None:
    """Write that many songs."""
    first = folder / "first.wav"
    with wave.open(str(first), "wb") as file:
        file.setparams((2, 2, 44_100, 0, "NONE", ""))
        file.writeframes(bytes(400))
    content = first.read_bytes()
    first.unlink()
    for number in range(count):
        path = folder / song(number)
        if not number % IN_A_FOLDER:
            path.parent.mkdir()
        path.write_bytes(content)


def write_stems(songs: Path, stems: Path, numbers: range) -> None:
    """Write what a run leaves of some songs."""
    from stemsplit.songs.record import Record

    content = (songs / song(0)).read_bytes()
    about = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    files = {
        name: {"file": f"{name}.wav", "size": 0, "weights": weights(place), "peak": 0.0, "clipped": 0}
        | {"energy_share": 0.25, "silent": False}
        for place, name in enumerate(STEMS)
    }
    figures = {"duration": 1.0, "sample_rate": 44_100, "channels": 2, "frames": 100, "sum_error": None}
    job_options = {"format": "wav", "bit_depth": None, "start": 0.0, "duration": None, "drop_silent": False}
    identity = model()
    for number in numbers:
        path = song(number)
        folder = stems / path.with_suffix("")
        folder.mkdir(parents=True)
        for name in STEMS:
            (folder / f"{name}.wav").touch()
        found = Record({"name": path.name, **about}, identity, job_options, files, figures)
        (folder / "stemsplit.json").write_text(found.text())


def weights(place: int) -> list[float]:
    """Return the gains of a stem that is one of the model's."""
    return [0.0, *(float(place == other) for other in range(len(STEMS)))]


def model() -> dict[str, object]:
    """Return the identity of the built-in model, as a record has it."""
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.registry import DEFAULT_MODEL, find

    return dict(ChainEntry(find(DEFAULT_MODEL)).identity("auto"))


def peak() -> float:
    """Return the most memory that this process ever had, in MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1e3


def one(songs: Path, stems: Path) -> None:
    """Find and plan the songs once, and print what it took as JSON."""
    from stemsplit.songs import find, plan
    from stemsplit.songs.job import Options
    from stemsplit.songs.naming import Template
    from stemsplit.songs.outputs import Output

    outputs = tuple(Output(name, tuple(weights(place))) for place, name in enumerate(STEMS))
    options = Options(stems, outputs, model(), adds_up=True)
    begun, used = time.perf_counter(), time.process_time()
    found = find.find([songs], stems)
    listed = time.perf_counter()
    jobs = plan.plan(found.songs, options, Template(), "starter")
    ended, used = time.perf_counter(), time.process_time() - used
    problems = {job.problem for job in jobs if job.problem}
    assert not problems, problems
    done = sum(job.done for job in jobs)
    figures = {"songs": len(jobs), "done": done, "listing": listed - begun, "planning": ended - listed, "used": used}
    print(json.dumps({**figures, "peak": peak()}))


def main() -> None:
    """Print a line for each state of the songs."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        songs, stems = Path(folder, "songs"), Path(folder, "stems")
        songs.mkdir()
        write_songs(songs, count)
        for numbers in (range(0), range(0, count, 2)):
            write_stems(songs, stems, numbers)
            command = [sys.executable, "-m", "tests.benchmarks.listing", "one", str(songs), str(stems)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout
            found = json.loads(printed)
            print(
                f"{found['songs']:,} songs, {found['done']:,} already split: "
                f"listed in {found['listing']:.1f} s, planned in {found['planning']:.1f} s "
                f"({found['used']:.1f} s of CPU time in all); peak {found['peak']:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
