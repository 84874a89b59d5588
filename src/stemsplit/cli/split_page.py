"""Has the options for pages to listen to, and prints beforehand how large the pages of songs will be."""

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.choices import PageAudio
from stemsplit.cli.split_notes import FEW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stemsplit.listening.song_pages import SongPages
    from stemsplit.songs.job import Job, Outcome

MAILED = 25_000_000
"""Bytes that most mail takes."""

PAGES = "Page"
"""Panel of the command's help."""

Page = Annotated[
    bool,
    typer.Option(
        "--page",
        help="Also write listen.html: one file to open in a browser or to mail, which holds all it plays.",
        rich_help_panel=PAGES,
    ),
]
Audio = Annotated[
    PageAudio | None,
    typer.Option(
        "--page-audio",
        help="Sound in the page: opus is small; flac is exact, for hearing what the stems miss. Default: opus.",
        rich_help_panel=PAGES,
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
        raise typer.BadParameter(f"{reason}: --page-audio")
    return audio or PageAudio.opus


def song_pages(page: bool, audio: PageAudio | None, force: bool, quiet: bool) -> "SongPages | None":
    """Return what writes the pages of a run; None if no page is asked for.

    Raises:
        typer.BadParameter: see `audio_of`.
    """
    codec = audio_of(page, audio)
    if codec is None:
        return None
    from stemsplit.listening.song_pages import SongPages
    from stemsplit.terminal import console

    return SongPages(codec, force, (lambda _: None) if quiet else console.note)


def foreseen(pages: "SongPages", job: "Job") -> dict[str, Any]:
    """Return what is known beforehand of a song's page: its path, about how many bytes it takes, why there is none.

    Bytes are None if the song's length is unknown, and 0 if the page is there already.
    """
    found = job.recorded() if job.done else None
    data: dict[str, Any] = {"path": str(pages.path(job)), "bytes": None, "error": None}
    if job.problem:
        return data
    if found and pages.is_current(job):
        return {**data, "bytes": 0}
    return {**data, "bytes": pages.expected(job, found), "error": pages.problem(job, found) or None}


def amount_in_words(expected: int) -> str:
    """Return about how many bytes a page takes, and whether it can be mailed."""
    from stemsplit.words import size

    return f"about {size(expected)}" + ("; most mail takes up to 25 MB" if expected > MAILED else "")


def tell_of_pages(pages: "SongPages", jobs: "Sequence[Job]", quiet: bool) -> int:
    """Print how large the pages of songs will be, and which songs will have none.

    Returns:
        Bytes of all pages whose size is known.

    Raises:
        typer.BadParameter: the only song's page would be too large.
        AudioError: the only song's page cannot be written.
    """
    from stemsplit.errors import AudioError
    from stemsplit.listening.song_pages import too_large
    from stemsplit.terminal import console
    from stemsplit.words import counted

    known = [(job, foreseen(pages, job)) for job in jobs if not job.problem]
    refused = [(job, page) for job, page in known if page["error"]]
    if refused and len(jobs) == 1:
        job, page = refused[0]
        told = f"cannot write the page of {job.path}: {page['error']}"
        is_usage = page["error"] == too_large(page["bytes"] or 0, pages.audio)
        raise typer.BadParameter(told) if is_usage else AudioError(told)
    for job, page in refused[:FEW]:
        console.warning(f"{job.path} will have no page: {page['error']}")
    if len(refused) > FEW:
        console.warning(f"the same is true of {counted(len(refused) - FEW, 'more song')}")
    wanted = [(job, page["bytes"]) for job, page in known if not page["error"] and page["bytes"] != 0]
    total = sum(expected or 0 for _, expected in wanted)
    unknown = sum(expected is None for _, expected in wanted)
    if wanted and not quiet:
        (job, _), others = wanted[0], len(wanted) > 1
        name = f"the pages of {counted(len(wanted), 'song')}" if others else f"{job.path}: {pages.path(job).name}"
        amount = amount_in_words(total) if total else "an unknown amount, as the length is unknown"
        more = f", and more for {counted(unknown, 'song')} of unknown length" if total and unknown else ""
        console.note(f"{name} will take {amount}{more}")
    return total


def with_page(pages: "SongPages", outcome: "Outcome") -> "Outcome":
    """Return a song's outcome once its page is written, or after printing why it has none."""
    from stemsplit.terminal import console

    shown = console.PEOPLE.is_terminal and pages.tell is console.note
    with console.PEOPLE.status("writing the page") if shown else nullcontext():
        outcome = pages.made(outcome)
    if outcome.pageless:
        console.error(f"{outcome.job.path} has no page: {outcome.pageless}")
    return outcome


def tell_of_outdated(outcome: "Outcome") -> None:
    """Print that the page beside a song's stems plays others, as a run without `--page` replaced them."""
    from stemsplit.disk.files import size_of
    from stemsplit.terminal import console

    if size_of(outcome.job.beside("listen", ".html")) is None:  # the usual case, which must not cost an import
        return
    from stemsplit.errors import StemsplitError
    from stemsplit.listening.song_pages import outdated

    with suppress(StemsplitError):
        if page := outdated(outcome):
            console.warning(f"{page} still plays the stems of an earlier run; --page renews it")
