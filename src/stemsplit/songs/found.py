"""Defines a song that an argument means, and the songs that are found elsewhere than on this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stemsplit.songs.elsewhere import Elsewhere


@dataclass(frozen=True, slots=True)
class Found:
    """A song that an argument means.

    Args:
        path: path as the argument names it, or as found in a folder.
        below: the song's folder, relative to the folder of the argument or to the part of a glob before its first
            wildcard; `Path()` for a song directly in there, and for a file that is named itself.
        problem: why it cannot be read, if that is known without opening it; else empty.
        elsewhere: where it comes from and its stems go to; None if both are files of this machine.
    """

    path: Path
    below: Path = Path()
    problem: str = ""
    elsewhere: Elsewhere | None = None


@dataclass(frozen=True)
class Distant:
    """The songs at addresses that the arguments mean.

    Args:
        songs: address as typed -> its songs.
        passed_over: number of objects that are not audio by extension.
        stems: number of audio objects that earlier runs wrote.
        notes: messages about what was found.
    """

    songs: Mapping[str, Sequence[Found]] = field(default_factory=dict)
    passed_over: int = 0
    stems: int = 0
    notes: tuple[str, ...] = ()


def nowhere(_texts: Sequence[str]) -> Distant:
    """Find no songs at addresses: where these cannot be read, an address is taken for a missing file."""
    return Distant()
