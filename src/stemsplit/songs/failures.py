"""Says in one line why a song of a batch failed."""

from stemsplit import libraries
from stemsplit.errors import AudioError, DeviceError, PlaceError
from stemsplit.failures import cause
from stemsplit.songs.job import Job


def is_foreign(error: BaseException) -> bool:
    """Return whether an error came from the machine, the network or a place instead of the song."""
    seen, behind = set[int](), error
    while id(behind) not in seen:  # errors may cause each other in a circle
        if isinstance(behind, OSError | MemoryError | PlaceError | DeviceError):
            return True
        seen.add(id(behind))
        behind = behind.__cause__ or behind.__context__ or behind
    return False


def reason(error: Exception, job: Job, doing: str) -> str:
    """Return a message that says why a song failed, and names it.

    Args:
        error: what was raised.
        job: job of the song.
        doing: what was being done with it, such as "splitting".
    """
    if isinstance(error, OSError) and not libraries.failure(error):
        return f"cannot split {job.path} ({error.strerror or error}: {error.filename or job.options.out})"
    told = cause(error, f"{doing} {job.path}")
    # What the network or a device says is not about a song, and a batch has many.
    named = isinstance(error, AudioError) or str(job.path) in told
    return told if named else f"cannot split {job.path}: {told}"
