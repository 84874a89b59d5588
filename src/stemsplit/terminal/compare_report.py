"""Shows what `compare` found as a page: levels, scores, speeds, and where in the excerpt the models differ most."""

from heapq import nlargest
from typing import TYPE_CHECKING

from stemsplit.audio.levels import EXACT
from stemsplit.pictures import pages, svg
from stemsplit.pictures.pages import Html, element
from stemsplit.terminal.report_files import way_to_hear
from stemsplit.words import clock

if TYPE_CHECKING:
    from stemsplit.comparison.comparison import Comparison, StemClips

REPORT = "report.html"
"""Name of the page beside the clips."""

MOST_MOMENTS = 5
"""Number of moments that are listed for each stem."""


def _decibels(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1f}"


def _speeds(comparison: "Comparison", names: list[str]) -> Html:
    rows = [(name, timing.speed) for name, timing in zip(names, comparison.timings, strict=True)]
    bars = [svg.Bar(name, speed, f"{speed:,.2f}x") for name, speed in rows]
    told = "; ".join(f"{name}: {speed:,.2f} times" for name, speed in rows)
    drawn = svg.bars("Speed", f"Seconds of song split in a second. {told}", bars)
    whole = comparison.plan.song.seconds
    table = [(name, f"{speed:,.2f}", clock(whole / speed)) for name, speed in rows]
    return pages.figure("Speed, as a multiple of real time", drawn, ("model", "x real time", "whole song"), table)


def _levels(stem: str, compared: "StemClips", names: list[str]) -> Html:
    clips = {names[index]: clip for index, clip in compared.clips.items()}
    if compared.reference:
        clips["reference"] = compared.reference
    rows = {name: [svg.Dot(clip.loudness, name)] if clip.loudness is not None else [] for name, clip in clips.items()}
    told = "; ".join(f"{name}: {_decibels(clip.loudness)}" for name, clip in clips.items())
    drawn = svg.dots(
        f"Loudness of {stem}", f"In LUFS, before clips were made equally loud. {told}", rows, {}, "LUFS", least=3.0
    )
    table = [(name, _decibels(clip.loudness), f"{clip.gain:+.1f}") for name, clip in clips.items()]
    return pages.figure("Loudness before clips were made equal", drawn, ("clip", "LUFS", "gain in dB"), table)


def _scores(stem: str, compared: "StemClips", names: list[str]) -> Html:
    rows = [(names[index], clip.scores.get("sdr"), clip.scores.get("si_sdr")) for index, clip in compared.clips.items()]
    bars = [svg.Bar(name, float("nan") if sdr is None else sdr, f"{_decibels(sdr)} dB") for name, sdr, _ in rows]
    told = "; ".join(f"{name}: {_decibels(sdr)} dB" for name, sdr, _ in rows)
    drawn = svg.bars(f"SDR of {stem}", told, bars)
    table = [(name, _decibels(sdr), _decibels(si_sdr)) for name, sdr, si_sdr in rows]
    return pages.figure("SDR against the true stem, in dB", drawn, ("model", "SDR", "SI-SDR"), table)


def _differences(comparison: "Comparison", stem: str, names: list[str]) -> Html:
    compared, start = comparison.stems[stem], comparison.plan.start
    first = min(compared.clips)
    lines = [
        svg.Series(
            names[other],
            # Seconds without any difference have no logarithm, and leave a gap.
            [(start + at, figure if figure > EXACT else float("nan")) for at, figure in enumerate(seconds)],
            other,
        )
        for (one, other), seconds in compared.by_second.items()
        if one == first
    ]
    against = f"Difference from {names[first]}"
    told = f"{against}, second by second; 0 dB is the mean level of the louder clip"
    drawn = svg.lines(f"{against}: {stem}", told, lines, x_axis="time in the song, in seconds", y_axis="dB")
    pairs = [(names[one], names[other], _decibels(figure)) for (one, other), figure in compared.differences.items()]
    caption = f"Difference of {lines[0].name} from {names[first]}" if len(lines) == 1 else against
    return pages.figure(f"{caption}, in dB", drawn, ("model", "and model", "difference in dB"), pairs, words=2)


def _moments(comparison: "Comparison", stem: str, names: list[str], has_page: bool) -> Html:
    """Return a table of the seconds in which models differ most, and which two of them do."""
    plan, found, rows = comparison.plan, comparison.stems[stem].by_second, []
    # The largest difference of each second.
    seconds = (
        max((figures[at], -at, pair) for pair, figures in found.items()) for at in range(min(map(len, found.values())))
    )
    for figure, negative, (one, other) in nlargest(MOST_MOMENTS, (each for each in seconds if each[0] > EXACT)):
        at = plan.start - negative
        way = way_to_hear(plan.folder, plan.folder / REPORT, at, stem, has_page)
        rows.append((clock(at, 3), f"{names[one]} and {names[other]}", _decibels(figure), way))
    if not rows:
        return element("p", "All clips of this stem are the same, sample by sample.")
    headings = ("time", "models", "difference in dB", Html("to hear it"))
    return pages.table(f"Where the models' {stem} differ most", headings, rows, words=2)


def page_of_comparison(comparison: "Comparison", has_page: bool = False) -> bytes:
    """Return a page about a comparison.

    Args:
        comparison: result of comparing models.
        has_page: whether a page to listen to lies beside the clips.
    """
    plan = comparison.plan
    names = [f"{number} {label}" for number, label in enumerate(plan.labels, 1)]
    told = f"{plan.span} of {plan.song.path.name} by {', '.join(plan.labels)}."
    parts: list[str] = [element("p", told), element("div", _speeds(comparison, names), kind="pictures")]
    for stem, compared in comparison.stems.items():
        figures = [_levels(stem, compared, names)]
        if compared.reference:
            figures.insert(0, _scores(stem, compared, names))
        if compared.by_second:
            figures.append(_differences(comparison, stem, names))
        parts += [element("h2", stem), element("div", *figures, kind="pictures")]
        if compared.by_second:
            parts += [element("h3", "Where the models differ most"), _moments(comparison, stem, names, has_page)]
    return pages.page(f"Comparison: {plan.song.path.name}", *parts)
