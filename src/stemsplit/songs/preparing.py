"""Prepares a song: claims it, decodes it once to its end, and opens the files of its stems."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event

from stemsplit.audio import examine
from stemsplit.disk.claim import BusyError, Claim
from stemsplit.disk.digest import sha256
from stemsplit.disk.space import check_space
from stemsplit.errors import AudioError, PlaceError
from stemsplit.songs import commit, record, trial
from stemsplit.songs.elsewhere import FullError
from stemsplit.songs.failures import reason
from stemsplit.songs.job import Job
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.record import Record
from stemsplit.songs.sharing import tries
from stemsplit.songs.stem_files import StemFiles


@dataclass(frozen=True)
class Busy:
    """A song that another process works on.

    Args:
        job: job of the song.
        beat: number that changes as long as that process is alive.
        alive: whether it is certainly alive, though it may be stopped.
        host: name of its machine; empty if it is not known.
    """

    job: Job
    beat: int
    alive: bool = False
    host: str = ""

    def stalled(self, seconds: float) -> str:
        """Return the message for a song that another process neither finishes nor gives up."""
        silent = f"showed no life for {seconds / 60:g} minutes"
        return f"another process holds {self.job.song}, and {silent}; end it, and try again"

    def taken_over(self, seconds: float) -> str:
        """Return the message for a song whose process seems to be gone, with its machine."""
        where = f"on {self.host} " if self.host else ""
        return f"the process {where}that worked on {self.job.song} showed no life for {seconds / 60:g} minutes; " + (
            "it is split here now"
        )


@dataclass(frozen=True)
class Full:
    """A song that comes from or goes to an address, and has to wait for room on this machine.

    Args:
        job: job of the song.
    """

    job: Job


class GivenUpError(Exception):
    """The batch is ending, so the song is given up."""


@dataclass(frozen=True)
class Course:
    """The state that all songs of a batch share.

    Args:
        tell: called with a message that people should see besides outcomes.
        ending: event that is set when the batch is to end.
        stale: record of each song that is to be taken over -> beat of the process that is taken for gone.
    """

    tell: Callable[[str], object]
    ending: Event = field(default_factory=Event)
    stale: dict[Path, int] = field(default_factory=dict)

    def pulse(self) -> None:
        """Raise GivenUpError if the batch is to end."""
        if self.ending.is_set():
            raise GivenUpError


def given_up(clean_up: Callable[[], object]) -> None:
    """Clean up after a song. What cannot be removed now is left to the end of the batch, or to the next run."""
    with suppress(Exception):  # the song's own error is the one to tell
        clean_up()


def taken_over(job: Job, held: Claim) -> Busy | Outcome | None:
    """Return what became of a song that cannot be finished, if another process took it over; None if none did.

    Args:
        job: job of the song.
        held: hidden folder of the song.
    """
    if held.is_lost:
        return Busy(job, 0)
    if held.is_removed:
        with suppress(AudioError):
            found = job.recorded()
            if job.is_done(found):
                return Outcome(job, record=found, skipped=True)
    return None


def opened(job: Job, held: Claim, found: Record | None, course: Course) -> StemFiles:
    """Decode a whole song once, to check it, and open its files.

    Args:
        job: job of the song.
        held: hidden folder of the song.
        found: record of an earlier run, if there is one.
        course: state of the batch.

    Raises:
        AudioError, OSError: the song cannot be split.
        GivenUpError: the batch is to end.
    """
    if obstacle := job.obstacle(found):
        raise PlaceError(obstacle)
    try:
        stat = job.path.stat()
        song = examine(job.path, job.options.start, job.options.duration, course.pulse, job.options.track)
        for note in song.notes:
            course.tell(f"{job.song}: {note}")
        digest = sha256(job.path, course.pulse)
    except OSError as error:
        raise AudioError(f"cannot read {job.path} ({error.strerror})") from error
    # Not by the header, which may not hold the length. Written as text, as in an ogg, a picture takes a third more.
    if refused := job.format.refusal(song.sample_rate, song.channels, song.speakers, song.frames):
        raise AudioError(f"cannot write the stems of {job.path}: {refused}")
    size = replace(job, channels=song.channels).size_for(job.format.frames(song.frames, song.sample_rate))
    if problem := trial.too_large(job, size // len(job.options.outputs)):
        raise AudioError(problem)
    # As tracks, and all in one file. AAC of the default bitrate takes less than half of the bound.
    twice = job.format.holds_all and bool(job.format.bits or job.format.bitrate)
    needed = (1 + twice) * size + len(job.options.outputs) * len(song.tags.picture) * 4 // 3
    if job.elsewhere and job.elsewhere.sends:
        job.elsewhere.reserve(needed, course.pulse)
    else:
        check_space(job.options.out, needed)
    if caution := job.format.caution(song.channels, song.speakers):
        course.tell(f"{job.song}: {caution}")
    return StemFiles(job, song, digest, stat, held, found)


def released(job: Job, held: Claim) -> None:
    """Give up a song, here and elsewhere."""
    try:
        held.release()
    finally:
        if job.elsewhere:
            job.elsewhere.give_up()


def already_split(job: Job, found: Record | None) -> bool:
    """Return whether a song is already split in the same way. If it had to be read to see that, this is noted."""
    if job.options.force or not found or not job.is_done(found):
        return False
    if job.elsewhere:
        job.elsewhere.confirm(found, job.record)
    elif job.compared:
        record.confirm(job.path, job.record, job.compared[0])
    return True


def brought(job: Job, course: Course) -> Record | None:
    """Claim a song elsewhere, and bring it here if it is not already split; return the record of an earlier run.

    Raises:
        BusyError, FullError, AudioError: see `Elsewhere`.
    """
    away = job.elsewhere
    if away:
        away.begin(job.record, course.pulse)
    found = job.recorded()
    if away and away.fetches and not already_split(job, found):
        away.fetch(job.path, course.pulse)
    return found


def known_to_be_split(job: Job) -> Outcome | None:
    """Return the outcome of a song that was planned as split, without asking anybody elsewhere about it again."""
    with suppress(AudioError):
        if job.elsewhere and (found := job.recorded()):
            job.elsewhere.confirm(found, job.record)
            return Outcome(job, record=found, skipped=True)
    return None


def prepare(job: Job, course: Course) -> StemFiles | Outcome | Busy | Full:
    """Claim a song, check it and open its files, unless it is already split or another process works on it.

    Returns:
        The files; or the outcome, if there is nothing to compute; or `Busy`, if another process works on the song; or
        `Full`, if there is no room for it yet.
    """
    if job.problem:
        return Outcome(job, job.problem)
    if job.elsewhere and job.done and (known := known_to_be_split(job)):
        return known
    try:
        held = commit.hold(job, course.tell, course.stale.get(job.record))
    except BusyError as error:
        return Busy(job, error.beat, error.alive, error.owner.host if error.owner else "")
    except Exception as error:  # of any kind: one song must not end the others
        return Outcome(job, reason(error, job, "looking at"), cause=error)
    try:
        found = brought(job, course)
        if already_split(job, found):
            released(job, held)
            return Outcome(job, record=found, skipped=True)
        if problem := tries.lost(job, held.takeovers + (job.elsewhere.takeovers if job.elsewhere else 0)):
            raise AudioError(problem)
        if not (job.elsewhere and job.elsewhere.sends):
            trial.try_names(held, job)
        return opened(job, held, found, course)
    except GivenUpError:
        released(job, held)
        return Outcome(job, "the batch was ended", blameless=True)
    except FullError:
        released(job, held)
        return Full(job)
    except BusyError as error:
        released(job, held)
        return Busy(job, error.beat)
    except Exception as error:  # of any kind, as above
        overtaken = taken_over(job, held)
        given_up(partial(released, job, held))
        if overtaken:
            return overtaken
        return Outcome(job, reason(error, job, "looking at"), cause=error)
