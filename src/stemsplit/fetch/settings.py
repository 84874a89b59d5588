"""Checks the environment's network settings before a download: proxies, certificates, the hub's address and token.

Each problem is told by the name of its variable, and with a value that shows no password. The libraries' own errors
name no variable, or end the import of the hub's library.
"""

import os
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from stemsplit import libraries
from stemsplit.fetch.causes import SettingError
from stemsplit.registry import redacted
from stemsplit.words import printable

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
"""Kinds of proxies that the HTTP library speaks to."""

PROXIES = ("https", "http", "all")
"""Beginnings of the variables that name proxies, such as HTTPS_PROXY."""

NUMBERS = ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Variables that switch downloads off, as the hub's library reads them."""

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables in which other programs look for certificates; the HTTP library does not."""


def shown(value: str) -> str:
    """Return a value as it may be shown: on one line, without passwords."""
    return printable(redacted(value))


def variable(kind: str) -> str:
    """Return the name, as it is spelled in the environment, of the variable that names a kind of proxy.

    Args:
        kind: one of `PROXIES`.
    """
    lower, upper = f"{kind}_proxy", f"{kind}_PROXY".upper()
    # Where both are set, the one in lower case counts.
    for name in (lower, upper) if os.environ.get(lower) != os.environ.get(upper) else (upper,):
        if os.environ.get(name):
            return name
    mixed = next((name for name in os.environ if name.lower() == f"{kind}_proxy"), "")
    return mixed or "the system's proxy settings"


def parsed(address: str) -> SplitResult | None:
    """Split an address; None if it is malformed."""
    with suppress(ValueError):
        parts = urlsplit(address)
        # The parser drops line breaks, and reads a port only when it is asked for.
        sound = parts.port != 0 and parts.hostname and not re.search(r"[\s\x00-\x1f\x7f]", address)
        return parts if sound else None
    return None


def proxy(url: str) -> str:
    """Return a name for the proxy that requests to an address go through, such as `HTTPS_PROXY (http://host:80)`.

    Empty if there is none.
    """
    address = parsed(url)
    if not address or not address.hostname:
        return ""
    with suppress(OSError, ValueError):
        if proxy_bypass(address.hostname):
            return ""
    proxies = getproxies()
    for kind in (address.scheme, "all"):
        if value := proxies.get(kind):
            return f"{variable(kind)} ({shown(value if '://' in value else f'http://{value}')})"
    return ""


def socks() -> str:
    """Return a name, as that of `proxy`, for the first SOCKS proxy of the environment; empty if there is none."""
    proxies = getproxies()
    found = [(kind, proxies[kind]) for kind in PROXIES if proxies.get(kind, "").lower().startswith("socks")]
    return next((f"{variable(kind)} ({shown(value)})" for kind, value in found), "")


def _check_proxy(kind: str, value: str) -> None:
    """Raise SettingError if a proxy's address is malformed, or of a kind that cannot be used."""
    name = variable(kind)
    address = value if "://" in value else f"http://{value}"
    told, scheme = shown(address), address.partition("://")[0].lower()
    if scheme in ("socks4", "socks4a"):
        raise SettingError(f"{name} is {told}, but SOCKS4 is not supported; if the proxy knows SOCKS5, write socks5://")
    if scheme not in PROXY_SCHEMES:
        raise SettingError(f"{name} is {told}, which is not a proxy; write http://HOST:PORT or socks5://HOST:PORT")
    if not parsed(address):
        raise SettingError(f"{name} is {told}, which is not an address; write {scheme}://HOST:PORT, or unset it")
    if scheme.startswith("socks") and not find_spec("socksio"):
        raise SettingError(f"{name} is a SOCKS proxy, which needs one more package: {libraries.install('socksio')}")


def _spell_socks(environment: Mapping[str, str]) -> None:
    """Spell `socks://` as `socks5://`. Desktops set the former, and mean the latter, which the HTTP library knows."""
    for name, value in list(environment.items()):
        if name.lower() in [f"{kind}_proxy" for kind in PROXIES] and value.lower().startswith("socks://"):
            # For the whole process: the library may read it again at any request.
            os.environ[name] = f"socks5{value[5:]}"


def check_proxies() -> None:
    """Check the proxies that the environment or the system names.

    Raises:
        SettingError: one cannot be used.
    """
    _spell_socks(os.environ)
    proxies = getproxies()
    if "*" in (host.strip() for host in proxies.get("no", "").split(",")):
        return
    for kind in PROXIES:
        if value := proxies.get(kind):
            _check_proxy(kind, value)


def check_certificates() -> None:
    """Check the certificates that the environment names.

    Raises:
        SettingError: they cannot be read.
    """
    if name := os.environ.get("SSL_CERT_FILE"):
        remedy = "set it to a file of certificates (PEM), or unset it"
        try:
            ssl.create_default_context(cafile=name)
        except ssl.SSLError:
            raise SettingError(f"SSL_CERT_FILE is {name}, which holds no certificates; {remedy}") from None
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or "not a file").lower()
            raise SettingError(f"SSL_CERT_FILE is {name}, which cannot be read ({reason}); {remedy}") from None
    elif (name := os.environ.get("SSL_CERT_DIR")) and not any(map(os.path.isdir, name.split(os.pathsep))):
        remedy = "set it to a folder of certificates, or unset it"
        raise SettingError(f"SSL_CERT_DIR is {name}, which is not a folder; {remedy}")


def check_hub() -> None:
    """Check the variables that the hub's library reads while it is imported.

    Raises:
        SettingError: one is malformed.
    """
    for name in NUMBERS:
        value = os.environ.get(name, "").strip()
        if value:
            try:
                int(value)
            except ValueError:
                raise SettingError(f"{name} is {value!r}, which is not a number of seconds; unset it") from None
    endpoint = os.environ.get("HF_ENDPOINT")
    if endpoint is None:
        return
    if not endpoint.strip():
        raise SettingError("HF_ENDPOINT is empty; unset it, or set it to the address of a hub: https://HOST")
    address = parsed(endpoint)
    if not address or address.scheme not in ("http", "https") or address.query or address.fragment:
        bare = re.fullmatch(r"[\w.-]+(:\d+)?/*", endpoint, re.ASCII)
        write = f"https://{endpoint.rstrip('/')}" if bare else "https://HOST"
        raise SettingError(f"HF_ENDPOINT is {shown(endpoint)}, which is not the address of a hub; write {write}")


def offline() -> str:
    """Return the name of the variable that switches downloads off."""
    return next((name for name in OFFLINE if os.environ.get(name)), OFFLINE[0])


def trust() -> str:
    """Return what to do about a certificate that is not trusted."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if os.environ.get(name):
            return f"only the certificates of {name} ({os.environ[name]}) are trusted; add your network's, or unset it"
    own = "if your network has certificates of its own, set SSL_CERT_FILE to the file that holds them"
    for name in BUNDLES:
        if Path(os.environ.get(name, "")).is_file():
            return f"{own}, as {name} does, which is not read here"
    return own
