"""How bands of different widths are computed together: in groups, each padded to its widest."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

ALIGNED = 8
"""Numbers of half precision in 16 bytes, what tensor cores read at once: rows of all products are multiples of it."""


def aligned(size: int) -> int:
    """The next multiple of `ALIGNED`."""
    return -(-size // ALIGNED) * ALIGNED


class Group(NamedTuple):
    """Bands of similar width, each padded to the widest."""

    members: slice  # in the order of `Bands`
    widest: int  # numbers
    columns: slice  # of the padded numbers of all bands


class Bands:
    """How the numbers of a frame (of each bin, its channels; of each channel, real and imaginary part) form bands.

    A padded frame holds all bands by groups of similar width, and a zero in the end.

    Args:
        bands: the bins of each.
        per_bin: numbers of a bin.
    """

    def __init__(self, bands: Sequence[range], per_bin: int) -> None:
        self.spans = [slice(band.start * per_bin, band.stop * per_bin) for band in bands]
        self.sizes = [len(band) * per_bin for band in bands]
        # Within a factor of two: all bands of a Mel-Band RoFormer in one group would be three quarters padding.
        floors: list[int] = []
        for size in sorted(self.sizes):
            if not floors or size > 2 * floors[-1]:
                floors.append(size)
        kinds = [sum(size >= floor for floor in floors) for size in self.sizes]
        self.order = sorted(range(len(bands)), key=kinds.__getitem__)
        """Of the bands in groups. Published networks have theirs in this order."""
        self.groups: list[Group] = []
        for kind in range(1, len(floors) + 1):
            before = sum(k < kind for k in kinds)
            column = self.groups[-1].columns.stop if self.groups else 0
            widest = aligned(max(size for size, k in zip(self.sizes, kinds, strict=True) if k == kind))
            members = slice(before, before + kinds.count(kind))
            self.groups.append(Group(members, widest, slice(column, column + kinds.count(kind) * widest)))
        self.padded = self.groups[-1].columns.stop
        self.numbers = max(span.stop for span in self.spans)

    @property
    def ordered(self) -> bool:
        """Whether the groups are in the order of the bands."""
        return self.order == list(range(len(self.order)))

    def of(self, group: Group) -> list[int]:
        """A group's bands."""
        return self.order[group.members]

    def places(self) -> list[tuple[int, int]]:
        """Each band in groups, and the first of its columns."""
        return [
            (band, group.columns.start + place * group.widest)
            for group in self.groups
            for place, band in enumerate(self.of(group))
        ]

    def sources(self) -> Tensor:
        """(padded,): which number of a frame each column holds; one more than there are where it holds none."""
        index = torch.full((self.padded,), self.numbers)
        for band, column in self.places():
            span = self.spans[band]
            index[column : column + self.sizes[band]] = torch.arange(span.start, span.stop)
        return index

    def targets(self) -> Tensor:
        """(most bands of a bin, numbers): the columns that each number of a frame is in, or that of the zero."""
        counts = torch.zeros(self.numbers, dtype=torch.long)
        for span in self.spans:
            counts[span] += 1
        index = torch.full((int(counts.max()), self.numbers), self.padded)
        filled = torch.zeros(self.numbers, dtype=torch.long)
        for band, column in self.places():
            span = self.spans[band]
            index[filled[span], torch.arange(span.start, span.stop)] = column + torch.arange(self.sizes[band])
            filled[span] += 1
        return index
