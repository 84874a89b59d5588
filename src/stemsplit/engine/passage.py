"""A song on its way through a network: at the network's sample rate and with its channels, and back as it was."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from stemsplit.audio import Block, layout, resampled


class Passage:
    """What goes into a network of a song, and what comes out; the song is kept in between.

    Args:
        blocks: float32 (c, any number of samples) each.
        sample_rate: Hz, of the song.
        channels: of the song.
        network_rate: Hz, of the network.
        together: channels that the network takes at once.
    """

    def __init__(
        self, blocks: Iterable[Block], sample_rate: int, channels: int, network_rate: int, together: int
    ) -> None:
        self.blocks, self.sample_rate, self.channels, self.network_rate = blocks, sample_rate, channels, network_rate
        self.used = layout(channels, together)
        self.waiting: list[Block] = []

    def _kept(self) -> Iterator[Block]:
        for block in self.blocks:
            self.waiting.append(block)
            yield block

    def into(self) -> Iterator[Tensor]:
        """The song for the network, (channels for it, some samples)."""
        for block in resampled((block[self.used] for block in self._kept()), self.sample_rate, self.network_rate):
            yield torch.from_numpy(np.ascontiguousarray(block))

    def out(self, estimates: Iterable[Tensor]) -> Iterator[tuple[Block, Block]]:
        """Of the network's estimates (n, channels for it, some samples), pairs of song (c, t) and stems (n, c, t).

        Resampling there and back may end a sample late or early: the song's own length counts, and `take` gives the
        rest of it.
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
        """The oldest `length` samples (c, t) of the song, fewer if there are no more; None for all."""
        taken, missing = [np.zeros((self.channels, 0), np.float32)], length
        while self.waiting and missing != 0:
            block = self.waiting.pop(0)
            if missing is not None and block.shape[-1] > missing:
                self.waiting.insert(0, block[:, missing:])
                block = block[:, :missing]
            taken.append(block)
            missing = None if missing is None else missing - block.shape[-1]
        return np.concatenate(taken, -1)
