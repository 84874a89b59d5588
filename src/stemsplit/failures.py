"""Says in one line why a song failed, whatever was raised: one song's error, of any kind, must not end the others."""

from pathlib import Path
from traceback import walk_tb

from stemsplit import libraries
from stemsplit.errors import StemsplitError

LONGEST = 300
"""Characters of an unexpected error's own message that are shown."""


def is_lost_device(error: BaseException) -> bool:
    """Return whether the device that computes is gone, so that every other song would fail, too."""
    # By name: to import PyTorch takes seconds, and this error comes from it.
    named = any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__)
    return named or (isinstance(error, RuntimeError) and str(error).startswith("CUDA error"))


def _place(error: BaseException) -> str:
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
    return f"unexpected {type(error).__name__}{_place(error)}{f': {told}' if told else ''}; please report it"


def cause(error: Exception, doing: str) -> str:
    """Return what failed and what to try, in one line.

    Args:
        error: what was raised.
        doing: what was being done, such as "splitting a.wav".
    """
    if isinstance(error, StemsplitError) and str(error):
        return str(error)
    if told := libraries.failure(error):
        return str(told)
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}, while {doing}"
    if isinstance(error, MemoryError):
        return str(error) or f"out of memory while {doing}"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return f"the system starts no more threads, while {doing}; end other programs, or raise `ulimit -u`"
    return unexpected(error)
