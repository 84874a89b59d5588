"""Gets weights from a web address into this program's own cache."""

import re
from functools import partial
from http import HTTPStatus
from pathlib import Path, PurePath

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]  # exported lazily

from stemsplit.disk import make_below, move
from stemsplit.disk.folders import cache_folder
from stemsplit.errors import WeightsError
from stemsplit.fetch import digests, store
from stemsplit.fetch.alone import Progress, alone
from stemsplit.fetch.answers import is_page, whole_size
from stemsplit.fetch.failures import PASSING, WE, persist, trouble
from stemsplit.fetch.transfer import Remote, WebPageError, check_size, obtain
from stemsplit.fetch.watched import in_time
from stemsplit.registry import ModelEntry


def _by_hand(entry: ModelEntry) -> str:
    """What is left to do where a host has no file for programs."""
    more = f" (see {entry.page})" if entry.page else ""
    return f"open that address in a browser{more}, save the file, then: stemsplit SONG --model FILE"


def _refusal(error: HfHubHTTPError, entry: ModelEntry) -> str:
    host, status = error.response.url.host, error.response.status_code
    words = {
        401: "wants a password for it",
        403: "does not give it out",
        404: "has no such file",
        410: "has it no more",
    }
    advice = f"; {_by_hand(entry)}" if status in (401, 403) else ""
    return f"{host} {words.get(status, 'answers')} ({status}){advice}"


def _ask(url: str, headers: dict[str, str]) -> tuple[int, str]:
    """A file's size and version, where the server tells: 0 and empty where it does not."""
    asked = {**headers, "Accept-Encoding": "identity"}
    response = get_session().head(url, headers=asked, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    if response.status_code in PASSING:
        hf_raise_for_status(response)
    if response.status_code != HTTPStatus.OK or is_page(response):
        # It may answer no such question; whether it has the file will be seen when it is asked for it.
        return 0, ""
    tag = response.headers.get("ETag", "")
    # A weak tag does not promise the same bytes.
    version = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
    # It is sent back to the server, which may send anything.
    return whole_size(response) or 0, version if re.fullmatch("[ -~]{,200}", version) else ""


def _fetch(entry: ModelEntry, url: str, progress: Progress) -> Path:
    # The hub's token is nobody else's business.
    headers = build_hf_headers(token=False, **WE)
    told, version = persist(lambda: in_time(partial(_ask, url, headers), constants.HF_HUB_ETAG_TIMEOUT), tries=3)
    check_size(told or None, entry.size)
    size, cache, way = told or entry.size, cache_folder(), store.web_part(url, version)
    part = make_below(cache, way.parent) / way.name
    with alone(cache, PurePath("locks", way.with_suffix(".lock").name), part, size, progress):
        if path := store.local(entry):
            return path  # another process was faster
        remote = Remote(url, headers, part, size, version, known=bool(digests.expected(entry)))
        digest = obtain(remote, lambda path: digests.verify(path, entry), progress)
        target = store.web_way(digests.expected(entry) or digest, url)
        path = make_below(cache, target.parent) / target.name
        move(part, path)
        return digests.remember(entry, path, digest)


def fetch(entry: ModelEntry, source: str, progress: Progress) -> Path:
    """A verified file with the entry's weights, from a web address.

    Raises:
        WeightsError: it cannot be had from there.
    """
    with trouble(cache_folder(), "STEMSPLIT_CACHE", lambda error: _refusal(error, entry)):
        try:
            return _fetch(entry, source, progress)
        except WebPageError as error:
            raise WeightsError(f"{error}: it cannot be downloaded automatically; {_by_hand(entry)}") from error
