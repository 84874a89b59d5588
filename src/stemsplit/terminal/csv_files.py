"""Writes what a command found as a table: a CSV file, whole or not at all."""

import csv
import io
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stemsplit.disk import read_text, replacing
from stemsplit.disk.space import existing_ancestor
from stemsplit.terminal import console
from stemsplit.terminal.songs import outcome_as_data

if TYPE_CHECKING:
    from stemsplit.evaluation.evaluation import Result
    from stemsplit.songs.outcome import Outcome

Cell = str | int | float | bool | None

LARGEST = 1 << 30
"""Largest size in bytes of an older table that is replaced."""

ACTIVE = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""Characters that make a spreadsheet run a cell that begins with one of them, some of them full-width, as a formula."""


def _text(value: Cell) -> str:
    """Return a cell; an unknown or infinite figure is empty, and no text is a formula."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(ACTIVE):
        return f"'{value}"
    return str(value)


def _path(path: str) -> str:
    """Return a path that means the same file and is not a formula."""
    return os.path.join(os.curdir, path) if path.startswith(ACTIVE) else path  # noqa: PTH118  # Path drops the dot


class CsvFile:
    """A CSV file of a command's results: UTF-8, commas, one line of names above the rows.

    Args:
        path: file to write; a table of the same command is replaced, any other file is not.
        columns: names of the columns; the first of them tell this table from other files.
        fixed: number of columns that such a table always has.

    Raises:
        ValueError: the file cannot be written, or is something else than such a table.
    """

    def __init__(self, path: Path, columns: Sequence[str], fixed: int | None = None) -> None:
        self.path, self.columns = path, [_text(name) for name in columns]
        self.fixed = self.columns[:fixed]
        if problem := self._problem():
            raise ValueError(problem)

    def _problem(self) -> str:
        """Say why the file cannot be written; empty if it can."""
        if str(self.path) == "-":
            return "--csv takes the name of a file; for results on stdout, use --json"
        parent, effective = existing_ancestor(self.path.parent), os.access in os.supports_effective_ids
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
            return f"cannot write into {parent} (no permission, or not a folder); choose another file"
        if not os.path.lexists(self.path):
            return ""
        other = f"{self.path} is there, and is not a table of this command; choose another file, or move it away"
        try:
            with io.StringIO(read_text(self.path, LARGEST), newline="") as lines:
                names = next(csv.reader(lines), [])
        except (OSError, UnicodeDecodeError, csv.Error):
            return other
        return "" if names[: len(self.fixed)] == self.fixed else other

    def write(self, rows: Iterable[Sequence[Cell]]) -> bool:
        """Write the table, and print an error if that fails.

        Returns:
            Whether it was written.
        """
        # Again: it may have been made meanwhile, even by this command.
        problem = self._problem()
        if not problem:
            text = io.StringIO(newline="")
            csv.writer(text, lineterminator="\n").writerows([self.columns, *(map(_text, row) for row in rows)])
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(self.path) as file:
                    # Names need not be text; those that are not must not make the whole table unreadable.
                    file.write(text.getvalue().encode(errors="backslashreplace"))
            except OSError as error:
                problem = f"cannot write {self.path} ({error.strerror})"
        if problem:
            console.error(problem)
        return not problem


SONG = ("song", "status", "duration", "seconds", "real_time_factor", "sum_error", "error", "notes")
STEM = ("path", "peak", "clipped", "energy_share", "silent")
"""Columns of `split --csv`: those of a song, and those of each of its stems; keys of the lines of `split --json`."""


class SplitTable:
    """The table of `split --csv`, a row for each song; it is written when the context is left, however that happens.

    Args:
        path: file to write; None for no table.
        stems: names of the stems, or sums, that are written for each song.

    Attributes:
        failed: whether the table could not be written.

    Raises:
        ValueError: the file cannot be written.
    """

    def __init__(self, path: Path | None, stems: Sequence[str]) -> None:
        columns = [*SONG, *(f"{stem}.{key}" for stem in stems for key in STEM)]
        self.file = None if path is None else CsvFile(path, columns, len(SONG))
        self.stems, self.rows, self.failed = stems, list[list[Cell]](), False

    def add(self, outcome: "Outcome") -> None:
        """Add what became of a song."""
        if not self.file:
            return
        data = outcome_as_data(outcome)
        row = [_path(data["song"]), *(data[key] for key in SONG[1:-1]), "; ".join(data["notes"])]
        for stem in self.stems:
            facts = data["stems"].get(stem, {})
            path = facts.get("path")
            row += [path and _path(path), *(facts.get(key) for key in STEM[1:])]
        self.rows.append(row)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A run that ends before its first song leaves the table of an earlier one.
        if self.file and (self.rows or not kind):
            self.failed = not self.file.write(self.rows)


SCORES = ("song", "stem", "status", "sdr", "si_sdr", "frame_sdr", "error")
"""Columns of `eval --csv`."""


def score_rows(results: Iterable["Result"]) -> list[list[Cell]]:
    """Return the rows of `eval --csv`: one for each stem of each song, and one for each song that failed."""
    rows: list[list[Cell]] = []
    for result in results:
        for stem, score in result.scores.items():
            rows.append([result.name, stem, "scored", score.sdr, score.si_sdr, score.frame_sdr, ""])
        rows += [[result.name, stem, "unmeasured", *[None] * 3, ""] for stem in result.unmeasured]
        if result.error:
            rows.append([result.name, "", "failed", *[None] * 3, result.error])
    return rows
