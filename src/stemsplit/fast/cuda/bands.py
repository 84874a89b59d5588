"""Lays out bands of different widths so that they are computed in groups, each band padded to its group's widest."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

ALIGNED = 8
"""Half-precision numbers in the 16 bytes that tensor cores read at once. Rows of all products are multiples of it."""


def aligned(size: int) -> int:
    """Round up to a multiple of `ALIGNED`."""
    return -(-size // ALIGNED) * ALIGNED


class Group(NamedTuple):
    """Bands of similar width, each padded to the widest.

    Attributes:
        members: the bands, as a slice of `Bands.order`.
        widest: padded width of each band, in numbers.
        columns: the group's columns in a padded frame.
    """

    members: slice
    widest: int
    columns: slice


class Bands:
    """Maps between a frame's numbers and a padded frame's columns.

    The numbers of a frame are ordered by bin, then channel, then real and imaginary part. A padded frame holds the
    bands in groups of similar width, and a zero at the end.

    Args:
        bands: the bins of each band.
        per_bin: numbers per bin.

    Attributes:
        order: indices of the bands, sorted by group. In published networks the bands are already sorted.
        groups: the groups, from the narrowest bands on.
        padded: columns of a padded frame without the zero.
        numbers: numbers of a frame.
    """

    def __init__(self, bands: Sequence[range], per_bin: int) -> None:
        self.spans = [slice(band.start * per_bin, band.stop * per_bin) for band in bands]
        self.sizes = [len(band) * per_bin for band in bands]
        # Widths in a group differ by at most a factor of two. With all bands of a Mel-Band RoFormer in one group, three
        # quarters would be padding.
        floors: list[int] = []
        for size in sorted(self.sizes):
            if not floors or size > 2 * floors[-1]:
                floors.append(size)
        group_numbers = [sum(size >= floor for floor in floors) for size in self.sizes]
        self.order = sorted(range(len(bands)), key=group_numbers.__getitem__)
        self.groups: list[Group] = []
        for number in range(1, len(floors) + 1):
            before, count = sum(other < number for other in group_numbers), group_numbers.count(number)
            column = self.groups[-1].columns.stop if self.groups else 0
            sizes = [size for size, other in zip(self.sizes, group_numbers, strict=True) if other == number]
            widest = aligned(max(sizes))
            self.groups.append(Group(slice(before, before + count), widest, slice(column, column + count * widest)))
        self.padded = self.groups[-1].columns.stop
        self.numbers = max(span.stop for span in self.spans)

    @property
    def ordered(self) -> bool:
        """Whether the bands are already sorted by group."""
        return self.order == list(range(len(self.order)))

    def members(self, group: Group) -> list[int]:
        """Return the indices of a group's bands."""
        return self.order[group.members]

    def first_columns(self) -> list[tuple[int, int]]:
        """Return the index of each band and its first column in a padded frame, in the order of `order`."""
        return [
            (band, group.columns.start + position * group.widest)
            for group in self.groups
            for position, band in enumerate(self.members(group))
        ]

    def sources(self) -> Tensor:
        """Return the index of each column's number in a frame, (padded,); `numbers` for columns that are padding."""
        index = torch.full((self.padded,), self.numbers)
        for band, column in self.first_columns():
            span = self.spans[band]
            index[column : column + self.sizes[band]] = torch.arange(span.start, span.stop)
        return index

    def targets(self) -> Tensor:
        """Return the columns that hold each number of a frame.

        Returns:
            (most bands of a bin, numbers); a number in fewer bands has the column of the zero for the rest.
        """
        counts = torch.zeros(self.numbers, dtype=torch.long)
        for span in self.spans:
            counts[span] += 1
        index = torch.full((int(counts.max()), self.numbers), self.padded)
        filled = torch.zeros(self.numbers, dtype=torch.long)
        for band, column in self.first_columns():
            span = self.spans[band]
            index[filled[span], torch.arange(span.start, span.stop)] = column + torch.arange(self.sizes[band])
            filled[span] += 1
        return index
