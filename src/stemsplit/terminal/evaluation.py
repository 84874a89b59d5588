"""What `eval` tells of how close stems are to their references."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.progress import (
    TextColumn,
)
from rich.text import Text

from stemsplit.words import minutes, printable

if TYPE_CHECKING:
    pass
from typing import TYPE_CHECKING, Any

from stemsplit.terminal.console import Report, say
from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import aligned

if TYPE_CHECKING:
    from stemsplit.evaluation.evaluation import Result, Score, Summary


def _figures(score: "Score") -> dict[str, float | None]:
    """A score as JSON has it, which knows no infinity."""
    return {name: figure if math.isfinite(figure) else None for name, figure in vars(score).items()}


def scores_as_data(results: Sequence["Result"], summary: "Summary") -> dict[str, Any]:
    """How close estimates are to their sources, as `eval --json` tells it."""
    songs = [
        {
            "song": result.name,
            "stems": {name: _figures(score) for name, score in result.scores.items()},
            "mean": _figures(result.mean),
            "unmeasured": list(result.unmeasured),
            "error": result.error or None,
        }
        for result in results
    ]
    both = (("mean", summary.means, summary.mean), ("median", summary.medians, summary.median))
    return {
        "songs": songs,
        **{
            kind: {"stems": {name: _figures(score) for name, score in stems.items()}, "mean": _figures(mean)}
            for kind, stems, mean in both
        },
    }


COLUMNS = ("song", "stem", "SDR", "SI-SDR", "median SDR of 1 s")


def print_scores(results: Sequence["Result"], summary: "Summary") -> None:
    """The same for people: one line a stem of each song, then of all songs."""
    blocks = [(result.name, result.scores, result.mean) for result in results if not result.error]
    if len(blocks) > 1:
        songs = f"of {len(blocks)} songs"
        blocks += [(f"mean {songs}", summary.means, summary.mean)]
        blocks += [(f"median {songs}", summary.medians, summary.median)]
    lines: list[tuple[str, ...]] = [COLUMNS]
    for name, stems, mean in blocks:
        rows = {**stems, "mean": mean} if len(stems) > 1 else stems
        for stem, score in rows.items():
            cells = ("-" if math.isnan(figure) else f"{figure:.2f}" for figure in vars(score).values())
            lines.append((printable(name), printable(stem), *cells))
    if blocks:
        print_text(*aligned(lines, words=2))


class EvalReport(Report):
    """Shows songs being measured: a bar of songs on a terminal, a plain line now and then elsewhere.

    Args:
        songs: their names, in order.
    """

    def __init__(self, songs: Sequence[str]) -> None:
        super().__init__(True, TextColumn("{task.fields[measured]}", markup=False))
        self.places = {name: place for place, name in enumerate(songs, 1)}
        self.said = time.monotonic()

    def progress(self, song: str, seconds: float) -> None:
        """So many seconds of a song are measured."""
        place = self.places[song]
        label, measured = f"[{place}/{len(self.places)}] {printable(song)}", f"{minutes(seconds)} measured"
        if self.task is None:
            self.task = self.bar.add_task(label, total=len(self.places), measured=measured)
            self.bar.start()
        self.bar.update(self.task, description=label, completed=place - 1, measured=measured)
        if self.line_is_due(time.monotonic()):
            say(Text(f"{label}: {measured}"))
