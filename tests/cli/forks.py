"""Runs commands in processes of their own, all forks of this one, which loads PyTorch once.

python tests/cli/forks.py SECONDS, which reads lines of JSON: {"folder": ..., "arguments": [...], "environment": {...}}.
Each is answered with the exit status, negative if a signal ended the command, as it does after so many seconds. What
the command said is left in its folder, in `out.txt` and `err.txt`.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import crashing  # it lies beside this file

# Whatever a split needs.
import stemsplit.cli.app
import stemsplit.cli.split
import stemsplit.engine.separator
import stemsplit.models.sudormrf
import stemsplit.songs.pipeline  # noqa: F401


def run(folder: Path, arguments: Sequence[str], environment: Mapping[str, str], seconds: int) -> int:
    """Exit status of the command, negative if a signal ended it."""
    if not (process := os.fork()):
        status = 70
        try:
            os.environ.update(environment)
            signal.alarm(seconds)
            status = crashing.command(folder, arguments)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> None:
    """Answer until there is nothing more to read."""
    for line in sys.stdin:
        asked = json.loads(line)
        status = run(Path(asked["folder"]), asked["arguments"], asked["environment"], int(sys.argv[1]))
        print(status, flush=True)


if __name__ == "__main__":
    main()
