"""Says in one line why a song failed, whatever was raised."""

from pathlib import Path
from traceback import walk_tb

from stemsplit import libraries
from stemsplit.errors import StemsplitError
from stemsplit.songs.job import Job

LONGEST = 300
"""Characters of an unexpected error's own message that are shown."""


def is_lost_device(error: BaseException) -> bool:
    """Return whether the device that computes is gone, so that every other song would fail, too."""
    # By name: to import PyTorch takes seconds, and this error comes from it.
    return any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__) or (
        isinstance(error, RuntimeError) and str(error).startswith("CUDA error")
    )


def place(error: BaseException) -> str:
    """Return the last line of stemsplit's own code that an error went through, for a bug report."""
    frames = [(frame, line, str(frame.f_globals.get("__name__"))) for frame, line in walk_tb(error.__traceback__)]
    own = [(frame, line) for frame, line, module in frames if module.partition(".")[0] == "stemsplit"]
    if not own:
        return ""
    frame, line = own[-1]
    return f" in {Path(frame.f_code.co_filename).name}:{line}"


def unexpected(error: BaseException) -> str:
    """Return a message about an error that nobody foresaw, with what a bug report needs."""
    told = " ".join(str(error).split())[:LONGEST]
    return f"unexpected {type(error).__name__}{place(error)}{f': {told}' if told else ''}"


def reason(error: Exception, job: Job, doing: str) -> str:
    """Return a message that says why a song failed.

    Args:
        error: what was raised.
        job: job of the song.
        doing: what was being done with it, such as "splitting".
    """
    if isinstance(error, StemsplitError) and str(error):
        # What the network or a device says is not about a song, and a batch has many.
        return str(error) if str(job.path) in str(error) else f"cannot split {job.path}: {error}"
    if told := libraries.failure(error):
        return f"cannot split {job.path}: {told}"
    if isinstance(error, OSError):
        return f"cannot split {job.path} ({error.strerror or error}: {error.filename or job.options.out})"
    if isinstance(error, MemoryError):
        return str(error) or f"out of memory while {doing} {job.path}"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return f"cannot split {job.path} (the system starts no more threads); end other programs, or raise `ulimit -u`"
    return f"cannot split {job.path}: {unexpected(error)}; please report it"
