"""Records which files were verified, so that each is hashed once only."""

import json
import stat
from contextlib import suppress
from pathlib import Path, PurePath

from stemsplit.disk import make_below, read_text, remove_below
from stemsplit.disk.atomic import write_json
from stemsplit.disk.folders import cache_folder
from stemsplit.errors import WeightsError

FOLDER = PurePath("verified")
"""Folder of the records, relative to the cache folder."""


def _record(digest: str) -> PurePath:
    """Return the path of the record of a digest, relative to the cache folder."""
    return FOLDER / f"{digest}.json"


def remember(digest: str, path: Path) -> None:
    """Record that a file has a digest. If that cannot be written, the file will be verified again."""
    with suppress(OSError, WeightsError):
        status, record = path.stat(), _record(digest)
        content = {"path": str(path.absolute()), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        write_json(make_below(cache_folder(), record.parent) / record.name, content)


def recall(digest: str) -> Path | None:
    """Return the file that was recorded to have a digest; None if there is none, or it was touched since."""
    try:
        record = json.loads(read_text(cache_folder() / _record(digest)))
        path = Path(record["path"])
        status = path.stat()
        recorded = (record["size"], record["mtime_ns"])
        unchanged = stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == recorded
    except (OSError, ValueError, KeyError, TypeError, RecursionError, WeightsError):
        return None
    return path if unchanged else None


def forget(digest: str) -> None:
    """Drop the record of a digest."""
    with suppress(OSError, WeightsError):
        remove_below(cache_folder(), _record(digest))
