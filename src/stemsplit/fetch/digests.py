"""Verifies by its digest that a file holds an entry's weights."""

import hashlib
import os
from pathlib import Path

from stemsplit.disk import open_regular
from stemsplit.disk.digest import sha256
from stemsplit.errors import WeightsError
from stemsplit.fetch import verified
from stemsplit.fetch.checkpoint_format import is_safetensors
from stemsplit.fetch.pins import lock_file, pin, pinned
from stemsplit.registry import ModelEntry


def git_sha1(path: Path) -> str:
    """Return the digest of a file as a git blob, in hexadecimal."""
    with open_regular(path) as file:
        start = b"blob %d\0" % os.fstat(file.fileno()).st_size
        return hashlib.file_digest(file, lambda: hashlib.sha1(start, usedforsecurity=False)).hexdigest()


def published(entry: ModelEntry) -> str:
    """Return the digest in the registry; empty if it has none."""
    return entry.sha256 or entry.git_sha1


def expected(entry: ModelEntry) -> str:
    """Return the published digest, or else the pinned one; empty if there is neither.

    Raises:
        WeightsError: the lock file cannot be read.
    """
    return published(entry) or pinned(entry.name)


def identity(entry: ModelEntry) -> str:
    """Return the digest of an entry's weights: the expected one, or else that of the user's own file.

    It is empty if the weights have to be downloaded before it is known.

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
                raise WeightsError(f"cannot read the weights in {source}: this is not a file name") from error
    return ""


def verify(path: Path, entry: ModelEntry) -> str:
    """Check a file against the size and the digest that are known of the entry's weights.

    Returns:
        The sha256 of the file.

    Raises:
        WeightsError: it is another file.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if entry.size and size != entry.size:
        raise WeightsError(f"it is not the published file: it has {size} bytes, not {entry.size}")
    digest = sha256(path)
    if entry.sha256 and digest != entry.sha256:
        raise WeightsError("it is not the published file: its sha256 differs")
    if entry.git_sha1 and git_sha1(path) != entry.git_sha1:
        raise WeightsError("it is not the published file: its git SHA-1 differs")
    if published(entry):
        return digest
    pinned_digest = pinned(entry.name)
    if not pinned_digest:
        is_safetensors(path)  # no digest vouches for this file, and it is about to be pinned
    elif digest != pinned_digest:
        raise WeightsError(
            f"it is not the file that was first downloaded: its sha256 is not the one in {lock_file()};"
            f" if you trust the new file, delete {entry.name!r} there"
        )
    return digest


def accept(entry: ModelEntry, path: Path, digest: str) -> Path:
    """Record that a file was verified to hold the entry's weights, and pin its digest if none was published.

    Args:
        entry: entry of the weights.
        path: verified file.
        digest: sha256 of the file.

    Returns:
        The file.

    Raises:
        LockFileError: the digest cannot be pinned, or another one was pinned meanwhile.
    """
    if not expected(entry):
        pin(entry.name, digest, path.stat().st_size)
    verified.remember(expected(entry), path)
    return path
