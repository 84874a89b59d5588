"""Computes the digest of a file."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from stemsplit.disk.files import open_regular

BLOCK = 1 << 20
"""Bytes read at a time."""


def sha256(path: Path, pulse: Callable[[], object] = lambda: None) -> str:
    """Return the digest of a regular file, in hexadecimal.

    Args:
        path: file to hash.
        pulse: called before every block. An exception from it ends the work.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(BLOCK):
            pulse()
            digest.update(block)
    return digest.hexdigest()
