"""The commands, as typer knows them."""

import os
import platform
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path
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
    # Where no person reads, an error is one line, not a box.
    rich_markup_mode="rich" if sys.stderr is not None and sys.stderr.isatty() else None,
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


def gpu() -> str:
    """Which GPU there seems to be, as far as that can be seen without PyTorch, which takes seconds."""
    driver = Path("/proc/driver/nvidia/version")
    if driver.is_file():
        version = re.search(r"\d+\.\d+[\d.]*", driver.read_text(encoding="utf-8"))
        return f"NVIDIA, driver {version[0] if version else 'of unknown version'}"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "Apple's (mps)"
    return "none seen"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from stemsplit.registry import user_folder
        from stemsplit.weights.digests import cache_folder
        from stemsplit.weights.hub_cache import folder as hub_folder

        typer.echo(f"stemsplit {version('stemsplit')}")
        typer.echo(f"torch {version('torch')}, Python {platform.python_version()} on {platform.platform()}")
        typer.echo(f"GPU: {gpu()}; {os.cpu_count()} CPU cores")
        # Without a home folder there may be none; its own message says what to set.
        typer.echo(f"downloads: {hub_folder()} and {cache_folder()}; settings: {user_folder()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Versions, GPU and folders.")
    ] = False,
) -> None:
    pass


def with_command(arguments: list[str]) -> list[str]:
    """The arguments with `split` put first, unless they name a command or ask for one of the program's own options."""
    if not arguments or arguments[0] in COMMANDS or arguments[0] in OWN_OPTIONS:
        return arguments
    return ["split", *arguments]


COMPLETING = "_STEMSPLIT_COMPLETE"
"""Set by the shell when it asks what a word could become."""


def complete_with_command(environment: MutableMapping[str, str]) -> None:
    """Put `split` into the line that a shell wants completed, where `with_command` would."""
    for variable in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS"):
        program, _, rest = environment.get(variable, "").partition(" ")
        first, more, _ = rest.replace("\n", " ").partition(" ")
        if first and more and with_command([first]) != [first]:
            environment[variable] = f"{program} split {rest}"
            if variable == "COMP_WORDS":
                environment["COMP_CWORD"] = str(int(environment["COMP_CWORD"]) + 1)
