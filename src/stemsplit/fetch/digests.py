"""Tells whether a file is the one that an entry means: by its digest, as published or as it was when first used."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

from platformdirs import user_cache_path

from stemsplit import registry
from stemsplit.disk import make_below, open_regular, read_text, remove_below, replacing, size_of_own
from stemsplit.errors import WeightsError
from stemsplit.registry import ModelEntry


class LockFileError(WeightsError):
    """The file with remembered digests does not do: no source is to blame, and no other one to be tried."""


ZIP = b"PK\3\4"
"""What a file of `torch.save` begins with since PyTorch 1.6."""

BLOCK = 1 << 20
"""Bytes that are read at once."""

LOCK_SECONDS = 60.0
"""How long to wait for another process to write the lock file, which takes it no time."""

RECORDS = PurePath("verified")
"""Where it is noted which files were verified, from the cache's folder."""


def cache_folder() -> Path:
    """Where files from the web and records are kept: STEMSPLIT_CACHE, or the system's folder for caches.

    Raises:
        WeightsError: there is no home folder for that to be in.
    """
    if chosen := os.environ.get("STEMSPLIT_CACHE"):
        return Path(chosen)
    with suppress(RuntimeError):
        # Without a home folder, it raises or leaves the ~ where it is.
        if (folder := user_cache_path("stemsplit")).parts[0] != "~":
            return folder
    raise WeightsError("there is no home folder to keep downloads in; set STEMSPLIT_CACHE and HF_HOME")


def lock_file() -> Path:
    """Where the digests are remembered that nobody published."""
    return registry.user_folder() / "models.lock.json"


def sha256(path: Path, pulse: Callable[[], object] = lambda: None) -> str:
    """Digest of a file, in hexadecimal.

    Args:
        path: a regular file.
        pulse: called before every block; what it raises ends the work.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(BLOCK):
            pulse()
            digest.update(block)
    return digest.hexdigest()


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


def _write(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def _remembered() -> dict[str, dict[str, str | int]]:
    """The lock file: name of an entry -> its sha256 and size."""
    try:
        content = json.loads(read_text(lock_file()))
        pins: dict[str, dict[str, str | int]]
        pins = {name: {"sha256": str(pin["sha256"]), "size": int(pin["size"])} for name, pin in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise LockFileError(f"cannot read {lock_file()} ({error}); mend it, or delete it") from error
    for name, pin in pins.items():
        # A digest is part of the names of files.
        if not re.fullmatch("[0-9a-f]{64}", str(pin["sha256"])):
            raise LockFileError(f"cannot read {lock_file()} (no sha256 is given for {name!r}); mend it, or delete it")
    return pins


def pinned(name: str) -> str:
    """The sha256 that was remembered for the entry of that name; empty if none was.

    Raises:
        LockFileError: the lock file cannot be read.
    """
    return str(_remembered().get(name, {}).get("sha256", ""))


@contextmanager
def _remembering() -> Iterator[dict[str, dict[str, str | int]]]:
    """What the lock file holds, to be changed and written back; no other process changes it meanwhile."""
    from filelock import FileLock  # only now: whoever asks what is here does without

    lock_file().parent.mkdir(parents=True, exist_ok=True)
    lock = lock_file().with_name(".models.lock")
    size_of_own(lock)  # or the library may empty a file elsewhere, which the lock was made a link to
    with FileLock(lock, timeout=LOCK_SECONDS):
        pins = _remembered()
        yield pins
        _write(lock_file(), pins)


def _words(error: OSError) -> str:
    """What is wrong with a file, and with which one."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def pin(name: str, digest: str, size: int) -> None:
    """Remember the sha256 of an entry's weights, for which none was published.

    Raises:
        LockFileError: another was remembered meanwhile, or the lock file cannot be read or written.
    """
    try:
        with _remembering() as pins:
            if pins.get(name, {}).get("sha256", digest) != digest:
                raise LockFileError(
                    f"another file was got for {name!r} meanwhile, and is remembered in {lock_file()}; try again"
                )
            pins[name] = {"sha256": digest, "size": size}
    except OSError as error:
        raise LockFileError(
            f"no digest of {name!r} was published, and {lock_file()} cannot be written to remember this file's"
            f" ({_words(error)}); set STEMSPLIT_CONFIG to a folder that can be written"
        ) from error


def unpin(name: str) -> None:
    """Forget the sha256 that was remembered for the entry of that name, if one was.

    Raises:
        LockFileError: the lock file cannot be read or written.
    """
    if not pinned(name):
        return
    try:
        with _remembering() as pins:
            pins.pop(name, None)
    except OSError as error:
        raise LockFileError(
            f"cannot write {lock_file()} to forget the file of {name!r} ({_words(error)}); delete {name!r} there"
        ) from error


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
        _write(make_below(cache_folder(), way.parent) / way.name, content)


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
