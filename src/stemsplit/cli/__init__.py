"""The command line: arguments in, exit status out."""

import os
import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import Annotated, NoReturn

import typer

from stemsplit import console
from stemsplit.cli import info, list_, split, train
from stemsplit.errors import DeviceError, RegistryError, StemsplitError, WeightsError

USAGE = """Split songs into stems: vocals, drums, bass and other.

`stemsplit song.flac` writes stems/song/vocals.wav and so on. A first word that is no command is a song.
"""

app = typer.Typer(
    help=USAGE,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("split")(split.split)
app.command("list")(list_.list_)
app.command("info")(info.info)
app.command("train", hidden=True)(train.train)

COMMANDS = ("split", "list", "info", "train")
OWN_OPTIONS = ("-h", "--help", "--version", "--install-completion", "--show-completion")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stemsplit {version('stemsplit')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def with_command(arguments: list[str]) -> list[str]:
    """The arguments with `split` put first, unless they name a command or ask for one of the program's own options."""
    if not arguments or arguments[0] in COMMANDS or arguments[0] in OWN_OPTIONS:
        return arguments
    return ["split", *arguments]


SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""What stops a run. Windows has no SIGHUP."""


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave through all the clean-up, which further signals must not cut off."""
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


def main() -> None:
    """Run the command line and leave with its exit status."""
    _open_standard_files()
    for number in SIGNALS:
        # Under nohup, SIGHUP is to be ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        app(with_command(sys.argv[1:]), prog_name="stemsplit")
    except StemsplitError as error:
        console.error(str(error))
        sys.exit(3 if isinstance(error, RegistryError | WeightsError) else 2 if isinstance(error, DeviceError) else 1)
    except OSError as error:
        # What no module could put into better words: a vanished folder, a full stdout.
        console.error(str(error))
        sys.exit(1)
