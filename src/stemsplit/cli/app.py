"""Registers the commands with typer."""

import os
import re
import sys
from collections.abc import MutableMapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stemsplit.cli import (
    bench,
    compare,
    download,
    eval_,
    help_,
    info,
    list_,
    listen_,
    quick,
    remove,
    split,
    status,
    train,
)
from stemsplit.cli.usage import Command, PlainTypes
from stemsplit.words import did_you_mean

USAGE = """Split songs into stems: vocals, drums, bass and other.

`stemsplit song.flac` writes stems/song/vocals.wav and so on. If the
first word is not a command, it is taken as a song.
"""


class Commands(PlainTypes, TyperGroup):
    """The group of commands. It keeps typer from taking an EOFError for the end of a person's input ("Aborted!")."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name.

        Raises:
            LibraryError: a file of a library is cut short.
        """
        try:
            return super().invoke(ctx)
        except EOFError as error:
            from stemsplit.libraries import failure  # only now: `--help` must be fast

            if told := failure(error):
                raise told from error
            raise


app = typer.Typer(
    cls=Commands,
    help=USAGE,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Boxes are for terminals; elsewhere an error is one line.
    rich_markup_mode="rich" if sys.stderr is not None and sys.stderr.isatty() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("split", cls=Command)(split.split)
app.command("list", cls=Command)(list_.list_)
app.command("info", cls=Command)(info.info)
app.command("download", cls=Command)(download.download)
app.command("remove", cls=Command)(remove.remove)
app.command("listen", cls=Command)(listen_.listen)
app.command("bench", cls=Command)(bench.bench)
app.command("compare", cls=Command)(compare.compare)
app.command("eval", cls=Command)(eval_.eval_)
app.command("train", cls=Command, context_settings={"token_normalize_func": train.current_name})(train.train)
app.command("status", cls=Command)(status.status)
app.command("help", cls=Command)(help_.help_)

COMMANDS = (
    *("split", "list", "info", "download", "remove", "listen", "bench", "compare", "eval", "train"),
    *("status", "help"),
)
OWN_OPTIONS = ("-h", "--help", "--version", "--install-completion", "--show-completion")


def _print_version(wanted: bool) -> None:
    if wanted:
        quick.print_versions()
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Show versions, the GPU found, and where downloads and settings are kept.",
        ),
    ] = False,
) -> None:
    pass


def with_command(arguments: list[str]) -> list[str]:
    """Return the arguments with `split` put first, unless they begin with a command or an option of the program."""
    if not arguments or arguments[0] in COMMANDS or arguments[0] in OWN_OPTIONS:
        return arguments
    return ["split", *arguments]


FLAGS = ("-q", "--quiet", "--json", "--dry-run", "--force")
"""Options that people put before a first word."""


def check_first_word(arguments: list[str]) -> None:
    """Refuse a first word that is neither a command nor a file, before anything is split.

    A word with a slash, a dot or wildcards, a list and an option are left to the command.

    Raises:
        ValueError: the word is neither.
    """
    word = next((word for word in arguments if word not in FLAGS), "-")
    if word in COMMANDS or word in OWN_OPTIONS:
        return
    if any(word[:1] != "-" and not os.path.lexists(word) for word in arguments) or is_dashed(arguments):
        from stemsplit.songs import near  # only now: `--help` must be fast

        near.check_words(arguments)
    if not re.fullmatch(r"[^-@.*?\[/\\][^.*?\[/\\]*", word) or os.path.lexists(word):
        return
    from stemsplit.songs.near import Near

    if os.path.lexists(Near().meant(word)):
        return
    what = Near().advice(word)[1]
    hint = f"; {what}" if what else did_you_mean(word.lower(), COMMANDS)
    raise ValueError(f"{word!r} is neither a command nor a file{hint or '; see stemsplit --help'}")


def is_dashed(arguments: list[str]) -> bool:
    """Return whether an argument that begins with a dash is a file."""
    return any(word[:1] == "-" and os.path.isfile(word) for word in arguments)  # noqa: PTH113


COMPLETING = "_STEMSPLIT_COMPLETE"
"""Environment variable that the shell sets when it asks for completions."""


def complete_with_command(environment: MutableMapping[str, str]) -> None:
    """Put `split` into the line that a shell wants completed, as `with_command` does into arguments."""
    for variable in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS"):
        program, _, rest = environment.get(variable, "").partition(" ")
        first, more, _ = rest.replace("\n", " ").partition(" ")
        if first and more and with_command([first]) != [first]:
            environment[variable] = f"{program} split {rest}"
            if variable == "COMP_WORDS":
                environment["COMP_CWORD"] = str(int(environment["COMP_CWORD"]) + 1)
