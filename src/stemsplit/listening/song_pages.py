"""Writes the pages of songs and comparisons once their sound is there, and says beforehand if that will not work."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stemsplit.choices import BitDepth, PageAudio
from stemsplit.comparison.clip_files import RECORD
from stemsplit.errors import AudioError, StemsplitError
from stemsplit.listening import standalone
from stemsplit.listening.mixtures import Mixtures
from stemsplit.listening.piece import Piece
from stemsplit.listening.pieces import opened
from stemsplit.listening.shelf import Item, Kind, title_of
from stemsplit.songs import beside
from stemsplit.songs.job import Job
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.record import Record
from stemsplit.words import size


class _Given(Mixtures):
    """Gives the song that was split."""

    def __init__(self, song: Path) -> None:
        super().__init__()
        self.song = song

    def find(self, song: Mapping[str, Any], folder: Path, root: Path) -> Path | None:  # noqa: ARG002  # of any
        """Return the song's file."""
        return self.song


def piece_of(job: Job) -> Piece:
    """Return what a song's page plays: the song, and all stems that its record names.

    Raises:
        AudioError: something of it is not as the record says.
    """
    out = str(job.options.out)
    item = Item(title_of(job.below(job.record).parts, out), Kind.song, str(job.record), out)
    piece = opened(item, _Given(job.path))
    if missing := [text for text in (piece.no_song, *piece.notes) if text]:
        raise AudioError("; ".join(missing))
    return piece


def page_of_clips(title: str, audio: PageAudio, folder: Path, file: IO[bytes]) -> None:
    """Write the page of a comparison.

    Args:
        title: title of the page.
        audio: codec of the page's sound.
        folder: folder of the clips and their record, which nobody else writes to.
        file: file to write to.

    Raises:
        AudioError: something of it is not as the record says.
    """
    piece = opened(Item(title, Kind.comparison, str(folder / RECORD), str(folder)), Mixtures())
    if missing := [text for text in (piece.no_song, *piece.notes) if text]:
        raise AudioError("; ".join(missing))
    standalone.write(piece, audio, file)


def too_large(expected: int, audio: PageAudio) -> str:
    """Say why a page is too large, and what to do; the text is empty if it is not.

    Args:
        expected: bytes that it takes.
        audio: codec of its sound.
    """
    if expected <= standalone.LIMIT:
        return ""
    smaller = "--page-audio opus, or " if audio == PageAudio.flac else ""
    limit = size(standalone.LIMIT)
    what = f"it would take about {size(expected)}, and the limit is {limit}, as browsers need that much memory"
    return f"{what}; try {smaller}an excerpt with --duration, or write it anyway with --force"


@dataclass
class SongPages:
    """Writes pages to listen to, each beside the stems that it plays; an `Extra`.

    Args:
        audio: codec of the pages' sound.
        force: whether pages may be larger than `standalone.LIMIT`, and replace files that are not ours.
    """

    audio: PageAudio
    force: bool = False
    name = "page"

    def place(self, job: Job) -> Path:
        """See `Extra`."""
        return job.beside("listen", ".html")

    def expected(self, job: Job, found: Record | None = None) -> int | None:
        """See `Extra`."""
        tracks, bits = 1 + len(job.options.outputs), 16 if job.format.depth == BitDepth.b16 else 24
        if found:
            frames, rate, channels = (found.figures[name] for name in ("frames", "sample_rate", "channels"))
            tracks = 1 + sum(facts["file"] is not None for facts in found.stems.values())
        elif job.size is None or not job.seconds:
            return None
        else:
            frames, channels = job.size // job.size_for(1), job.channels
            rate = max(round(frames / job.seconds), 1)
        return standalone.expected_size(frames, rate, channels, tracks, self.audio, bits)

    def problem(self, job: Job, found: Record | None = None) -> str:
        """See `Extra`."""
        path = self.place(job)
        if link := job.link([path]):
            return f"{link} is a link, which is not followed"
        if told := beside.obstacle(path, standalone.MARK.encode(), self.force):
            return told
        rate = found.figures["sample_rate"] if found else round((job.size or 0) / job.size_for(1) / (job.seconds or 1))
        if rate and (told := standalone.refusal(rate, found.figures["channels"] if found else job.channels)):
            return told
        expected = self.expected(job, found)
        return "" if self.force else too_large(expected or 0, self.audio)

    def is_current(self, job: Job) -> bool:
        """See `Extra`."""
        digest = standalone.digest_of(job.record)
        return standalone.holds(self.place(job), standalone.mark(digest, self.audio))

    def is_usage(self, job: Job, why: str) -> bool:
        """See `Extra`."""
        return why == too_large(self.expected(job, job.recorded() if job.done else None) or 0, self.audio)

    def write(self, outcome: Outcome) -> str:
        """See `Extra`."""
        job, path = outcome.job, self.place(outcome.job)
        if self.is_current(job) and (outcome.skipped or not self.force):
            return ""
        try:
            if problem := self.problem(job, outcome.record):
                raise AudioError(problem)
            standalone.save(piece_of(job), self.audio, path, self.force)
        except StemsplitError as error:
            if standalone.holds(path, standalone.MARK.encode()):
                raise AudioError(f"{error}; the page that is there is of an earlier run") from error
            raise
        return f"{job.path}: {path.name} takes {size(path.stat().st_size)}"


def outdated(outcome: Outcome) -> Path | None:
    """Return the page beside a song's stems if it plays those of an earlier run; None otherwise."""
    path = outcome.job.beside("listen", ".html")
    if not outcome.record or not standalone.holds(path, standalone.MARK.encode()):
        return None
    digest = standalone.digest_of(outcome.job.record)
    return None if standalone.holds(path, f"{standalone.MARK}{digest} ".encode()) else path
