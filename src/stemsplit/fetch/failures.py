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
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import get_session, httpx  # type: ignore[attr-defined]  # exported lazily
from huggingface_hub.utils import logging as hub_logging

from stemsplit.errors import WeightsError
from stemsplit.fetch import watched

T = TypeVar("T")

WE: dict[str, Any] = {"library_name": "stemsplit", "library_version": version("stemsplit")}
"""Who asks, for the User-Agent."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds to wait before each further try."""

PASSING = (408, 429, 500, 502, 503, 504)
"""Answers that may be better the next time."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
OTHERS = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""Something that is not ours has the name of a file of ours."""


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
    """Do something over the network, and again after a pause where it failed in a way that may pass.

    Args:
        action: what to do.
        tries: how often. Patience starts anew when `reached` has grown, and not too slowly: a server that breaks off
            after every byte is given up too.
        reached: bytes that are here.

    Raises:
        httpx.HTTPError: it failed each time, or in a way that does not pass.
        SlowError: it took too long each time.
    """
    furthest, since, failed = reached(), time.monotonic(), 0
    while True:
        try:
            return action()
        except (httpx.TransportError, HfHubHTTPError, watched.SlowError) as error:
            now, here = time.monotonic(), reached()
            if here - furthest >= watched.SLOWEST * max(now - since, 1):
                furthest, since, failed = here, now, 0
            failed += 1
            if failed >= tries or not _passes(error):
                raise
            time.sleep(max(PAUSES[min(failed, len(PAUSES)) - 1], _asked_pause(error)))


def _who(error: httpx.HTTPError) -> str:
    """Who did not answer; a request may have been sent on to another host than was asked."""
    with suppress(RuntimeError):  # no request has come about
        return str(error.request.url.host)
    return "the server"


def _reason(error: BaseException) -> str:
    """What the system says of a failure. The HTTP library's own texts may quote addresses and headers: secrets."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return ""


def _connection_words(error: httpx.HTTPError) -> str:
    advice, reason = "is there a network connection?", _reason(error)
    told = f": {reason}" if reason else ""
    if isinstance(error, httpx.TooManyRedirects):
        return f"{_who(error)} sends on from one address to the next without end"
    if isinstance(error, httpx.TimeoutException):
        return f"{_who(error)} does not answer; {advice}"
    if isinstance(error, httpx.ProxyError):
        return f"the proxy does not let anyone through to {_who(error)}; are HTTP_PROXY and HTTPS_PROXY right?"
    if isinstance(error, httpx.ConnectError):
        return f"{_who(error)} cannot be reached{told}; {advice}"
    return f"the connection to {_who(error)} breaks off{told}; try again, it goes on from there"


def _disk_words(error: OSError, folder: Path, variable: str) -> str:
    reason = (error.strerror or str(error)).lower()
    if error.errno in FULL:
        return f"the disk of {folder} takes no more: {reason}; make room there and try again, it goes on from there"
    if error.errno in CLOSED:
        return f"cannot write into {folder}: {reason}; set {variable} to a folder that can be written"
    if error.errno in OTHERS and error.filename:
        return f"cannot write {error.filename}: {reason}"
    return f"cannot write into {folder}: {reason}"


def _check_surroundings() -> None:
    """Raise WeightsError if this machine is to stay offline, or what the environment says of the network is wrong."""
    if constants.is_offline_mode():
        raise WeightsError("not asked for, as HF_HUB_OFFLINE is set; unset it to download")
    try:
        get_session()
    except ImportError:
        raise WeightsError("a proxy of the kind SOCKS needs a package: pip install socksio") from None
    except (OSError, ValueError, httpx.InvalidURL):
        # The text may quote a proxy's password.
        wrong = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE is wrong"
        raise WeightsError(f"the network cannot be used: {wrong}") from None


@contextmanager
def trouble(folder: Path, variable: str, refused: Callable[[HfHubHTTPError], str]) -> Iterator[None]:
    """Tell whatever goes wrong with network and disk in one line, and nothing but that.

    Errors of the HTTP library are not passed on as causes: their texts may quote addresses and headers with secrets.

    Args:
        folder: what is written into.
        variable: of the environment, that chooses another one.
        refused: words for a server's refusal.

    Raises:
        WeightsError: something went wrong, or this machine is to stay offline.
    """
    _check_surroundings()
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
        raise WeightsError(busy if status in PASSING else refused(error)) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
        raise WeightsError("it is not an address, or leads to what is not one") from None
    except httpx.HTTPError as error:
        raise WeightsError(_connection_words(error)) from None
    except OSError as error:
        raise WeightsError(_disk_words(error, folder, variable)) from error
    finally:
        hub_logging.set_verbosity(before)


def host(url: str) -> str:
    """The host of an address."""
    with suppress(ValueError):
        if name := urlsplit(url).hostname:
            return name
    return "the server"
