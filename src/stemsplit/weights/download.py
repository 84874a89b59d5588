"""Gets an entry's weights: from where they are on this machine already, or from the first source that has them."""

import hashlib
from pathlib import Path

from stemsplit.errors import WeightsError
from stemsplit.registry import ModelEntry

PACKAGE = "package:"
"""Scheme of the files that ship inside this package."""


def sha256(path: Path) -> str:
    """Digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(entry: ModelEntry) -> Path:
    """A verified local file with the entry's weights.

    Raises:
        WeightsError: no source has it, or what is there is not what the registry says.
    """
    problems = []
    for source in entry.sources:
        if not source.startswith(PACKAGE):
            problems.append(f"{source} is of an unknown kind")
            continue
        path = Path(__file__).parents[1] / source.removeprefix(PACKAGE)
        if not path.is_file():
            problems.append(f"{path} is missing; reinstall stemsplit")
            continue
        try:
            if sha256(path) == entry.sha256:
                return path
            problems.append(f"{path} is not the file that was published (sha256 differs); reinstall stemsplit")
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror})")
    raise WeightsError(f"no weights for {entry.name!r}: {', and '.join(problems) or 'the registry names no source'}")
