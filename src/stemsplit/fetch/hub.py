"""Gets weights from the Hugging Face Hub into the hub's own cache, where other programs find them too."""

import os
import re
import shutil
from dataclasses import replace
from functools import partial
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
from stemsplit.disk.files import BLOCK
from stemsplit.errors import WeightsError
from stemsplit.fetch import digests, hub_cache, store
from stemsplit.fetch.alone import Progress, alone
from stemsplit.fetch.failures import WE, host, persist, trouble
from stemsplit.fetch.hub_cache import HubFile
from stemsplit.fetch.transfer import Remote, check_size, obtain
from stemsplit.fetch.watched import in_time
from stemsplit.registry import ModelEntry


def _refusal(error: HfHubHTTPError, file: HubFile) -> str:
    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(error, GatedRepoError):
        page = f"https://huggingface.co/{file.repo}"
        return f"{file.repo} is gated; accept its conditions at {page}, then {log_in}"
    if isinstance(error, RevisionNotFoundError):
        return f"{file.repo} has no revision {file.revision}"
    if isinstance(error, EntryNotFoundError):
        return f"{file.repo} has no file {file.name} at {file.revision}"
    status = error.response.status_code
    if isinstance(error, RepositoryNotFoundError):
        return f"there is no repository {file.repo}, or it is not open to all ({status}); if it is private, {log_in}"
    if status in (401, 403):
        return f"{file.repo} is not open to you ({status}); see https://huggingface.co/{file.repo}, then {log_in}"
    return f"{error.response.url.host} answers {status}"


def _with_etag(entry: ModelEntry, etag: str) -> ModelEntry:
    """The entry; if it has no digest, with the one that the hub tells: a file's tag is its sha256 or git's SHA-1."""
    if digests.expected(entry) or not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", etag):
        return entry
    return replace(entry, git_sha1=etag) if len(etag) == 40 else replace(entry, sha256=etag)


def _is_another(entry: ModelEntry, etag: str) -> bool:
    """Whether a file's tag tells already that it is not the one that was published."""
    digest = {40: entry.git_sha1, 64: entry.sha256}.get(len(etag), "")
    return bool(digest and re.fullmatch("[0-9a-f]+", etag) and etag != digest)


def _linked(pointer: Path, blob: Path) -> bool:
    """Whether a file could be made a link to a blob; not every file system has links."""
    if constants.HF_HUB_DISABLE_SYMLINKS:
        return False
    try:
        link(pointer, os.path.relpath(blob, pointer.parent))
    except OSError:
        return False
    return True


def _point(file: HubFile, commit: str, blob: Path, new: bool) -> Path:
    """Enter a blob into the hub's cache as a file of a commit, as the hub's library does it."""
    cache, pointer = hub_cache.folder(), file.pointer(commit)
    make_below(cache, pointer.parent.relative_to(cache))
    if not _linked(pointer, blob):
        if new:
            move(blob, pointer)
        else:
            with open_regular(blob) as source, replacing(pointer) as target:
                shutil.copyfileobj(source, target, BLOCK)
    if file.revision != commit:
        ref = file.way / "refs" / file.revision
        with replacing(make_below(cache, ref.parent) / ref.name) as note:
            note.write(commit.encode())
    return pointer


def _headers() -> dict[str, str]:
    """Headers to ask the hub with, the user's token among them.

    Raises:
        WeightsError: that token cannot be read or sent. What it is is not told, nor passed on in a cause.
    """
    whose = "the token for the Hugging Face Hub (HF_TOKEN, or that of `hf auth login`)"
    try:
        headers: dict[str, str] = build_hf_headers(**WE)
    except HfHubHTTPError:
        raise
    except (OSError, ValueError, OIDCError):
        raise WeightsError(f"{whose} cannot be read") from None
    if not re.fullmatch("[ -~]*", headers.get("authorization", "")):
        raise WeightsError(f"{whose} has a character in it that no token has; set it anew")
    return headers


def _told(url: str, headers: dict[str, str]) -> HfFileMetadata:
    """What the hub tells of a file.

    Raises:
        WeightsError: who answers is not a hub.
    """
    told = get_hf_file_metadata(url, headers=headers, token=False)
    # Both become parts of names.
    is_commit = re.fullmatch("[0-9a-f]{40}", told.commit_hash or "")
    if not is_commit or not re.fullmatch(r"\w[\w.-]{,127}", told.etag or "", re.ASCII) or (told.size or 0) < 0:
        raise WeightsError(f"{host(url)} does not answer as the Hugging Face Hub does; is HF_ENDPOINT right?")
    return told


def _fetch(entry: ModelEntry, file: HubFile, progress: Progress) -> Path:
    url = hf_hub_url(file.repo, file.name, revision=file.revision)
    headers = in_time(_headers)
    told = persist(lambda: in_time(partial(_told, url, headers), constants.HF_HUB_ETAG_TIMEOUT), tries=3)
    commit, etag = str(told.commit_hash), str(told.etag)
    check_size(told.size or None, entry.size)
    if _is_another(entry, etag):
        raise WeightsError("it is not the file that was published: the hub gives another digest for it")
    size, cache = told.size or entry.size, hub_cache.folder()
    make_below(cache, file.way / "blobs")
    blob, part = file.folder / "blobs" / etag, file.part(etag)
    with alone(cache, PurePath(".locks", file.way, f"{etag}.lock"), part, size, progress):
        if path := store.local(entry):
            return path  # another process was faster
        wanted = _with_etag(entry, etag)
        new = False

        def verify(path: Path) -> str:
            if wanted is not entry:
                digests.is_safetensors(path)  # or what else checkpoints are; the hub keeps other files as well
            return digests.verify(path, wanted)

        try:
            digest = verify(blob)
        except (OSError, WeightsError):
            # Of the commit, so that every try gets the same version; the hub sends on to where its bytes lie.
            at_commit = hf_hub_url(file.repo, file.name, revision=commit)
            remote = Remote(at_commit, headers, part, size, known=bool(digests.expected(wanted)))
            digest = obtain(remote, verify, progress)
            move(part, blob)
            new = True
        return digests.remember(entry, _point(file, commit, blob, new), digest)


def fetch(entry: ModelEntry, file: HubFile, progress: Progress) -> Path:
    """A verified file with the entry's weights, from the hub.

    Raises:
        WeightsError: it cannot be had from there.
    """
    if hub_cache.folder().parts[:1] == ("~",):
        raise WeightsError("there is no home folder to keep downloads in; set STEMSPLIT_CACHE and HF_HOME")
    with trouble(hub_cache.folder(), "HF_HOME", lambda error: _refusal(error, file)):
        return _fetch(entry, file, progress)
