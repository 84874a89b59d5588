"""Queues samples: blocks of any length go in, and any number of samples can be taken out."""

from collections import deque

import numpy as np

from stemsplit.audio.conversion import Block


class Samples:
    """A queue of blocks (..., t), whose shapes differ at most in t.

    Attributes:
        length: samples in the queue.
    """

    def __init__(self) -> None:
        self.blocks = deque[Block]()
        self.length = 0

    def put(self, block: Block) -> None:
        """Append a block (..., any number of samples), which nobody changes afterwards."""
        self.blocks.append(block)
        self.length += block.shape[-1]

    def take(self, length: int) -> Block:
        """Remove the oldest samples.

        Args:
            length: number of samples to remove, from 1 to `self.length`.

        Returns:
            The samples, (..., length).
        """
        taken, missing = [], length
        while missing:
            block = self.blocks.popleft()
            if block.shape[-1] > missing:
                self.blocks.appendleft(block[..., missing:])
                block = block[..., :missing]
            taken.append(block)
            missing -= block.shape[-1]
        self.length -= length
        return np.concatenate(taken, -1)
