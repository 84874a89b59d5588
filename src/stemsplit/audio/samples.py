"""Queues samples: blocks of any length go in, and any number of samples can be taken out.

One thread may put blocks in while another takes samples out.
"""

from collections import deque

import numpy as np

from stemsplit.audio.conversion import Block


class Samples:
    """A queue of blocks (..., t), whose shapes differ at most in t."""

    def __init__(self) -> None:
        self.blocks = deque[Block]()
        # Two counts, each of which one thread writes: one count that both change would lose a change now and then.
        self.came = self.went = 0

    @property
    def length(self) -> int:
        """Samples in the queue."""
        return self.came - self.went

    def put(self, block: Block) -> None:
        """Append a block (..., any number of samples), which nobody changes afterwards."""
        self.blocks.append(block)
        self.came += block.shape[-1]

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
        self.went += length
        return np.concatenate(taken, -1)
