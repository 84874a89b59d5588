"""Puts a file together from what a server sends: one process at a time, going on where an earlier one stopped."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from filelock import FileLock, Timeout
from huggingface_hub import constants
from huggingface_hub.utils import get_session, hf_raise_for_status, httpx  # type: ignore[attr-defined]  # exported lazily

from stemsplit.errors import WeightsError
from stemsplit.weights.network import PAUSES, persist


class WebPageError(WeightsError):
    """A server sent a page for people in the place of a file."""


Progress = Callable[[int, int], None]
"""Told, again and again, the bytes that are here and the bytes in all, 0 if unknown."""


@dataclass(frozen=True)
class Remote:
    """A file on a server, and where it is put together here.

    Args:
        url: where it is.
        headers: to ask with.
        part: the file to put it together in.
        size: in bytes; 0 if unknown.
        version: what the server calls the file's present version; empty if it does not tell.
        known: whether there is a digest to tell if the file is whole, and of one version.
    """

    url: str
    headers: Mapping[str, str]
    part: Path
    size: int = 0
    version: str = ""
    known: bool = True


def size_of(path: Path) -> int:
    """Bytes of a file; 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def check_space(folder: Path, needed: int) -> None:
    """Raises WeightsError if the disk that `folder` is on has fewer than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WeightsError(
            f"{needed / 1e6:,.1f} MB more are needed in {folder}, where {free / 1e6:,.1f} MB are free; make room there"
        )


@contextmanager
def alone(lock: Path, part: Path, size: int, progress: Progress) -> Iterator[None]:
    """Be the only process that gets a file; until then, show how far the other one is."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    # The mode with which the hub's library shares its locks in a group.
    held = FileLock(lock, mode=0o664)
    while not held.is_locked:
        try:
            held.acquire(timeout=0.5)
        except Timeout:
            progress(size_of(part), size)
    try:
        yield
    finally:
        held.release()


def whole_size(response: httpx.Response) -> int | None:
    """Bytes of the file that a response holds, or holds the end of; None if it does not tell."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    told = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() else None


def is_page(response: httpx.Response) -> bool:
    """Whether a response says that it is one for people to read."""
    return response.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml"))


def _total(response: httpx.Response, remote: Remote) -> int:
    """Bytes of the file that a response holds, or holds the end of; 0 if unknown.

    Raises:
        WeightsError: it is another file, or nobody could tell whether it came whole.
    """
    if (packed := response.headers.get("Content-Encoding", "identity")) != "identity":
        # A little of it could be unpacked to any size, and it could not be gone on with.
        raise WeightsError(f"{response.url.host} sends it packed ({packed}), which it was asked not to do")
    told = whole_size(response)
    total = remote.size if told is None else told
    if remote.size and total != remote.size:
        remote.part.unlink(missing_ok=True)
        raise WeightsError(f"it is not the file that was published: {total} bytes, not {remote.size}")
    if not (total or remote.known or "chunked" in response.headers.get("Transfer-Encoding", "")):
        raise WeightsError("neither its size nor its digest is known, so that nobody could tell whether it is whole")
    return total


def _write(response: httpx.Response, remote: Remote, start: int, progress: Progress) -> bool:
    """Write a response into the part, from `start` on; True if that is all of the file."""
    total = _total(response, remote)
    check_space(remote.part.parent, total - size_of(remote.part))
    done = start
    with remote.part.open("ab" if start else "wb") as file:
        progress(done, total)
        for block in response.iter_bytes():
            done += len(block)
            if total and done > total:
                break
            file.write(block)
            progress(done, total)
        file.flush()
        # What is renamed must be on the disk, or a power cut leaves zeros under the right name.
        os.fsync(file.fileno())
    if total and done > total:
        remote.part.unlink()
        raise WeightsError(f"it is not the file that was published: more than {total} bytes")
    if total and done != total:
        raise httpx.RemoteProtocolError(f"{done} bytes came of {total}", request=response.request)
    return start == 0


def _go_on(remote: Remote, progress: Progress) -> bool:
    """Ask for what the part lacks, and write it there; True if that was all of the file."""
    done = size_of(remote.part)
    resumable = remote.known or remote.version
    if done and (not resumable or (remote.size and done > remote.size)):
        remote.part.unlink()
        done = 0
    if remote.size and done == remote.size:
        return False
    check_space(remote.part.parent, remote.size - done)
    headers = {**remote.headers, "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    if done and remote.version:
        headers["If-Range"] = remote.version
    # Not the library's own `http_get`: it reads 10 MB at a time, and loses them where the connection breaks.
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", remote.url, headers=headers, timeout=timeout) as response:
        range_ = response.headers.get("Content-Range", "")
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and range_ == f"bytes */{done}":
            return False
        if response.status_code == HTTPStatus.PARTIAL_CONTENT and range_.startswith(f"bytes {done}-"):
            return _write(response, remote, done, progress)
        if response.status_code in (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, HTTPStatus.PARTIAL_CONTENT):
            remote.part.unlink(missing_ok=True)
            raise httpx.RemoteProtocolError("other bytes came than were asked for", request=response.request)
        hf_raise_for_status(response)
        if is_page(response):
            raise WebPageError(f"{response.url.host} sends a web page, not the file")
        return _write(response, remote, 0, progress)


def obtain(remote: Remote, verify: Callable[[Path], str], progress: Progress, again: bool = True) -> str:
    """Put a file together in its part, and verify it there.

    Args:
        remote: the file.
        verify: raises WeightsError for a wrong file.
        progress: told of every step.
        again: whether to start from the beginning once more if pieces make a wrong file.

    Returns:
        What `verify` returns.

    Raises:
        WebPageError: the server sends one instead.
        WeightsError: the file is wrong, and nothing of it is left; or there is no room for it.
        httpx.HTTPError: the server cannot be reached, or refuses; what came is kept.
        OSError: it cannot be written; what came is kept.
    """
    remote.part.parent.mkdir(parents=True, exist_ok=True)
    at_once = persist(lambda: _go_on(remote, progress), len(PAUSES) + 1, lambda: size_of(remote.part))
    try:
        return verify(remote.part)
    except WeightsError:
        remote.part.unlink(missing_ok=True)
        # Pieces may be wrong together though each was right: the file may have changed in between.
        if at_once or not again:
            raise
        return obtain(remote, verify, progress, again=False)
