"""Knows where weights lie on this machine, and removes them."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stemsplit.errors import WeightsError
from stemsplit.registry import ModelEntry
from stemsplit.weights import digests, hub_cache
from stemsplit.weights.hub_cache import HubFile, is_file

PACKAGE, FILE, HUB, WEB = "package:", "file:", "hf://", ("https://", "http://")
"""The schemes of `stemsplit.registry.SCHEMES`, by name."""


def web_path(digest: str, url: str) -> Path:
    """Where a file from the web is kept."""
    name = re.sub(r"[^\w.+-]", "_", unquote(urlsplit(url).path).rpartition("/")[2]).lstrip(".")
    return digests.cache_folder() / "weights" / digest / (name or "weights")


def web_part(url: str, version: str) -> Path:
    """Where a version of a file from the web is put together."""
    marks = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in (url, version)]
    return digests.cache_folder() / "weights" / f"{'-'.join(marks)}.part"


def web_parts(url: str) -> Iterator[Path]:
    """What unfinished downloads left, of any version of the file."""
    part = web_part(url, "")
    return part.parent.glob(f"{part.name.partition('-')[0]}-*{part.suffix}")


def own_path(source: str) -> Path:
    """The file that a source `package:FILE` or `file:PATH` names."""
    if source.startswith(PACKAGE):
        return Path(__file__).parents[1] / source.removeprefix(PACKAGE)
    return Path(source.removeprefix(FILE))


def _places(entry: ModelEntry, digest: str) -> Iterator[Path]:
    """Where the entry's weights may be, in the order of its sources."""
    for source in entry.sources:
        if source.startswith((PACKAGE, FILE)):
            yield own_path(source)
        elif source.startswith(HUB):
            with suppress(WeightsError):
                if path := HubFile.parse(source).found():
                    yield path
        elif source.startswith(WEB) and digest:
            with suppress(WeightsError):
                yield web_path(digest, source)


def local(entry: ModelEntry, remember: bool = True) -> Path | None:
    """The entry's weights on this machine, verified; None if they are not here.

    Args:
        entry: whose weights.
        remember: write down what was verified, so that it need not be again.

    None also if no digest was published and the file with remembered ones cannot be read: `download.fetch` tells of it.
    """
    try:
        digest = digests.expected(entry)
    except digests.LockFileError:
        return None
    if not digest:
        # A file of the user's own needs no digest; anything else is taken on its first use, by `download.fetch`.
        own = (own_path(source) for source in entry.sources if source.startswith(FILE))
        return next(filter(is_file, own), None)
    if path := digests.recorded(digest):
        return path
    for path in filter(is_file, _places(entry, digest)):
        with suppress(WeightsError, OSError):
            digests.verify(path, entry)
            if remember:
                digests.record(digest, path)
            return path
    return None


def _remove_from_hub(file: HubFile) -> Iterator[int]:
    """Remove a file from the hub's cache, but what it shares with other revisions; gives the bytes freed."""
    yield from _unlinked(*file.parts())
    path = file.found()
    if path is None:
        return
    # The hub's library knows what shares what; whoever only asks what is here does not need it.
    from huggingface_hub import scan_cache_dir

    pointer = path.parent.resolve() / path.name
    cache = scan_cache_dir(hub_cache.folder())
    revisions = [revision for repo in cache.repos for revision in repo.revisions]
    plan = cache.delete_files(*(f for revision in revisions for f in revision.files if f.file_path == pointer))
    plan.execute()
    if os.path.lexists(pointer):
        raise WeightsError(f"cannot remove {pointer}: the hub's library does not take its cache for sound")
    yield plan.expected_freed_size


def _remove_from_web(url: str, digest: str) -> Iterator[int]:
    """Remove a file that came from the web; gives the bytes freed."""
    yield from _unlinked(*web_parts(url))
    if digest:
        path = web_path(digest, url)
        yield from _unlinked(path)
        with suppress(OSError):
            path.parent.rmdir()


def _unlinked(*paths: Path) -> Iterator[int]:
    """Remove files, as far as they are there; gives the bytes freed."""
    for path in paths:
        with suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            yield size


def _parsed(entry: ModelEntry, source: str) -> HubFile:
    try:
        return HubFile.parse(source)
    except WeightsError as error:
        raise WeightsError(f"cannot remove {entry.name!r}: of its source {source}, {error}") from error


def remove(entry: ModelEntry) -> int | None:
    """Remove what was downloaded of an entry, finished or not.

    If no digest of it was published, the remembered one is forgotten too: the next file is taken as the first was.

    Returns:
        Bytes freed; None if there was nothing.

    Raises:
        WeightsError: it is no download, or may not be removed.
    """
    own = [source for source in entry.sources if source.startswith((PACKAGE, FILE))]
    if own and len(own) == len(entry.sources):
        whose = "part of stemsplit" if own[0].startswith(PACKAGE) else f"a file of your own, {own_path(own[0])}"
        raise WeightsError(f"{entry.name!r} was not downloaded, and is not removed: it is {whose}")
    digest = digests.expected(entry)
    freed: list[int] = []
    try:
        for source in entry.sources:
            if source.startswith(HUB):
                freed += _remove_from_hub(_parsed(entry, source))
            elif source.startswith(WEB):
                freed += _remove_from_web(source, digest)
    except OSError as error:
        raise WeightsError(f"cannot remove {entry.name!r} ({error.filename}: {error.strerror})") from error
    digests.forget(digest)
    if not digests.published(entry):
        digests.unpin(entry.name)
    return sum(freed) if freed else None
