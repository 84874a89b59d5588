"""Shows what `eval` measured as a page: dots of all songs, a table, and where each stem is worst."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit.pictures import pages, svg
from stemsplit.pictures.pages import Html, element
from stemsplit.terminal.report_files import has_page, way_to_hear
from stemsplit.words import clock, counted

if TYPE_CHECKING:
    from stemsplit.evaluation.evaluation import Result, Score, Summary

METRICS = {"sdr": "SDR of the whole song", "frame_sdr": "Median SDR of the song's seconds", "si_sdr": "SI-SDR"}
"""Metrics that have a picture, in order."""

COLUMNS = ("song", "stem", "SDR", "SI-SDR", "median SDR of 1 s")

MOST_OVERALL = 20
"""Number of moments in the table of the worst of all songs."""


def decibels(figure: float) -> str:
    """Return a figure in dB, or a dash where there is none."""
    return "-" if math.isnan(figure) else f"{figure:.2f}"


def _picture(metric: str, results: Sequence["Result"], summary: "Summary") -> Html:
    name = METRICS[metric]
    rows = {
        stem: [
            svg.Dot(getattr(result.scores[stem], metric), result.name) for result in results if stem in result.scores
        ]
        for stem in summary.means
    }
    kinds: Mapping[str, Mapping[str, Score]] = {"mean": summary.means, "median": summary.medians}
    marks = {kind: {stem: getattr(score, metric) for stem, score in scores.items()} for kind, scores in kinds.items()}
    told = "; ".join(f"{stem}: mean {decibels(mean)}" for stem, mean in marks["mean"].items())
    drawn = svg.dots(name, f"A dot for each song. {told}", rows, marks, "dB", least=1.0)
    table = [
        (stem, *(decibels(marks[kind][stem]) for kind in marks), str(sum(map(math.isfinite, values))))
        for stem, values in ((stem, [dot.value for dot in dots]) for stem, dots in rows.items())
    ]
    return pages.figure(name, drawn, ("stem", "mean", "median", "songs"), table)


def _scores(results: Sequence["Result"]) -> Html:
    rows = [
        (result.name, stem, *map(decibels, (score.sdr, score.si_sdr, score.frame_sdr)))
        for result in results
        for stem, score in result.scores.items()
    ]
    return pages.table("Scores in dB", COLUMNS, rows, words=2)


def _moments(results: Iterable["Result"], report: Path) -> list[tuple[float, str, str, str, Html]]:
    """Return the worst moments: SDR, song, stem, time, and how to hear it."""
    moments = []
    for result in results:
        folder = result.folder
        page_is_there = folder is not None and has_page(folder)
        for stem, worst in result.worst.items():
            for moment in worst:
                way = way_to_hear(folder, report, moment.at, stem, page_is_there) if folder else Html("")
                moments.append((moment.sdr, result.name, stem, clock(moment.at), way))
    return moments


def _worst(results: Sequence["Result"], report: Path) -> list[str]:
    """Return the part of the page on the worst moments."""
    found = _moments(results, report)
    if not found:
        return []
    heard = any(way for *_, way in found)
    headings = ("song", "stem", "time", "SDR in dB", *([Html("to hear it")] if heard else []))

    def table(moments: Iterable[tuple[float, str, str, str, Html]], caption: str) -> Html:
        rows = ((song, stem, time, decibels(sdr), *([way] if heard else [])) for sdr, song, stem, time, way in moments)
        return pages.table(caption, headings, rows, words=2)

    overall = sorted(found, key=lambda moment: moment[0])[:MOST_OVERALL]
    told = "The seconds with the lowest SDR. Seconds in which the true stem is silent, or the error too quiet to be "
    told += "heard, do not count."
    parts: list[str] = [element("h2", "Worst moments"), element("p", told)]
    parts.append(table(overall, "Worst moments of all songs"))
    if len(found) > len(overall):
        parts.append(pages.folded("The worst of each song and stem", table(found, "Worst moments of each song")))
    return parts


def page_of_scores(results: Sequence["Result"], summary: "Summary", what: str, report: Path) -> bytes:
    """Return a page about the scores of all songs.

    Args:
        results: results of the songs.
        summary: their averages.
        what: what was measured, such as a model's name.
        report: file that the page is written to.
    """
    failed = [(result.name, result.error) for result in results if result.error]
    unmeasured = [(result.name, ", ".join(result.unmeasured)) for result in results if result.unmeasured]
    measured = [result for result in results if result.scores]
    told = f"{counted(len(measured), 'song')} measured against the true stems, in dB. Higher is closer."
    if failed:
        told += f" {counted(len(failed), 'song')} could not be measured."
    parts: list[str] = [element("p", told)]
    if failed:
        parts += [element("h2", "Not measured"), pages.table("Songs not measured", ("song", "why"), failed, words=2)]
    pictures = [_picture(metric, measured, summary) for metric in METRICS]
    parts += [element("h2", "Scores"), element("div", *pictures, kind="pictures")]
    parts += _worst(measured, report)
    parts += [element("h2", "All figures"), _scores(measured)]
    if unmeasured:
        only = "Only the true stem or only the separated one is there, or the true one only in a sum:"
        parts += [element("p", only), pages.table("Stems without scores", ("song", "stems"), unmeasured, words=2)]
    return pages.page(f"Scores of {what}", *parts)
