"""Shows what `eval` measured, and its progress."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.progress import TextColumn
from rich.text import Text

from stemsplit.terminal.console import Report, say
from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import aligned
from stemsplit.words import clock, printable

if TYPE_CHECKING:
    from stemsplit.evaluation.evaluation import Result, Score, Summary


def _figures(score: "Score") -> dict[str, float | None]:
    """Return a score as JSON can hold it: with null in place of NaN and infinity."""
    return {name: figure if math.isfinite(figure) else None for name, figure in vars(score).items()}


def scores_as_data(results: Sequence["Result"], summary: "Summary") -> dict[str, Any]:
    """Return the scores of all songs, and their averages, as `eval --json` prints them."""
    songs = [
        {
            "song": result.name,
            "stems": {name: _figures(score) for name, score in result.scores.items()},
            "mean": _figures(result.mean),
            "worst": {name: [vars(moment) for moment in moments] for name, moments in result.worst.items()},
            "unmeasured": list(result.unmeasured),
            "error": result.error or None,
        }
        for result in results
    ]
    averages = (("mean", summary.means, summary.mean), ("median", summary.medians, summary.median))
    return {
        "songs": songs,
        **{
            kind: {"stems": {name: _figures(score) for name, score in stems.items()}, "mean": _figures(mean)}
            for kind, stems, mean in averages
        },
    }


COLUMNS = ("song", "stem", "SDR", "SI-SDR", "median SDR of 1 s")


def print_scores(results: Sequence["Result"], summary: "Summary") -> None:
    """Print the scores for people: a line for each stem of each song, then for each stem over all songs."""
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
    """Shows which song is being measured and how much of it: a bar of songs, or plain lines elsewhere.

    Args:
        songs: names of the songs, in order.
    """

    def __init__(self, songs: Sequence[str]) -> None:
        super().__init__(True, TextColumn("{task.fields[measured]}", markup=False))
        self.numbers = {name: number for number, name in enumerate(songs, 1)}
        self.last_line = time.monotonic()

    def progress(self, song: str, seconds: float) -> None:
        """Show that `seconds` of a song are measured."""
        number, measured = self.numbers[song], f"{clock(seconds)} measured"
        label = f"[{number}/{len(self.numbers)}] {printable(song)}"
        if self.task is None:
            self.task = self.bar.add_task(label, total=len(self.numbers), measured=measured)
            self.bar.start()
        self.bar.update(self.task, description=label, completed=number - 1, measured=measured)
        if self.line_is_due(time.monotonic()):
            say(Text(f"{label}: {measured}"))
