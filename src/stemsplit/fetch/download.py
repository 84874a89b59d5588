"""Returns a local file with an entry's weights, downloaded if needed from the first source that works."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit import words
from stemsplit.errors import WeightsError
from stemsplit.fetch import digests, settings, store
from stemsplit.fetch.causes import LOGIN, PortalError, SettingError, UnreachableError
from stemsplit.fetch.hub_cache import HubFile
from stemsplit.fetch.pins import LockFileError
from stemsplit.registry import SCHEMES, ModelEntry, redacted

if TYPE_CHECKING:
    from stemsplit.fetch.download_lock import Progress


def _from_disk(entry: ModelEntry, source: str) -> Path:
    """Return the verified file of the package, or of the user; the errors say why `store.local` did not return it."""
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
    cached = file.cached()
    if cached and not digests.expected(entry):
        # Another program downloaded it, and no digest speaks against it.
        digest = ""
        with suppress(WeightsError, OSError):
            digest = digests.verify(cached, entry)
        if digest:
            return digests.accept(entry, cached, digest)
    settings.check_hub()
    # Imported late: it takes a while, and weights that are here do not need it.
    from stemsplit.fetch import hub

    return hub.fetch(entry, file, progress)


def _from(entry: ModelEntry, source: str, progress: "Progress") -> Path:
    if source.startswith((store.PACKAGE, store.FILE)):
        return _from_disk(entry, source)
    if source.startswith(store.HUB):
        return _from_hub(entry, source, progress)
    if source.startswith(store.WEB):
        settings.check_hub()
        from stemsplit.fetch import web

        return web.fetch(entry, source, progress)
    raise WeightsError(f"a source must start with one of {', '.join(SCHEMES)}")


def _reason(error: WeightsError | OSError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _unreachable(errors: list[WeightsError | OSError]) -> str:
    """Return one cause and one remedy if no source's host can be reached; empty otherwise."""
    hosts: list[str] = []
    reasons: list[str] = []
    for error in errors:
        if not isinstance(error, UnreachableError):
            return ""
        hosts.append(error.host)
        reasons += [error.reason] if error.reason else []
    because = f" ({', '.join(dict.fromkeys(reasons))})" if reasons else ""
    remedy = "check the connection, or see the downloaded models: stemsplit list --downloaded"
    return f"{' and '.join(dict.fromkeys(hosts))} cannot be reached{because}; {remedy}"


def _login_page(errors: list[WeightsError | OSError]) -> str:
    """Return one cause and one remedy if several sources all answer with something else; empty otherwise."""
    hosts = [error.host for error in errors if isinstance(error, PortalError)]
    if len(hosts) < 2 or len(hosts) < len(errors):
        return ""
    named = " and ".join(dict.fromkeys(hosts))
    return f"{named} gave a web page or the like instead of the file; if this network asks for a login, {LOGIN}"


def _settings(errors: list[WeightsError | OSError]) -> str:
    """Return what is wrong with the environment, once each, if that is what failed every source; empty otherwise."""
    wrong = [str(error) for error in errors if isinstance(error, SettingError)]
    return " and ".join(dict.fromkeys(wrong)) if len(wrong) == len(errors) else ""


def _failure(entry: ModelEntry, errors: dict[str, WeightsError | OSError]) -> WeightsError:
    """Return the error that says why no source has an entry's weights.

    Args:
        entry: entry of the weights.
        errors: source -> its error.
    """
    size = f" ({words.size(entry.size)})" if entry.size else ""
    here = all(source.startswith((store.PACKAGE, store.FILE)) for source in errors)
    task = f"cannot use the weights of {entry.name!r}" if here else f"cannot download {entry.name!r}{size}"
    if not errors:
        return WeightsError(f"{task}: its registry entry names no source")
    found = list(errors.values())
    if not here and (cause := _settings(found) or _unreachable(found) or _login_page(found)):
        return WeightsError(f"{task}: {cause}")
    sources_by_reason: dict[str, list[str]] = {}
    for source, error in errors.items():
        sources_by_reason.setdefault(_reason(error), []).append(redacted(source))
    if len(sources_by_reason) == 1:
        ((reason, sources),) = sources_by_reason.items()
        return WeightsError(f"{task} from {' and '.join(sources)}: {reason}")
    problems = [f"{' and '.join(sources)} ({reason})" for reason, sources in sources_by_reason.items()]
    return WeightsError(f"{task}: {' and '.join(problems)}")


def fetch(entry: ModelEntry, progress: "Progress" = lambda *_: None) -> Path:
    """Return a verified local file with the entry's weights; download it if it is not here.

    Args:
        entry: entry of the weights.
        progress: called at every step of a download.

    Raises:
        WeightsError: no source has the weights, or they are not those that the registry describes. Or their digest was
            never published, and the file with pinned digests cannot be read.
    """
    digests.expected(entry)
    if path := store.local(entry):
        return path
    errors: dict[str, WeightsError | OSError] = {}
    for source in entry.sources:
        try:
            return _from(entry, source, progress)
        except LockFileError:
            raise
        except (WeightsError, OSError) as error:  # OSError: somebody removed a file just now
            errors[source] = error
    raise _failure(entry, errors)
