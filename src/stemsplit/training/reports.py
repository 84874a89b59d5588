"""Reads the CSV of a run while it grows, whatever is in it: a bounded number of points, and only what is new."""

import csv
import math
import os
from pathlib import Path

from stemsplit.disk import open_regular
from stemsplit.errors import StemsplitError
from stemsplit.words import printable

PART = 1 << 20
"""Most bytes that are read at once."""

MOST_PARTS = 16
"""Most parts that `RunFile.read` reads in one call; the next call reads the rest."""

MOST_LINE = 1 << 16
"""Bytes of the longest line that is a report."""

MOST_COLUMNS = 64
"""Most columns that are kept."""

LONGEST_NAME, LONGEST_FIGURE = 60, 40
"""Most characters of a column's name, and of a figure."""

MOST_POINTS = 1_000
"""Number of points of each column that are left when every other one is dropped."""

STEP = "step"

LARGEST_STEP = 1e15
"""Steps from here on are not those of a run."""


def figure(text: str) -> float:
    """Return a figure; NaN for an empty cell, and for text that is not one."""
    try:
        return float(text) if len(text) <= LONGEST_FIGURE else math.nan
    except ValueError:
        return math.nan


class RunFile:
    """Reads the reports in the CSV of a training run.

    Args:
        path: CSV file, which may not exist yet.

    Attributes:
        columns: names of the columns besides the step.
        rows: reports that are kept, in the order of the file: the step, then a figure for each column.
        count: number of reports in the file.
        bad: number of lines that are not reports.
        version: changes whenever anything else does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = 0
        self._forget()

    def _forget(self) -> None:
        self.columns: list[str] = []
        self.rows: list[list[float]] = []
        self.count = self.bad = 0
        self._places, self._width = list[int](), 0
        self._rest, self._is_cut = b"", False
        self._offset, self._inode = 0, -1
        self._every, self._newest = 1, list[float]()
        self.version += 1

    @property
    def points(self) -> list[list[float]]:
        """The rows, with the newest report at the end even if it was thinned out."""
        return self.rows if not self._newest or self.rows[-1:] == [self._newest] else [*self.rows, self._newest]

    def read(self) -> bool:
        """Read what was written since the last call.

        Returns:
            Whether there is more to read at once.

        Raises:
            StemsplitError: the file cannot be read, or is not the CSV of a run.
        """
        try:
            with open_regular(self.path) as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._inode or found.st_size < self._offset:
                    # A run that resumes writes the file again.
                    self._forget()
                    self._inode = found.st_ino
                file.seek(self._offset)
                for _ in range(MOST_PARTS):
                    part = file.read(PART)
                    self._offset += len(part)
                    self._take(part)
                    if len(part) < PART:
                        return False
                return True
        except StemsplitError:
            self._forget()
            raise
        except FileNotFoundError:
            if self._inode != -1:
                self._forget()
            return False
        except OSError as error:
            raise StemsplitError(
                f"cannot read {self.path} ({(error.strerror or 'no reason given').lower()})"
            ) from error

    def _take(self, part: bytes) -> None:
        *lines, rest = (self._rest + part).split(b"\n")
        for line in lines:
            if self._is_cut or len(line) > MOST_LINE:
                self._is_cut = False
                self.bad += 1
            elif line.strip():
                self._line(line.decode("utf-8", "replace").strip("\r\ufeff"))
        # A line without its end is one that is being written. One that is too long is not a report.
        self._is_cut |= len(rest) > MOST_LINE
        self._rest = b"" if self._is_cut else rest

    def _line(self, text: str) -> None:
        try:
            cells = next(csv.reader([text]), [])
        except csv.Error:
            cells = []
        if not self._places:
            self._heading(cells)
            return
        self.version += 1
        row = [figure(cells[place]) if place < len(cells) else math.nan for place in self._places]
        if not 0 <= row[0] < LARGEST_STEP or len(cells) < self._width:  # NaN is not, either
            self.bad += 1
            return
        self._newest = row
        if self.count % self._every == 0:
            self.rows.append(row)
        self.count += 1
        if len(self.rows) >= 2 * MOST_POINTS:
            self.rows = self.rows[::2]
            self._every *= 2

    def _heading(self, cells: list[str]) -> None:
        names = {name: place for place, name in reversed([*enumerate(cells)])}
        if STEP not in names or len(names) < 2:
            what = f"{self.path} is not the CSV of a training run"
            raise StemsplitError(f"{what}; name the one that stemsplit train wrote beside the weights")
        chosen = [STEP, *(name for name in dict.fromkeys(cells) if name != STEP)][: MOST_COLUMNS + 1]
        self._places, self._width = [names[name] for name in chosen], len(cells)
        self.columns = [printable(name)[:LONGEST_NAME] for name in chosen[1:]]
        self.version += 1
