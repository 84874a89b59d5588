"""Songs as blocks of samples, and what can be known of a song before any work goes into it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from stemsplit.audio.conversion import Block
from stemsplit.audio.decoders import UnreadableError, open_source
from stemsplit.errors import AudioError


class Reader:
    """A song's blocks (channels, samples), in order.

    Args:
        path: the file.

    Attributes:
        sample_rate: Hz.
        channels: how many.
        frames: how long the file says it is; None if it does not say.

    Raises:
        AudioError: it cannot be read; also while reading, when it turns out damaged, cut off or not finite.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.source = open_source(path)
        except UnreadableError as error:
            raise self._failed(error) from error
        self.sample_rate, self.channels = self.source.sample_rate, self.source.channels
        self.frames = self.source.frames

    def _failed(self, error: UnreadableError) -> AudioError:
        advice = f"; {error.advice}" if error.advice else ""
        return AudioError(f"cannot read {self.path} ({error.reason}){advice}")

    def __iter__(self) -> Iterator[Block]:
        done = 0
        try:
            while len(frames := self.source.read()):
                if not np.isfinite(frames).all():
                    bad = int(np.argmin(np.isfinite(frames).all(1))) + done
                    raise UnreadableError(f"a sample at {bad / self.sample_rate:.3f} s is not a number or infinite")
                done += len(frames)
                yield np.ascontiguousarray(frames.T)
            # Decoders disagree by an encoder's delay; a tenth of a second is no cut.
            if self.frames is not None and done < self.frames - 0.1 * self.sample_rate:
                there, said = done / self.sample_rate, self.frames / self.sample_rate
                raise UnreadableError(f"it is cut off: {there:.1f} of {said:.1f} s are there")
        except UnreadableError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Song:
    """What is known of a file after it was decoded once.

    Args:
        path: the file.
        sample_rate: Hz.
        channels: how many.
        frames: samples of each.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.frames / self.sample_rate


def examine(path: Path) -> Song:
    """Decode a whole file once, so that whatever is wrong with it is known before any work goes into it.

    Decoding takes about a thousandth of the song's duration.

    Raises:
        AudioError: it cannot be read to its end, or holds no samples.
    """
    with Reader(path) as reader:
        frames = sum(block.shape[1] for block in reader)
        if frames == 0:
            raise AudioError(f"cannot read {path} (it has no samples)")
        return Song(path, reader.sample_rate, reader.channels, frames)
