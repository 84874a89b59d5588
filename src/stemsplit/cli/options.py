"""Defines the options that several commands share. Those of one command are in its own file."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from stemsplit.choices import Estimates, FormatName, PrecisionName, WindowName


def seconds(text: str) -> float:
    """Return a time such as 90, 90s, 1.5m, 1:30 or 1:02:03.5 in seconds.

    Raises:
        typer.BadParameter: the text is not a time.
    """
    if match := re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)", text):
        return sum(float(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True))
    if match := re.fullmatch(r"(\d+(?:\.\d*)?)\s*(s|m|min|h)", text):
        return float(match[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]
    raise typer.BadParameter(f"{text!r} is not a time; write 90, 1:30 or 20s")


@contextmanager
def usage_errors(hint: str | None = None) -> Iterator[None]:
    """Turn a ValueError, with which the library refuses an argument, into a usage error.

    Args:
        hint: the option at fault; None where it may be one of several.

    Raises:
        typer.BadParameter: the library refused an argument.
    """
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from error


def finite(value: float | None) -> float | None:
    """Refuse `nan` and infinity: `nan` passes every check of a range."""
    if value is not None and not isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def writable(value: Path | None) -> Path | None:
    """Return the path of an option that names something to write, if it is likely meant.

    Raises:
        typer.BadParameter: a shell or a typing error is in it.
    """
    text = "" if value is None else str(value)
    if not text or os.path.lexists(text):
        return value
    if text.startswith("="):
        raise typer.BadParameter(f"{text!r} begins with '='; behind a short option, write a space: -o {text[1:]}")
    if text != text.strip():
        raise typer.BadParameter(f"{text!r} begins or ends with a space; write {text.strip()!r}")
    if re.match(r"\$\{?\w|%\w+%", text):
        raise typer.BadParameter(f"{text!r} begins with a variable that the shell did not replace; use double quotes")
    return value


def likely_song(value: Path) -> Path:
    """Return the path of a song as the disk spells it.

    Raises:
        AudioError: there is no such file, and more can be said than that.
    """
    from stemsplit.errors import AudioError
    from stemsplit.songs.near import Near

    near = Near()
    path = near.meant(str(value))
    if problem := near.problem(path, str(value)):
        raise AudioError(problem)
    return path


def listed(texts: list[str] | None) -> list[str]:
    """Return the values of an option that may be repeated, or hold several values separated by commas."""
    return [word.strip() for text in texts or () for word in text.split(",") if word.strip()]


def complete_device(incomplete: str) -> list[str]:
    """Complete the name of a device, for the shell."""
    return [device for device in ("auto", "cpu", "cuda", "mps") if device.startswith(incomplete)]


COMPUTING, SCRIPTS = "Computing", "Scripts"
"""Panels in the help of several commands."""

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the paths of files.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON on stdout.")]


def bitrate(text: str | None) -> str | None:
    """Return a bitrate as formats have it, e.g. 192 for 192k."""
    from stemsplit.audio import bitrates

    with usage_errors():
        return None if text is None else bitrates.parsed(text)


Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        metavar="FILE",
        readable=False,
        callback=writable,
        help="Also write the results to this CSV file, which `stemsplit help scripts` describes.",
        rich_help_panel=SCRIPTS,
    ),
]

HtmlReport = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        readable=False,
        callback=writable,
        help="Also write a page with pictures of the results to this file.",
    ),
]

Format = Annotated[
    FormatName,
    typer.Option(
        "--format",
        "-f",
        help="File format of the stems. stem.mp4: one file with the song and its drums, bass, other and vocals, for DJ "
        "programs.",
    ),
]
Bitrate = Annotated[
    str | None,
    typer.Option(
        "--bitrate",
        callback=bitrate,
        help="Bitrate of mp3, ogg, opus or m4a in kbit/s, e.g. 192k, or quality of mp3, from V0 to V9. Default: 320 "
        "for mp3, about 270 for ogg, 192 for opus, 256 for m4a and each track of stem.mp4.",
    ),
]

Device = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        help="Device to compute on: auto, cpu, cuda, cuda:1 or mps.",
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
        help="Seconds of music that the network processes at a time. Default: the model's own.",
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
        help="Overlap of neighbouring chunks, as a share of a chunk. Default: the model's own.",
        rich_help_panel=COMPUTING,
    ),
]
Window = Annotated[
    WindowName | None,
    typer.Option(
        "--window",
        help="Shape of the crossfade between overlapping chunks. Default: the model's own.",
        rich_help_panel=COMPUTING,
    ),
]
EstimatesChoice = Annotated[
    Estimates,
    typer.Option(
        "--estimates",
        help="Whether stems are as the network gives them (raw), or also add up to the song (consistent). A few "
        "models' stems never do.",
        rich_help_panel=COMPUTING,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Number of chunks computed together. Default: what suits the device.",
        rich_help_panel=COMPUTING,
    ),
]
Precision = Annotated[
    PrecisionName,
    typer.Option(
        "--precision",
        help="Number format to compute in. auto: fp16 on NVIDIA GPUs where that is faster, bf16 on newer CPUs for the "
        "built-in model, otherwise fp32. bf16 is faster on newer CPUs; int8, on others with AVX512-VNNI, for large "
        "RoFormers.",
        rich_help_panel=COMPUTING,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=1_024,
        help="Number of threads to compute with on a CPU. Default: one per core.",
        rich_help_panel=COMPUTING,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the network with PyTorch first, for speed; compiling takes minutes.",
        rich_help_panel=COMPUTING,
    ),
]


def under(panel: str, option: Any) -> Any:
    """Return an option's description for another panel of a command's help.

    Args:
        panel: title of the panel.
        option: one of the annotated types above.
    """
    moved = copy(get_args(option)[1])
    moved.rich_help_panel = panel
    return moved
