"""Writes the pages of songs and comparisons once their sound is there, and says beforehand if that will not work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from stemsplit.choices import BitDepth, PageAudio
from stemsplit.comparison.clip_files import RECORD
from stemsplit.errors import AudioError, StemsplitError
from stemsplit.failures import cause
from stemsplit.listening import standalone
from stemsplit.listening.mixtures import Mixtures
from stemsplit.listening.piece import Piece
from stemsplit.listening.pieces import opened
from stemsplit.listening.shelf import Item, Kind, title_of
from stemsplit.songs import beside
from stemsplit.songs.job import Job, Outcome
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
    return f"{what}; try {smaller}an excerpt with --duration, or write it all the same with --force"


@dataclass
class SongPages:
    """The pages of a run.

    Args:
        audio: codec of the pages' sound.
        force: whether pages may be larger than `standalone.LIMIT`, and replace files that are not ours.
        tell: called with a message about each page that was written.
    """

    audio: PageAudio
    force: bool = False
    tell: Callable[[str], object] = lambda _: None

    def path(self, job: Job) -> Path:
        """Return the file of a song's page, which lies beside its record."""
        return job.beside("listen", ".html")

    def expected(self, job: Job, found: Record | None = None) -> int | None:
        """Return about how many bytes a song's page will take; None if its length is unknown.

        Args:
            job: job of the song.
            found: its record; None if it is not split yet.
        """
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
        """Say why a song will have no page, as far as that is known; the text is empty if it can have one.

        Args:
            job: job of the song.
            found: its record; None if it is not split yet.
        """
        path = self.path(job)
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
        """Return whether a song has the page that would be written for its present record."""
        digest = standalone.digest_of(job.record)
        return standalone.holds(self.path(job), standalone.mark(digest, self.audio))

    def made(self, outcome: Outcome) -> Outcome:
        """Return a song's outcome with its page, which is written unless it is there; or with why there is none."""
        job = outcome.job
        if not outcome.record:
            return outcome
        path = self.path(job)
        try:
            if (self.force and not outcome.skipped) or not self.is_current(job):
                if problem := self.problem(job, outcome.record):
                    raise AudioError(problem)
                standalone.save(piece_of(job), self.audio, path, self.force)
                self.tell(f"{job.path}: {path.name} takes {size(path.stat().st_size)}")
            return replace(outcome, page=path)
        except StemsplitError as error:
            problem = str(error)
        except Exception as error:  # of any kind: one song must not end the others
            problem = cause(error, f"writing the page of {job.path}")
        if standalone.holds(path, standalone.MARK.encode()):
            problem += "; the page that is there is of an earlier run"
        return replace(outcome, pageless=problem)


def outdated(outcome: Outcome) -> Path | None:
    """Return the page beside a song's stems if it plays others, which were there before; None if there is none."""
    path = outcome.job.beside("listen", ".html")
    if not outcome.record or not standalone.holds(path, standalone.MARK.encode()):
        return None
    digest = standalone.digest_of(outcome.job.record)
    return None if standalone.holds(path, f"{standalone.MARK}{digest} ".encode()) else path
