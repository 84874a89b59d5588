"""A hub to download from, and entries that name it."""

import configparser  # noqa: F401  # the hub's library does so late, when `read_only` may have shut Python's own folder
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from stemsplit.registry import ModelEntry
from tests.fetch.hub import Hub, running

CONTENT = b"\x80" + np.random.default_rng(0).bytes(299_998) + b"\x80"
"""Content of a file that looks like a checkpoint, read from either end, but is not one. Downloads look no further."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Hub]:
    """A hub on loopback that this process and its children take for the real one, without pauses between tries."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    from stemsplit.fetch import failures

    with running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        # The library read these from the environment when it was imported.
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_SYMLINKS"):
            monkeypatch.setattr(constants, name, False)
        monkeypatch.setattr(failures, "PAUSES", (0.0,) * 5)
        close_session()
        yield hub
        close_session()


@pytest.fixture
def entry() -> Callable[..., ModelEntry]:
    """A function that makes an entry with the given sources."""

    def make(*sources: str, **more: object) -> ModelEntry:
        return ModelEntry(
            name="tiny",
            description="",
            architecture="sudormrf",
            config={},
            stems=("vocals",),
            sample_rate=44_100,
            channels=1,
            chunk=8,
            hop=4,
            sources=sources,
            author="",
            **more,  # type: ignore[arg-type]
        )

    return make


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working folder, with settings and caches at relative paths, so that folders above it need not be readable."""
    from huggingface_hub import constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "hf_home/token")
    for variable in ("STEMSPLIT_CONFIG", "STEMSPLIT_CACHE", "HF_HOME"):
        monkeypatch.setenv(variable, variable.lower())
    return tmp_path


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder and its content read-only, also for root."""
    if os.name != "posix":
        pytest.skip("this system has other permissions")
    everything = [folder, *folder.rglob("*")]
    for path in everything:
        path.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)  # root may write anywhere
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in everything:
            path.chmod(0o755)
