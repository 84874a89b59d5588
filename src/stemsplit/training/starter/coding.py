"""Codes recordings as Opus, at bitrates at which they take a given number of bytes together."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stemsplit.audio import Format, Reader, Writer, layout
from stemsplit.choices import FormatName
from stemsplit.errors import AudioError
from stemsplit.evaluation.multitracks import Multitrack
from stemsplit.fast.cpu.pool import cores

LEAST, MOST = 8.0, 128.0
"""Lowest and highest bitrate in kbit/s for each channel."""

SAMPLE = 17
"""Every 17th recording is encoded first. The number is a prime, so that these recordings are of all stems."""

TRIES = 6
"""Largest number of times that all recordings are encoded to fit."""


def chosen(reader: Reader) -> list[int]:
    """Return the indices of a file's channels that are packed: the two that are trained on, or the only one."""
    return layout(reader.channels, 2, reader.speakers)[:2] if reader.channels > 1 else [0]


@dataclass(frozen=True)
class Recording:
    """A stem to pack.

    Args:
        song: the song that it belongs to.
        stem: its name in that song.
        path: file to write.
        share: its bitrate over that of the others.
        channels: number of channels that are packed.
        seconds: length in seconds.
    """

    song: Multitrack
    stem: str
    path: Path
    share: float
    channels: int
    seconds: float

    @classmethod
    def examined(cls, song: Multitrack, stem: str, path: Path, share: float) -> "Recording":
        """Return a recording with the channels and the length that its file says.

        Raises:
            AudioError: the file cannot be read, or is empty.
        """
        with song.open(stem) as reader:
            # Some headers do not hold the length.
            frames = sum(block.shape[1] for block in reader) if reader.frames is None else reader.frames
            if not frames:
                raise AudioError(f"{song.stems[stem]} has no samples; remove it")
            return cls(song, stem, path, share, len(chosen(reader)), frames / reader.sample_rate)

    def bitrate(self, kbit: float) -> int:
        """Return its bitrate in kbit/s; `kbit` is that of a channel of other recordings."""
        return round(min(max(kbit * self.share, LEAST), MOST) * self.channels)

    def encode(self, kbit: float) -> int:
        """Write the file, and return its size in bytes.

        Raises:
            AudioError: a file cannot be read or written.
        """
        with self.song.open(self.stem) as reader:
            opus = Format(FormatName.opus, bitrate=str(self.bitrate(kbit)))
            writer = Writer(self.path, opus, reader.sample_rate, self.channels, 0)
            try:
                for block in reader:
                    writer.write(block[chosen(reader)])
                writer.close()
            finally:
                writer.abandon()
        return writer.size


def nominal(recordings: Sequence[Recording], kbit: float) -> float:
    """Return the size in bytes of recordings that have exactly their bitrates, at least 1; `kbit` as in `bitrate`."""
    return max(sum(125 * recording.bitrate(kbit) * recording.seconds for recording in recordings), 1.0)


def fitting(recordings: Sequence[Recording], size: float) -> float:
    """Return the highest `kbit`, from `LEAST` to `MOST`, at which recordings have a nominal size of at most `size`.

    It is `LEAST` if there is none.
    """
    if nominal(recordings, MOST) <= size:
        return MOST
    low, high = LEAST, MOST
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if nominal(recordings, middle) <= size else (low, middle)
    return low


def encode(recordings: Sequence[Recording], budget: float) -> None:
    """Write all recordings, at bitrates at which they take nearly `budget` bytes, and no more.

    Some of them are encoded first, and tell how much more or less than its bitrate a recording takes. So all of them
    are usually encoded only once.

    Raises:
        AudioError: a file cannot be read or written, or the recordings do not fit.
    """
    with ThreadPoolExecutor(cores()) as pool:

        def written(part: Sequence[Recording], kbit: float) -> int:
            return sum(pool.map(partial(Recording.encode, kbit=kbit), part))

        sample = recordings[::SAMPLE]
        kbit = fitting(recordings, budget)
        used = written(sample, kbit) / nominal(sample, kbit)
        for tried in range(TRIES):
            kbit = fitting(recordings, (0.99 - 0.02 * tried) * budget / used)
            size = written(recordings, kbit)
            if size <= budget:
                return
            if kbit == LEAST:
                break
            used = size / nominal(recordings, kbit)
    raise AudioError(
        f"the recordings do not fit into {max(budget, 0) / 1e6:.1f} MB at {kbit:.0f} kbit/s a channel; "
        "raise --megabytes, or name fewer --songs"
    )
