"""How long the quick commands take, as multiples of an empty Python: `python -m tests.benchmarks.startup`."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "stemsplit list": ["-m", "stemsplit", "list"],
    "stemsplit list --json": ["-m", "stemsplit", "list", "--json"],
    "stemsplit list --stems vocals": ["-m", "stemsplit", "list", "--stems", "vocals"],
    "stemsplit info mel-roformer": ["-m", "stemsplit", "info", "mel-roformer"],
    "stemsplit --help": ["-m", "stemsplit", "--help"],
    "stemsplit --version": ["-m", "stemsplit", "--version"],
}
ROUNDS = 11


def cpu_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def medians(rounds: int = ROUNDS) -> dict[str, float]:
    """CPU seconds of each command, all run in turn."""
    with tempfile.TemporaryDirectory() as bytecode:
        # Compiled once and kept, as by pip, whatever this environment says of that; the first round does it.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
        _, *measured = (
            {name: cpu_seconds(arguments, environment) for name, arguments in COMMANDS.items()}
            for _ in range(1 + rounds)
        )
    return {name: statistics.median(times[name] for times in measured) for name in COMMANDS}


def main() -> None:
    """Print each command's median."""
    found = medians()
    for name, seconds in found.items():
        print(f"{name:30} {1000 * seconds:6.0f} ms  {seconds / found['python -c pass']:5.1f}x")


if __name__ == "__main__":
    main()
