"""What every separator is, of one model or of several."""

from collections.abc import Iterable

from stemsplit.audio import Block

Mixture = tuple[Iterable[Block], int, int]
"""A song to take apart: float32 (c, any number of samples) each; its sample rate in Hz; its channels."""

Pair = tuple[Block, Block]
"""Some samples of a song, (c, t), and its stems, (n, c, t)."""
