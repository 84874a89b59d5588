"""Looks at a song before it is computed: claims it, decodes it once, opens the files of its stems."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from stemsplit.audio import examine
from stemsplit.disk.claim import BusyError, Claim
from stemsplit.disk.files import check_space, sha256
from stemsplit.errors import AudioError
from stemsplit.songs import commit
from stemsplit.songs.job import Job, Outcome
from stemsplit.songs.stem_files import StemFiles


@dataclass(frozen=True)
class Busy:
    """A song that another process works on.

    Args:
        job: what is to be done with it.
        beat: changes as long as that process lives.
    """

    job: Job
    beat: int


class GivenUpError(Exception):
    """The batch ends: what is begun is to be left."""


@dataclass(frozen=True)
class Course:
    """What all songs of a batch share.

    Args:
        tell: is told what people should know besides outcomes, in a sentence.
        ending: set when the batch is to end.
    """

    tell: Callable[[str], object]
    ending: Event = field(default_factory=Event)

    def pulse(self) -> None:
        """Raises GivenUpError if the batch is to end."""
        if self.ending.is_set():
            raise GivenUpError


def opened(job: Job, held: Claim, course: Course) -> StemFiles:
    """Look at a whole song and open its files.

    Raises:
        AudioError, OSError: it cannot be split.
        GivenUpError: the batch is to end.
    """
    if obstacle := job.obstacle():
        raise AudioError(obstacle)
    try:
        stat = job.path.stat()
        song = examine(job.path, job.options.start, job.options.duration, course.pulse)
        digest = sha256(job.path, course.pulse)
    except OSError as error:
        raise AudioError(f"cannot read {job.path} ({error.strerror})") from error
    check_space(job.options.out, job.size)
    return StemFiles(job, song, digest, stat, held)


def prepare(job: Job, course: Course) -> StemFiles | Outcome | Busy:
    """Look at a whole song and open its files, unless it was split before or another process works on it.

    Returns:
        The files; or what became of the song, if that is all there is to do; or that another process works on it.
    """
    if job.problem:
        return Outcome(job, job.problem)
    try:
        held = commit.hold(job, course.tell)
    except BusyError as error:
        return Busy(job, error.beat)
    except AudioError as error:
        return Outcome(job, str(error), cause=error)
    try:
        if not job.options.force and (record := job.written()):
            held.release()
            return Outcome(job, record=record, skipped=True)
        return opened(job, held, course)
    except GivenUpError:
        held.release()
        return Outcome(job, "the batch was ended")
    except (AudioError, OSError, MemoryError) as error:
        held.release()
        return Outcome(job, reason(error, job, "looking at"), cause=error)


def reason(error: Exception, job: Job, doing: str) -> str:
    """Why a song failed, in words."""
    if isinstance(error, OSError):
        return f"cannot split {job.path} ({error.strerror or error}: {error.filename or job.options.out})"
    return str(error) or f"out of memory while {doing} {job.path}"
