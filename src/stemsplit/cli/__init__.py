"""The command line: arguments in, exit status out."""

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


def _terminated(signal_number: int, _frame: FrameType | None) -> NoReturn:
    """Leave through all the clean-up that Ctrl-C goes through."""
    raise SystemExit(128 + signal_number)


def main() -> None:
    """Run the command line and leave with its exit status."""
    for name in ("SIGTERM", "SIGHUP"):
        # Windows has no SIGHUP; under nohup it is to be ignored.
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _terminated)
    try:
        app(with_command(sys.argv[1:]), prog_name="stemsplit")
    except StemsplitError as error:
        console.error(str(error))
        sys.exit(3 if isinstance(error, RegistryError | WeightsError) else 2 if isinstance(error, DeviceError) else 1)
