"""Finds files in the Hugging Face Hub's local cache, without the hub's library."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import unquote

from stemsplit.disk import names_below, read_text
from stemsplit.disk.folder import is_plain
from stemsplit.disk.owner import apart
from stemsplit.errors import WeightsError

REF_LIMIT = 1_000
"""Largest size in bytes of a file that names the commit of a branch."""

NAME_LIMIT = 200
"""Bytes of one step of a path. File systems allow 255, and suffixes are added here."""


def is_file(path: Path) -> bool:
    """Return whether a path is a file; False for one in a folder that may not be entered."""
    # Path.is_file raises for such a folder.
    return os.path.isfile(path)  # noqa: PTH113


def folder() -> Path:
    """Return the folder of the Hugging Face Hub's cache, by the same rules as the hub's library.

    The library itself takes long to import.
    """
    # Not Path: a variable may be empty, and without a home folder the ~ has to stay as it is.
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", os.path.join(caches, "huggingface"))  # noqa: PTH118
    older = os.environ.get("HUGGINGFACE_HUB_CACHE", os.path.join(home, "hub"))  # noqa: PTH118
    return Path(os.path.expandvars(os.path.expanduser(os.environ.get("HF_HUB_CACHE", older))))  # noqa: PTH111


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the Hugging Face Hub, and its paths in the hub's cache.

    The layout is documented: https://huggingface.co/docs/huggingface_hub/guides/manage-cache

    Args:
        repo: name of the repository, OWNER/NAME.
        revision: commit, branch or tag.
        name: path of the file in the repository.
    """

    repo: str
    revision: str
    name: str

    @classmethod
    def parse(cls, source: str) -> "HubFile":
        """Parse a source of the form `hf://OWNER/REPO@REVISION/FILE`.

        Raises:
            WeightsError: it has another form.
        """
        match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([^/]+))?/(.+)", source, re.ASCII)
        parts = [match[1], unquote(match[2] or "main"), match[3]] if match else [""]
        steps = "/".join(parts).split("/")
        # A step like `..` would lead out of the cache.
        if not all(is_plain(step) and step.isprintable() and len(step.encode()) <= NAME_LIMIT for step in steps):
            raise WeightsError("it does not have the form hf://OWNER/REPO@REVISION/FILE")
        return cls(*parts)

    @property
    def repo_folder(self) -> PurePath:
        """Folder of the repository, relative to the cache's folder."""
        return PurePath(f"models--{self.repo.replace('/', '--')}")

    @property
    def folder(self) -> Path:
        """Folder of the repository."""
        return folder() / self.repo_folder

    def pointer(self, commit: str) -> Path:
        """Return the path under which programs look for the file of a commit; usually a link to a blob."""
        return self.folder / "snapshots" / commit / self.name

    def part(self, etag: str) -> Path:
        """Return the path of the unfinished download. The hub's own tools recognise its name as one."""
        blobs = self.folder / "blobs"
        return blobs / f"{etag}{apart(blobs)}{self._part_suffix}"

    @property
    def _part_suffix(self) -> str:
        """Suffix of all unfinished downloads of the file."""
        return f".stemsplit-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}.incomplete"

    def parts(self) -> list[PurePath]:
        """Return the unfinished downloads of any version of the file, relative to the cache's folder.

        Raises:
            OSError: their folder cannot be read, or is a link.
        """
        blobs = self.repo_folder / "blobs"
        return [blobs / name for name in names_below(folder(), blobs) if name.endswith(self._part_suffix)]

    def cached(self) -> Path | None:
        """Return the unverified file in the hub's cache, whichever program put it there; None if there is none."""
        try:
            commit = read_text(self.folder / "refs" / self.revision, REF_LIMIT).strip()
        except (OSError, UnicodeDecodeError):
            commit = self.revision
        else:
            if not is_plain(commit):
                return None
        pointer = self.pointer(commit)
        return pointer if is_file(pointer) else None
