"""Gets weights from the Hugging Face Hub into the hub's own cache, where other programs find them too."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import get_hf_file_metadata, hf_hub_url
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily

from stemsplit.errors import WeightsError
from stemsplit.registry import ModelEntry
from stemsplit.weights import digests, hub_cache, store, xet
from stemsplit.weights.hub_cache import HubFile
from stemsplit.weights.network import WE, host, persist, trouble
from stemsplit.weights.transfer import Progress, Remote, alone, obtain


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


def _point(file: HubFile, commit: str, blob: Path, new: bool) -> Path:
    """Enter a blob into the hub's cache as a file of a commit, as the hub's library does it."""
    pointer = file.pointer(commit)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    link = pointer.with_name(f".{pointer.name}.{os.getpid()}")
    try:
        if constants.HF_HUB_DISABLE_SYMLINKS:
            raise OSError
        link.symlink_to(os.path.relpath(blob, pointer.parent))
        link.replace(pointer)
    except OSError:
        # No symlinks here: then the file itself lies there.
        link.unlink(missing_ok=True)
        (shutil.move if new else shutil.copyfile)(blob, pointer)
    if file.revision != commit:
        ref = file.folder / "refs" / file.revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        note = ref.with_name(f".{ref.name}.{os.getpid()}")
        note.write_text(commit, encoding="utf-8")
        note.replace(ref)
    return pointer


def _fetch(entry: ModelEntry, file: HubFile, progress: Progress) -> Path:
    url = hf_hub_url(file.repo, file.name, revision=file.revision)
    told = persist(lambda: get_hf_file_metadata(url, **WE), tries=3)
    commit, etag, size = told.commit_hash or "", told.etag or "", told.size or entry.size
    if not re.fullmatch("[0-9a-f]{40}", commit) or not re.fullmatch(r"\w[\w.-]*", etag):
        raise WeightsError(f"{host(url)} does not answer as the Hugging Face Hub does; is HF_ENDPOINT right?")
    if size != (entry.size or size):
        raise WeightsError(f"it is not the file that was published: {size} bytes, not {entry.size}")
    if _is_another(entry, etag):
        raise WeightsError("it is not the file that was published: the hub gives another digest for it")
    if told.xet_file_data and xet.wanted() and (path := xet.fetch(entry, file, size, progress)):
        return path
    blob, part = file.folder / "blobs" / etag, file.part(etag)
    lock = hub_cache.folder() / ".locks" / file.folder.name / f"{etag}.lock"
    with alone(lock, part, size, progress):
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
            headers = build_hf_headers(**WE)
            remote = Remote(at_commit, headers, part, size, known=bool(digests.expected(wanted)))
            digest = obtain(remote, verify, progress)
            part.replace(blob)
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
