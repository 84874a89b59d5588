"""Gets an entry's weights: from where they are on this machine already, or from the first source that has them."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit.errors import WeightsError
from stemsplit.fetch import digests, store
from stemsplit.fetch.hub_cache import HubFile
from stemsplit.fetch.pins import LockFileError
from stemsplit.registry import ModelEntry, redacted

if TYPE_CHECKING:
    from stemsplit.fetch.alone import Progress


def _from_disk(entry: ModelEntry, source: str) -> Path:
    """The file that a source names, which `store.local` did not find or found wrong."""
    advice = "; reinstall stemsplit" if source.startswith(store.PACKAGE) else ""
    path = store.own_path(source)
    try:
        digests.verify(path, entry)
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing{advice}") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error
    except WeightsError as error:
        raise WeightsError(f"{error}{advice}") from error
    return path


def _from_hub(entry: ModelEntry, source: str, progress: "Progress") -> Path:
    file = HubFile.parse(source)
    found = file.found()
    if found and not digests.expected(entry):
        # Another program got it before, and no digest tells against it.
        digest = ""
        with suppress(WeightsError, OSError):
            digest = digests.verify(found, entry)
        if digest:
            return digests.remember(entry, found, digest)
    # Only now: it takes a while to import, and is not needed where the weights are here.
    from stemsplit.fetch import hub

    return hub.fetch(entry, file, progress)


def _from(entry: ModelEntry, source: str, progress: "Progress") -> Path:
    if source.startswith((store.PACKAGE, store.FILE)):
        return _from_disk(entry, source)
    if source.startswith(store.HUB):
        return _from_hub(entry, source, progress)
    if source.startswith(store.WEB):
        from stemsplit.fetch import web

        return web.fetch(entry, source, progress)
    raise WeightsError("it is of an unknown kind")


def fetch(entry: ModelEntry, progress: "Progress" = lambda *_: None) -> Path:
    """A verified local file with the entry's weights, downloaded if it is not here.

    Args:
        entry: whose weights.
        progress: told of every step of a download.

    Raises:
        WeightsError: no source has it, or what is there is not what the registry says; or none is published, and the
            file with remembered digests cannot be read.
    """
    digests.expected(entry)
    if path := store.local(entry):
        return path
    problems = []
    for source in entry.sources:
        try:
            return _from(entry, source, progress)
        except LockFileError:
            raise
        except WeightsError as error:
            problems.append(f"{redacted(source)} ({error})")
        except OSError as error:
            # Somebody removed a file just now.
            problems.append(f"{redacted(source)} ({error.strerror or error})")
    raise WeightsError(f"no weights for {entry.name!r}: {' and '.join(problems) or 'the registry names no source'}")
