"""Goals of the whole command: songs of all lengths, batches of short ones, and what happens around a network."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from stemsplit.fast.device import native_bfloat16
from tests.benchmarks import startup, streaming
from tests.benchmarks.goals.size import Size
from tests.benchmarks.parts import Row

REAL_TIME, SHORT_SECONDS, START_UP, SHORT_RATIO, FLAT = 6.0, 4.0, 1.5, 1.3, 1.1
"""Goals: of three minutes; of 15 s; of start-up against PyTorch's; of short songs and of long ones, by the minute."""


@dataclass(frozen=True)
class Run:
    """A run of the command.

    Args:
        wall: seconds from its start to its end.
        cpu: seconds of CPU time.
        peak: most resident memory, in bytes.
        songs: sum of the seconds that its songs took, as the command tells them.
        told: seconds that the run took, as the command tells it.
    """

    wall: float
    cpu: float
    peak: int
    songs: float
    told: float


def run(songs: Sequence[Path], folder: Path, *options: str) -> Run:
    """Split songs with the built-in model on the CPU.

    Raises:
        SystemExit: not all of them were split.
    """
    words = [*map(str, songs), "-o", str(folder / "stems"), "--device", "cpu", "--force", "--quiet", "--json", *options]
    out = folder / "out.jsonl"
    with out.open("wb") as stdout:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "stemsplit", "split", *words], stdout=stdout)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    *lines, last = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    if process.returncode or last["summary"]["done"] != len(lines):
        raise SystemExit(f"{last['summary']['done']} of {len(lines)} songs were split: {last['summary']['error']}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    took = sum(line["seconds"] for line in lines)
    return Run(wall, usage.ru_utime + usage.ru_stime, peak, took, last["summary"]["seconds"])


def in_turns(works: dict[str, tuple[Sequence[Path], Sequence[str]]], folder: Path, rounds: int) -> dict[str, Run]:
    """Run the command in several ways in turns, and return the medians of each way."""
    runs: dict[str, list[Run]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, (songs, options) in works.items():
            runs[name].append(run(songs, folder, *options))
    fields = ("wall", "cpu", "peak", "songs", "told")
    return {
        name: Run(*(median(getattr(each, key) for each in found) for key in fields)) for name, found in runs.items()
    }


def song(folder: Path, seconds: float) -> Path:
    """Write a song of some seconds, and return its path."""
    streaming.long_song(path := folder / f"{seconds:g}s.wav", seconds / 60, "PCM_16")
    return path


def mebibytes(count: float) -> str:
    """A number of bytes, in MiB."""
    return f"{count / 2**20:.0f} MiB"


def command(size: Size) -> Iterator[Row]:
    """Songs of 3 minutes, 15 s and 7 s, with start-up, in every precision."""
    precisions = ("fp32", "bf16") if native_bfloat16() else ("fp32",)
    names = {180: "3 min", 15: "15 s", 7: "7 s"}
    with tempfile.TemporaryDirectory() as place:
        songs = {seconds: song(Path(place), seconds * size.stretch) for seconds in names}
        works = {f"{s}, {p}": ([path], ["--precision", p]) for p in precisions for s, path in songs.items()}
        found = in_turns(works, Path(place), size.rounds)
    for precision in precisions:
        for seconds, name in names.items():
            now, audio = found[f"{seconds}, {precision}"], seconds * size.stretch
            goal, met = {
                180: (f"{REAL_TIME:g}x", audio / now.wall >= REAL_TIME),
                15: (f"{SHORT_SECONDS:g} s", now.wall <= SHORT_SECONDS),
            }.get(seconds, ("", None))
            yield Row(
                f"`stemsplit song.wav`, {name}, {precision}, with start-up",
                "real time",
                f"{now.wall:.1f} s ({now.cpu:.1f} s CPU)",
                f"{audio / now.wall:.1f}x",
                goal,
                met=met,
            )
        peak = found[f"180, {precision}"].peak
        yield Row(f"`stemsplit song.wav`, 3 min, {precision}: peak memory", "", mebibytes(peak))


def first_chunk(path: Path, out: Path) -> tuple[float, float]:
    """Seconds from the start of the command to the start of its first chunk, and to its end.

    Raises:
        SystemExit: the command failed.
    """
    program = str(Path(__file__).with_name("first_chunk.py"))
    options = ["-o", str(out), "--device", "cpu", "--force", "--quiet"]
    command = [sys.executable, program, str(time.time()), str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the command failed: {done.stderr.strip().rpartition(chr(10))[2]}")
    begun, ended = map(float, done.stderr.splitlines()[-1].split())
    return begun, ended


def starting(size: Size) -> Iterator[Row]:
    """From the command's start to its first chunk, against importing PyTorch alone, in turns."""
    with tempfile.TemporaryDirectory() as place:
        path, bare, ours = song(Path(place), 1.0), list[float](), list[tuple[float, float]]()
        for _ in range(1 + 2 * size.rounds):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import torch"], check=True)
            bare.append(time.perf_counter() - began)
            ours.append(first_chunk(path, Path(place)))
    # The first round fills the system's caches.
    before = median(bare[1:])
    for name, seconds in zip(("start", "end"), zip(*ours[1:], strict=True), strict=True):
        now = median(seconds)
        yield Row(
            f"from `stemsplit song.wav`, 1 s, to the {name} of its chunk",
            f"`import torch` {before:.2f} s",
            f"{now:.2f} s",
            f"{now / before:.2f}x",
            f"{START_UP:g}x",
            met=now <= START_UP * before,
        )


def per_minute(lengths: Sequence[float], rounds: int) -> Iterator[Row]:
    """The cost of a minute of songs of some lengths, in minutes, against that of the first; start-up is left out."""
    with tempfile.TemporaryDirectory() as place:
        works = {f"{minutes:g} min": ([song(Path(place), 60 * minutes)], list[str]()) for minutes in lengths}
        found = in_turns(works, Path(place), rounds)
    costs = {name: found[name].songs / minutes for name, minutes in zip(works, lengths, strict=True)}
    (first, base), *others = costs.items()
    for name, cost in others:
        ratio = f"{cost / base:.2f}"
        title = f"cost of a minute, {name} against {first}"
        yield Row(title, f"{base:.2f} s", f"{cost:.2f} s", ratio, f"{FLAT}", met=cost <= FLAT * base)
        peak, before = found[name].peak, found[first].peak
        title = f"peak memory, {name} against {first}"
        yield Row(title, mebibytes(before), mebibytes(peak), f"{peak / before:.2f}", "1.1", met=peak <= 1.1 * before)


def minutes(size: Size) -> Iterator[Row]:
    """Cost and memory of songs of 4 and 10 minutes, against one of a minute."""
    return per_minute(size.minutes[:-1], size.rounds)


def hour(size: Size) -> Iterator[Row]:
    """Cost and memory of a song of an hour, once, against one of 4 minutes."""
    return per_minute([size.minutes[1], size.minutes[-1]], 1)


def short_songs(size: Size) -> Iterator[Row]:
    """Many songs of 7 s, against one song of the same minutes, by the times that the command tells."""
    count, seconds = size.short_songs, 7 * size.stretch
    with tempfile.TemporaryDirectory() as place:
        batch = Path(place) / "batch"
        batch.mkdir()
        for number in range(count):
            streaming.long_song(batch / f"{number}.wav", seconds / 60, "PCM_16")
        works: dict[str, tuple[Sequence[Path], Sequence[str]]] = {
            "batch": ([batch], ()),
            "one": ([song(Path(place), count * seconds)], ()),
        }
        found = in_turns(works, Path(place), size.rounds)
    many, one = found["batch"], found["one"]
    yield Row(
        f"{count} songs of 7 s, against one song of the same minutes",
        f"{one.songs:.1f} s",
        f"{many.songs:.1f} s",
        f"{many.songs / one.songs:.2f}",
        f"{SHORT_RATIO}",
        met=many.songs <= SHORT_RATIO * one.songs,
    )
    yield Row(
        f"sum of the times of {count} songs of 7 s, against their run's",
        f"{many.told:.1f} s",
        f"{many.songs:.1f} s",
        f"{many.songs / many.told:.2f}",
        "1",
        met=many.songs <= many.told,
    )
    wall = many.wall / one.wall
    yield Row(
        f"{count} songs of 7 s, wall time with start-up", f"{one.wall:.1f} s", f"{many.wall:.1f} s", f"{wall:.2f}"
    )


def around(size: Size) -> Iterator[Row]:
    """Overlap-add and files, without a network."""
    stretch = max(size.stretch, 0.1)  # half a minute, as the whole file is reflected at its ends
    found = streaming.measure(5 * stretch)
    yield Row(
        "overlap-add and files, 5 min, 4 stems",
        f"whole file {found['whole_file_cpu']:.2f} s",
        f"{found['streamed_cpu']:.2f} s",
        f"{found['ratio']:.2f}",
        "0.5",
        met=found["ratio"] <= 0.5,
    )
    short, long = found["streamed_peak"], streaming.measure(60 * stretch, "flac", 1)["streamed_peak"]
    yield Row(
        "peak memory without a network, 60 min against 5 min, 4 stems",
        mebibytes(short),
        mebibytes(long),
        f"{long / short:.2f}",
        "1.1",
        met=long <= 1.1 * short,
    )


def quick(_: Size) -> Iterator[Row]:
    """Commands that need no network."""
    found = startup.medians()
    empty = found.pop("python -c pass")
    for name, seconds in found.items():
        yield Row(
            f"`{name}`",
            f"empty Python {1e3 * empty:.0f} ms",
            f"{1e3 * seconds:.0f} ms",
            f"{seconds / empty:.1f}x",
            "8x",
            met=seconds <= 8 * empty,
        )
