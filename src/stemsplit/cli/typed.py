"""Mends or refuses what shells and editors leave in a command: a `~` in quotes, an option's `=`, typographic dashes."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

HOMES = re.compile(r"(--[a-z-]+=|-[a-z])?(~[^/\\]*([/\\].*)?)", re.DOTALL)
"""Matches a path that begins with a home folder, alone or behind an option."""


def with_homes(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `~` replaced by the home folder where a shell did not, as in quotes and behind `=`."""
    from stemsplit.disk.folders import expanded

    def replaced(argument: str) -> str:
        match = HOMES.fullmatch(argument)
        if match is None or os.path.lexists(argument) or expanded(match[2]) == Path(match[2]):
            return argument
        return (match[1] or "") + str(expanded(match[2]))

    return [replaced(argument) for argument in arguments]


def mended(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with home folders; also put these into the variable that names a registry.

    Raises:
        ValueError: the working folder is gone, or an argument is spoiled.
    """
    if any("~" in argument for argument in arguments):
        arguments = with_homes(arguments)
    if os.environ.get("STEMSPLIT_REGISTRY", "").startswith("~"):
        (os.environ["STEMSPLIT_REGISTRY"],) = with_homes([os.environ["STEMSPLIT_REGISTRY"]])
    if not all(argument.isascii() for argument in arguments):
        from stemsplit.songs import near

        near.check_marks(arguments)
    return list(arguments)


def check_folder(arguments: Sequence[str]) -> None:
    """Raise ValueError if the working folder was removed, where PyTorch's libraries end the program as they load."""
    if {"-h", "--help"} & {*arguments}:
        return
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise ValueError("the working folder no longer exists; go to another with cd, and try again") from error


def plain_streams() -> None:
    """Let stdout and stderr show `?` for letters that they cannot encode: help texts have some, and names more."""
    for stream in (sys.stdout, sys.stderr):
        errors, coding = getattr(stream, "errors", ""), getattr(stream, "encoding", "")
        is_strict = errors == "strict" or (errors == "surrogateescape" and coding.lower() not in ("utf-8", "utf8"))
        if is_strict and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
