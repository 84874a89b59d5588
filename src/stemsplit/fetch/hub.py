"""Downloads weights from the Hugging Face Hub into the hub's own cache, where other programs find them too."""

import os
import re
import shutil
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path, PurePath

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OIDCError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import HfFileMetadata, get_hf_file_metadata, hf_hub_url
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily

from stemsplit.disk import link, make_below, move, open_regular, replacing
from stemsplit.disk.digest import BLOCK
from stemsplit.errors import WeightsError
from stemsplit.fetch import digests, hub_cache, store
from stemsplit.fetch.causes import LOGIN, PortalError
from stemsplit.fetch.checkpoint_format import is_safetensors
from stemsplit.fetch.download_lock import Progress, download_lock
from stemsplit.fetch.failures import USER_AGENT, host, retry, translating_errors
from stemsplit.fetch.hub_cache import HubFile
from stemsplit.fetch.timeouts import in_time
from stemsplit.fetch.transfer import Remote, WebPageError, check_size, download_part
from stemsplit.registry import ModelEntry


def _refusal(error: HfHubHTTPError, file: HubFile) -> str:
    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    page = f"https://huggingface.co/{file.repo}"
    if isinstance(error, GatedRepoError):
        return f"{file.repo} is gated; accept its conditions at {page}, then {log_in}"
    if isinstance(error, RevisionNotFoundError):
        return f"{file.repo} has no revision {file.revision}"
    if isinstance(error, EntryNotFoundError):
        return f"{file.repo} has no file {file.name} at {file.revision}"
    status = error.response.status_code
    if status == HTTPStatus.UNAUTHORIZED and "authorization" in error.response.request.headers:
        source = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "`hf auth login`"
        return f"{error.response.url.host} refuses the token of {source} ({status}); unset it, or {log_in}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{file.repo} does not exist or is private ({status}); if it is private, {log_in}"
    if status in (401, 403):
        return f"{file.repo} refuses access ({status}); see {page}, then {log_in}"
    return f"{error.response.url.host} answers {status}"


def _is_digest(etag: str) -> bool:
    """Return whether a file's ETag is a digest: the hub uses the file's sha256, or the SHA-1 of its git blob."""
    return re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", etag) is not None


def _with_etag(entry: ModelEntry, etag: str) -> ModelEntry:
    """Return the entry; if no digest is known for it, with that of the hub."""
    if digests.expected(entry) or not _is_digest(etag):
        return entry
    return replace(entry, git_sha1=etag) if len(etag) == 40 else replace(entry, sha256=etag)


def _has_other_digest(entry: ModelEntry, etag: str) -> bool:
    """Return whether the hub gives a file another digest than the registry does."""
    published = {40: entry.git_sha1, 64: entry.sha256}.get(len(etag), "")
    return bool(published and _is_digest(etag) and etag != published)


def _linked(pointer: Path, blob: Path) -> bool:
    """Make a file a link to a blob; return whether that worked, as not every file system has links."""
    if constants.HF_HUB_DISABLE_SYMLINKS:
        return False
    try:
        link(pointer, os.path.relpath(blob, pointer.parent))
    except OSError:
        return False
    return True


def _publish(file: HubFile, commit: str, blob: Path, downloaded: bool) -> Path:
    """Enter a blob into the hub's cache as a file of a commit, as the hub's library does it.

    Args:
        file: file of the hub.
        commit: commit that has the file.
        blob: verified content of the file.
        downloaded: whether the blob was just downloaded; one that was here before may be shared.

    Returns:
        The path of the file in the commit's snapshot.
    """
    cache, pointer = hub_cache.folder(), file.pointer(commit)
    make_below(cache, pointer.parent.relative_to(cache))
    if not _linked(pointer, blob):
        if downloaded:
            move(blob, pointer)
        else:
            with open_regular(blob) as source, replacing(pointer) as target:
                shutil.copyfileobj(source, target, BLOCK)
    if file.revision != commit:
        ref = file.repo_folder / "refs" / file.revision
        with replacing(make_below(cache, ref.parent) / ref.name) as ref_file:
            ref_file.write(commit.encode())
    return pointer


def _headers() -> dict[str, str]:
    """Return headers for requests to the hub, with the user's token.

    Raises:
        WeightsError: the token cannot be read or sent. Neither the message nor a cause contains it.
    """
    token = "the token for the Hugging Face Hub (HF_TOKEN, or from `hf auth login`)"
    try:
        headers: dict[str, str] = build_hf_headers(**USER_AGENT)
    except HfHubHTTPError:
        raise
    except (OSError, ValueError, OIDCError):
        raise WeightsError(f"{token} cannot be read") from None
    if not re.fullmatch("[ -~]*", headers.get("authorization", "")):
        raise WeightsError(f"{token} contains an invalid character; set it again")
    return headers


def _metadata(url: str, headers: dict[str, str]) -> HfFileMetadata:
    """Ask the hub for a file's metadata.

    Raises:
        WeightsError: the server is not a hub.
    """
    metadata = get_hf_file_metadata(url, headers=headers, token=False)
    # Both become parts of file names.
    is_commit = re.fullmatch("[0-9a-f]{40}", metadata.commit_hash or "")
    is_etag = re.fullmatch(r"\w[\w.-]{,127}", metadata.etag or "", re.ASCII)
    if not is_commit or not is_etag or (metadata.size or 0) < 0:
        check = "check HF_ENDPOINT; or " if "HF_ENDPOINT" in os.environ else ""
        told = (
            f"{host(url)} does not answer like the Hugging Face Hub; {check}if this network asks for a login, {LOGIN}"
        )
        raise PortalError(host(url), told)
    return metadata


def _fetch(entry: ModelEntry, file: HubFile, progress: Progress) -> Path:
    url = hf_hub_url(file.repo, file.name, revision=file.revision)
    headers = in_time(_headers)
    ask = partial(_metadata, url, headers)
    metadata = retry(lambda: in_time(ask, constants.HF_HUB_ETAG_TIMEOUT), tries=3)
    commit, etag = str(metadata.commit_hash), str(metadata.etag)
    check_size(metadata.size or None, entry.size)
    if _has_other_digest(entry, etag):
        raise WeightsError("it is not the published file: the hub gives another digest for it")
    size, cache = metadata.size or entry.size, hub_cache.folder()
    make_below(cache, file.repo_folder / "blobs")
    blob, part = file.folder / "blobs" / etag, file.part(etag)
    with download_lock(cache, PurePath(".locks", file.repo_folder, f"{etag}.lock"), part, size, progress):
        if path := store.local(entry):
            return path  # another process was faster
        expected = _with_etag(entry, etag)

        def verify(path: Path) -> str:
            if expected is not entry:
                is_safetensors(path)  # the hub's digest says only that this is the hub's file, of whatever kind
            return digests.verify(path, expected)

        downloaded = False
        try:
            digest = verify(blob)
        except (OSError, WeightsError):
            # From the commit, so that every try gets the same version.
            at_commit = hf_hub_url(file.repo, file.name, revision=commit)
            remote = Remote(at_commit, headers, part, size, has_digest=bool(digests.expected(expected)))
            digest = download_part(remote, verify, progress)
            move(part, blob)
            downloaded = True
        return digests.accept(entry, _publish(file, commit, blob, downloaded), digest)


def fetch(entry: ModelEntry, file: HubFile, progress: Progress) -> Path:
    """Download an entry's weights from the hub, and return the verified file.

    Raises:
        WeightsError: the download failed.
    """
    if hub_cache.folder().parts[:1] == ("~",):
        raise WeightsError("there is no home folder to keep downloads in; set STEMSPLIT_CACHE and HF_HOME")
    with translating_errors(hub_cache.folder(), "HF_HOME", lambda error: _refusal(error, file)):
        try:
            return _fetch(entry, file, progress)
        except WebPageError as error:
            raise PortalError(error.host, f"{error}; if this network asks for a login, {LOGIN}") from error
