"""Words usage errors as all other errors are worded, and the types of options in help texts."""

import re
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand

from stemsplit.choices import format_meant

ArgumentError: Any = typer.BadParameter.__mro__[2]
"""The error that typer raises for arguments that it refuses. Where its module is depends on typer's version."""

VALUES = {"str": "TEXT", "list[str]": "TEXT", "path": "PATH", "dir": "FOLDER", "file": "FILE", "bool": ""}
VALUES |= dict.fromkeys(("int", "int range"), "N") | dict.fromkeys(("float", "float range"), "NUMBER")
"""Typer's names of types -> what help texts show as an option's value; nothing for a flag."""


WORDING = {
    "^Input should be ": "",
    ", unable.*": "",
    "^a valid integer": "a whole number",
    "^a valid ": "a ",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
}
"""Parts of pydantic's messages, as regular expressions -> how we say it."""


class PlainTypes:
    """Shows types in help texts as people name them: `--json`, not `--json <bool>`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help text."""
        command: Any = super()
        for parameter in command.get_params(ctx):
            if parameter.param_type_name == "argument":
                parameter.display_type = lambda _: ""
                continue
            name = getattr(parameter, "display_type", lambda _: "")(ctx)
            if parameter.metavar is None and isinstance(name, str):
                parameter.metavar = VALUES.get(name.strip("<>"))
        command.format_help(ctx, formatter)


class Command(PlainTypes, TyperCommand):
    """A command."""


def _value(error: Any) -> str | None:
    """Return what is wrong with a value, in words of ours; None if typer's will do."""
    details = getattr(error.__cause__, "errors", None)  # pydantic's, which newer versions of typer check values with
    if details is None or not (found := details()):
        return None
    text, value = str(found[0]["msg"]), found[0].get("input")
    if "value" in text.partition(",")[0].lower() and "," in text:
        return text.partition(",")[2].strip()  # Value error, ...
    for theirs, ours in WORDING.items():
        text = re.sub(theirs, ours, text)
    return f"{value!r} is not {text}" if text.startswith("a ") else f"it must be {text}, not {value}"


def in_words(error: Any) -> str:
    """Return a usage error as one line: what is wrong, then what to try."""
    text = str(error.format_message())
    if error.message and (plainer := _value(error)):
        text = text.replace(error.message, plainer)
    text = re.sub(r"\s*\n\s*", " ", text).strip().removesuffix(".")
    text = (text[:1].lower() + text[1:]).removeprefix("invalid value: ")
    if "stem.mp4" in text and (unknown := re.search("'([^']*)' is not one of", text)):
        text += format_meant(unknown[1])
    if possible := getattr(error, "possibilities", None):
        text = f"{text.partition(' (')[0]}; did you mean {' or '.join(sorted(possible))}?"
    context = getattr(error, "ctx", None)
    if context is None or ";" in text:
        return text
    return f"{text}; see all options with: {context.command_path} --help"


def run(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Run the command that the arguments name, and leave if its exit status is not 0."""
    try:
        status = app([*arguments], prog_name="stemsplit", standalone_mode=False)
    except ArgumentError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            from stemsplit.terminal import console  # only now: `--help` must be fast

            console.error(in_words(error))
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(1)
    if isinstance(status, int) and status:
        sys.exit(status)
