"""Asks what a disk can hold, without writing to it: how long names may be, of which characters, and how large files."""

import errno
import os
from pathlib import Path

from stemsplit.disk.folder import Folder
from stemsplit.disk.space import existing_ancestor

USUAL_NAME = 255
"""Longest name of a file or folder in bytes, on all common file systems. None is taken to hold longer ones."""

SHORTEST_LIMIT = 80
"""Bytes that every disk is taken to allow; one that allows fewer holds no music library."""

BARRED = ':?*"<>|'
"""Characters that Windows and its file systems do not allow in names."""

FAT = {"exfat", "msdos", "vfat"}
"""Linux's names of file systems that do not allow `BARRED`. With other systems' drivers, it depends."""

FAT32 = {"msdos", "vfat"}
FAT32_LIMIT = (1 << 32) - 1
"""Largest size of a file in bytes, on these."""

BAD_NAME = {errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ, errno.ENOENT, errno.EACCES, errno.EPERM}
"""The system's errors for a name that a disk cannot hold, in a folder that can be written into otherwise."""


REASONS = {
    errno.EFBIG: "the file is larger than the disk, or `ulimit -f`, allows",
    errno.EXDEV: "the disk cannot give files other names; choose another with -o",
    errno.EDQUOT: "your quota on this disk is used up; make room there, or choose another disk with -o",
}
"""What the system's errors mean for somebody who wrote a file, where its own words do not say so."""


def why(error: OSError) -> str:
    """Return why a file could not be written."""
    return REASONS.get(error.errno or 0) or error.strerror or str(error)


def longest_name(folder: Path) -> int:
    """Return the most bytes that a name may have on the disk of a folder, which need not exist yet; at most 255.

    Most disks allow 255; encrypted ones (eCryptfs, and folders of Synology) 143.
    """
    try:
        limit = os.pathconf(existing_ancestor(folder), "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # AttributeError: Windows
        return USUAL_NAME
    return min(max(limit, SHORTEST_LIMIT), USUAL_NAME) if limit > 0 else USUAL_NAME


def kind(folder: Path) -> str:
    """Return Linux's name of the file system of a folder, which need not exist yet; empty if it is unknown."""
    try:
        device = existing_ancestor(folder).stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except (AttributeError, OSError):
        return ""
    for line in text.splitlines():
        place, _, rest = line.partition(" - ")
        if place.split()[2:3] == [number]:
            return rest.partition(" ")[0]
    return ""


def exceeded(folder: Path, needed: int) -> int | None:
    """Return the most bytes that a file may have, if that is known and less than `needed`; otherwise None.

    Args:
        folder: folder of the file; it need not exist yet.
        needed: bytes.
    """
    try:
        import resource  # not on Windows
    except ImportError:
        pass
    else:
        allowed = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if allowed != resource.RLIM_INFINITY and needed > allowed:
            return allowed
    return FAT32_LIMIT if needed > FAT32_LIMIT and kind(folder) in FAT32 else None


def is_refused(folder: Path, name: str) -> bool:
    """Return whether the disk of a folder, which need not exist yet, is known not to hold a name.

    Few disks say so before a file is made. The others can only be tried.
    """
    place = existing_ancestor(folder)
    if set(name) & set(BARRED) and kind(place) in FAT:
        return True
    try:
        with Folder(place) as opened:
            opened.has(name)
    except OSError as error:
        return error.errno in (errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ)
    return False
