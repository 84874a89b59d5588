"""Writes the CSV of a run: one line per report, and no report twice, however often the run was interrupted."""

import csv
import io
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit.disk import flush, open_own, read_text, replacing
from stemsplit.errors import StemsplitError
from stemsplit.training.reports import RunFile

if TYPE_CHECKING:
    from stemsplit.training.progress import Progress

STEP = re.compile(r"\d{1,15}", re.ASCII)
"""Matches a number of steps. Python refuses to read one of thousands of digits."""


class History:
    """A CSV file of step, loss, learning rate, seconds, the SDR of each stem and their mean.

    Args:
        path: CSV file; its lines up to step `done` are kept, and later ones are dropped.
        stems: stems that have an SDR.
        done: number of steps that the run has made already.

    Raises:
        StemsplitError: the file cannot be written.
    """

    def __init__(self, path: Path, stems: Sequence[str], done: int) -> None:
        self.path, self.stems = path, stems
        heading = ["step", "loss", "learning_rate", "seconds", *stems, *(["mean"] if stems else [])]
        kept = [[row.get(name) or "" for name in heading] for row in self._rows() if int(row["step"]) <= done]
        lines = io.StringIO(newline="")
        csv.writer(lines, lineterminator="\n").writerows([heading, *kept])
        try:
            with replacing(path) as file:
                file.write(lines.getvalue().encode())
        except OSError as error:
            raise StemsplitError(f"cannot write {path}: {error.strerror}") from error

    def _rows(self) -> list[dict[str, str]]:
        """Return the lines of the file, without one that was cut off."""
        try:
            rows = list(csv.DictReader(io.StringIO(read_text(self.path), newline="")))
            return [row for row in rows if None not in row.values() and STEP.fullmatch(row.get("step", ""))]
        except (OSError, UnicodeDecodeError, csv.Error):
            return []

    def reports(self) -> list[tuple[float, float, float]]:
        """Return the reports in the file that are kept: step, loss, and mean SDR or NaN."""
        file = RunFile(self.path)
        with suppress(StemsplitError):
            while file.read():
                pass
        loss, mean = (file.columns.index(name) + 1 if name in file.columns else None for name in ("loss", "mean"))
        return [
            (row[0], math.nan if loss is None else row[loss], math.nan if mean is None else row[mean])
            for row in file.points
        ]

    def add(self, progress: "Progress") -> None:
        """Append a line.

        Raises:
            StemsplitError: the file cannot be written.
        """
        scores = [f"{progress.scores[stem]:.4f}" for stem in self.stems]
        scores += [f"{progress.mean:.4f}"] if scores else []
        figures = [progress.step, f"{progress.loss:.6f}", f"{progress.learning_rate:.4g}", f"{progress.seconds:.1f}"]
        try:
            line = io.StringIO(newline="")
            csv.writer(line, lineterminator="\n").writerow([*figures, *scores])
            with open_own(self.path, append=True) as file:
                file.write(line.getvalue().encode())
                file.flush()
                flush(file.fileno())
        except OSError as error:
            raise StemsplitError(f"cannot write {self.path}: {error.strerror}") from error
