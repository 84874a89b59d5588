"""How long the quick commands take, as multiples of an empty Python: `python -m tests.benchmarks.startup`."""

import resource
import statistics
import subprocess
import sys

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "stemsplit list": ["-m", "stemsplit", "list"],
    "stemsplit list --json": ["-m", "stemsplit", "list", "--json"],
    "stemsplit info mel-roformer": ["-m", "stemsplit", "info", "mel-roformer"],
    "stemsplit --help": ["-m", "stemsplit", "--help"],
    "stemsplit --version": ["-m", "stemsplit", "--version"],
}
ROUNDS = 11


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Run all commands in turn, and print each one's median."""
    rounds = [{name: cpu_seconds(arguments) for name, arguments in COMMANDS.items()} for _ in range(ROUNDS)]
    medians = {name: statistics.median(times[name] for times in rounds) for name in COMMANDS}
    for name, seconds in medians.items():
        print(f"{name:30} {1000 * seconds:6.0f} ms  {seconds / medians['python -c pass']:5.1f}x")


if __name__ == "__main__":
    main()
