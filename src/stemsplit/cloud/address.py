"""Reads addresses of songs and stems that are not files of this machine: `s3://bucket/album/song.flac`."""

import os
import re
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

STORES = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}
"""Scheme of an object store -> its name. Stems can be written there, and songs found below a prefix."""

WEB = ("https", "http")
"""Schemes of single songs on the web."""

ADDRESS = re.compile(rf"(?i)({'|'.join((*STORES, *WEB))})://(?!([\w-]+\.)*(youtube\.com|youtu\.be|soundcloud\.com)/)")
"""Matches the beginning of an address that songs can come from, but not of pages that only programs can play."""

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
"""Start of any address. A drive of Windows has one letter."""

LONGEST = 1024
"""Bytes of the longest key that S3, Google Cloud Storage and Azure accept."""

UNUSABLE = re.compile(r"(^|/)\.{0,2}(/|$)|[\x00-\x1f\x7f]")
"""Matches what no key may have: an empty step, `.`, `..` or a control character."""


class AddressError(ValueError):
    """Something that looks like an address is not one that stemsplit can use."""


def is_address(text: str) -> bool:
    """Return whether an argument is an address that songs can come from. A file of that very name comes first."""
    return ADDRESS.match(text) is not None and not os.path.lexists(text)


@dataclass(frozen=True, slots=True)
class Address:
    """The place of one object or of all objects below a prefix. As text, it holds no secrets.

    Args:
        scheme: one of STORES or WEB.
        bucket: bucket or container; on the web, the host and the port.
        key: name in the bucket, or a prefix of names, without slashes at its ends; empty for the whole bucket. On the
            web, the path, unquoted.
        url: whole address on the web. What follows a question mark in it may be a password, so it is never shown.
    """

    scheme: str
    bucket: str
    key: str
    url: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.key}" if self.key else "")

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    @property
    def is_on_web(self) -> bool:
        """Whether it is a single file on the web, where nothing can be listed or written."""
        return self.scheme in WEB

    @property
    def name(self) -> str:
        """The last step of the key, as a file would be named."""
        return self.key.rpartition("/")[2]

    def at(self, below: str) -> "Address":
        """Return the address of an object below this prefix.

        Args:
            below: its key relative to this prefix.
        """
        return replace(self, key=f"{self.key}/{below}" if self.key else below)

    def below(self, key: str) -> str:
        """Return a key of the same bucket relative to this prefix.

        Raises:
            ValueError: the key does not lie below this prefix.
        """
        if not self.key:
            return key
        if not key.startswith(f"{self.key}/"):
            raise ValueError(f"{key} is not below {self.key}")
        return key[len(self.key) + 1 :]


def is_usable(key: str) -> bool:
    """Return whether an object of that key can be reached.

    Keys with empty steps, with `.` or `..` and with control characters are left alone: in a path, they would mean
    something else.
    """
    is_short = len(key) <= LONGEST // 4 or len(key.encode("utf-8", "surrogatepass")) <= LONGEST
    return is_short and not UNUSABLE.search(key)


def _host(text: str, shown: str) -> str:
    """Return host and port of an address on the web."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise AddressError(f"{shown} is not a web address") from error
    if parts.username is not None or parts.password is not None:
        raise AddressError(f"an address must not hold a user's name or password: {shown}")
    if not parts.hostname:
        raise AddressError(f"{shown} names no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host if port is None else f"{host}:{port}"


def parse(text: str) -> Address:
    """Parse an address.

    Raises:
        AddressError: it is not one; the message says why, and shows no secret.
    """
    found = SCHEME.match(text)
    if not found:
        raise AddressError(f"{text} is not an address such as s3://bucket/song.flac")
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme not in (*STORES, *WEB):
        known = ", ".join(f"{name}://" for name in (*STORES, *WEB))
        raise AddressError(f"{scheme}:// is not supported; an address starts with one of {known}")
    url = ""
    if scheme in WEB:
        url = text.partition("#")[0]
        rest = rest.partition("#")[0].partition("?")[0]
    place, _, key = rest.partition("/")
    shown = f"{scheme}://{place.rpartition('@')[2]}" + (f"/{key}" if key else "")
    if scheme in WEB:
        place, key = _host(f"{scheme}://{place}", shown), unquote(key)
    elif "@" in place:
        raise AddressError(f"an address must not hold a user's name or password: {shown}")
    elif not re.fullmatch(r"[A-Za-z0-9$][A-Za-z0-9._-]{1,221}", place):
        raise AddressError(f"{shown} names no bucket; write {scheme}://bucket/name")
    key = key.removesuffix("/")
    if key and not is_usable(key):
        raise AddressError(f"{shown} has an empty step, '.', '..' or a control character, or is too long")
    if scheme in WEB and not key:
        raise AddressError(f"{shown} names no file")
    return Address(scheme, place, key, url)
