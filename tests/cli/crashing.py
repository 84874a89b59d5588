"""Runs the command again and again, killed one step later each time, and each time once more to its end.

python tests/cli/crashing.py WORK '[ARGUMENT, ...]' '[[ARGUMENT, ...], ...]' ['[ARGUMENT, ...]']

A step is whatever changes files below `stems`, by their paths or by a name in an open folder: making, opening, renaming
or removing one. Each time the command starts
in WORK/STEP, a copy of WORK/before. The third argument is the commands of which one runs before it is started again:
each in a copy, WORK/STEP-NUMBER, of what the kill left; with none of them, it is started again in WORK/STEP. The fourth
is one that runs in WORK/before at the very first, and has to end well. Prints a line of JSON for each time that the
command was started again, with its folder; the last one is that where it ended undisturbed. All are forks of one
process, which loads PyTorch once.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import chdir
from functools import cache
from pathlib import Path

import typer

from stemsplit import cli

# The forks find the parser of the command line built, if it was once used before.
typer.main.get_command = cache(typer.main.get_command)

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "open")


class Killer:
    """Counts steps, as Python's audit hook, and kills its process before one of them.

    Args:
        step: before which.
        told: file descriptor on which that is told.
    """

    def __init__(self, step: int, told: int) -> None:
        self.left, self.told = step, told

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event not in CHANGES or not isinstance(name := arguments[0], str | bytes | os.PathLike):
            return
        reads = event == "open" and not int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        # What is opened in an open folder is told by its name alone.
        in_folder = len(Path(os.fsdecode(name)).parts) == 1 and (event == "open" or arguments[-1] != -1)
        if reads or not (in_folder or os.fsdecode(name).startswith("stems")):
            return
        self.left -= 1
        if self.left == 0:
            os.write(self.told, f"{event} {os.fsdecode(name)}".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def command(folder: Path, arguments: Sequence[str], said: str = "") -> int:
    """Be the command in a folder; gives its exit status.

    Args:
        folder: where.
        arguments: of the command.
        said: what the names of `out.txt` and `err.txt`, which get what it says, begin with; from the folder.
    """
    kept = [os.dup(1), os.dup(2)]
    with chdir(folder):
        for number, name in ((1, "out.txt"), (2, "err.txt")):
            os.dup2(os.open(said + name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["stemsplit", *arguments]
        try:
            cli.main()
        except SystemExit as leaving:
            return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        finally:
            for number, old in enumerate(kept, 1):
                os.dup2(old, number)
    return 0


def run(folder: Path, arguments: Sequence[str], step: int = 0) -> tuple[int, str]:
    """Exit status of the command, negative if it was killed, and before what that was."""
    reading, writing = os.pipe()
    if not (process := os.fork()):
        if step:
            sys.addaudithook(Killer(step, writing))
        status = 70
        try:
            status = command(folder, arguments)
        finally:
            os._exit(status)
    os.close(writing)
    _, status = os.waitpid(process, 0)
    with os.fdopen(reading) as pipe:
        return os.waitstatus_to_exitcode(status), pipe.read()


def tell(folder: Path, before: str, status: int) -> None:
    """Print what became of a command that was killed before a step, or of one that was not."""
    print(json.dumps({"folder": folder.name, "before": before, "status": status}), flush=True)


def again(folder: Path, arguments: Sequence[str], before: str) -> None:
    """Start a killed command again, in its folder, and print what became of it."""
    status, _ = run(folder, arguments)
    tell(folder, before, status)


def main() -> None:
    """Kill before every step."""
    work, arguments, between = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
    if sys.argv[4:] and command(work / "before", json.loads(sys.argv[4])):
        sys.exit((work / "before" / "err.txt").read_text())
    shutil.copytree(work / "before", work / "warm")
    command(work / "warm", arguments)  # brings in all that the forks need
    step, before = 0, "the first"
    while before:
        step += 1
        folder = work / str(step)
        shutil.copytree(work / "before", folder)
        status, before = run(folder, arguments, step)
        for number, other in enumerate(between if before else []):
            shutil.copytree(folder, copy := work / f"{step}-{number}")
            run(copy, other)
            again(copy, arguments, before)
        if before and not between:
            again(folder, arguments, before)
    tell(folder, before, status)


if __name__ == "__main__":
    main()
