"""Puts a file together from what a server sends, and goes on where an earlier run stopped."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO

from huggingface_hub import constants
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # exported lazily

from stemsplit.disk import open_own, remove, size_of_own
from stemsplit.errors import WeightsError
from stemsplit.fetch.alone import Progress
from stemsplit.fetch.answers import is_page, receive, refuse, whole_size
from stemsplit.fetch.failures import PAUSES, persist
from stemsplit.fetch.watched import watched

LARGEST = 16_000_000_000
"""Bytes of the largest file that is taken where the registry does not say how large it is."""

RESERVE = 100_000_000
"""Bytes that a file of unknown size leaves free on the disk."""


class WebPageError(WeightsError):
    """A server sent a page for people in the place of a file."""


class TooMuchError(WeightsError):
    """A server sends more than there should be, or than there is room for."""


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


def check_size(told: int | None, published: int) -> None:
    """Raise WeightsError if a server tells another size than was published, or one that no checkpoint has."""
    if told is None:
        return
    if published and told != published:
        raise WeightsError(f"it is not the file that was published: {told} bytes, not {published}")
    if told > max(LARGEST, published):
        raise WeightsError(f"it is larger than {LARGEST / 1e9:g} GB, and the registry does not say that it should be")


def check_space(folder: Path, needed: int) -> None:
    """Raise WeightsError if the disk that `folder` is on has fewer than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WeightsError(
            f"{needed / 1e6:,.1f} MB more are needed in {folder}, where {free / 1e6:,.1f} MB are free; make room there"
        )


def _total(response: httpx.Response, remote: Remote) -> int:
    """Bytes of the file that a response holds, or holds the end of; 0 if unknown.

    Raises:
        WeightsError: it is another file, or nobody could tell whether it came whole.
    """
    if (packed := response.headers.get("Content-Encoding", "identity")) != "identity":
        # A little of it could be unpacked to any size, and it could not be gone on with.
        raise WeightsError(f"{response.url.host} sends it packed ({packed[:20]}), which it was asked not to do")
    told = whole_size(response)
    try:
        check_size(told, remote.size)
    except WeightsError:
        remove(remote.part)
        raise
    total = remote.size if told is None else told
    if not (total or remote.known or "chunked" in response.headers.get("Transfer-Encoding", "")):
        raise WeightsError("neither its size nor its digest is known, so that nobody could tell whether it is whole")
    return total


def _check_amount(done: int, total: int, folder: Path) -> None:
    """Raise TooMuchError if more came than may; without a total, the disk is not filled up either."""
    if total and done > total:
        raise TooMuchError(f"it is not the file that was published: more than {total} bytes")
    if not total and done > LARGEST:
        raise TooMuchError(f"it is larger than {LARGEST / 1e9:g} GB, and nobody says how large it should be")
    if not total and shutil.disk_usage(folder).free < RESERVE:
        raise TooMuchError(
            f"its size is not known, and fewer than {RESERVE / 1e6:g} MB are left free in {folder}; make room there"
        )


def _append(file: IO[bytes], blocks: Iterator[bytes], start: int, total: int, folder: Path, progress: Progress) -> int:
    """Write blocks to the end of a file that has `start` bytes; returns how many it then has."""
    done = start
    progress(done, total)
    for block in blocks:
        done += len(block)
        _check_amount(done, total, folder)
        file.write(block)
        progress(done, total)
    file.flush()
    # What is renamed must be on the disk, or a power cut leaves zeros under the right name.
    os.fsync(file.fileno())
    return done


def _write(response: httpx.Response, blocks: Iterator[bytes], remote: Remote, start: int, progress: Progress) -> bool:
    """Write a response into the part, from `start` on; True if that is all of the file."""
    total, folder = _total(response, remote), remote.part.parent
    check_space(folder, total - size_of_own(remote.part))
    try:
        with open_own(remote.part, append=start > 0) as file:
            done = _append(file, blocks, start, total, folder, progress)
    except TooMuchError:
        remove(remote.part)
        raise
    if total and done != total:
        raise httpx.RemoteProtocolError(f"{done} bytes came of {total}", request=response.request)
    return start == 0


def _continues(response: httpx.Response, remote: Remote, done: int) -> bool:
    """Whether a response holds what follows in the file that `done` bytes are here of."""
    tag = response.headers.get("ETag", "")
    is_other = remote.version.startswith('"') and tag not in ("", remote.version)
    return response.headers.get("Content-Range", "").startswith(f"bytes {done}-") and not is_other


def _checked_part(remote: Remote) -> int:
    """Bytes of the part that can be gone on with; what cannot be is removed.

    Raises:
        OSError: what has its name is not a file of ours.
    """
    done = size_of_own(remote.part)
    resumable = remote.known or remote.version
    if done and (not resumable or (remote.size and done > remote.size)):
        remove(remote.part)
        return 0
    return done


def _go_on(remote: Remote, progress: Progress) -> bool:
    """Ask for what the part lacks, and write it there; True if that was all of the file."""
    done = _checked_part(remote)
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
        status, range_ = response.status_code, response.headers.get("Content-Range", "")
        if done and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and range_ == f"bytes */{done}":
            return False
        if status == HTTPStatus.PARTIAL_CONTENT and _continues(response, remote, done):
            return _write(response, items, remote, done, progress)
        if status in (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, HTTPStatus.PARTIAL_CONTENT):
            remove(remote.part)
            raise httpx.RemoteProtocolError("other bytes came than were asked for", request=response.request)
        if status != HTTPStatus.OK:
            refuse(response)
        if is_page(response):
            raise WebPageError(f"{response.url.host} sends a web page, not the file")
        return _write(response, items, remote, 0, progress)


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
        TooMuchError: the server sends more than it should, and nothing of it is left.
        SlowError: the server sends nothing, or too slowly; what came is kept.
        WeightsError: the file is wrong, and nothing of it is left; or there is no room for it.
        httpx.HTTPError: the server cannot be reached, or refuses; what came is kept.
        OSError: it cannot be written; what came is kept. Or what has the name of the part is not ours.
    """
    at_once = persist(lambda: _go_on(remote, progress), len(PAUSES) + 1, lambda: size_of_own(remote.part))
    try:
        return verify(remote.part)
    except WeightsError:
        remove(remote.part)
        # Pieces may be wrong together though each was right: the file may have changed in between.
        if at_once or not again:
            raise
        return obtain(remote, verify, progress, again=False)
