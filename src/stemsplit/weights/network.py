"""Knows how networks and disks fail: what may pass, what to tell people, and what to try."""

import errno
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # exported lazily
from huggingface_hub.utils import logging as hub_logging

from stemsplit.errors import WeightsError

T = TypeVar("T")

WE: dict[str, Any] = {"library_name": "stemsplit", "library_version": version("stemsplit")}
"""Who asks, for the User-Agent."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds to wait before each further try."""

PASSING = (408, 429, 500, 502, 503, 504)
"""Answers that may be better the next time."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def _asked_pause(error: Exception) -> float:
    """The seconds that a server asks to be left alone for, within reason."""
    asked = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
    return min(float(asked), 60.0) if asked.isdecimal() else 0.0


def _passes(error: Exception) -> bool:
    """Whether a failure may be over the next time."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING
    return not isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)


def persist(action: Callable[[], T], tries: int, reached: Callable[[], int] = lambda: 0) -> T:
    """Do something over the network, again after a pause where it failed of what may pass.

    Args:
        action: what to do.
        tries: how often, unless `reached` has grown meanwhile: then patience starts anew.
        reached: how far it has come.

    Raises:
        httpx.HTTPError: it failed each time, or in a way that does not pass.
    """
    furthest, failed = reached(), 0
    while True:
        try:
            return action()
        except (httpx.TransportError, HfHubHTTPError) as error:
            if reached() > furthest:
                furthest, failed = reached(), 0
            failed += 1
            if failed >= tries or not _passes(error):
                raise
            time.sleep(max(PAUSES[min(failed, len(PAUSES)) - 1], _asked_pause(error)))


def _host(error: httpx.HTTPError) -> str:
    """Who did not answer; a request may have been sent on to another host than was asked."""
    with suppress(RuntimeError):  # no request has come about
        return str(error.request.url.host)
    return "the server"


def _connection_words(error: httpx.HTTPError) -> str:
    advice = "is there a network connection?"
    if isinstance(error, httpx.TimeoutException):
        return f"{_host(error)} does not answer; {advice}"
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return f"{_host(error)} cannot be reached: {error}; {advice}"
    return f"the connection to {_host(error)} breaks off: {error}; try again, it goes on from there"


def _disk_words(error: OSError, folder: Path, variable: str) -> str:
    reason = (error.strerror or str(error)).lower()
    if error.errno in FULL:
        return f"the disk of {folder} takes no more: {reason}; make room there and try again, it goes on from there"
    if error.errno in CLOSED:
        return f"cannot write into {folder}: {reason}; set {variable} to a folder that can be written"
    return f"cannot write into {folder}: {reason}"


@contextmanager
def trouble(folder: Path, variable: str, refused: Callable[[HfHubHTTPError], str]) -> Iterator[None]:
    """Tell whatever goes wrong with network and disk in one line, and nothing but that.

    Args:
        folder: what is written into.
        variable: of the environment, that chooses another one.
        refused: words for a server's refusal.

    Raises:
        WeightsError: something went wrong, or this machine is to stay offline.
    """
    if constants.is_offline_mode():
        raise WeightsError("not asked for, as HF_HUB_OFFLINE is set; unset it to download")
    before = hub_logging.get_verbosity()
    # The hub's library would tell of every try, on stderr.
    hub_logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        busy = f"{error.response.url.host} answers {status}; try again later"
        raise WeightsError(busy if status in PASSING else refused(error)) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, HFValidationError) as error:
        raise WeightsError(f"it is no address: {error}") from error
    except httpx.HTTPError as error:
        raise WeightsError(_connection_words(error)) from error
    except OSError as error:
        raise WeightsError(_disk_words(error, folder, variable)) from error
    finally:
        hub_logging.set_verbosity(before)


def host(url: str) -> str:
    """The host of an address."""
    return urlsplit(url).hostname or url
