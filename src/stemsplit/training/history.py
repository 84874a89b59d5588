"""The CSV of a run: a line for each report, none twice however often the run was cut off."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit.errors import StemsplitError

if TYPE_CHECKING:
    from stemsplit.training.loop import Progress


class History:
    """A CSV file of step, loss, learning rate, seconds, the SDR of each stem and their mean.

    Args:
        path: the file; lines of steps that a run which goes on has yet to make are dropped.
        stems: that are measured.
        done: steps that the run has made already.

    Raises:
        StemsplitError: it cannot be written.
    """

    def __init__(self, path: Path, stems: Sequence[str], done: int) -> None:
        self.path, self.stems = path, stems
        heading = ["step", "loss", "learning_rate", "seconds", *stems, *(["mean"] if stems else [])]
        kept = [[row.get(name) or "" for name in heading] for row in self._rows() if int(row["step"]) <= done]
        part = path.with_name(f".{path.name}.partial")
        try:
            with part.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([heading, *kept])
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StemsplitError(f"cannot write {path}: {error.strerror}") from error

    def _rows(self) -> list[dict[str, str]]:
        """The lines that are there, but for one that was cut off."""
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return [row for row in rows if None not in row.values() and row.get("step", "").isdecimal()]
        except (OSError, UnicodeDecodeError, csv.Error):
            return []

    def add(self, progress: "Progress") -> None:
        """Append a line.

        Raises:
            StemsplitError: it cannot be written.
        """
        scores = [f"{progress.scores[stem]:.4f}" for stem in self.stems]
        scores += [f"{progress.mean:.4f}"] if scores else []
        figures = [progress.step, f"{progress.loss:.6f}", f"{progress.rate:.4g}", f"{progress.seconds:.1f}"]
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerow([*figures, *scores])
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StemsplitError(f"cannot write {self.path}: {error.strerror}") from error
