"""Cuts a track into chunks that are encoded on their own, and collects the peaks of its waveform on the way."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemsplit.audio import Block, resampled
from stemsplit.audio.excerpts import RATE, encoded
from stemsplit.audio.samples import Samples
from stemsplit.choices import PageAudio
from stemsplit.listening.piece import BIN

CHUNK_SECONDS, MARGIN_SECONDS, FADE_SECONDS = 5.0, 0.08, 0.005
"""Lengths in seconds: of a chunk; of what it holds of each neighbour, as codecs need samples to settle; and of the
fade between two chunks.
"""

THREADS = 4
"""Chunks that are encoded at the same time."""


@dataclass(frozen=True)
class Cut:
    """How the sound of a page is cut into chunks, in samples of the piece.

    Args:
        audio: codec of the chunks.
        sample_rate: Hz.
        chunk: length of a chunk.
        margin: samples of its neighbours on either side.
        fade: length of the fade between two chunks.
    """

    audio: PageAudio
    sample_rate: int
    chunk: int
    margin: int
    fade: int

    @classmethod
    def of(cls, audio: PageAudio, sample_rate: int) -> "Cut":
        """Return how sound of a rate is cut. For Opus, cuts lie where its own rate has a sample at the same time."""
        if audio == PageAudio.flac:
            return cls(audio, sample_rate, round(CHUNK_SECONDS * sample_rate), 0, 0)
        unit = sample_rate // math.gcd(sample_rate, RATE)
        chunk, margin = (math.ceil(seconds * sample_rate / unit) * unit for seconds in (CHUNK_SECONDS, MARGIN_SECONDS))
        return cls(audio, sample_rate, chunk, margin, round(FADE_SECONDS * sample_rate))

    def encoder_samples(self, frames: int) -> int:
        """Return how many samples the encoder gets for a number of samples of the piece."""
        return frames if self.audio == PageAudio.flac else -(-frames * RATE // self.sample_rate)

    def as_data(self) -> dict[str, Any]:
        """Return what the page is told; `rate` is the one at which it decodes chunks, so that samples stay in place."""
        rate = RATE if self.audio == PageAudio.flac else self.sample_rate
        cut = {"chunk": self.chunk, "margin": self.margin, "fade": self.fade}
        return {"codec": self.audio.value, "rate": rate, **cut}


class Peaks:
    """Collects the lowest and the highest sample, over all channels, of every `BIN` samples."""

    def __init__(self) -> None:
        self.samples, self.pairs = Samples(), list[Block]()

    def _measure(self, count: int) -> None:
        bins = self.samples.take(count * BIN)
        bins = bins.reshape(len(bins), count, BIN)
        self.pairs.append(np.stack([bins.min((0, 2)), bins.max((0, 2))], -1))

    def add(self, block: Block) -> None:
        """Take the next samples, (c, t)."""
        self.samples.put(block)
        if count := self.samples.length // BIN:
            self._measure(count)

    def content(self) -> bytes:
        """Return the peaks as the page reads them: pairs of int16, little-endian, full scale 32767."""
        if left := self.samples.length:
            last = self.samples.take(left)
            self.samples.put(np.pad(last, ((0, 0), (0, BIN - left)), mode="edge"))
            self._measure(1)
        pairs = np.concatenate(self.pairs) if self.pairs else np.zeros((0, 2), np.float32)
        return np.rint(np.clip(pairs, -1, 1) * 32_767).astype("<i2").tobytes()


def chunks(blocks: Iterable[Block], channels: int, frames: int, cut: Cut) -> Iterator[Block]:
    """Yield chunks with their margins, (c, t) as the encoder gets them. Before and after the track is silence.

    Args:
        blocks: the track's samples, (c, t).
        channels: number of channels.
        frames: length of the track.
        cut: where to cut.
    """
    waiting = Samples()
    margin, step = cut.encoder_samples(cut.margin), cut.encoder_samples(cut.chunk)
    waiting.put(np.zeros((channels, margin), np.float32))
    rate = cut.sample_rate if cut.audio == PageAudio.flac else RATE
    held, left = np.zeros((channels, 0), np.float32), math.ceil(frames / cut.chunk)
    for block in resampled(blocks, cut.sample_rate, rate):
        waiting.put(block)
        # The last chunk also takes any samples that resampling gives beyond those expected.
        while left > 1 and waiting.length and held.shape[1] + waiting.length >= step + 2 * margin:
            held = np.concatenate([held, waiting.take(step + 2 * margin - held.shape[1])], -1)
            yield held
            held, left = held[:, step:], left - 1
    rest = [held, waiting.take(waiting.length)] if waiting.length else [held]
    yield np.concatenate([*rest, np.zeros((channels, margin), np.float32)], -1)


def files(cut_out: Iterable[Block], audio: PageAudio) -> Iterator[list[tuple[bytes, float]]]:
    """Yield the files of each chunk: one for every two channels, so that no codec has to know their speakers."""
    pending = deque[list[Future[tuple[bytes, float]]]]()
    with ThreadPoolExecutor(THREADS, "encoding") as executor:
        try:
            for chunk in cut_out:
                pairs = (chunk[first : first + 2] for first in range(0, len(chunk), 2))
                pending.append([executor.submit(encoded, pair, audio) for pair in pairs])
                if len(pending) > THREADS:
                    yield [future.result() for future in pending.popleft()]
            while pending:
                yield [future.result() for future in pending.popleft()]
        finally:
            executor.shutdown(cancel_futures=True)
