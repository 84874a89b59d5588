"""Runs commands in processes of their own, all forks of this one, which loads PyTorch once.

python tests/cli/forks.py SECONDS, which reads lines of JSON and answers each. For {"folder": ..., "arguments": [...],
"environment": {...}, "said": ...} it starts a command, which ends after so many seconds, and answers with the number of
its process. `said` is what the names of `out.txt` and `err.txt` begin with, where what the command says is left, as
seen from its folder. For {"process": ..., "wait": ...} it answers with the exit status, negative if a signal ended the
command; or with null if it still runs and is not to be waited for.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import crashing  # it lies beside this file

# Whatever a split needs that is imported late.
import stemsplit.cli.loading
import stemsplit.engine.chain
import stemsplit.models.bs_roformer
import stemsplit.models.fullsubnet_plus
import stemsplit.models.mel_band_roformer
import stemsplit.models.roformer_variants
import stemsplit.models.sudormrf
import stemsplit.songs.pipeline
import stemsplit.terminal.songs
import stemsplit.terminal.splitting  # noqa: F401


def start(folder: Path, arguments: Sequence[str], environment: Mapping[str, str], said: str, seconds: int) -> int:
    """Number of a process in which the command was started."""
    if not (process := os.fork()):
        status = 70
        try:
            os.environ.update(environment)
            signal.alarm(seconds)
            status = crashing.command(folder, arguments, said)
        finally:
            os._exit(status)
    return process


def main() -> None:
    """Answer until there is nothing more to read."""
    seconds = int(sys.argv[1])
    with TemporaryDirectory() as empty:
        crashing.command(Path(empty), ["missing.wav", "--dry-run"])  # brings in the rest, and builds the parser
    for line in sys.stdin:
        asked = json.loads(line)
        if "process" in asked:
            ended, status = os.waitpid(asked["process"], 0 if asked["wait"] else os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        else:
            folder, said = Path(asked["folder"]), asked["said"]
            answer = start(folder, asked["arguments"], asked["environment"], said, seconds)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
