"""Shows which model is recommended for each wish, as `list` does on a terminal."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from stemsplit.registry import ModelEntry
from stemsplit.registry.choosing import Choice
from stemsplit.registry.scores import score_of
from stemsplit.registry.wishes import Wish
from stemsplit.songs.durations import SONG_SECONDS, Duration, How
from stemsplit.terminal.tables import Line, draw
from stemsplit.words import counted, printable, size

SHORT = {"free licence": "free"}
"""What speaks for a model, as the table has it, if that is another word."""

HOURS = 3
"""Hours from which on a time is not given in minutes."""


@dataclass(frozen=True)
class Advice:
    """Everything that the recommendations are shown with.

    Args:
        choices: pairs of a wish and what is recommended for it.
        others: recommended models that are not among these.
        times: name of a model -> how long a song takes with it here, where that is known.
        here: names of the models whose weights are on this machine.
        count: number of all models.
        cores: number of CPU cores that times are guessed by.
        presets: lines about several models together.
    """

    choices: Sequence[tuple[Wish, Choice]]
    others: Sequence[ModelEntry]
    times: Mapping[str, Duration]
    here: Collection[str]
    count: int
    cores: int | None
    presets: Sequence[Line] = ()


def in_words(time: Duration) -> str:
    """Return a time in a few characters; ~ if it is only estimated."""
    if time.seconds < 90:
        amount = f"{max(time.seconds, 1):.0f} s"
    elif time.seconds < HOURS * 3600:
        amount = f"{time.seconds / 60:.0f} min"
    else:
        amount = f"{time.seconds / 3600:.0f} h"
    return amount if time.how is How.measured else f"~{amount}"


def heading(wish: Wish, choice: Choice) -> str:
    """Return a wish, and what decides which model is recommended for it."""
    if wish.reason == choice.why or choice.scale is None:
        return f"{wish.title or wish.name}: {choice.why}"
    name, measure, test_set = choice.scale
    # Nobody needs to be told that it is the score of the first stem that is wished for.
    what = f"mean {measure}" if name == "mean" else measure if name == wish.stems[0] else f"{measure} of {name}"
    whose = re.sub("^the author's own validation, (.+)", r"\1's own validation", test_set)
    return f"{wish.title or wish.name}: {what}, {whose}"


def _cells(entry: ModelEntry, wish: Wish, choice: Choice, why: str, advice: Advice) -> tuple[str, ...]:
    """Return name, score, size, licence, time, and what speaks for the model."""
    found = score_of(entry, wish.stems)
    figure = f"{found[1]:.2f}" if found and found[0] == choice.scale else ""
    time = advice.times.get(entry.name)
    cells = (entry.name, figure, size(entry.size), entry.license or "not stated", in_words(time) if time else "", why)
    return tuple(map(printable, cells))


def _other_cells(entry: ModelEntry, advice: Advice) -> tuple[str, ...]:
    """Return the cells of a model that no wish leads to, without a score: those shown are of several test sets."""
    time = advice.times.get(entry.name)
    facts = (entry.name, "", size(entry.size), entry.license or "not stated", in_words(time) if time else "")
    return tuple(map(printable, (*facts, entry.recommended)))


def _legend(advice: Advice) -> list[str]:
    """Return what the marks mean."""
    shown = [advice.times[entry.name].how for entry in _shown(advice) if entry.name in advice.times]
    legend = ["free: best under a free licence; fast: fewest operations; *: on this machine"]
    if shown:
        legend.append(f"time: {SONG_SECONDS // 60} minutes of music on this machine")
    if How.scaled in shown:
        legend[-1] += "; ~: by other models' runs"
    if How.guessed in shown:
        legend[-1] += f"; ~: a guess for {counted(advice.cores or 1, 'core')}, until a run"
    return legend


def _shown(advice: Advice) -> list[ModelEntry]:
    chosen = [entry for _, choice in advice.choices for entry in (choice.entry, *choice.instead.values())]
    return [*chosen, *advice.others]


def lines(advice: Advice, width: int) -> list[Line]:
    """Return the lines that show what is recommended, on a terminal of that width in columns."""
    tables = []
    for wish, choice in advice.choices:
        rows = {"": choice.entry, **choice.instead}
        cells = [_cells(entry, wish, choice, SHORT.get(why, why), advice) for why, entry in rows.items()]
        tables.append((printable(heading(wish, choice)), cells))
    if advice.others:
        tables.append(("also recommended", [_other_cells(entry, advice) for entry in advice.others]))
    widths = [max(map(len, column)) for column in zip(*(row for _, cells in tables for row in cells), strict=True)]
    found: list[Line] = []
    for title, cells in tables:
        found.append((title, "bold"))
        found += [(line, "") for row in cells for line in _lines(row, widths, advice.here, width)]
    found += [("", ""), *advice.presets]
    shown = {entry.name for entry in _shown(advice)}
    if also := [name for name in advice.here if name not in shown]:
        found.append((printable(f"also on this machine: {', '.join(sorted(also))}"), ""))
    found += [(text, "dim") for text in _legend(advice)]
    found.append(("all about one model: stemsplit info NAME; the candidates: stemsplit list guitar", "dim"))
    found.append((f"all {advice.count} models: stemsplit list --all; why these: stemsplit help models", "dim"))
    return found


def _lines(row: Sequence[str], widths: Sequence[int], here: Collection[str], width: int) -> list[str]:
    """Return the line that shows a model, or two or three if the terminal is too narrow."""
    name, figure, bytes_, license_, time, why = row
    mark = "*" if name in here else " "
    first = f"{mark} {name.ljust(widths[0])}"
    facts = (figure.rjust(widths[1]), bytes_.rjust(widths[2]), license_.ljust(widths[3]), time.rjust(widths[4]))
    line = "  ".join((first, *(cell for cell, room in zip(facts, widths[1:], strict=False) if room))).rstrip()
    if len(line) > width:
        return [first.rstrip(), f"    {'  '.join(filter(None, row[1:]))}"]
    if why and len(line) + 2 + len(why) > width:
        return [line, f"    {why}"]
    return [f"{line}  {why}".rstrip()]


def print_advice(advice: Advice) -> None:
    """Print what is recommended for each wish."""
    draw(lambda width: lines(advice, width))
