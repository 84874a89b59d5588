"""Finds and removes weights on this machine."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from stemsplit.disk import Folder, names_below, remove_below, remove_empty_folder
from stemsplit.disk.folder import is_plain
from stemsplit.disk.folders import cache_folder
from stemsplit.disk.owner import apart
from stemsplit.errors import WeightsError
from stemsplit.fetch import digests, hub_cache, verified
from stemsplit.fetch.hub_cache import HubFile, is_file
from stemsplit.fetch.pins import LockFileError, unpin
from stemsplit.fetch.timeouts import in_time
from stemsplit.registry import ModelEntry, redacted

if TYPE_CHECKING:
    from huggingface_hub import DeleteCacheStrategy

PACKAGE, FILE, HUB, WEB = "package:", "file:", "hf://", ("https://", "http://")
"""The schemes of `stemsplit.registry.SCHEMES`, by name."""

WEIGHTS = PurePath("weights")
"""Folder of the files from the web, relative to the cache folder."""

NAME_LIMIT = 200
"""Bytes of an address's file name that are kept; file systems allow 255."""


def web_file(digest: str, url: str) -> PurePath:
    """Return the path of a file from the web, relative to the cache folder."""
    address = re.match("[^:]*://[^/?#]*([^?#]*)", url)
    last_step = unquote(address[1]).rpartition("/")[2] if address else ""
    plain = re.sub(r"[^\w.+-]", "_", last_step).encode()[-NAME_LIMIT:].decode(errors="ignore")
    return WEIGHTS / digest / (plain.lstrip(".") or "weights")


def _hashed(text: str) -> str:
    """Return a text's hash, for use in file names: an address may contain a password."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def web_part(url: str, version: str) -> PurePath:
    """Return the path of an unfinished download from the web, relative to the cache folder.

    Args:
        url: address of the file.
        version: the server's name for this version of the file.
    """
    return WEIGHTS / f"{_hashed(url)}-{_hashed(version)}{apart(cache_folder())}.part"


def web_parts(url: str) -> list[PurePath]:
    """Return the unfinished downloads of any version of a file from the web, relative to the cache folder.

    Raises:
        OSError: their folder cannot be read, or is a link.
    """
    pattern = re.compile(f"{_hashed(url)}-[0-9a-f]{{16}}([.][0-9a-f]{{8}})?[.]part")
    return [WEIGHTS / name for name in names_below(cache_folder(), WEIGHTS) if pattern.fullmatch(name)]


def own_path(source: str) -> Path:
    """Return the path of a source `package:FILE` or `file:PATH`.

    Raises:
        WeightsError: it is not a file name, or not one of a file in the package.
    """
    if source.startswith(PACKAGE):
        if not is_plain(name := source.removeprefix(PACKAGE)):
            raise WeightsError("it is not the name of a file in stemsplit's own folder")
        return Path(__file__).parents[1] / name
    path = source.removeprefix(FILE)
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        path = "\0"
    if "\0" in path:
        raise WeightsError("it is not a file name")
    return Path(path)


def _path(source: str, digest: str) -> Path | None:
    """Return the path that a source's weights may have; None if there is none.

    Raises:
        WeightsError: the source is invalid.
    """
    if source.startswith((PACKAGE, FILE)):
        return own_path(source)
    if source.startswith(HUB):
        return HubFile.parse(source).cached()
    if source.startswith(WEB) and digest:
        return cache_folder() / web_file(digest, source)
    return None


def _files(sources: Iterable[str], digest: str) -> Iterator[Path]:
    """Yield the files of sources on this machine, unverified, in the order of the sources."""
    for source in sources:
        with suppress(WeightsError):
            path = _path(source, digest)
            if path and is_file(path):
                yield path


def local(entry: ModelEntry, remember: bool = True) -> Path | None:
    """Return the verified file with the entry's weights on this machine; None if it is not here.

    Args:
        entry: entry of the weights.
        remember: whether to record that the file was verified, so that it is not hashed again.

    It is also None if no digest was published and the file with pinned ones cannot be read; `download.fetch` reports
    that error.
    """
    try:
        digest = digests.expected(entry)
    except LockFileError:
        return None
    if not digest:
        # The user's own file needs no digest. Any other file is accepted by `download.fetch` first.
        return next(_files((source for source in entry.sources if source.startswith(FILE)), ""), None)
    # A record is believed only if it names a file of one of the entry's own sources.
    if (path := verified.recall(digest)) and path in [file.absolute() for file in _files(entry.sources, digest)]:
        return path
    for path in _files(entry.sources, digest):
        with suppress(WeightsError, OSError):
            digests.verify(path, entry)
            if remember:
                verified.remember(digest, path)
            return path
    return None


def _damaged_cache(pointer: Path) -> WeightsError:
    return WeightsError(f"cannot remove {pointer}: the hub's library considers its cache damaged")


def _removal_plan(pointer: Path, cache: Path) -> "DeleteCacheStrategy":
    """Return what the hub's library would delete to remove a file, and how many bytes that frees."""
    # Only the library knows which revisions share a blob. It is imported late, as only removal needs it.
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache_info = scan_cache_dir(cache)
    except (CacheNotFound, ValueError, RuntimeError) as error:
        raise _damaged_cache(pointer) from error
    revisions = [revision for repo in cache_info.repos for revision in repo.revisions]
    files = [file for revision in revisions for file in revision.files if file.file_path == pointer]
    return cache_info.delete_files(*files)


def _check_inside(plan: "DeleteCacheStrategy", pointer: Path, cache: Path, repo_folder: PurePath) -> None:
    """Raise WeightsError or OSError if a plan deletes more than a file and a blob of its repository's own folder."""
    if outside := [path for path in plan.blobs if path.parent != cache / repo_folder / "blobs"]:
        raise WeightsError(f"cannot remove {pointer}: it leads to {outside[0]}, outside of the hub's cache")
    with Folder(cache) as top:
        for parent in {path.parent for path in (*plan.files, *plan.blobs)}:
            top.descend(parent.relative_to(cache)).close()  # raises OSError for a link on the way


def remove_from_hub(file: HubFile) -> list[int]:
    """Remove a file from the hub's cache, but not the blobs that it shares with other revisions.

    Returns:
        Bytes freed by each file that was removed.

    Raises:
        WeightsError: the cache is damaged. Nothing was removed.
        OSError: something cannot be removed.
    """
    freed, parts, path = [], file.parts(), file.cached()
    if path:
        # Resolved, as the library does it: links on the way to the cache are the user's own.
        cache = hub_cache.folder().resolve()
        pointer = cache / path.relative_to(hub_cache.folder())
        # With a timeout: the library reads everything in its cache, also a pipe.
        plan = in_time(lambda: _removal_plan(pointer, cache))
        _check_inside(plan, pointer, cache, file.repo_folder)
        plan.execute()
        if os.path.lexists(pointer):
            raise _damaged_cache(pointer)
        freed.append(plan.expected_freed_size)
    return freed + [size for part in parts if (size := remove_below(hub_cache.folder(), part)) is not None]


def _remove_from_web(url: str, digest: str) -> list[int]:
    """Remove a file from the web, finished or not; return the bytes freed by each file."""
    cache = cache_folder()
    files = web_parts(url)
    if digest:
        files.append(web_file(digest, url))
    freed = [size for file in files if (size := remove_below(cache, file)) is not None]
    if digest:
        remove_empty_folder(cache / WEIGHTS / digest)
    return freed


def _parsed(entry: ModelEntry, source: str) -> HubFile:
    try:
        return HubFile.parse(source)
    except WeightsError as error:
        raise WeightsError(
            f"cannot remove {entry.name!r}: its source {redacted(source)} is invalid: {error}"
        ) from error


def remove(entry: ModelEntry) -> int | None:
    """Remove an entry's downloads, finished or not.

    A pinned digest is dropped too, so that the next download is accepted like the first.

    Returns:
        Bytes freed; None if there was nothing to remove.

    Raises:
        WeightsError: the weights were not downloaded, or cannot be removed.
    """
    own = [source for source in entry.sources if source.startswith((PACKAGE, FILE))]
    if own and len(own) == len(entry.sources):
        path = own[0].removeprefix(FILE)
        owner = "part of stemsplit" if own[0].startswith(PACKAGE) else f"your own file {path}"
        raise WeightsError(f"cannot remove {entry.name!r}: it is {owner}, not a download")
    digest = digests.expected(entry)
    freed: list[int] = []
    try:
        for source in entry.sources:
            if source.startswith(HUB):
                freed += remove_from_hub(_parsed(entry, source))
            elif source.startswith(WEB):
                freed += _remove_from_web(source, digest)
    except OSError as error:
        raise WeightsError(f"cannot remove {entry.name!r} ({error.filename}: {error.strerror})") from error
    verified.forget(digest)
    if not digests.published(entry):
        unpin(entry.name)
    return sum(freed) if freed else None
