"""Checks what records say before anything is played: a record may be a stranger's."""

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePath

from stemsplit.disk import Folder
from stemsplit.errors import AudioError
from stemsplit.listening.decoding import Decoding
from stemsplit.listening.piece import Role, Track
from stemsplit.listening.shelf import Item
from stemsplit.songs import record

MOST_TRACKS = 100
"""Most tracks of a piece."""

MOST_CHANNELS = 64
"""Most channels of a track."""

LONGEST = 48 * 3_600
"""Longest piece, in seconds."""


def checked(root: Path, folder: Path, name: str, size: int | None) -> Path:
    """Return the path of a file that a record names, if it may be played.

    Args:
        root: folder that people named: the file must lie below it, and no link may lead to it.
        folder: folder of the record, below `root`.
        name: the file's path relative to the record.
        size: size in bytes that the record says; None if it does not say one.

    Raises:
        AudioError: it may not; the message follows "is left out: ".
    """
    # Not resolve: links are not followed. What lies above `root` may have links, which people named.
    below = PurePath(os.path.normpath(folder.relative_to(root) / name))
    if below.anchor or below.parts[:1] == ("..",):
        raise AudioError(f"its file lies outside of {root}; name the folder above")
    try:
        with Folder(root) as top, top.descend(below.parent) as inner:
            found = inner.stat(below.name)
    except FileNotFoundError:
        raise AudioError(f"there is no file {below}") from None
    except OSError as error:
        raise AudioError(f"{below} cannot be read ({error.strerror or error})") from error
    if not stat.S_ISREG(found.st_mode):
        raise AudioError(f"{below} is not a regular file")
    if size is not None and found.st_size != size:
        raise AudioError(f"{below} has changed since the song was split; split it again")
    return root / below


def check_sound(track: Track, sample_rate: int, frames: int) -> None:
    """Check by a file's header that it holds what the record says.

    Raises:
        AudioError: it does not, or cannot be read.
    """
    with Decoding(track, sample_rate) as decoding:
        if track.role == Role.song and not decoding.jumps:
            return  # its content is the one that was split, and its header may only guess the length
        # A lossy file's header may be off by its encoder's delay.
        slack = 0 if decoding.jumps else sample_rate // 10
        if decoding.frames is not None and abs(decoding.frames - frames) > slack:
            raise AudioError(f"{track.path.name} is not as long as the record says")


def content_of(item: Item) -> tuple[bytes, str]:
    """Return the content of an item's record, and its digest.

    Raises:
        AudioError: it cannot be read.
    """
    root, path = Path(item.root), Path(item.path)
    try:
        with Folder(root) as top, top.descend(PurePath(path.parent.relative_to(root))) as folder:
            content = folder.read(path.name, record.LIMIT)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise AudioError(f"cannot read {path} ({why or error})") from error
    return content, hashlib.sha256(content).hexdigest()


def check_form(sample_rate: int, channels: int, frames: int, path: Path) -> None:
    """Raise AudioError if no recording has these figures."""
    if not (1_000 <= sample_rate <= 3_000_000 and 1 <= channels <= MOST_CHANNELS and frames > 0):
        raise AudioError(f"{path} is damaged: no song has its figures; split the song again")
    if frames > LONGEST * sample_rate:
        raise AudioError(f"{path} is of a song longer than {LONGEST // 3600} hours")


class Playable:
    """Collects the tracks that can be played, and why others are left out.

    Args:
        sample_rate: sample rate that all must have, in Hz.
        frames: length that all must have, in samples per channel.
    """

    def __init__(self, sample_rate: int, frames: int) -> None:
        self.sample_rate, self.frames = sample_rate, frames
        self.tracks: list[Track] = []
        self.notes: list[str] = []

    def add(self, name: str, track: Iterable[Track]) -> bool:
        """Add a track, and return whether it can be played."""
        try:
            for each in track:
                check_sound(each, self.sample_rate, self.frames)
                self.tracks.append(each)
        except (AudioError, ValueError) as error:
            self.notes.append(f"{name} is left out: {error}")
            return False
        return True
