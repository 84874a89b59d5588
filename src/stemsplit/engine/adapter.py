"""Adapts a song's rate and channels to a network's, and its stems back."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from stemsplit.audio import Block, layout, resampled
from stemsplit.audio.channels.speakers import assumed
from stemsplit.audio.samples import Samples


class Adapter:
    """Adapts one song to a network, and its stems back. The song's samples are kept until their stems are computed.

    A stereo network gets a song's channels in pairs of left and right, others twice; see `stemsplit.audio.layout`.

    Args:
        blocks: blocks of the song, float32 (c, any number of samples) each.
        sample_rate: sample rate of the song in Hz.
        channels: number of channels of the song.
        network_rate: sample rate of the network in Hz.
        together: number of channels that the network takes at once.
        speakers: the channels' speakers, as `stemsplit.audio.Reader` has them; if they are unknown, 3 to 8 channels are
            taken for those that players assume (FL FR FC LFE BL BR for 5.1).
    """

    def __init__(
        self,
        blocks: Iterable[Block],
        sample_rate: int,
        channels: int,
        network_rate: int,
        together: int,
        speakers: Sequence[str] = (),
    ) -> None:
        self.blocks, self.sample_rate, self.channels, self.network_rate = blocks, sample_rate, channels, network_rate
        self.used = layout(channels, together, assumed(channels, speakers))
        self.waiting = Samples()

    def _kept(self) -> Iterator[Block]:
        for block in self.blocks:
            self.waiting.put(block)
            yield block

    def into(self) -> Iterator[Tensor]:
        """Yield the song for the network, (channels for the network, some samples) each."""
        for block in resampled((block[self.used] for block in self._kept()), self.sample_rate, self.network_rate):
            yield torch.from_numpy(np.ascontiguousarray(block))

    def out(self, estimates: Iterable[Tensor]) -> Iterator[tuple[Block, Block]]:
        """Yield pairs of song (c, t) and stems (n, c, t).

        After resampling twice, the stems may be a sample too long or too short. They are cut to the song's length; if
        they are too short, `take` returns the rest of the song.

        Args:
            estimates: the network's estimates, (n, channels for the network, some samples) each.
        """
        flat = (estimate.flatten(0, 1).numpy() for estimate in estimates)
        for block in resampled(flat, self.network_rate, self.sample_rate):
            found = block.reshape(len(block) // len(self.used), len(self.used), -1)
            if self.used != list(range(self.channels)):
                # A channel that was given to the network twice is the mean of its two estimates.
                found = np.stack([found[:, np.equal(self.used, c)].mean(1) for c in range(self.channels)], 1)
            song = self.take(found.shape[-1])
            yield song, found[..., : song.shape[-1]]

    def take(self, length: int | None = None) -> Block:
        """Remove and return the oldest samples of the song whose stems are not computed yet.

        Args:
            length: number of samples; None for all.

        Returns:
            The samples (c, t), fewer than `length` at the end of the song.
        """
        count = self.waiting.length if length is None else min(length, self.waiting.length)
        return self.waiting.take(count) if count else np.zeros((self.channels, 0), np.float32)
