"""Options that several commands have, and what may stand after them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from math import isfinite
from typing import Annotated, Any, get_args

import typer

from stemsplit.choices import FormatName, PrecisionName, WindowName


def seconds(text: str) -> float:
    """A time such as 90, 90s, 1.5m, 1:30 or 1:02:03.5 in seconds.

    Raises:
        typer.BadParameter: it is none.
    """
    if match := re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)", text):
        return sum(float(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True))
    if match := re.fullmatch(r"(\d+(?:\.\d*)?)\s*(s|m|min|h)", text):
        return float(match[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]
    raise typer.BadParameter(f"{text!r} is no time; write 90, 1:30 or 90s")


@contextmanager
def usage_errors(hint: str | None = None) -> Iterator[None]:
    """Make a ValueError, by which the library refuses an argument, a usage error.

    Args:
        hint: the option at fault, where only one can be.

    Raises:
        typer.BadParameter: an argument was refused.
    """
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from error


def finite(value: float | None) -> float | None:
    """The number, or a usage error: `nan` passes every check of a range."""
    if value is not None and not isfinite(value):
        raise typer.BadParameter(f"{value} is no number to work with")
    return value


def listed(texts: list[str] | None) -> list[str]:
    """The words of options that may be repeated or hold several with commas."""
    return [word.strip() for text in texts or () for word in text.split(",") if word.strip()]


def complete_device(incomplete: str) -> list[str]:
    """Devices that begin like that, for the shell."""
    return [device for device in ("auto", "cpu", "cuda", "mps") if device.startswith(incomplete)]


COMPUTING, SCRIPTS = "Computing", "Scripts"
"""Panels of a command's help."""

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and the paths.")]
Json = Annotated[bool, typer.Option("--json", help="The same for a script.")]
Format = Annotated[FormatName, typer.Option("--format", "-f", help="Of the files.")]

Device = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        help="auto, cpu, cuda, cuda:1 or mps.",
        rich_help_panel=COMPUTING,
        autocompletion=complete_device,
    ),
]
ChunkSeconds = Annotated[
    float | None,
    typer.Option(
        "--chunk-seconds",
        min=0.1,
        max=600,
        callback=finite,
        help="Given to the network at once. Default: the model's own.",
        rich_help_panel=COMPUTING,
    ),
]
Overlap = Annotated[
    float | None,
    typer.Option(
        "--overlap",
        min=0,
        max=0.99,
        callback=finite,
        help="Share of a chunk that the next covers too. Default: the model's own.",
        rich_help_panel=COMPUTING,
    ),
]
Window = Annotated[
    WindowName | None,
    typer.Option("--window", help="How chunks are joined. Default: the model's own.", rich_help_panel=COMPUTING),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Chunks computed together.", rich_help_panel=COMPUTING)
]
Precision = Annotated[
    PrecisionName,
    typer.Option("--precision", help="bf16 is faster on newer CPUs; auto is fp32 there.", rich_help_panel=COMPUTING),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, max=1_024, help="On a CPU. Default: one a core.", rich_help_panel=COMPUTING),
]
Compile = Annotated[
    bool,
    typer.Option("--compile", help="Have PyTorch compile the network: minutes first.", rich_help_panel=COMPUTING),
]


def under(panel: str, option: Any) -> Any:
    """What is said here of an option, in another panel of a command's help.

    Args:
        panel: where.
        option: one of the types above.
    """
    moved = copy(get_args(option)[1])
    moved.rich_help_panel = panel
    return moved
