"""Defines what a separator needs to know of a song."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stemsplit.audio import Block


class Mixture(NamedTuple):
    """A song to take apart.

    Args:
        blocks: blocks of the song, float32 (c, any number of samples) each.
        sample_rate: sample rate in Hz.
        channels: number of channels.
        speakers: their speakers, as `stemsplit.audio.Reader` has them; empty if unknown, see `Adapter`.
    """

    blocks: Iterable[Block]
    sample_rate: int
    channels: int
    speakers: Sequence[str] = ()
