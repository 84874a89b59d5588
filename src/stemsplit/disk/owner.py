"""Names the process that has the turn in a hidden folder, and tells whether that process is certainly alive or dead.

The name of an empty file says it all: a file is made, renamed or removed in one step on every file system, so no other
process ever sees half of it.
"""

import hashlib
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

from stemsplit.disk.folder import Folder
from stemsplit.disk.space import existing_ancestor

OWNER = re.compile(
    r"owner-(?P<takeovers>[0-9]{1,6})-(?P<place>in|beside)-(?P<machine>[0-9a-f]{16})-(?P<process>[0-9]{1,10})"
    r"-(?P<token>[0-9a-f]{16})-(?P<host>[A-Za-z0-9_.]{1,64})",
    re.ASCII,
)
"""Name of the file that says whose turn it is."""

LOCAL = {"apfs", "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfsplus", "jfs", "msdos", "ntfs3"}
LOCAL |= {"overlay", "ramfs", "reiserfs", "tmpfs", "vfat", "xfs", "zfs"}
"""Linux's names of file systems that only one machine has at a time: their locks hold for everybody."""

MOUNTS = Path("/proc/self/mountinfo")
"""Linux's table of what is mounted where."""

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Linux's name for the time since the machine was started: no other machine, and no other start, has the same."""


@dataclass(frozen=True)
class Owner:
    """The process that has the turn in a hidden folder.

    Args:
        takeovers: how many processes died, or went silent, at this work before.
        beside: whether it works in a folder of its own in the hidden one, because an earlier process may still live.
        machine: the machine and the disk, 16 hexadecimal digits: processes that agree in it see each other's locks.
        process: number of the process; 0 if it gave up its turn and left its files.
        token: 16 hexadecimal digits that no other turn has.
        host: name of the machine, for people.
    """

    takeovers: int = 0
    beside: bool = False
    machine: str = "0" * 16
    process: int = 0
    token: str = field(default_factory=lambda: os.urandom(8).hex())
    host: str = "unknown"

    @property
    def name(self) -> str:
        """Name of its file."""
        place = "beside" if self.beside else "in"
        return f"owner-{self.takeovers}-{place}-{self.machine}-{self.process}-{self.token}-{self.host}"

    @property
    def work(self) -> str:
        """Name of its own folder in the hidden one, if it works beside an earlier process."""
        return f"work-{self.token}"

    @classmethod
    def parsed(cls, name: str) -> Self | None:
        """Return the owner whose file has this name; None if it is another file."""
        found = OWNER.fullmatch(name)
        if not found:
            return None
        return cls(
            int(found["takeovers"]),
            found["place"] == "beside",
            found["machine"],
            int(found["process"]),
            found["token"],
            found["host"],
        )


WORK = re.compile(r"work-[0-9a-f]{16}")
"""Name of a folder that one process works in, beside an earlier one that may still live."""


def this_host() -> str:
    """Return this machine's name, for people; empty if the system does not say."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def host() -> str:
    """Return this machine's name as it may stand in a file's name."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", this_host())[:64] or "unknown"


@lru_cache
def _start_of_machine() -> str:
    """Return what tells this machine, since it was started, from all others; empty if the system does not say."""
    if sys.platform != "linux":
        import uuid

        number = uuid.getnode()  # of its network adapter; names change with the network on laptops
        return host() if number >> 40 & 1 else f"{number:x}"
    with suppress(OSError):
        return BOOT.read_text(encoding="ascii").strip()
    return ""


def machine(folder: Folder) -> str:
    """Return the name of this machine and of the disk that a folder lies on, as this machine knows it.

    Two mounts of one network folder may have locks of their own, even on one machine. Their device numbers differ.
    """
    start = _start_of_machine() or os.urandom(8).hex()
    return hashlib.sha256(f"{start} {folder.identity().st_dev}".encode()).hexdigest()[:16]


@lru_cache(16)
def _file_system(path: str, _: int) -> str:
    """Return Linux's name of the file system that a folder lies on; empty if that is not known."""
    found, kind = "", ""
    with suppress(OSError, ValueError, IndexError):
        for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            before, after = line.split(" - ", 1)
            place = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), before.split(" ")[4])
            if len(place) >= len(found) and (path + "/").startswith(place.rstrip("/") + "/"):
                found, kind = place, after.split(" ")[0]
    return kind


def is_local(folder: Folder) -> bool:
    """Return whether no other machine can have the folder's disk, so that its locks hold for everybody."""
    if sys.platform != "linux":
        return False
    return _file_system(os.path.realpath(folder.path), folder.identity().st_dev) in LOCAL


def apart(path: Path) -> str:
    """Return what keeps this machine's unfinished files apart, by their names, from those of others on the same disk.

    Args:
        path: folder of the files, or one that is to be made.

    Returns:
        A dot and 8 hexadecimal digits; nothing on a disk of this machine's own, where locks are enough.
    """
    if sys.platform != "linux":
        return ""
    with suppress(OSError), Folder(existing_ancestor(path)) as folder:
        return "" if is_local(folder) else f".{machine(folder)[:8]}"
    return ""


def is_dead(owner: Owner | None, folder: Folder, locked: bool | None) -> bool | None:
    """Return whether an owner is certainly dead (True), certainly alive (False), or nobody here can tell (None).

    Args:
        owner: the owner; None if an earlier version made the folder, which relied on locks alone.
        folder: a folder on the disk.
        locked: what trying the owner's lock gave, see `try_lock`.
    """
    if owner and not owner.process:
        return True
    if locked is None:
        return None
    if owner is None or owner.machine == machine(folder) or is_local(folder):
        return locked
    return None
