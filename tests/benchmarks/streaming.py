"""What happens around a network, CPU and memory: our stream against a loop over the whole song, as the field writes it.

python -m tests.benchmarks.streaming [MINUTES ...]      default: 5

The song is the README's, played over and over; an identity gives four stems of it, which are all written. Up to
`WHOLE_FILE_MINUTES` both run, in turns and each in a process of its own; beyond, the loop would need too much memory.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import soundfile
import torch
from torch import Tensor

from stemsplit.audio import Format, Reader, Writer
from stemsplit.engine.overlap_add import stream
from tests.benchmarks.measuring import SONG

CHUNK, HOP, STEMS = 352_800, 176_400, 4
SUBTYPES = {"wav": ("FLOAT", None), "flac": ("PCM_16", "16")}
"""Format -> what libsndfile and what our writer call the samples in it."""
WHOLE_FILE_MINUTES = 10


def long_song(path: Path, minutes: float, subtype: str) -> None:
    """Write the README's song, repeated."""
    samples, rate = soundfile.read(SONG, dtype="float32")
    left = round(minutes * 60 * rate)
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], subtype) as file:
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)


def identity(mixtures: Tensor) -> Tensor:
    """(b, c, t) -> (b, n, c, t), every stem the mixture."""
    return mixtures[:, None].expand(-1, STEMS, -1, -1)


def whole_file(song: Path, folder: Path, format_: str) -> None:
    """Read all, add all chunks up, divide, write all."""
    samples, rate = soundfile.read(song, dtype="float32", always_2d=True)
    border, fade = CHUNK - HOP, CHUNK // 10
    mixture = torch.nn.functional.pad(torch.from_numpy(samples.T)[None], (border, border), mode="reflect")[0]
    window = torch.ones(CHUNK)
    window[:fade], window[-fade:] = torch.linspace(0, 1, fade), torch.linspace(1, 0, fade)
    result, counter = torch.zeros(STEMS, *mixture.shape), torch.zeros(STEMS, *mixture.shape)
    length = mixture.shape[-1]
    for start in range(0, length, HOP):
        part = mixture[:, start : start + CHUNK]
        size = part.shape[-1]
        mode = "reflect" if size > CHUNK // 2 else "constant"
        estimate = identity(torch.nn.functional.pad(part[None], (0, CHUNK - size), mode=mode))[0]
        weights = window.clone()
        if start == 0:
            weights[:fade] = 1
        elif start + HOP >= length:
            weights[-fade:] = 1
        result[..., start : start + size] += estimate[..., :size] * weights[:size]
        counter[..., start : start + size] += weights[:size]
    stems = (result / counter)[..., border:-border].numpy()
    for number, stem in enumerate(stems):
        soundfile.write(folder / f"{number}.{format_}", stem.T, rate, SUBTYPES[format_][0])


def streamed(song: Path, folder: Path, format_: str) -> None:
    """The same with what this package is made of."""
    with Reader(song) as reader:
        writers = [
            Writer(
                folder / f"{number}.{format_}",
                Format(format_, SUBTYPES[format_][1]),
                reader.sample_rate,
                reader.channels,
                reader.frames or 0,
            )
            for number in range(STEMS)
        ]
        mixture = (torch.from_numpy(block) for block in reader)
        for stems in stream(mixture, identity, chunk=CHUNK, hop=HOP, window="linear"):
            for writer, stem in zip(writers, stems.numpy(), strict=True):
                writer.write(stem)
        for writer in writers:
            writer.close()


WAYS: dict[str, Callable[[Path, Path, str], None]] = {"whole_file": whole_file, "streamed": streamed}


def peak() -> int:
    """The most memory that this process ever had, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def child(way: str, song: str, format_: str) -> None:
    """Run one way and print its CPU seconds, its peak of memory, and the bytes by which that grew."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=Path(song).parent) as folder:
        started, before = time.process_time(), peak()
        WAYS[way](Path(song), Path(folder), format_)
        cpu, after = time.process_time() - started, peak()
        print(json.dumps({"cpu": cpu, "peak": after, "growth": after - before}))


def measure(minutes: float, format_: str = "wav", runs: int = 3) -> dict[str, float]:
    """Medians over a number of runs in fresh processes.

    Args:
        minutes: how long the song is.
        format_: one of `SUBTYPES`, of the song and of the stems.
        runs: how many of each way.

    Returns:
        `streamed_cpu`, in seconds, `streamed_peak`, the most bytes of resident memory, and `streamed_growth`, by how
        many that grew; up to `WHOLE_FILE_MINUTES` also the same of `whole_file`, and `ratio`, of both CPU times.
    """
    ways = WAYS if minutes <= WHOLE_FILE_MINUTES else {"streamed": streamed}
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / f"song.{format_}"
        long_song(song, minutes, SUBTYPES[format_][0])
        for _ in range(runs):
            for way in ways:
                command = [sys.executable, "-m", "tests.benchmarks.streaming", "--child", way, str(song), format_]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                for name, value in json.loads(done.stdout).items():
                    found.setdefault(f"{way}_{name}", []).append(value)
    figures = {name: median(values) for name, values in found.items()}
    if "whole_file_cpu" in figures:
        figures["ratio"] = figures["streamed_cpu"] / figures["whole_file_cpu"]
    return figures


def main() -> None:
    """Print a line per length, format and way."""
    for minutes in [float(word) for word in sys.argv[1:]] or [5.0]:
        for format_ in SUBTYPES:
            figures = measure(minutes, format_, runs=3 if minutes <= WHOLE_FILE_MINUTES else 1)
            for way in WAYS:
                if f"{way}_cpu" in figures:
                    cpu, most, growth = (figures[f"{way}_{name}"] for name in ("cpu", "peak", "growth"))
                    print(
                        f"{minutes:5.1f} min {format_:4} {way:10} {cpu:6.2f} CPU s, peak {most / 2**20:6.0f} MiB "
                        f"(+{growth / 2**20:.0f})"
                    )
            if "ratio" in figures:
                print(f"{minutes:5.1f} min {format_:4} ratio of CPU {figures['ratio']:.3f}", flush=True)


if __name__ == "__main__":
    child(*sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main()
