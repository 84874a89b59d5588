"""What the goals are measured on, and how much of it in a rehearsal."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Size:
    """Sizes of what is measured.

    Args:
        chunk_seconds: length of a chunk.
        smaller: name of a configuration -> what is different in it.
        minutes: lengths of the songs whose cost per minute is compared, and the longest.
        short_songs: number of short songs in a batch.
        rounds: how often each piece of work is timed.
        stretch: factor on the lengths of all other songs.
    """

    chunk_seconds: float = 8.0
    smaller: dict[str, dict[str, Any]] = field(default_factory=dict)
    minutes: tuple[float, ...] = (1.0, 4.0, 10.0, 60.0)
    short_songs: int = 60
    rounds: int = 3
    stretch: float = 1.0


SMALL_ROFORMER = {"dim": 16, "dim_head": 8, "heads": 2, "depth": 1, "mlp_expansion_factor": 1}
REHEARSAL = Size(
    chunk_seconds=0.1,
    smaller={
        "Mel": {**SMALL_ROFORMER, "num_bands": 8},
        "BS": SMALL_ROFORMER,
        "SuDoRM-RF": {"out_channels": 8, "in_channels": 16, "num_blocks": 1, "enc_num_basis": 16},
    },
    minutes=(0.005, 0.01, 0.015, 0.02),
    short_songs=2,
    rounds=1,
    stretch=0.01,
)


def size(rehearse: bool) -> Size:
    """The sizes to use."""
    return REHEARSAL if rehearse else Size()
