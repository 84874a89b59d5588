"""Downloads a file into a part beside its destination, and resumes where an earlier download stopped."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO

from huggingface_hub import constants
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # exported lazily

from stemsplit.disk import flush, open_own, remove, size_of_own
from stemsplit.errors import WeightsError
from stemsplit.fetch.causes import PortalError
from stemsplit.fetch.download_lock import Progress
from stemsplit.fetch.failures import PAUSES, retry
from stemsplit.fetch.responses import is_web_page, receive, refuse, whole_size
from stemsplit.fetch.timeouts import watched

LARGEST = 16_000_000_000
"""Bytes of the largest file that is accepted if the registry gives no size."""

RESERVE = 100_000_000
"""Bytes that stay free on the disk while a file of unknown size is downloaded."""


class WebPageError(PortalError):
    """A server sent a web page instead of the file."""


class TooMuchError(WeightsError):
    """A server sends more than it should, or than the disk can hold."""


@dataclass(frozen=True)
class Remote:
    """A file on a server, and its part on this machine.

    Args:
        url: address of the file.
        headers: HTTP headers of the requests.
        part: file that the download is written to.
        size: bytes of the whole file; 0 if unknown.
        version: the server's name for the file's present version; empty if it has none.
        has_digest: whether its digest is known. It shows afterwards whether the file is complete and of one version.
    """

    url: str
    headers: Mapping[str, str]
    part: Path
    size: int = 0
    version: str = ""
    has_digest: bool = True


def check_size(size: int | None, published: int) -> None:
    """Check the size that a server gives.

    Args:
        size: bytes by the server; None if it does not say.
        published: bytes by the registry; 0 if unknown.

    Raises:
        WeightsError: the sizes differ, or no checkpoint is that large.
    """
    if size is None:
        return
    if published and size != published:
        raise WeightsError(f"it is not the published file: it has {size} bytes, not {published}")
    if size > max(LARGEST, published):
        raise WeightsError(f"it is larger than {LARGEST / 1e9:g} GB, and the registry gives no size for it")


def check_space(folder: Path, needed: int) -> None:
    """Raise WeightsError if fewer than `needed` bytes are free on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WeightsError(
            f"it needs {needed / 1e6:,.1f} MB more in {folder}, where {free / 1e6:,.1f} MB are free; make room there"
        )


def _total(response: httpx.Response, remote: Remote) -> int:
    """Return the bytes of the whole file that a response holds, or holds the end of; 0 if unknown.

    Raises:
        WeightsError: it is another file, or there would be no way to tell whether it arrived completely.
    """
    if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
        # A few compressed bytes could expand to any size, and such a download could not be resumed.
        raise WeightsError(f"{response.url.host} sends the file compressed ({encoding[:20]}), against the request")
    size = whole_size(response)
    try:
        check_size(size, remote.size)
    except WeightsError:
        remove(remote.part)
        raise
    total = remote.size if size is None else size
    if not (total or remote.has_digest or "chunked" in response.headers.get("Transfer-Encoding", "")):
        raise WeightsError("neither its size nor its digest is known, so a broken download could not be recognised")
    return total


def _check_amount(done: int, total: int, folder: Path) -> None:
    """Raise TooMuchError if more arrived than expected, or a file of unknown size would fill the disk."""
    if total and done > total:
        raise TooMuchError(f"it is not the published file: it has more than {total} bytes")
    if not total and done > LARGEST:
        raise TooMuchError(f"it is larger than {LARGEST / 1e9:g} GB, and its size is not known")
    if not total and shutil.disk_usage(folder).free < RESERVE:
        raise TooMuchError(
            f"its size is not known, and fewer than {RESERVE / 1e6:g} MB are free in {folder}; make room there"
        )


def _append(file: IO[bytes], blocks: Iterator[bytes], start: int, total: int, folder: Path, progress: Progress) -> int:
    """Append blocks to a file of `start` bytes; return how many it then has."""
    done = start
    progress(done, total)
    for block in blocks:
        done += len(block)
        _check_amount(done, total, folder)
        file.write(block)
        progress(done, total)
    file.flush()
    # Before it is renamed: otherwise a power cut could leave zeros under the right name.
    flush(file.fileno())
    return done


def _write(response: httpx.Response, blocks: Iterator[bytes], remote: Remote, start: int, progress: Progress) -> bool:
    """Write a response to the part, from `start` on; return whether the response is the whole file."""
    total, folder = _total(response, remote), remote.part.parent
    check_space(folder, total - size_of_own(remote.part))
    try:
        with open_own(remote.part, append=start > 0) as file:
            done = _append(file, blocks, start, total, folder, progress)
    except TooMuchError:
        remove(remote.part)
        raise
    if total and done != total:
        raise httpx.RemoteProtocolError(f"{done} of {total} bytes arrived", request=response.request)
    return start == 0


def _continues(response: httpx.Response, remote: Remote, done: int) -> bool:
    """Return whether a response continues the file, and the same version of it, after `done` bytes."""
    tag = response.headers.get("ETag", "")
    is_other_version = remote.version.startswith('"') and tag not in ("", remote.version)
    return response.headers.get("Content-Range", "").startswith(f"bytes {done}-") and not is_other_version


def _resumable_bytes(remote: Remote) -> int:
    """Return the bytes of the part that a download can resume from. A part that is of no use is removed.

    Raises:
        OSError: a file with the part's name was not made by stemsplit.
    """
    done = size_of_own(remote.part)
    resumable = remote.has_digest or remote.version
    if done and (not resumable or (remote.size and done > remote.size)):
        remove(remote.part)
        return 0
    return done


def _resume(remote: Remote, progress: Progress) -> bool:
    """Download the rest of the part; return whether that was the whole file in one response."""
    done = _resumable_bytes(remote)
    if remote.size and done == remote.size:
        return False
    check_space(remote.part.parent, remote.size - done)
    headers = {**remote.headers, "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    if done and remote.version:
        headers["If-Range"] = remote.version
    with watched(partial(receive, remote.url, headers), constants.HF_HUB_DOWNLOAD_TIMEOUT) as items:
        response = next(items)
        status, content_range = response.status_code, response.headers.get("Content-Range", "")
        if done and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and content_range == f"bytes */{done}":
            return False
        if status == HTTPStatus.PARTIAL_CONTENT and _continues(response, remote, done):
            return _write(response, items, remote, done, progress)
        if status in (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, HTTPStatus.PARTIAL_CONTENT):
            remove(remote.part)
            raise httpx.RemoteProtocolError("these are not the requested bytes", request=response.request)
        if status != HTTPStatus.OK:
            refuse(response)
        if is_web_page(response):
            name = str(response.url.host)
            raise WebPageError(name, f"{name} sends a web page instead of the file")
        return _write(response, items, remote, 0, progress)


def download_part(remote: Remote, verify: Callable[[Path], str], progress: Progress, again: bool = True) -> str:
    """Download a file into its part, and verify it there.

    Args:
        remote: file to download.
        verify: function that raises WeightsError for a wrong file.
        progress: called at every step.
        again: whether to start over once if a file of several pieces is wrong.

    Returns:
        The result of `verify`.

    Raises:
        WebPageError: the server sends a web page instead.
        TooMuchError: the server sends more than it should. The part is removed.
        SlowError: the server sends nothing, or too slowly. The part is kept.
        WeightsError: the file is wrong and its part is removed, or the disk has no room for it.
        httpx.HTTPError: the server cannot be reached, or refuses. The part is kept.
        OSError: the part cannot be written, and is kept; or a file of its name was not made by stemsplit.
    """
    in_one_piece = retry(lambda: _resume(remote, progress), len(PAUSES) + 1, lambda: size_of_own(remote.part))
    try:
        return verify(remote.part)
    except WeightsError:
        remove(remote.part)
        # The file may have changed between two pieces: each is right, but together they are wrong.
        if in_one_piece or not again:
            raise
        return download_part(remote, verify, progress, again=False)
