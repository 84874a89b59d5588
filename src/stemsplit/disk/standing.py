"""Says how hidden folders stand: whose they are, and whether that process lives. Nothing is changed."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from stemsplit.disk.claim import NAME, PREFIX
from stemsplit.disk.folder import Folder
from stemsplit.disk.listed import LOCK, ForeignError, Listed
from stemsplit.disk.lock import try_lock
from stemsplit.disk.owner import Owner, is_dead
from stemsplit.disk.turn import open_lock, owner_in


@dataclass(frozen=True)
class Standing:
    """How a hidden folder stands.

    Args:
        name: name of the folder.
        owner: the process that has the turn in it; None if an earlier version made it.
        dead: whether that process is certainly dead (True), certainly alive (False), or nobody here can tell (None).
        beat: time of its last sign of life, in seconds since 1970 by the clock of the disk's machine.
    """

    name: str
    owner: Owner | None
    dead: bool | None
    beat: float


def standings(out: Folder) -> Iterator[Standing]:
    """Yield how each hidden folder in an output folder stands; things that only have such a name are passed over."""
    for name in sorted(filter(NAME.fullmatch, (each for each in out.names() if each.startswith(PREFIX)))):
        with suppress(OSError), out.enter(name) as whole:
            if found := _looked_at(name, whole):
                yield found


def _looked_at(name: str, whole: Folder) -> Standing | None:
    """Return how one folder stands; None if it is empty.

    Raises:
        ForeignError: it is not stemsplit's.
        OSError: it cannot be read.
    """
    if not whole.names():
        return None
    owner = owner_in(whole)
    if owner is None and not whole.has(LOCK):
        raise ForeignError(f"{name} has no lock")
    Listed(whole, whole).check()
    with whole.enter(owner.work) if owner and owner.beside else whole.duplicate() as place:
        lock = open_lock(place)
        try:
            return Standing(name, owner, is_dead(owner, whole, try_lock(lock)), os.fstat(lock).st_mtime)
        finally:
            os.close(lock)
