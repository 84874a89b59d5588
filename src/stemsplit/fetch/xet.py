"""Gets weights from the hub's newer storage by the hub's own library: faster on fast lines, but never resumed."""

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.file_download import hf_hub_download
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # exported lazily

from stemsplit.errors import WeightsError
from stemsplit.fetch import digests, hub_cache, store
from stemsplit.fetch.download_lock import Progress
from stemsplit.fetch.failures import USER_AGENT
from stemsplit.fetch.transfer import check_space
from stemsplit.registry import ModelEntry


def wanted() -> bool:
    """Whether the user set the hub's switch for it, HF_XET_HIGH_PERFORMANCE."""
    switched_on = constants.HF_XET_HIGH_PERFORMANCE and not constants.HF_HUB_DISABLE_XET
    return switched_on and find_spec("hf_xet") is not None


def _bar(progress: Progress) -> type:
    """A class that the hub's library takes for a progress bar."""

    class Bar:
        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object) -> None:
            self.total, self.n = total, initial

        def update(self, count: float | None = 1) -> None:
            self.n += int(count or 0)
            progress(self.n, self.total or 0)

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def _ignore(self, *_: object, **__: object) -> None:
            pass

        # With an update_transfer, there is one bar and not two.
        close = update_transfer = set_postfix_str = set_transfer_postfix_str = _ignore

    return Bar


def fetch(entry: ModelEntry, file: hub_cache.HubFile, size: int, progress: Progress) -> Path | None:
    """A verified file with the entry's weights; None if that broke down, whatever for: the plain way is to be tried.

    Raises:
        WeightsError: it is a wrong file, and nothing of it is left; or there is no room for it.
    """
    check_space(file.folder, size)
    again = file.cached() is not None  # what is there already was found wrong
    place: dict[str, Any] = {"revision": file.revision, "cache_dir": str(hub_cache.folder())}
    try:
        got = hf_hub_download(
            file.repo, file.name, **place, **USER_AGENT, force_download=again, tqdm_class=_bar(progress)
        )
    except (httpx.HTTPError, ImportError, OSError, RuntimeError, ValueError):
        return None
    path = Path(got)
    try:
        digest = digests.verify(path, entry)
    except WeightsError:
        with suppress(WeightsError, OSError):
            store.remove_from_hub(file)
        raise
    return digests.accept(entry, path, digest)
