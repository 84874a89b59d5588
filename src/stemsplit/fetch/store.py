"""Knows where weights lie on this machine, and removes them."""

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
from stemsplit.errors import WeightsError
from stemsplit.fetch import digests, hub_cache
from stemsplit.fetch.hub_cache import HubFile, is_file
from stemsplit.fetch.pins import LockFileError, unpin
from stemsplit.fetch.watched import in_time
from stemsplit.registry import ModelEntry, redacted

if TYPE_CHECKING:
    from huggingface_hub import DeleteCacheStrategy

PACKAGE, FILE, HUB, WEB = "package:", "file:", "hf://", ("https://", "http://")
"""The schemes of `stemsplit.registry.SCHEMES`, by name."""

WEIGHTS = PurePath("weights")
"""Where files from the web are kept, from the cache's folder."""

NAME_LIMIT = 200
"""Bytes that are kept of a file's name; file systems take 255."""


def web_way(digest: str, url: str) -> PurePath:
    """Where a file from the web is kept, from the cache's folder."""
    address = re.match("[^:]*://[^/?#]*([^?#]*)", url)
    last = unquote(address[1]).rpartition("/")[2] if address else ""
    plain = re.sub(r"[^\w.+-]", "_", last).encode()[-NAME_LIMIT:].decode(errors="ignore")
    return WEIGHTS / digest / (plain.lstrip(".") or "weights")


def _mark(text: str) -> str:
    """What stands for a text in names of files; an address may have a password in it."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def web_part(url: str, version: str) -> PurePath:
    """Where a version of a file from the web is put together, from the cache's folder."""
    return WEIGHTS / f"{_mark(url)}-{_mark(version)}.part"


def web_parts(url: str) -> list[PurePath]:
    """What unfinished downloads left, of any version of the file, from the cache's folder.

    Raises:
        OSError: the folder that they are in cannot be read, or is a link.
    """
    pattern = re.compile(f"{_mark(url)}-[0-9a-f]{{16}}[.]part")
    return [WEIGHTS / name for name in names_below(cache_folder(), WEIGHTS) if pattern.fullmatch(name)]


def own_path(source: str) -> Path:
    """The file that a source `package:FILE` or `file:PATH` names.

    Raises:
        WeightsError: it names none, or one that is not of the package.
    """
    if source.startswith(PACKAGE):
        if not is_plain(name := source.removeprefix(PACKAGE)):
            raise WeightsError("it is not the name of a file of stemsplit's own folder")
        return Path(__file__).parents[1] / name
    path = source.removeprefix(FILE)
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        path = "\0"
    if "\0" in path:
        raise WeightsError("it is not the name of a file")
    return Path(path)


def _place(source: str, digest: str) -> Path | None:
    """Where a source's weights may be; None if nowhere.

    Raises:
        WeightsError: it is not a source.
    """
    if source.startswith((PACKAGE, FILE)):
        return own_path(source)
    if source.startswith(HUB):
        return HubFile.parse(source).found()
    if source.startswith(WEB) and digest:
        return cache_folder() / web_way(digest, source)
    return None


def _places(sources: Iterable[str], digest: str) -> Iterator[Path]:
    """The files that sources' weights are in, if they are the right ones, in the order of the sources."""
    for source in sources:
        with suppress(WeightsError):
            path = _place(source, digest)
            if path and is_file(path):
                yield path


def local(entry: ModelEntry, remember: bool = True) -> Path | None:
    """The entry's weights on this machine, verified; None if they are not here.

    Args:
        entry: whose weights.
        remember: write down what was verified, so that it need not be again.

    None also if no digest was published and the file with remembered ones cannot be read: `download.fetch` tells of it.
    """
    try:
        digest = digests.expected(entry)
    except LockFileError:
        return None
    if not digest:
        # A file of the user's own needs no digest; anything else is taken on its first use, by `download.fetch`.
        return next(_places((source for source in entry.sources if source.startswith(FILE)), ""), None)
    # A record is believed only of a file at one of the places that the entry itself names.
    if (path := digests.recorded(digest)) and path in [place.absolute() for place in _places(entry.sources, digest)]:
        return path
    for path in _places(entry.sources, digest):
        with suppress(WeightsError, OSError):
            digests.verify(path, entry)
            if remember:
                digests.record(digest, path)
            return path
    return None


def _unsound(pointer: Path) -> WeightsError:
    return WeightsError(f"cannot remove {pointer}: the hub's library does not take its cache for sound")


def _plan(pointer: Path, cache: Path) -> "DeleteCacheStrategy":
    """What the hub's library would remove of its cache for a file to be gone, and what that would free."""
    # It knows what shares what; whoever only asks what is here does not need it.
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(cache)
    except (CacheNotFound, ValueError, RuntimeError) as error:
        raise _unsound(pointer) from error
    revisions = [revision for repo in found.repos for revision in repo.revisions]
    return found.delete_files(*(f for revision in revisions for f in revision.files if f.file_path == pointer))


def _check_inside(plan: "DeleteCacheStrategy", pointer: Path, cache: Path, way: PurePath) -> None:
    """Raise WeightsError or OSError if a plan goes beyond a file and a blob of its repository's own folder."""
    if others := [path for path in plan.blobs if path.parent != cache / way / "blobs"]:
        raise WeightsError(f"cannot remove {pointer}: it leads to {others[0]}, which is not of the hub's cache")
    with Folder(cache) as top:
        for place in {path.parent for path in (*plan.files, *plan.blobs)}:
            top.descend(place.relative_to(cache)).close()  # refuses links on the way


def remove_from_hub(file: HubFile) -> list[int]:
    """Remove a file from the hub's cache, but what it shares with other revisions.

    Returns:
        Bytes freed, of each thing that was removed.

    Raises:
        WeightsError: the cache is not as the hub's library makes it. Nothing was removed.
        OSError: something cannot be removed.
    """
    freed, parts, path = [], file.parts(), file.found()
    if path:
        # As the library has it: the links on the way to the cache are the user's own.
        cache = hub_cache.folder().resolve()
        pointer = cache / path.relative_to(hub_cache.folder())
        # In time: the library reads whatever lies in its cache.
        plan = in_time(lambda: _plan(pointer, cache))
        _check_inside(plan, pointer, cache, file.way)
        plan.execute()
        if os.path.lexists(pointer):
            raise _unsound(pointer)
        freed.append(plan.expected_freed_size)
    return freed + [size for part in parts if (size := remove_below(hub_cache.folder(), part)) is not None]


def _remove_from_web(url: str, digest: str) -> list[int]:
    """Remove a file that came from the web; gives the bytes freed."""
    cache = cache_folder()
    ways = web_parts(url)
    if digest:
        ways.append(web_way(digest, url))
    freed = [size for way in ways if (size := remove_below(cache, way)) is not None]
    if digest:
        remove_empty_folder(cache / WEIGHTS / digest)
    return freed


def _parsed(entry: ModelEntry, source: str) -> HubFile:
    try:
        return HubFile.parse(source)
    except WeightsError as error:
        raise WeightsError(f"cannot remove {entry.name!r}: of its source {redacted(source)}, {error}") from error


def remove(entry: ModelEntry) -> int | None:
    """Remove what was downloaded of an entry, finished or not.

    If no digest of it was published, the remembered one is forgotten too: the next file is taken as the first was.

    Returns:
        Bytes freed; None if there was nothing.

    Raises:
        WeightsError: it was not downloaded, or may not be removed.
    """
    own = [source for source in entry.sources if source.startswith((PACKAGE, FILE))]
    if own and len(own) == len(entry.sources):
        path = own[0].removeprefix(FILE)
        whose = "part of stemsplit" if own[0].startswith(PACKAGE) else f"a file of your own, {path}"
        raise WeightsError(f"{entry.name!r} was not downloaded, and is not removed: it is {whose}")
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
    digests.forget(digest)
    if not digests.published(entry):
        unpin(entry.name)
    return sum(freed) if freed else None
