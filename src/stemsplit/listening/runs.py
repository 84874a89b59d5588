"""Shows a training run in the browser while it goes on: its CSV as curves, which follow the file."""

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from stemsplit.errors import StemsplitError
from stemsplit.listening import pages
from stemsplit.listening.answers import Answer, RefusedError, as_json, not_found, plain, whole
from stemsplit.pictures import svg
from stemsplit.pictures.pages import STYLE
from stemsplit.training.reports import RunFile
from stemsplit.words import clock, counted, printable

MOST_LISTED = 20
"""Number of reports in the table: the newest ones."""

BESIDE = ("loss", "learning_rate", "seconds", "mean")
"""Columns that are not stems."""


def shown(value: float) -> str:
    """Return a figure for a table; a dash where there is none."""
    if not math.isfinite(value):
        return "-"
    if value and not 0.01 <= abs(value) < 1e12:
        return f"{value:.4g}"
    return f"{value:,.3f}".rstrip("0").rstrip(".")


class Curves:
    """Draws the curves of a run as they are now.

    Args:
        path: CSV file of the run; with `wait`, it may not exist yet.
        wait: whether the run may not have begun.

    Raises:
        StemsplitError: the file cannot be read, or is not the CSV of a run.
    """

    def __init__(self, path: Path, wait: bool = False) -> None:
        self.file, self.title = RunFile(path), printable(path.stem)
        self.lock = threading.Lock()
        self.drawn: tuple[Any, dict[str, Any]] = (None, {})
        if not wait:
            if not path.exists():
                raise StemsplitError(f"there is no file {path}")
            self.file.read()

    def _column(self, name: str) -> list[tuple[float, float]]:
        if name not in self.file.columns:
            return []
        place = self.file.columns.index(name) + 1
        return [(row[0], row[place]) for row in self.file.points]

    def _chart(self, name: str, columns: Sequence[str], unit: str, log: bool = False) -> dict[str, Any]:
        series = [svg.Series(column, self._column(column), index) for index, column in enumerate(columns)]
        newest = [(line.name, line.points[-1][1]) for line in series if line.points]
        told = "; ".join(f"{column}: {shown(value)}" for column, value in newest)
        axis = f"{unit}, logarithmic" if log else unit
        return {"name": name, "svg": svg.lines(name, f"Now {told}", series, x_axis="step", y_axis=axis, log=log)}

    def _state(self) -> str:
        """Return the newest report in words."""
        points, columns = self.file.points, self.file.columns
        if not points:
            return "No report yet: the first one follows a validation"
        newest = dict(zip(columns, points[-1][1:], strict=True))
        told = [f"Step {points[-1][0]:,.0f}"]
        if "loss" in newest:
            told.append(f"loss {shown(newest['loss'])}")
        means = [(mean, step) for step, mean in self._column("mean") if math.isfinite(mean)]
        if means and math.isfinite(newest["mean"]):
            best, step = max(means)
            told.append(f"mean SDR {shown(newest['mean'])} dB (best {shown(best)} dB at step {step:,.0f})")
        if math.isfinite(newest.get("seconds", math.nan)) and 0 <= newest["seconds"] < 1e9:
            told.append(f"after {clock(newest['seconds'])}")
        return ", ".join(told)

    def data(self, log: bool) -> dict[str, Any]:
        """Return the curves, ready for JSON, as of the file's last complete line.

        Args:
            log: whether the loss has a logarithmic axis.

        Raises:
            StemsplitError: the file cannot be read, or is not the CSV of a run.
        """
        with self.lock:
            has_more = self.file.read()
            key = (self.file.version, log)
            if self.drawn[0] != key:
                self.drawn = key, self._data(log)
            return {**self.drawn[1], "more": has_more}

    def _data(self, log: bool) -> dict[str, Any]:
        file = self.file
        stems = [name for name in file.columns if name not in BESIDE]
        scores = [*stems, *(["mean"] if "mean" in file.columns else [])]
        charts = [self._chart("Loss", ["loss"], "loss", log)]
        if scores:
            charts.append(self._chart("SDR of validation", scores, "dB"))
        if "learning_rate" in file.columns:
            charts.append(self._chart("Learning rate", ["learning_rate"], "learning rate"))
        notes = [f"{counted(file.bad, 'line')} of the file could not be read"] if file.bad else []
        return {
            "version": file.version,
            "title": self.title,
            "state": self._state(),
            "notes": notes,
            "charts": charts,
            "headings": ["step", *file.columns],
            "rows": [list(map(shown, row)) for row in file.points[: -MOST_LISTED - 1 : -1]],
        }


class RunAnswers:
    """Answers the requests of a page about a run, as `answers.Answers` answers those of the player.

    Args:
        curves: draws the run.
    """

    def __init__(self, curves: Curves) -> None:
        self.curves = curves

    def get(self, path: str, query: str, wanted: str | None) -> Answer:  # noqa: ARG002  # ranges are for samples
        """See `answers.Answers.get`."""
        if path == "":
            return whole(pages.KINDS[".html"], pages.text("run.html").encode())
        if path == "app/run.js":
            return whole(pages.KINDS[".js"], pages.text("run.js").encode())
        if path == "app/run.css":
            return whole(pages.KINDS[".css"], STYLE.encode())
        if path == "run.json":
            return self._run(query)
        raise not_found()

    def _run(self, query: str) -> Answer:
        try:
            fields = parse_qs(query, max_num_fields=10)
        except ValueError as error:
            raise RefusedError(400, "the server does not know this query") from error
        try:
            data = self.curves.data(fields.get("log") == ["1"])
        except StemsplitError as error:
            raise RefusedError(500, str(error)) from error
        if fields.get("seen") == [str(data["version"])]:
            data = {"version": data["version"], "more": data["more"]}
        return as_json(plain(data))

    def is_posted_to(self, path: str) -> bool:  # noqa: ARG002
        """See `answers.Answers.is_posted_to`."""
        return False

    def post(self, path: str, body: bytes) -> Answer:  # noqa: ARG002
        """See `answers.Answers.post`."""
        raise not_found()

    def close(self) -> None:
        """See `answers.Answers.close`."""
