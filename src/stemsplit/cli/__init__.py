"""Runs the command line: arguments in, exit status out."""

import os
import re
import signal
import sys

from stemsplit.cli import process, quick, typed
from stemsplit.cli.ending import exit_status
from stemsplit.cli.signals import listen
from stemsplit.errors import StemsplitError


def _open_standard_files() -> None:
    """Open the null device for closed standard files: the next file opened would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _run(arguments: list[str]) -> None:
    """Run the command that the arguments name."""
    if any(argument == "" or re.fullmatch("--[a-z-]+=", argument) for argument in arguments):
        # An empty path would be the working folder.
        _say(ValueError("an argument is empty; is a variable in the command unset?"))
        sys.exit(2)
    try:
        arguments = typed.mended(arguments)
    except ValueError as error:
        _say(error)
        sys.exit(2)
    if quick.answer(arguments):
        return
    from stemsplit.cli import usage
    from stemsplit.cli.app import COMPLETING, app, check_first_word, complete_with_command, with_command

    if COMPLETING in os.environ:
        complete_with_command(os.environ)
    else:
        try:
            typed.check_folder(arguments)
            check_first_word(arguments)
        except ValueError as error:
            _say(error)
            sys.exit(2)
    usage.run(app, with_command(arguments))


def main() -> None:
    """Run the command line and leave with its exit status."""
    _open_standard_files()
    typed.plain_streams()
    if os.environ.get("COLUMNS") == "0":
        # Some terminals without a size set this; rich would draw nothing.
        del os.environ["COLUMNS"]
    listen()
    try:
        _run(sys.argv[1:])
    except StemsplitError as error:
        _say(error)
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does. 13 is SIGPIPE, which the signal module lacks on Windows.
        sys.exit(128 + 13)
    except Exception as error:
        from stemsplit import libraries

        # A full stdout or a vanished folder deserves one line too, though no module words it.
        told = libraries.failure(error) or (error if isinstance(error, OSError) else None)
        if told is None:
            raise
        _say(told)
        sys.exit(1)


def program() -> None:
    """Be the program: run the command line, and end the process."""
    process.hurry()
    status = 0
    try:
        main()
    except SystemExit as leaving:
        if not isinstance(leaving.code, int | None):
            raise
        status = leaving.code or 0
    process.leave(status)


def _say(error: Exception) -> None:
    try:
        from stemsplit.terminal import console  # only now: it takes longer to import than some commands take
    except Exception:  # rich itself may be what does not load
        from stemsplit.words import printable

        if sys.stderr is not None:
            print(f"error: {printable(str(error))}", file=sys.stderr)
    else:
        console.error(str(error))
