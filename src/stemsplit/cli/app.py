"""The commands, as typer knows them."""

from typing import Annotated

import typer

from stemsplit.cli import download, info, list_, remove, split, train

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
app.command("download")(download.download)
app.command("remove")(remove.remove)
app.command("train", hidden=True)(train.train)

COMMANDS = ("split", "list", "info", "download", "remove", "train")
OWN_OPTIONS = ("-h", "--help", "--version", "--install-completion", "--show-completion")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

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
