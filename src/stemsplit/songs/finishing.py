"""Finishes songs that were computed, while the next ones are, and reports outcomes in the order of the songs."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from stemsplit.songs.elsewhere import OvertakenError
from stemsplit.songs.failures import reason
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.preparing import Busy, Course, GivenUpError, given_up, taken_over
from stemsplit.songs.record import Record
from stemsplit.songs.stem_files import StemFiles

SENDERS, SENT = 2, 4
"""Number of songs whose stems are sent to their addresses at a time, and largest number of those that wait for it."""

Report = Callable[[Outcome], object]
"""Called with the outcome of each song, in the order of the songs."""


def started(executor: ThreadPoolExecutor) -> ThreadPoolExecutor:
    """Start an executor's thread now: an interrupt while a thread starts would lose sight of its task."""
    executor.submit(int)
    return executor


def ended(files: StemFiles, error: Exception, doing: str) -> Outcome | Busy:
    """Return what became of a song that cannot be finished."""
    if isinstance(error, OvertakenError):
        return Busy(files.job, 0)
    return taken_over(files.job, files.held) or Outcome(files.job, reason(error, files.job, doing), cause=error)


def finished(files: StemFiles, whole: "Future[Record]", seconds: float, course: Course) -> Outcome | Busy:
    """Bring the files of a song to their places once all of its samples are written.

    Args:
        files: files of the song.
        whole: record of the song, once its files are closed.
        seconds: compute time of the song.
        course: state of the batch.
    """
    try:
        record = whole.result()
        files.settle(record, course.pulse)
    except GivenUpError:
        return Outcome(files.job, "the batch was ended", blameless=True)
    except Exception as error:  # of any kind: one song must not end the others
        return ended(files, error, "finishing")
    finally:
        given_up(files.close)
    notes = (*files.song.notes, *([files.job.conversion] if files.job.conversion else []))
    return Outcome(files.job, record=record, seconds=seconds, notes=notes)


def told(outcome: Outcome) -> Outcome:
    """Return an outcome whose message has addresses in the place of paths of staged files."""
    away = outcome.job.elsewhere
    return replace(outcome, error=away.told(outcome.error)) if away and outcome.error else outcome


class Finishing:
    """Writes and finishes the files of songs in threads of its own. Sending stems away holds up no other song.

    Args:
        report: callback, see `Report`; called in the caller's thread.
        again: called there with each song that another process took over, which may be split again later.
        course: state of the batch.
    """

    def __init__(self, report: Report, again: Callable[[Busy], object], course: Course) -> None:
        self.report, self.again, self.course = report, again, course
        self.writing = started(ThreadPoolExecutor(1, "writing"))
        self.sending = ThreadPoolExecutor(SENDERS, "sending")
        self.ended = deque[Future[Outcome | Busy]]()
        """Songs that are being finished, and outcomes of songs after them, in order."""

    def write(self, work: Callable[..., None], *arguments: Any) -> "Future[None]":
        """Do a part of the writing of a song, after the parts before it."""
        return self.writing.submit(work, *arguments)

    def add(self, files: StemFiles, seconds: float) -> None:
        """Finish a song.

        Args:
            files: files of the song, all of whose samples are handed over.
            seconds: compute time of the song.
        """
        away = files.job.elsewhere
        whole = self.writing.submit(files.whole)
        executor = self.sending if away and away.sends else self.writing
        self.ended.append(executor.submit(finished, files, whole, seconds, self.course))

    def add_ended(self, item: Outcome | Busy) -> None:
        """Report what became of a song, after the songs before it."""
        ended = Future[Outcome | Busy]()
        ended.set_result(item)
        self.ended.append(ended)
        self.report_ended(SENT if item.job.elsewhere else 0)

    def report_ended(self, left: int = 0) -> None:
        """Report the songs that have ended, in order; wait until at most `left` have not."""
        while len(self.ended) > left or (self.ended and self.ended[0].done()):
            item = self.ended.popleft().result()
            if isinstance(item, Busy):
                self.course.tell(f"another process took over {item.job.song}, as this one showed no life for too long")
                self.again(item)
            else:
                self.report(told(item))

    def close(self) -> None:
        """Wait until nothing is written any more. Stems that are being sent are given up if the batch is ending."""
        self.writing.shutdown()
        self.sending.shutdown()
