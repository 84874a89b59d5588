"""A queue of samples: blocks of any length go in, as many samples as are asked for come out."""

from collections import deque

import numpy as np

from stemsplit.audio.conversion import Block


class Samples:
    """Samples in the order in which they came; all blocks have one shape but for their last axis, time.

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
            length: how many, at least 1 and at most `self.length`.

        Returns:
            (..., length).
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
