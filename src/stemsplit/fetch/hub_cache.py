"""Knows the layout of the cache that the Hugging Face Hub's library keeps, without that library."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import unquote

from stemsplit.disk import names_below, read_text
from stemsplit.disk.folder import is_plain
from stemsplit.errors import WeightsError

REF_LIMIT = 1_000
"""Bytes of a file that says which commit a branch is at."""

LONGEST = 200
"""Bytes of one step of a path; file systems take 255, and some are added to it here."""


def is_file(path: Path) -> bool:
    """Whether there is a file; not, to a folder that may not be entered."""
    # os.path: it says no where Path.is_file raises.
    return os.path.isfile(path)  # noqa: PTH113


def folder() -> Path:
    """The folder that the Hugging Face Hub's library keeps its files in.

    Found as that library finds it, which would take long to import.
    """
    # Not Path: a variable may be empty, and there may be no home folder, which leaves a ~ where it is.
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", os.path.join(caches, "huggingface"))  # noqa: PTH118
    older = os.environ.get("HUGGINGFACE_HUB_CACHE", os.path.join(home, "hub"))  # noqa: PTH118
    return Path(os.path.expandvars(os.path.expanduser(os.environ.get("HF_HUB_CACHE", older))))  # noqa: PTH111


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the Hugging Face Hub, and its places in the hub's own cache.

    The layout is documented: https://huggingface.co/docs/huggingface_hub/guides/manage-cache

    Args:
        repo: OWNER/NAME.
        revision: commit, branch or tag.
        name: of the file, with its folders.
    """

    repo: str
    revision: str
    name: str

    @classmethod
    def parse(cls, source: str) -> "HubFile":
        """The file that a source of the form `hf://OWNER/REPO@REVISION/FILE` names.

        Raises:
            WeightsError: it names none.
        """
        match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([^/]+))?/(.+)", source, re.ASCII)
        parts = [match[1], unquote(match[2] or "main"), match[3]] if match else [""]
        steps = "/".join(parts).split("/")
        # A name that leads out of its folder would be written there.
        if not all(is_plain(step) and step.isprintable() and len(step.encode()) <= LONGEST for step in steps):
            raise WeightsError("it is not of the form hf://OWNER/REPO@REVISION/FILE")
        return cls(*parts)

    @property
    def way(self) -> PurePath:
        """Where the repository is kept, from the cache's folder."""
        return PurePath(f"models--{self.repo.replace('/', '--')}")

    @property
    def folder(self) -> Path:
        """Where the repository is kept."""
        return folder() / self.way

    def pointer(self, commit: str) -> Path:
        """Where the file is looked for, at a commit."""
        return self.folder / "snapshots" / commit / self.name

    def part(self, etag: str) -> Path:
        """Where the file is put together; named so that the hub's own tools see what it is."""
        return self.folder / "blobs" / f"{etag}{self._ending}"

    @property
    def _ending(self) -> str:
        """What the names of all the file's parts end with."""
        return f".stemsplit-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}.incomplete"

    def parts(self) -> list[PurePath]:
        """What unfinished downloads left, of any version of the file, from the cache's folder.

        Raises:
            OSError: the folder that they are in cannot be read, or is a link.
        """
        blobs = self.way / "blobs"
        return [blobs / name for name in names_below(folder(), blobs) if name.endswith(self._ending)]

    def found(self) -> Path | None:
        """The file in the hub's cache, whatever it holds, whoever put it there."""
        try:
            commit = read_text(self.folder / "refs" / self.revision, REF_LIMIT).strip()
        except (OSError, UnicodeDecodeError):
            commit = self.revision
        else:
            if not is_plain(commit):
                return None
        pointer = self.pointer(commit)
        return pointer if is_file(pointer) else None
