"""Songs on a GPU: a folder with decoding and encoding beside the network, and memory that does not grow with a song."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import soundfile
import torch

from stemsplit import Separator
from stemsplit.audio import Format, Reader, Writer
from stemsplit.checkpoints.checkpoint import save
from stemsplit.engine.costs import memory_growth
from stemsplit.registry import find
from tests.benchmarks.gpu.networks import told_bytes
from tests.benchmarks.gpu.scale import Ours, Scale, finished, made
from tests.benchmarks.measuring import SONG, interleaved
from tests.benchmarks.parts import Row

STEMS = ("vocals", "residual")
FOLDER_SECONDS = 20.0
"""About how long the network should compute for a folder, which has fewer songs on a slow device."""
TABLE = """
[mine]
description = "a published configuration with random weights"
architecture = "{architecture}"
stems = ["vocals"]
sample_rate = 44100
channels = 2
chunk = {chunk}
hop = {hop}
sources = ["file:weights.safetensors"]
author = "this benchmark"

[mine.config]
"""


def long_song(path: Path, seconds: float, start: int = 0) -> None:
    """Write some seconds of the README's song, repeated, from a sample on."""
    samples, rate = soundfile.read(SONG, dtype="int16")
    samples = samples[start % len(samples) :]
    left = round(seconds * rate)
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], "PCM_16") as file:
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)


def registry(size: Scale, name: str, folder: Path) -> Path:
    """Write one of the networks as a model called `mine`, with its weights."""
    architecture, config = size.networks[name]
    table = TABLE.format(architecture=architecture, chunk=size.chunk, hop=size.chunk // 2)
    lines = (f"{key} = {json.dumps(value)}" for key, value in config.items())
    (folder / "models.toml").write_text(table + "\n".join(lines) + "\n", encoding="utf-8")
    save(made(size, name), folder / "weights.safetensors")
    return folder / "models.toml"


def split(*arguments: str | Path) -> list[dict[str, Any]]:
    """Run the command and return the lines of its JSON.

    Raises:
        SystemExit: the command failed.
    """
    command = [sys.executable, "-m", "stemsplit", "split", *map(str, arguments), "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
    return [json.loads(line) for line in done.stdout.splitlines()]


def around(song: Path, folder: Path) -> float:
    """Seconds that decoding a song once and encoding a file for each stem take, one after the other."""
    started = time.perf_counter()
    with Reader(song) as reader:
        writers = [
            Writer(folder / f"{stem}.flac", Format("flac", "16"), reader.sample_rate, reader.channels, 0)
            for stem in STEMS
        ]
        for block in reader:
            for writer in writers:
                writer.write(block)
        for writer in writers:
            writer.close()
    return time.perf_counter() - started


def chunk_seconds(size: Scale, name: str) -> float:
    """Seconds of the network for each chunk, in batches as the command makes them."""
    ours = Ours(size, made(size, name), torch.float16)
    mixture = size.mixture(min(4, size.batch_sizes[-1]))
    found = interleaved({"network": finished(lambda: ours(mixture), size.device)}, size.rounds)
    return found["network"].wall / len(mixture)


def folder(size: Scale) -> Iterator[Row]:
    """A folder of songs, end to end, against decoding, the network and encoding one after the other."""
    name = next(iter(size.networks))
    with tempfile.TemporaryDirectory() as place:
        model, songs = Path(place) / "model", Path(place) / "songs"
        model.mkdir()
        songs.mkdir()
        table = registry(size, name, model)
        each = chunk_seconds(size, name) * find("mine", table).chunks_in(size.song_seconds)
        count = max(2, min(size.songs, round(FOLDER_SECONDS / each)))
        for number in range(count):
            long_song(songs / f"{number}.flac", size.song_seconds, 10_000 * number)
        options = ["--model", "mine", "--registry", table, "--format", "flac", "--bit-depth", "16"]
        options += ["--device", str(size.device), "--force", "-o", Path(place) / "stems"]
        # The first run of all is for the caches of the system and of the device's compiler.
        first, *_ = sorted(songs.iterdir())
        alone = [timed_split(first, *options) for _ in range(2)][-1]
        whole = timed_split(songs, *options)
        files = around(first, Path(place)) * count
    # Both runs start up once, and all songs are as long.
    start = max(0.0, (count * alone - whole) / (count - 1))
    turns, audio, rest = files + count * each, count * size.song_seconds, max(whole - start, 1e-9)
    title = f"songs of {size.song_seconds:g} s, {name.partition(',')[0]}, {len(STEMS)} stems in flac"
    yield Row(
        f"{title}, after start-up",
        f"in turns {turns:.1f} s: files {files:.1f} s, network {count * each:.1f} s",
        f"{rest:.1f} s for {count} songs",
        f"{turns / rest:.2f}x",
        "1x",
        met=rest <= turns,
    )
    yield Row(f"{title}, with start-up", "real time", f"{whole:.1f} s for {count} songs", f"{audio / whole:.0f}x")
    yield Row("start-up of the command on this device", "", f"{start:.1f} s")


def timed_split(songs: Path, *options: str | Path) -> float:
    """Seconds that the command takes, start-up and all.

    Raises:
        SystemExit: not every song was split.
    """
    started = time.perf_counter()
    summary = split(songs, *options)[-1]["summary"]
    seconds = time.perf_counter() - started
    if summary["done"] != summary["songs"]:
        raise SystemExit(f"{summary['done']} of {summary['songs']} songs were split: {summary['error']}")
    return seconds


def memory(size: Scale) -> Iterator[Row]:
    """Memory on the device that a long song needs, against a short one."""
    name = next(iter(size.networks))
    with tempfile.TemporaryDirectory() as place:
        table = registry(size, name, Path(place))
        separator = Separator("mine", str(size.device), registry=table, tell=lambda _: None)
    block, peaks = 0.1 * torch.randn(2, 44_100).numpy(), list[int | None]()

    def run(length: int) -> None:
        blocks = (block[:, : length - start] for start in range(0, length, 44_100))
        for _ in separator.stream(blocks, 44_100, 2):
            pass

    for minutes in (size.minutes[0], *size.minutes):  # the first for what is made once
        peaks.append(memory_growth(partial(run, round(minutes * 60 * 44_100)), size.device))
    _, short, long = peaks
    names = [f"{minutes:g} min" for minutes in size.minutes]
    title = f"{name.partition(',')[0]}: memory on the device, {names[1]} against {names[0]}"
    grown = long / short if short and long else None
    yield Row(
        title,
        told_bytes(short),
        told_bytes(long),
        f"{grown:.2f}" if grown else "",
        "1.1",
        met=None if grown is None else grown <= 1.1,
    )


def starter(size: Scale) -> Iterator[Row]:
    """One song with the built-in model, from the command's start to its end."""
    with tempfile.TemporaryDirectory() as place:
        long_song(song := Path(place) / "song.flac", size.song_seconds)
        options = ["--device", str(size.device), "--force", "-o", Path(place) / "stems"]
        seconds = median(timed_split(song, *options) for _ in range(size.rounds))
    ratio = f"{size.song_seconds / seconds:.1f}x"
    yield Row(f"starter, {size.song_seconds:g} s, with start-up", "real time", f"{seconds:.2f} s", ratio)
