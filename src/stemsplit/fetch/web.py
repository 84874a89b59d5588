"""Downloads weights from a web address into stemsplit's own cache."""

import re
from functools import partial
from http import HTTPStatus
from pathlib import Path, PurePath

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]  # exported lazily

from stemsplit.disk import make_below, move
from stemsplit.disk.folders import cache_folder
from stemsplit.fetch import digests, store
from stemsplit.fetch.causes import PortalError
from stemsplit.fetch.download_lock import Progress, download_lock
from stemsplit.fetch.failures import TRANSIENT, USER_AGENT, retry, translating_errors
from stemsplit.fetch.responses import is_web_page, whole_size
from stemsplit.fetch.timeouts import in_time
from stemsplit.fetch.transfer import Remote, WebPageError, check_size, download_part
from stemsplit.registry import ModelEntry


def _by_hand(entry: ModelEntry) -> str:
    """Return the remedy for a host that does not serve the file to programs."""
    page = f" (see {entry.page})" if entry.page else ""
    return f"open the address in a browser{page}, save the file, then: stemsplit SONG --model FILE"


def _refusal(error: HfHubHTTPError, entry: ModelEntry) -> str:
    host, status = error.response.url.host, error.response.status_code
    meanings = {
        401: "asks for a password",
        403: "refuses access to the file",
        404: "does not have the file",
        410: "no longer has the file",
    }
    remedy = f"; {_by_hand(entry)}" if status in (401, 403) else ""
    return f"{host} {meanings.get(status, 'answers')} ({status}){remedy}"


def _size_and_version(url: str, headers: dict[str, str]) -> tuple[int, str]:
    """Ask a server for a file's size and version; 0 and empty where it does not say."""
    headers = {**headers, "Accept-Encoding": "identity"}
    response = get_session().head(url, headers=headers, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    if response.status_code in TRANSIENT:
        hf_raise_for_status(response)
    if response.status_code != HTTPStatus.OK or is_web_page(response):
        # Some servers do not support HEAD. Whether it has the file, the download itself will show.
        return 0, ""
    tag = response.headers.get("ETag", "")
    # A weak tag does not promise the same bytes.
    version = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
    # It is sent back in a header, so it has to be plain text.
    return whole_size(response) or 0, version if re.fullmatch("[ -~]{,200}", version) else ""


def _fetch(entry: ModelEntry, url: str, progress: Progress) -> Path:
    # Without the hub's token, which no other server may see.
    headers = build_hf_headers(token=False, **USER_AGENT)
    ask = partial(_size_and_version, url, headers)
    size, version = retry(lambda: in_time(ask, constants.HF_HUB_ETAG_TIMEOUT), tries=3)
    check_size(size or None, entry.size)
    size, cache, relative = size or entry.size, cache_folder(), store.web_part(url, version)
    part = make_below(cache, relative.parent) / relative.name
    lock = PurePath("locks", f"{relative.name.partition('.')[0]}.lock")  # of all machines, if they share locks
    with download_lock(cache, lock, part, size, progress):
        if path := store.local(entry):
            return path  # another process was faster
        remote = Remote(url, headers, part, size, version, has_digest=bool(digests.expected(entry)))
        digest = download_part(remote, lambda path: digests.verify(path, entry), progress)
        target = store.web_file(digests.expected(entry) or digest, url)
        path = make_below(cache, target.parent) / target.name
        move(part, path)
        return digests.accept(entry, path, digest)


def fetch(entry: ModelEntry, source: str, progress: Progress) -> Path:
    """Download an entry's weights from a web address, and return the verified file.

    Raises:
        WeightsError: the download failed.
    """
    with translating_errors(cache_folder(), "STEMSPLIT_CACHE", lambda error: _refusal(error, entry)):
        try:
            return _fetch(entry, source, progress)
        except WebPageError as error:
            raise PortalError(error.host, f"{error}; {_by_hand(entry)}") from error
