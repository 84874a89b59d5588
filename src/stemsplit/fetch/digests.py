"""Tells whether a file is the one that an entry means: by its digest, as published or as it was when first used."""

import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path, PurePath

from stemsplit.disk import make_below, open_regular, read_text, remove_below
from stemsplit.disk.files import sha256, write_json
from stemsplit.disk.folders import cache_folder
from stemsplit.errors import WeightsError
from stemsplit.fetch.pins import lock_file, pin, pinned
from stemsplit.registry import ModelEntry

ZIP = b"PK\3\4"
"""What a file of `torch.save` begins with since PyTorch 1.6."""


RECORDS = PurePath("verified")
"""Where it is noted which files were verified, from the cache's folder."""


def git_sha1(path: Path) -> str:
    """Digest of a file as a git blob, in hexadecimal."""
    with open_regular(path) as file:
        start = b"blob %d\0" % os.fstat(file.fileno()).st_size
        return hashlib.file_digest(file, lambda: hashlib.sha1(start, usedforsecurity=False)).hexdigest()


def is_safetensors(path: Path) -> bool:
    """Whether a checkpoint is a safetensors file; else, it is one of `torch.save`. That shows in its first bytes.

    Raises:
        WeightsError: it is neither.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        head = file.read(64)
    if head[8:9] == b"{":
        return True
    if head.startswith((ZIP, b"\x80")):
        return False
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise WeightsError("it is not a checkpoint: it begins like a web page")
    raise WeightsError("it is neither a safetensors file nor one of torch.save; was it wholly downloaded?")


def published(entry: ModelEntry) -> str:
    """The digest that the registry gives; empty if it gives none."""
    return entry.sha256 or entry.git_sha1


def expected(entry: ModelEntry) -> str:
    """The digest that an entry goes by: published, or else remembered; empty if there is none yet.

    Raises:
        WeightsError: the lock file cannot be read.
    """
    return published(entry) or pinned(entry.name)


def identity(entry: ModelEntry) -> str:
    """What tells an entry's weights from all others: the digest it goes by, or that of a file of the user's own.

    Empty if that is not known before they are downloaded.

    Raises:
        WeightsError: a file cannot be read.
    """
    if digest := expected(entry):
        return digest
    for source in entry.sources:
        if source.startswith("file:"):
            try:
                return sha256(Path(source.removeprefix("file:")))
            except OSError as error:
                raise WeightsError(f"cannot read the weights in {source}: {error.strerror}") from error
            except ValueError as error:
                raise WeightsError(f"cannot read the weights in {source}: not the name of a file") from error
    return ""


def verify(path: Path, entry: ModelEntry) -> str:
    """The sha256 of a file that is the entry's, as far as anything is known of that.

    Raises:
        WeightsError: it is another file.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if entry.size and size != entry.size:
        raise WeightsError(f"it is not the file that was published: {size} bytes, not {entry.size}")
    found = sha256(path)
    if entry.sha256 and found != entry.sha256:
        raise WeightsError("it is not the file that was published: its sha256 differs")
    if entry.git_sha1 and git_sha1(path) != entry.git_sha1:
        raise WeightsError("it is not the file that was published: its SHA-1 as a git blob differs")
    known = published(entry) or pinned(entry.name)
    if not known:
        # It is about to be taken for the right one ever after.
        is_safetensors(path)
    if not published(entry) and known not in ("", found):
        raise WeightsError(
            f"it is not the file that was got first: its sha256 is not the one in {lock_file()};"
            f" if you trust the new one, delete {entry.name!r} there"
        )
    return found


def _record(digest: str) -> PurePath:
    """Where it is noted that a file has a digest, from the cache's folder."""
    return RECORDS / f"{digest}.json"


def record(digest: str, path: Path) -> None:
    """Write down that a file was verified; where that cannot be written, it will be verified again."""
    with suppress(OSError, WeightsError):
        found, way = path.stat(), _record(digest)
        content = {"path": str(path.absolute()), "size": found.st_size, "mtime_ns": found.st_mtime_ns}
        write_json(make_below(cache_folder(), way.parent) / way.name, content)


def forget(digest: str) -> None:
    """Drop the record of a verified file."""
    with suppress(OSError, WeightsError):
        remove_below(cache_folder(), _record(digest))


def recorded(digest: str) -> Path | None:
    """The file that was found to have that digest, if it has not been touched since."""
    try:
        seen = json.loads(read_text(cache_folder() / _record(digest)))
        path = Path(seen["path"])
        found = path.stat()
        same = stat.S_ISREG(found.st_mode) and (found.st_size, found.st_mtime_ns) == (seen["size"], seen["mtime_ns"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, WeightsError):
        return None
    return path if same else None


def remember(entry: ModelEntry, path: Path, digest: str) -> Path:
    """Write down that a file with that sha256 was verified to be the entry's; gives the file.

    Raises:
        LockFileError: no digest was published, and this one cannot be written down, or another was meanwhile.
    """
    if not expected(entry):
        pin(entry.name, digest, path.stat().st_size)
    record(expected(entry), path)
    return path
