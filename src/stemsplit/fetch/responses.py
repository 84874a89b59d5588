"""Requests a file from a server, and reads no more of the responses than it needs."""

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from http import HTTPStatus
from typing import Any

from huggingface_hub import constants
from huggingface_hub.utils import get_session, hf_raise_for_status, httpx  # type: ignore[attr-defined]  # exported lazily

from stemsplit.errors import WeightsError

REDIRECTS = 20
"""Largest number of redirects that a request follows."""


def whole_size(response: httpx.Response) -> int | None:
    """Return the bytes of the whole file, also from a response with its end only; None if the response does not say."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    range_total = response.headers.get("Content-Range", "").rpartition("/")[2]
    number = range_total or response.headers.get("Content-Length", "")
    return int(number) if re.fullmatch("[0-9]{1,18}", number) else None


def is_web_page(response: httpx.Response) -> bool:
    """Return whether a response says that it is a web page."""
    return response.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml"))


def receive(url: str, headers: Mapping[str, str], hand_over: Callable[[Any], None]) -> None:
    """Request a file; hand over the response first, then the blocks of its content.

    The content of a redirect or of a refusal is not read: it may never end.
    """
    client = get_session()
    request = client.build_request("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
    for _ in range(REDIRECTS):
        # Not the library's own `http_get`: it reads 10 MB at a time, and loses them when the connection breaks.
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
    """Raise the hub's library's error for a refusal, or WeightsError for a response that the library accepts."""
    wanted = (b"x-error-code", b"retry-after")
    headers = [(name, value) for name, value in response.headers.raw if name.lower() in wanted]
    # A copy without content: the library would read that of the response itself to its end.
    hf_raise_for_status(httpx.Response(response.status_code, headers=headers, request=response.request))
    raise WeightsError(f"{response.url.host} answers {response.status_code}")
