"""Defines the options for further files beside the stems; says beforehand how large they are and which cannot be."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.choices import PageAudio, SessionName
from stemsplit.cli.split_notes import FEW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stemsplit.songs.extras import Extra
    from stemsplit.songs.job import Job
    from stemsplit.songs.outcome import Outcome

BESIDE = "Beside the stems"
"""Panel of the command's help."""

MAILED = 25_000_000
"""Largest attachment that most mail allows, in bytes."""

SMALL = 100_000
"""Size of a file, in bytes, up to which nothing is said of it."""

Page = Annotated[
    bool,
    typer.Option(
        "--page",
        help="Also write listen.html: one file that holds all it plays, to open in a browser or to mail.",
        rich_help_panel=BESIDE,
    ),
]
Audio = Annotated[
    PageAudio | None,
    typer.Option(
        "--page-audio",
        help="Sound in the page: opus is small; flac is exact, for hearing what the stems miss. Default: opus.",
        rich_help_panel=BESIDE,
    ),
]
Session = Annotated[
    SessionName | None,
    typer.Option(
        "--session",
        help="Also write a session for this program that opens all stems in step, named and coloured.",
        rich_help_panel=BESIDE,
    ),
]


def audio_of(page: bool, audio: PageAudio | None) -> PageAudio | None:
    """Return the codec of the pages' sound; None if no page is asked for.

    Raises:
        typer.BadParameter: the options contradict each other, or this machine cannot encode it.
    """
    from stemsplit.audio.excerpts import unavailable

    if audio and not page:
        raise typer.BadParameter("--page-audio needs --page")
    if not page:
        return None
    if reason := unavailable(audio or PageAudio.opus):
        raise typer.BadParameter(reason)
    return audio or PageAudio.opus


def further(page: bool, audio: PageAudio | None, session: SessionName | None, force: bool) -> "list[Extra]":
    """Return the kinds of further files that the options ask for.

    Raises:
        typer.BadParameter: see `audio_of`.
    """
    from stemsplit.songs import extras

    wanted: list[Extra] = []
    if codec := audio_of(page, audio):
        from stemsplit.listening.song_pages import SongPages

        wanted.append(SongPages(codec, force))
    return [*wanted, extras.Session()] if session else wanted


def foreseen(extras: "Sequence[Extra]", job: "Job") -> dict[str, dict[str, Any]]:
    """Return what is known beforehand of a song's further files: path, approximate bytes, why one will be missing.

    Bytes are None if the song's length is unknown, and 0 if the file is there already.
    """
    found = job.recorded() if job.done else None
    known: dict[str, dict[str, Any]] = {}
    for extra in extras:
        data: dict[str, Any] = {"path": str(extra.place(job)), "bytes": None, "error": None}
        if found and not job.problem and extra.is_current(job):
            data["bytes"] = 0
        elif not job.problem:
            data |= {"bytes": extra.expected(job, found), "error": extra.problem(job, found) or None}
        known[extra.name] = data
    return known


def tell_of_extras(extras: "Sequence[Extra]", jobs: "Sequence[Job]", quiet: bool, alone: bool) -> int:
    """Print how large the further files of songs will be, and which songs will have none.

    Args:
        extras: kinds of files.
        jobs: jobs of the songs.
        quiet: whether to print errors only.
        alone: whether the command is about one song only; a shard may have one of many.

    Returns:
        Bytes of all files whose size is known.

    Raises:
        typer.BadParameter: the only song's file would be too large.
        AudioError: the only song's file cannot be written.
    """
    total = 0
    known = [(job, foreseen(extras, job)) for job in jobs if extras and not job.problem]
    for extra in extras:
        each = [(job, data[extra.name]) for job, data in known]
        refuse(extra, [(job, data["error"]) for job, data in each if data["error"]], alone=alone)
        total += tell_of_sizes(
            extra, [(job, data["bytes"]) for job, data in each if not data["error"] and data["bytes"] != 0], quiet
        )
    return total


def refuse(extra: "Extra", refused: "Sequence[tuple[Job, str]]", alone: bool) -> None:
    """Print which songs will lack a further file, and why.

    Args:
        extra: kind of the file.
        refused: songs, and why each will lack it.
        alone: whether the run has one song only.

    Raises:
        typer.BadParameter, AudioError: see `tell_of_extras`.
    """
    from stemsplit.errors import AudioError
    from stemsplit.terminal import console
    from stemsplit.words import counted

    if refused and alone:
        job, why = refused[0]
        told = f"cannot write the {extra.name} of {job.path}: {why}"
        raise typer.BadParameter(told) if extra.is_usage(job, why) else AudioError(told)
    for job, why in refused[:FEW]:
        console.warning(f"{job.path} will have no {extra.name}: {why}")
    if len(refused) > FEW:
        console.warning(f"the same is true of {counted(len(refused) - FEW, 'more song')}")


def amount_in_words(expected: int) -> str:
    """Return about how many bytes files take, and whether they can be mailed."""
    from stemsplit.words import size

    return f"about {size(expected)}" + ("; most mail takes up to 25 MB" if expected > MAILED else "")


def tell_of_sizes(extra: "Extra", wanted: "Sequence[tuple[Job, int | None]]", quiet: bool) -> int:
    """Print how large further files of one kind will be, unless they are small; return their total in bytes.

    Args:
        extra: kind of the files.
        wanted: songs, and about how many bytes the file of each takes; None if unknown.
        quiet: whether to print nothing.
    """
    from stemsplit.terminal import console
    from stemsplit.words import counted

    total = sum(expected or 0 for _, expected in wanted)
    unknown = sum(expected is None for _, expected in wanted)
    if wanted and not quiet and (unknown or total > SMALL * len(wanted)):
        (job, _), others = wanted[0], len(wanted) > 1
        name = (
            f"the {extra.name}s of {counted(len(wanted), 'song')}" if others else f"{job.path}: {extra.place(job).name}"
        )
        amount = amount_in_words(total) if total else "an unknown amount, as the length is unknown"
        more = f", and more for {counted(unknown, 'song')} of unknown length" if total and unknown else ""
        console.note(f"{name} will take {amount}{more}")
    return total


def tell_of_lacking(outcome: "Outcome") -> None:
    """Print which further files a song lacks, or that the page beside it is out of date."""
    from stemsplit.disk.files import size_of
    from stemsplit.terminal import console

    for name, why in outcome.lacking.items():
        console.error(f"{outcome.job.path} has no {name}: {why}")
    asked = {*outcome.lacking, *outcome.extras}
    # Looked at first: the usual case must not cost an import.
    if "page" in asked or size_of(outcome.job.beside("listen", ".html")) is None:
        return
    from stemsplit.errors import StemsplitError
    from stemsplit.listening.song_pages import outdated

    with suppress(StemsplitError):
        if page := outdated(outcome):
            console.warning(f"{page} still plays the stems of an earlier run; --page renews it")
