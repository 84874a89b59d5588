"""Runs the command on two machines, as far as it can tell, that share a disk without locks.

python tests/cli/two_machines.py WORK '[ARGUMENT, ...]'

Both are forks of one process, which loads PyTorch once. First, both run the command at the same time in WORK/both.
Then the first starts it in WORK/stopped, and stands still when all stems of its first song are whole and the journal is
to be written. The second runs the command to its end, and only then the first goes on. Prints a line of JSON for each:
its folder, exit status and what it printed.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from stemsplit.disk import heartbeat, owner
from stemsplit.disk.claim import Claim
from stemsplit.songs import pipeline
from tests.cli.crashing import command

decide = Claim.decide


def no_locks(*_: object) -> None:
    """Answer as a disk without locks."""
    raise OSError(37, "No locks available")


def stand_still(self: Claim, name: str, content: bytes) -> None:
    """Stop before the journal is written, once."""
    Claim.decide = decide  # type: ignore[method-assign]
    # To this thread: sent to the process, another thread may get it while this one goes on.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    self.decide(name, content)


def start(name: str, folder: Path, arguments: list[str], stops: bool = False) -> int:
    """Start the command on a machine; returns the number of its process."""
    if process := os.fork():
        return process
    status = 70
    try:
        owner._start_of_machine = lambda: name  # type: ignore[assignment]
        if stops:
            Claim.decide = stand_still  # type: ignore[method-assign]
        out = folder / name
        out.mkdir()
        status = command(out, arguments)
    finally:
        os._exit(status)


def ended(process: int) -> int:
    """Wait for a process; returns its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> None:
    """Run both."""
    work, arguments = Path(sys.argv[1]), json.loads(sys.argv[2])
    fcntl.flock = no_locks  # type: ignore[assignment]
    heartbeat.SECONDS, pipeline.STALLED_SECONDS, pipeline.POLL_SECONDS = 0.1, 1.0, 0.05
    (work / "warm").mkdir()
    command(work / "warm", arguments)  # brings in all that the forks need
    shutil.rmtree(work / "stems")
    both, stopped = work / "both", work / "stopped"
    for folder in (both, stopped):
        folder.mkdir()
    heartbeat._start.cache_clear()
    statuses = [ended(process) for process in [start(name, both, arguments) for name in ("one", "other")]]
    shutil.move(work / "stems", both / "stems")
    first = start("one", stopped, arguments, stops=True)
    os.waitpid(first, os.WUNTRACED)
    statuses.append(ended(start("other", stopped, arguments)))
    os.kill(first, signal.SIGCONT)
    statuses.append(ended(first))
    shutil.move(work / "stems", stopped / "stems")
    print(json.dumps(statuses))


if __name__ == "__main__":
    main()
