"""Writes a report as an HTML page, whole or not at all, and says where its moments can be heard."""

import os
import shlex
from pathlib import Path
from urllib.parse import quote

from stemsplit.disk import Folder
from stemsplit.disk.space import existing_ancestor
from stemsplit.errors import AudioError
from stemsplit.pictures.pages import MARK, Html, element, link
from stemsplit.songs.beside import obstacle, writing
from stemsplit.terminal import console
from stemsplit.words import clock

LISTEN = "listen.html"
"""Name of the page to listen to that may lie beside stems."""

ADVICE = "choose another file, or move it away"


class ReportFile:
    """Writes a command's report: an HTML page, which replaces an earlier report and no other file.

    Args:
        path: file to write.

    Raises:
        ValueError: the file cannot be written, or something else is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if problem := self._problem():
            raise ValueError(problem)

    def _problem(self) -> str:
        """Say why the file cannot be written; empty if it can."""
        if self.path.suffix.lower() != ".html":
            return f"a report is written as NAME.html, not {self.path}"
        parent, effective = existing_ancestor(self.path.parent), os.access in os.supports_effective_ids
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
            return f"cannot write into {parent} (no permission, or not a folder); choose another file"
        return obstacle(self.path, MARK, advice=ADVICE)

    def write(self, page: bytes) -> bool:
        """Write the report, and print where it is, or an error if that fails.

        Args:
            page: page, as `pictures.pages.page` makes it.

        Returns:
            Whether it was written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with writing(self.path, MARK, advice=ADVICE) as file:
                file.write(page)
        except AudioError as error:
            console.error(str(error))
        except OSError as error:
            console.error(f"cannot write {self.path} ({(error.strerror or 'the system refuses').lower()})")
        else:
            console.note(f"report: {self.path}")
            return True
        return False


def has_page(folder: Path) -> bool:
    """Return whether a page to listen to lies beside stems: a file, not a link to one."""
    try:
        with Folder(folder) as opened:
            return opened.size(LISTEN) is not None
    except OSError:
        return False


def fragment(at: float, solo: str) -> str:
    """Return the part of a page's address that says where to begin, in seconds, and which track to hear alone."""
    return f"#t={round(at, 3):.12g}&solo={quote(solo.encode('utf-8', 'surrogateescape'), safe='')}"


def way_to_hear(folder: Path, report: Path, at: float, solo: str, has_page: bool) -> Html:
    """Return a link to a moment in the page beside stems, or, where there is none, the command that plays it.

    Args:
        folder: folder of the stems.
        report: file of the report, from which the link leads.
        at: time in seconds.
        solo: stem to hear alone.
        has_page: whether the page is there.
    """
    if has_page:
        way = os.path.relpath(folder, report.parent)  # as browsers do, without following links
        address = quote(os.fsencode(way).replace(os.fsencode(os.sep), b"/")) + f"/{LISTEN}{fragment(at, solo)}"
        return link(address, f"hear {clock(at, 3)}")
    named = str(folder) if not str(folder).startswith("-") else os.path.join(os.curdir, folder)  # noqa: PTH118
    return element("code", shlex.join(["stemsplit", "listen", named, "--at", clock(at, 3), "--solo", solo]))
