"""Any text as a source gives an error or a file, never a traceback or a path outside the cache."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import stemsplit
from stemsplit import registry
from stemsplit.errors import RegistryError, WeightsError
from stemsplit.fetch import digests, download, hub_cache, store
from stemsplit.registry import ModelEntry
from tests.fetch.conftest import CONTENT
from tests.fetch.hub import Hub
from tests.fetch.test_download import SHA256

Make = Callable[..., ModelEntry]
TABLE = registry.table_of(registry.find("starter"))

PIECES = st.sampled_from(
    [
        "/",
        "//",
        "..",
        ".",
        "\\",
        "@",
        ":",
        "?",
        "#",
        "%",
        "%00",
        "%2e%2e",
        "%2f",
        "\0",
        "\n",
        "\x1b",
        "\ud800",
        "\u2603",
        "~",
    ]
    + [
        "a",
        "main",
        "w.ckpt",
        "a/b",
        "127.0.0.1",
        "[",
        "]",
        "[::1]",
        ":1",
        ":x",
        "user:pw@",
        " ",
        "x" * 300,
        "\xe9" * 200,
    ]
)
SOURCES = st.builds(
    lambda scheme, pieces: scheme + "".join(pieces),
    # Nobody answers on port 1.
    st.sampled_from(
        ["hf://", "hf://a/b/", "hf://a/b@", "http://127.0.0.1:1/", "package:", "file:", "file:/", "x:", ""]
    ),
    st.lists(PIECES, max_size=8),
)


@pytest.mark.usefixtures("hub")
@given(SOURCES)
@example("hf://a/b@%00/c")
@example("hf://a/b/\ud800")
@example("hf://a/b@..%2F..%2F..%2Fx/c")
@example("package:../errors.py")
@example("package:")
@example("file:\0")
@example("file:\ud800")
@example("http://[")
@example("http://127.0.0.1:1/" + "%2e%2e%2f" * 40)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
def test_no_source_causes_a_traceback_or_leads_outside(entry: Make, home: Path, tmp_path: Path, source: str) -> None:
    before = set(tmp_path.rglob("*"))
    for known in ({}, {"sha256": SHA256}):
        wanted = entry(source, **known)
        assert store.local(wanted) is None
        with suppress(WeightsError):
            digests.identity(wanted)
        with pytest.raises(WeightsError) as caught:
            download.fetch(wanted)
        assert len(str(caught.value)) < 2_000
        with suppress(WeightsError):
            assert store.remove(wanted) is None
    assert set(tmp_path.rglob("*")) == before
    assert {path.name for path in home.iterdir()} <= {"config", "cache", "huggingface", "token"}


@given(SOURCES)
def test_paths_of_a_source_are_in_the_cache(source: str) -> None:
    for path in (store.web_file("d" * 64, source), store.web_part(source, source)):
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert max(len(os.fsencode(part)) for part in path.parts) <= 255
    with suppress(WeightsError):
        file = hub_cache.HubFile.parse(source)
        for path in (file.part("x"), file.pointer("0" * 40), file.folder / "refs" / file.revision):
            assert Path(os.path.normpath(path)).is_relative_to(hub_cache.folder() / file.repo_folder)
    with suppress(WeightsError):
        if source.startswith("package:"):
            assert store.own_path(source).parent == Path(stemsplit.__file__).parent


@given(SOURCES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_source_breaks_the_registry(tmp_path: Path, source: str) -> None:
    table = {**TABLE, "sources": [source]}
    with suppress(RegistryError):
        (read,) = registry.entry_of("tiny", json.loads(json.dumps(table)), tmp_path / "models.toml").sources
        assert read.startswith(registry.SCHEMES)
        assert read.isprintable()


@pytest.mark.parametrize(
    "source",
    [
        "hf://a/b@%00/c",
        "hf://a/b@%0a/c",
        "hf://a/b@\x1b/c",
        "hf://a/b/c\\..\\d",
        f"hf://a/b/{'x' * 300}",
        "hf://\xe9/b/c",
    ],
)
@pytest.mark.usefixtures("hub")
def test_an_impossible_name_of_a_hub_file_is_refused(entry: Make, source: str) -> None:
    with pytest.raises(WeightsError, match="does not have the form hf://OWNER/REPO@REVISION/FILE"):
        download.fetch(entry(source))


@pytest.mark.parametrize("name", ["../errors.py", "/etc/passwd", "fetch/store.py", "", ".", "..", "\0", "a\\b"])
def test_the_package_gives_only_files_of_its_own_folder(entry: Make, name: str) -> None:
    for known in ({}, {"sha256": SHA256}):
        assert store.local(entry(f"package:{name}", **known)) is None
        with pytest.raises(WeightsError, match="it is not the name of a file in stemsplit's own folder"):
            download.fetch(entry(f"package:{name}", **known))


def test_a_file_that_vanishes_while_it_is_verified_is_an_error(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next source would be tried then."""
    from huggingface_hub import hf_hub_download

    hub.put("some/repo/w.ckpt", CONTENT)
    hub.put("/w.ckpt", CONTENT)
    hf_hub_download("some/repo", "w.ckpt", cache_dir=hub_cache.folder())
    verify = digests.verify

    def verify_and_lose(path: Path, wanted: ModelEntry) -> str:
        digest = verify(path, wanted)
        path.unlink(missing_ok=True)
        return digest

    monkeypatch.setattr(digests, "verify", verify_and_lose)
    with pytest.raises(WeightsError, match=r"from hf://some/repo/w\.ckpt: No such file or directory"):
        download.fetch(entry("hf://some/repo/w.ckpt"))
