"""Knows the layout of the cache that the Hugging Face Hub's library keeps, without that library."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from stemsplit.errors import WeightsError


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
        match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([^/]+))?/(.+)", source)
        parts = [match[1], unquote(match[2] or "main"), match[3]] if match else [""]
        # A name that leads out of its folder would be written there.
        if {"", ".", ".."} & set("/".join(parts).split("/")):
            raise WeightsError("it is not of the form hf://OWNER/REPO@REVISION/FILE")
        return cls(*parts)

    @property
    def folder(self) -> Path:
        """Of the repository."""
        return folder() / f"models--{self.repo.replace('/', '--')}"

    def pointer(self, commit: str) -> Path:
        """Where the file is looked for, at a commit."""
        return self.folder / "snapshots" / commit / self.name

    def part(self, etag: str) -> Path:
        """Where the file is put together; named so that the hub's own tools see what it is."""
        return self.folder / "blobs" / f"{etag}.{self._mark}.incomplete"

    @property
    def _mark(self) -> str:
        return f"stemsplit-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"

    def parts(self) -> Iterator[Path]:
        """What unfinished downloads left, of any version of the file."""
        return self.folder.glob(f"blobs/*.{self._mark}.incomplete")

    def found(self) -> Path | None:
        """The file in the hub's cache, whatever it holds, whoever put it there."""
        try:
            commit = (self.folder / "refs" / self.revision).read_text(encoding="utf-8").strip()
        except OSError:
            commit = self.revision
        pointer = self.pointer(commit)
        return pointer if is_file(pointer) else None
