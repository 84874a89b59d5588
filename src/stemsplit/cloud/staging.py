"""Keeps songs and stems on this machine for a while, in a folder of bounded size.

What a killed process leaves there, the next one removes.
"""

import os
import re
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Condition
from typing import IO

from stemsplit.cloud.waiting import TICK, Pulse
from stemsplit.disk import Folder, remove_empty_folder
from stemsplit.disk.claim import PREFIX, Claim, claim
from stemsplit.disk.limits import why
from stemsplit.disk.space import free_space
from stemsplit.errors import PlaceError
from stemsplit.songs import commit
from stemsplit.songs.elsewhere import FullError
from stemsplit.words import size

SOURCE = "source"
"""Folder in a hidden folder that holds a song."""

STEMS = re.compile("out-[0-9a-f]{16}")
"""Name of the folder for the stems that go to one address: a hash of that."""

USUAL = 10_000_000_000
"""Bytes that may be staged if the user does not say."""


@dataclass(frozen=True)
class Stage:
    """Where songs and stems are staged.

    Args:
        root: the folder.
        limit: largest number of bytes in it, of this process.
        is_given: whether the user named the folder.
    """

    root: Path
    limit: int = USUAL
    is_given: bool = True

    def song(self, key: str, name: str) -> Path:
        """Return the path of a staged song.

        Args:
            key: hash of the work, 16 hexadecimal digits.
            name: name of the song's file.
        """
        return self.root / f"{PREFIX}{key}" / SOURCE / name


def usual() -> Path:
    """Return the folder for staging if the user names none: one of this user, in the system's folder for such files."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"stemsplit-{user}"


def opened(place: Stage) -> None:
    """Make the folder, and remove what killed processes left in it.

    Raises:
        PlaceError: it cannot be used.
    """
    try:
        place.root.mkdir(parents=place.is_given, exist_ok=True, mode=0o777 if place.is_given else 0o700)
        status = place.root.stat() if place.is_given else place.root.lstat()
    except OSError as error:
        raise PlaceError(f"cannot write into {place.root} ({why(error)}); choose another with --staging") from error
    is_own = stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())
    if not place.is_given and not is_own:
        raise PlaceError(f"{place.root} is not a folder of this user; choose another with --staging")
    if not os.access(place.root, os.W_OK | os.X_OK):
        raise PlaceError(f"cannot write into {place.root} (no permission, or not a folder); choose another --staging")
    sweep(place.root, lambda _: None)


def sweep(root: Path, tell: Callable[[str], object]) -> None:
    """Remove what killed processes left in a folder, and nothing that is not ours.

    Args:
        root: the folder.
        tell: called with a message about what stays.
    """
    commit.sweep(root, tell)
    with suppress(OSError), Folder(root) as folder:
        names = [name for name in folder.names() if STEMS.fullmatch(name)]
        outs = [root / name for name in names if stat.S_ISDIR(folder.stat(name).st_mode)]
        for out in outs:
            commit.sweep(out, tell)
            remove_empty_folder(out)


class Room:
    """The bytes that the songs of this process may take, together.

    Args:
        place: the folder.
    """

    def __init__(self, place: Stage) -> None:
        self.place = place
        self.changed = Condition()
        self.shares: dict[int, int] = {}
        self.sending: set[int] = set()

    def _problem(self, needed: int) -> str:
        """Return why so many more bytes have no room; empty if they have."""
        taken = sum(self.shares.values())
        if taken + needed > self.place.limit:
            return f"it needs {size(needed)} more, and --staging-size is {size(self.place.limit)}; raise it"
        free = free_space(self.place.root)
        if free is not None and needed > free:
            folder = self.place.root
            return f"it needs {size(needed)} more in {folder}, where {size(free)} are free; choose another --staging"
        return ""

    def reserve(self, owner: object, what: str, needed: int, pulse: Pulse) -> None:
        """Reserve bytes for a song; wait for songs that are being sent away, but for no others.

        Args:
            owner: whoever reserves it.
            what: the song, for messages.
            needed: bytes, besides those that the same owner has reserved.
            pulse: called again and again; raises an error if the wait is to end.

        Raises:
            FullError: there is room once the songs before this one are finished.
            PlaceError: there will never be room.
        """
        with self.changed:
            while problem := self._problem(needed):
                others = self.shares.keys() - {id(owner)}
                if not others:
                    raise PlaceError(f"cannot split {what} (there is no room to stage it): {problem}")
                if not self.sending - {id(owner)}:
                    raise FullError
                self.changed.wait(TICK)
                pulse()
            self.shares[id(owner)] = self.shares.get(id(owner), 0) + needed

    def send(self, owner: object) -> None:
        """Note that what an owner has reserved becomes free without waiting for other songs."""
        with self.changed:
            self.sending.add(id(owner))

    def free(self, owner: object) -> None:
        """Give back what an owner has reserved."""
        with self.changed:
            self.shares.pop(id(owner), None)
            self.sending.discard(id(owner))
            self.changed.notify_all()


@cache
def _room(place: Stage, _process: int) -> Room:
    return Room(place)


def room_of(place: Stage) -> Room:
    """Return the room in a folder that all songs of this process share."""
    return _room(place, os.getpid())


def hold(place: Stage, key: str, name: str) -> tuple[Claim, IO[bytes]]:
    """Claim the hidden folder of a song, and make the song's file in it.

    Args:
        place: where songs are staged.
        key: hash of the work, 16 hexadecimal digits.
        name: name of the song's file.

    Raises:
        BusyError: another process of this machine works on the song.
        PlaceError: the folder cannot be made.
    """
    path = place.song(key, name)
    try:
        place.root.mkdir(parents=True, exist_ok=True)
        with Folder(place.root) as folder:
            held = claim(folder, key)
    except BlockingIOError:
        raise
    except OSError as error:
        raise PlaceError(f"cannot write into {place.root} ({why(error)}); choose another with --staging") from error
    try:
        if held.folder.path != path.parent.parent:
            what = f"{path.parent.parent} is there already, and was not made by stemsplit"
            raise PlaceError(f"{what}; choose another folder with --staging")
        held.begin([f"{SOURCE}/{name}"])
        held.folder.make(SOURCE, exist_ok=True)
        return held, held.create(f"{SOURCE}/{name}")
    except OSError as error:
        held.release()
        raise PlaceError(f"cannot write {path} ({why(error)}); choose another folder with --staging") from error
    except BaseException:
        held.release()
        raise
