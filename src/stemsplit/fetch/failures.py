"""Retries what may succeed the next time, and turns network and disk errors into one line that says what to try."""

import errno
import logging
import re
import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from time import monotonic, sleep
from traceback import walk_tb
from typing import Any, TypeVar
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import get_session, httpx  # type: ignore[attr-defined]  # exported lazily
from huggingface_hub.utils import logging as hub_logging

from stemsplit.errors import StemsplitError, WeightsError
from stemsplit.fetch import settings, timeouts
from stemsplit.fetch.causes import LOGIN, PortalError, SettingError, UnreachableError

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


def _requested_pause(error: Exception) -> float:
    """Return the seconds that a server asks to be left alone for, within reason."""
    seconds = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
    return min(float(seconds), LONGEST_PAUSE) if seconds.isdecimal() else 0.0


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it comes from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_transient(error: Exception) -> bool:
    """Return whether a failure may be over at the next try."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT
    if isinstance(error, httpx.ProxyError | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return False
    return not any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _chain(error))


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
    furthest, since, failed = reached(), monotonic(), 0
    while True:
        try:
            return action()
        except (httpx.TransportError, HfHubHTTPError, timeouts.SlowError) as error:
            now, arrived = monotonic(), reached()
            if arrived - furthest >= timeouts.SLOWEST * max(now - since, 1):
                furthest, since, failed = arrived, now, 0
            failed += 1
            if failed >= tries or not _is_transient(error):
                raise
            sleep(max(PAUSES[min(failed, len(PAUSES)) - 1], _requested_pause(error)))


def host(url: str) -> str:
    """Return the host of an address."""
    with suppress(ValueError):
        if name := urlsplit(url).hostname:
            return name
    return "the server"


def _failed_url(error: httpx.HTTPError) -> str:
    """Return the address of the failed request, which may be the target of a redirect; empty if there was none."""
    with suppress(RuntimeError):  # the error came before there was a request
        return str(error.request.url)
    return ""


def _system_reason(error: BaseException) -> str:
    """Return the system's explanation of a failure. The HTTP library's own texts may quote secrets from addresses."""
    return next((cause.strerror for cause in _chain(error) if isinstance(cause, OSError) and cause.strerror), "")


def _untrusted(error: ssl.SSLCertVerificationError, name: str) -> WeightsError:
    """Return the error for a certificate that does not prove that the host is who it says."""
    reason = error.verify_message.rstrip(".")
    if error.verify_code in (9, 10):  # not yet valid, expired
        return SettingError(f"the certificate of {name} is out of date ({reason}); check this machine's date and time")
    if error.verify_code in (62, 64):  # for another host name, or address
        login = "if this network asks for a login, open a page in a browser first"
        return SettingError(f"the certificate that came for {name} is another host's; {login}")
    return SettingError(f"the certificate of {name} is not trusted ({reason}); {settings.trust()}")


def _tls_error(error: httpx.HTTPError, name: str, via: str) -> WeightsError | None:
    """Return the error for a connection that could not be encrypted; None if that is not what failed."""
    cause = next((cause for cause in _chain(error) if isinstance(cause, ssl.SSLError)), None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _untrusted(cause, f"{name}, or of the proxy in {via}," if "(https:" in via else name)
    if cause and cause.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        if "(https:" in via:
            return SettingError(f"the proxy in {via} does not speak https; write http://HOST:PORT")
        return WeightsError(f"{name} does not speak https on this port; check the address")
    return None


def _proxy_error(error: httpx.ProxyError, name: str, via: str) -> SettingError:
    """Return the error for a proxy that refuses. Its own text names no secrets, but only parts of it are of use."""
    text = str(error)
    if text.startswith("Requested USERNAME"):
        return SettingError(f"the proxy in {via} takes no user name and password; leave them out of the variable")
    if text.startswith(("407", "Requested", "Invalid username")):
        return _password_wanted(via)
    reason = text.partition("could not connect: ")[2].rstrip(".") or text
    because = f" ({reason[:100]})" if re.fullmatch("[ -~]+", reason) else ""
    return SettingError(
        f"the proxy in {via} refuses the connection to {name}{because}; check the variable, or unset it"
    )


def _password_wanted(via: str) -> SettingError:
    form = "SCHEME://USER:PASSWORD@HOST:PORT"
    return SettingError(f"the proxy in {via} asks for another user name and password; write {form} into the variable")


def _network_error(error: httpx.HTTPError) -> WeightsError:
    url, reason = _failed_url(error), _system_reason(error)
    name, via = host(url), settings.proxy(url)
    if told := _tls_error(error, name, via):
        return told
    if isinstance(error, httpx.TooManyRedirects):
        return WeightsError(f"{name} redirects without end")
    if isinstance(error, httpx.ProxyError):
        return _proxy_error(error, name, via or "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY")
    because = f" ({reason})" if reason else ""
    if via and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return SettingError(f"the proxy in {via} cannot be reached{because}; correct the variable, or unset it")
    if isinstance(error, httpx.TimeoutException):
        through = f" through the proxy in {via}" if via else ""
        return WeightsError(f"{name} does not answer{through}; check the connection, or try again later")
    if isinstance(error, httpx.ConnectError):
        return UnreachableError(name, reason)
    through = f", which goes through the proxy in {via}," if via else ""
    return WeightsError(f"the connection to {name}{through} was lost{because}; try again, the download will resume")


def _status_error(error: HfHubHTTPError) -> WeightsError | None:
    """Return the error for a status that says nothing about the file; None for any other."""
    status, name = error.response.status_code, str(error.response.url.host)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return _password_wanted(settings.proxy(str(error.response.url)) or "HTTP_PROXY")
    if status == HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED:
        return PortalError(name, f"this network asks for a login ({status}); {LOGIN}")
    return WeightsError(f"{name} answers {status}; try again later") if status in TRANSIENT else None


def _unexpected(error: Exception) -> WeightsError:
    """Return the error for an exception of any other kind, whose text may quote secrets."""
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return WeightsError("the system starts no more threads; end other programs, or raise `ulimit -u`")
    modules = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    if via := any("socks" in module for module in modules) and settings.socks():
        return SettingError(f"the proxy in {via} does not answer like a SOCKS proxy; is it an http:// one?")
    return WeightsError(f"unexpected {type(error).__name__}; please report it")


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
    """Raise SettingError if downloads are switched off, or the environment's network settings are wrong."""
    if constants.is_offline_mode():
        remedy = "unset it, or see the downloaded models: stemsplit list --downloaded"
        raise SettingError(f"{settings.offline()} is set; {remedy}")
    settings.check_proxies()
    settings.check_certificates()
    try:
        get_session()
    except (ImportError, OSError, ValueError, httpx.InvalidURL):
        # The error's own text may quote a proxy's password.
        raise SettingError("HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE is wrong") from None


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
        raise _status_error(error) or WeightsError(refusal(error)) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
        raise WeightsError("the address is invalid, or redirects to one that is") from None
    except httpx.HTTPError as error:
        raise _network_error(error) from None
    except OSError as error:
        raise _disk_error(error, folder, variable) from error
    except StemsplitError:
        raise
    except Exception as error:
        raise _unexpected(error) from None
    finally:
        hub_logging.set_verbosity(verbosity)
