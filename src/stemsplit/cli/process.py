"""Begins and ends the process of a command quickly, where PyTorch would make both slow."""

import atexit
import gc
import os
import signal
import sys
import threading

GARBAGE = 100_000
"""New objects after which Python looks for garbage while modules are imported, which leave none."""

_usual = gc.get_threshold()


def hurry() -> None:
    """Keep Python's garbage collector from searching modules that are being imported; see `settle`."""
    gc.set_threshold(GARBAGE)


def settle() -> None:
    """Let the garbage collector work as usual, and never search what was imported so far: before long work."""
    # PyTorch's own million objects live as long as the process.
    gc.freeze()
    gc.set_threshold(*_usual)


def _is_watched() -> bool:
    """Return whether a debugger or a profiler, which has work to do at the end, runs this process."""
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12 on
    tools = [monitoring.get_tool(number) for number in range(6)] if monitoring else []
    return bool(sys.gettrace() or sys.getprofile() or any(tools) or sys.flags.inspect)


def leave(status: int) -> None:
    """Exit, without the time that freeing all of PyTorch takes: all that Python does for a child of `multiprocessing`.

    Args:
        status: exit status.

    Raises:
        SystemExit: PyTorch was not loaded, or stdout cannot be written, or a signal came meanwhile.
    """
    if "torch" not in sys.modules or _is_watched():
        sys.exit(status)
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # ends the threads of all pools
        atexit._run_exitfuncs()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        sys.exit(status)  # Python says what is wrong with it
    os._exit(status)
