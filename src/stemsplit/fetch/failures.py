"""Retries what may succeed the next time, and turns network and disk errors into one line that says what to try."""

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
from stemsplit.fetch import timeouts

T = TypeVar("T")

USER_AGENT: dict[str, Any] = {"library_name": "stemsplit", "library_version": version("stemsplit")}
"""How this program introduces itself to servers, as keyword arguments of the hub's library."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds to wait before each further try."""

LONGEST_PAUSE = 60.0
"""Seconds that a server may ask to be left alone for; it is asked again after that."""

TRANSIENT = (408, 429, 500, 502, 503, 504)
"""HTTP statuses that may be over at the next try."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
NAME_TAKEN = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""Errors for a file name that is taken by something stemsplit did not make."""


class UnreachableError(WeightsError):
    """No connection to a host could be made.

    Args:
        host: name of the host.
        reason: the system's explanation; empty if there is none.
    """

    def __init__(self, host: str, reason: str) -> None:
        self.host, self.reason = host, reason
        super().__init__(f"{host} cannot be reached{f' ({reason})' if reason else ''}; check the connection")


def _requested_pause(error: Exception) -> float:
    """Return the seconds that a server asks to be left alone for, within reason."""
    seconds = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
    return min(float(seconds), LONGEST_PAUSE) if seconds.isdecimal() else 0.0


def _is_transient(error: Exception) -> bool:
    """Return whether a failure may be over at the next try."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT
    return not isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)


def retry(action: Callable[[], T], tries: int, reached: Callable[[], int] = lambda: 0) -> T:
    """Do something over the network, and repeat it after a pause if it fails with a transient error.

    Args:
        action: what to do.
        tries: largest number of failures in a row. The count starts again when `reached` has grown at an acceptable
            speed. It does not for a server that breaks off after every byte.
        reached: returns the bytes that have arrived.

    Raises:
        httpx.HTTPError: it failed every time, or with an error that is not transient.
        SlowError: it took too long every time.
    """
    furthest, since, failed = reached(), time.monotonic(), 0
    while True:
        try:
            return action()
        except (httpx.TransportError, HfHubHTTPError, timeouts.SlowError) as error:
            now, arrived = time.monotonic(), reached()
            if arrived - furthest >= timeouts.SLOWEST * max(now - since, 1):
                furthest, since, failed = arrived, now, 0
            failed += 1
            if failed >= tries or not _is_transient(error):
                raise
            time.sleep(max(PAUSES[min(failed, len(PAUSES)) - 1], _requested_pause(error)))


def host(url: str) -> str:
    """Return the host of an address."""
    with suppress(ValueError):
        if name := urlsplit(url).hostname:
            return name
    return "the server"


def _failed_host(error: httpx.HTTPError) -> str:
    """Return the host of the failed request, which may be the target of a redirect."""
    with suppress(RuntimeError):  # the error came before there was a request
        return str(error.request.url.host)
    return "the server"


def _system_reason(error: BaseException) -> str:
    """Return the system's explanation of a failure. The HTTP library's own texts may quote secrets from addresses."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return ""


def _network_error(error: httpx.HTTPError) -> WeightsError:
    name, reason = _failed_host(error), _system_reason(error)
    if isinstance(error, httpx.TooManyRedirects):
        return WeightsError(f"{name} redirects without end")
    if isinstance(error, httpx.TimeoutException):
        return WeightsError(f"{name} does not answer; check the connection, or try again later")
    if isinstance(error, httpx.ProxyError):
        return WeightsError(f"the proxy refuses the connection to {name}; check HTTP_PROXY and HTTPS_PROXY")
    if isinstance(error, httpx.ConnectError):
        return UnreachableError(name, reason)
    because = f" ({reason})" if reason else ""
    return WeightsError(f"the connection to {name} was lost{because}; try again, the download will resume")


def _disk_error(error: OSError, folder: Path, variable: str) -> WeightsError:
    reason = (error.strerror or str(error)).lower()
    if error.errno in DISK_FULL:
        return WeightsError(f"{folder} cannot hold the file ({reason}); make room and try again, it will resume")
    if error.errno in NOT_WRITABLE:
        return WeightsError(f"cannot write to {folder} ({reason}); set {variable} to a folder that can be written")
    if error.errno in NAME_TAKEN and error.filename:
        return WeightsError(f"cannot write {error.filename}: {reason}")
    return WeightsError(f"cannot write to {folder}: {reason}")


def _check_environment() -> None:
    """Raise WeightsError if downloads are switched off, or the environment's network settings are wrong."""
    if constants.is_offline_mode():
        raise WeightsError("HF_HUB_OFFLINE is set; unset it, or see the downloaded models: stemsplit list --downloaded")
    try:
        get_session()
    except ImportError:
        raise WeightsError("a SOCKS proxy needs one more package: pip install socksio") from None
    except (OSError, ValueError, httpx.InvalidURL):
        # The error's own text may quote a proxy's password.
        raise WeightsError("HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE is wrong") from None


@contextmanager
def translating_errors(folder: Path, variable: str, refusal: Callable[[HfHubHTTPError], str]) -> Iterator[None]:
    """Turn every network and disk error into a WeightsError of one line.

    Errors of the HTTP library are not kept as causes, because their texts may quote secrets from addresses and headers.

    Args:
        folder: folder that the download is written to.
        variable: environment variable that selects another folder.
        refusal: returns the message for a server's refusal.

    Raises:
        WeightsError: something went wrong, or downloads are switched off.
    """
    _check_environment()
    verbosity = hub_logging.get_verbosity()
    # The hub's library would report every try on stderr.
    hub_logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        busy = f"{error.response.url.host} answers {status}; try again later"
        raise WeightsError(busy if status in TRANSIENT else refusal(error)) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
        raise WeightsError("the address is invalid, or redirects to one that is") from None
    except httpx.HTTPError as error:
        raise _network_error(error) from None
    except OSError as error:
        raise _disk_error(error, folder, variable) from error
    finally:
        hub_logging.set_verbosity(verbosity)
