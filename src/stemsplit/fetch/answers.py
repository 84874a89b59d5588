"""Asks a server for a file, and reads no more of its answers than is needed."""

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from http import HTTPStatus
from typing import Any

from huggingface_hub import constants
from huggingface_hub.utils import get_session, hf_raise_for_status, httpx  # type: ignore[attr-defined]  # exported lazily

from stemsplit.errors import WeightsError

REDIRECTS = 20
"""How often a request may be sent on to another address."""


def whole_size(response: httpx.Response) -> int | None:
    """Bytes of the file that a response holds, or holds the end of; None if it does not tell."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    told = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length", "")
    return int(told) if re.fullmatch("[0-9]{1,18}", told) else None


def is_page(response: httpx.Response) -> bool:
    """Whether a response says that it is one for people to read."""
    return response.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml"))


def receive(url: str, headers: Mapping[str, str], hand_over: Callable[[Any], None]) -> None:
    """Ask for a file; hand over the response, and then the blocks of its content.

    Neither the content of what sends on nor that of a refusal is read: it may have no end.
    """
    client = get_session()
    request = client.build_request("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
    for _ in range(REDIRECTS):
        # Not the library's own `http_get`: it reads 10 MB at a time, and loses them where the connection breaks.
        with closing(client.send(request, stream=True, follow_redirects=False)) as response:
            if response.next_request is None:
                hand_over(response)
                if response.status_code in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                    for block in response.iter_raw():
                        hand_over(block)
                return
            request = response.next_request
    raise httpx.TooManyRedirects("too many", request=request)


def refuse(response: httpx.Response) -> None:
    """Raise what the hub's library makes of a refusal, or WeightsError if it does not take it for one."""
    telling = (b"x-error-code", b"retry-after")
    told = [(name, value) for name, value in response.headers.raw if name.lower() in telling]
    # Not of the response itself, whose content the library would read to its end.
    hf_raise_for_status(httpx.Response(response.status_code, headers=told, request=response.request))
    raise WeightsError(f"{response.url.host} answers {response.status_code}")
