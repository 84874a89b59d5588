"""The command line: arguments in, exit status out."""

import os
import re
import signal
import sys
import threading
import time
from types import FrameType

from stemsplit.cli import quick
from stemsplit.errors import DeviceError, RegistryError, StemsplitError, WeightsError

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""What stops a run. Windows has no SIGHUP."""


IMPORT_SECONDS = 10.0
"""That an import may hold a signal up."""

_first_asked: dict[int, float] = {}
"""Signal -> when it came, of those that an import holds up."""


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported where a signal came."""
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _ask_again(number: int) -> None:
    """Send a signal to the main thread once more."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def _stop(number: int, frame: FrameType | None) -> None:
    """Leave through all the clean-up, which further signals must not cut off."""
    # Large libraries swallow an interrupt in their imports, or abort the process.
    if _is_importing(frame) and time.monotonic() - _first_asked.setdefault(number, time.monotonic()) < IMPORT_SECONDS:
        later = threading.Timer(0.05, _ask_again, [number])
        later.daemon = True
        later.start()
        return
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _open_standard_files() -> None:
    """Give closed standard files to the null device: the next file opened would else get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _run(arguments: list[str]) -> None:
    """Run the command that the arguments name."""
    if any(argument == "" or re.fullmatch("--[a-z-]+=", argument) for argument in arguments):
        # An empty path would be the working folder.
        _say(ValueError("an empty argument names nothing; is a variable in the command not set?"))
        sys.exit(2)
    if quick.answer(arguments):
        return
    from stemsplit.cli.app import COMPLETING, app, complete_with_command, with_command

    if COMPLETING in os.environ:
        complete_with_command(os.environ)
    app(with_command(arguments), prog_name="stemsplit")


def main() -> None:
    """Run the command line and leave with its exit status."""
    _open_standard_files()
    if os.environ.get("COLUMNS") == "0":
        # Terminals without a size say so; rich would draw nothing.
        del os.environ["COLUMNS"]
    for number in SIGNALS:
        # Under nohup, SIGHUP is to be ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        _run(sys.argv[1:])
    except StemsplitError as error:
        _say(error)
        sys.exit(3 if isinstance(error, RegistryError | WeightsError) else 2 if isinstance(error, DeviceError) else 1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # Whoever read has seen enough, as `head` has.
        sys.exit(128 + 13)
    except Exception as error:
        from stemsplit import libraries

        # A full stdout or a vanished folder is for people too, though no module found better words for it.
        told = libraries.failure(error) or (error if isinstance(error, OSError) else None)
        if told is None:
            raise
        _say(told)
        sys.exit(1)


def _say(error: Exception) -> None:
    try:
        from stemsplit.terminal import console  # only now: it takes longer to import than some commands take
    except Exception:  # rich itself may be what does not load
        from stemsplit.words import printable

        if sys.stderr is not None:
            print(f"error: {printable(str(error))}", file=sys.stderr)
    else:
        console.error(str(error))
