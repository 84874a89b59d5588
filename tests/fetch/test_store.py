"""Weights on this machine are found, verified once and removed."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit import registry
from stemsplit.disk.digest import sha256
from stemsplit.disk.folders import cache_folder
from stemsplit.errors import WeightsError
from stemsplit.fetch import digests, download, hub_cache, store, verified
from stemsplit.fetch.pins import lock_file
from stemsplit.registry import ModelEntry
from tests.fetch.conftest import CONTENT
from tests.fetch.hub import Fault, Hub

SHA256 = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)
Make = Callable[..., ModelEntry]


def test_the_hubs_cache_is_found_where_its_library_keeps_it() -> None:
    """Compared with the library itself, for every variable that matters."""
    ask = """
import json, os, sys
from importlib import reload
from huggingface_hub import constants
from stemsplit.fetch import hub_cache
for variables in json.load(sys.stdin):
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"):
        os.environ.pop(name, None)
    os.environ.update(variables)
    assert os.path.abspath(hub_cache.folder()) == os.path.abspath(reload(constants).HF_HUB_CACHE), variables
"""
    cases = [
        {},
        {"XDG_CACHE_HOME": "/x"},
        {"HF_HOME": "~/h"},
        {"HF_HOME": "$HOME/h", "XDG_CACHE_HOME": "/x"},
        {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/h"},
        {"HF_HUB_CACHE": "~/new", "HUGGINGFACE_HUB_CACHE": "/old"},
        {"XDG_CACHE_HOME": ""},
        {"HF_HOME": ""},
        {"HF_HOME": "", "XDG_CACHE_HOME": "/x"},
        {"HUGGINGFACE_HUB_CACHE": ""},
        {"HF_HUB_CACHE": ""},
    ]
    subprocess.run([sys.executable, "-c", ask], input=json.dumps(cases), text=True, check=True)


def test_weights_are_found_without_torch_and_without_the_hubs_library(hub: Hub, entry: Make) -> None:
    """Both take long to import."""
    hub.put("some/repo/w.ckpt", CONTENT)
    download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256))
    ask = f"""
import sys
from stemsplit import registry
from stemsplit.fetch import download, store
entry = registry.ModelEntry("tiny", "", "", {{}}, ("vocals",), 1, 1, 1, 1, ("hf://some/repo/w.ckpt",), "", "{SHA256}")
assert store.local(entry) == download.fetch(entry)
sys.exit(bool({{"torch", "huggingface_hub", "httpx2", "filelock"}} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", ask], check=False).returncode == 0


def test_a_file_is_verified_once(tmp_path: Path, entry: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is verified again after it was touched."""
    (tmp_path / "w.ckpt").write_bytes(CONTENT)
    read: list[Path] = []
    digest = sha256
    monkeypatch.setattr(digests, "sha256", lambda path: (read.append(path), digest(path))[1])
    wanted = entry(f"file:{tmp_path / 'w.ckpt'}", sha256=SHA256)
    assert store.local(wanted) == store.local(wanted) == tmp_path / "w.ckpt"
    assert len(read) == 1
    os.utime(tmp_path / "w.ckpt", ns=(0, 0))
    assert store.local(wanted) == tmp_path / "w.ckpt"
    assert len(read) == 2
    (tmp_path / "w.ckpt").write_bytes(CONTENT + b"\0")
    assert store.local(wanted) is None
    with pytest.raises(WeightsError, match="sha256 differs"):
        download.fetch(wanted)


def test_a_record_that_is_damaged_or_cannot_be_written_only_costs_time(
    tmp_path: Path, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.ckpt").write_bytes(CONTENT)
    wanted = entry(f"file:{tmp_path / 'w.ckpt'}", sha256=SHA256)
    assert store.local(wanted)
    (record,) = (cache_folder() / "verified").iterdir()
    for damaged in ("", "[]", '{"path": 1}', '{"path": "/nowhere", "size": 1, "mtime_ns": 1}'):
        record.write_text(damaged)
        assert store.local(wanted)
    (tmp_path / "taken").write_text("no folder")
    monkeypatch.setenv("STEMSPLIT_CACHE", str(tmp_path / "taken"))
    assert store.local(wanted)


def test_an_own_file_needs_no_digest_and_may_change(tmp_path: Path, entry: Make) -> None:
    wanted = entry(f"file:{tmp_path / 'w.ckpt'}")
    assert store.local(wanted) is None
    for content in (b"1", b"2"):
        (tmp_path / "w.ckpt").write_bytes(content)
        assert store.local(wanted) == download.fetch(wanted) == tmp_path / "w.ckpt"
    assert not lock_file().exists()


@pytest.mark.parametrize("name", ["w.ckpt", "..", "%2e%2e%2fw", "a b.ckpt", "", "?x=1"])
def test_no_address_leads_out_of_the_cache(hub: Hub, name: str) -> None:
    assert store.web_file("d" * 64, f"{hub.url}/{name}").parent == Path("weights") / ("d" * 64)


def test_removing_a_file_keeps_the_others_of_its_repository(hub: Hub, entry: Make) -> None:
    """Several models share a repository of the hub."""
    from huggingface_hub import scan_cache_dir

    hub.put("some/repo/a.ckpt", CONTENT)
    hub.put("some/repo/b.ckpt", CONTENT[::-1])
    one = entry("hf://some/repo/a.ckpt", sha256=SHA256)
    other = entry("hf://some/repo/b.ckpt", sha256=hashlib.sha256(CONTENT[::-1]).hexdigest())
    download.fetch(one), download.fetch(other)
    assert store.remove(one) == SIZE
    assert store.local(one) is None
    assert store.local(other)
    assert [path.name for path in hub_cache.folder().rglob("*.ckpt")] == ["b.ckpt"]
    assert sum(path.stat().st_size for path in hub_cache.folder().glob("*/blobs/*")) == SIZE
    assert not scan_cache_dir(hub_cache.folder()).warnings
    assert store.remove(one) is None
    assert download.fetch(one).read_bytes() == CONTENT


def test_removing_keeps_a_blob_that_another_revision_shares(hub: Hub, entry: Make) -> None:
    hub.put("some/repo/a.ckpt", CONTENT)
    wanted = entry("hf://some/repo/a.ckpt", sha256=SHA256)
    path = download.fetch(wanted)
    other = path.parents[1] / ("b" * 40) / "a.ckpt"
    other.parent.mkdir()
    other.symlink_to(os.path.relpath(path.resolve(), other.parent))
    assert store.remove(wanted) == 0
    assert not path.exists()
    assert other.read_bytes() == CONTENT


def test_removing_takes_files_from_the_web_and_unfinished_downloads(hub: Hub, entry: Make, home: Path) -> None:
    for published, source in (
        ("/w.ckpt", f"{hub.url}/w.ckpt"),
        ("some/repo/w.ckpt", "hf://some/repo/w.ckpt"),
    ):
        file = hub.put(published, CONTENT)
        wanted = entry(source, sha256=SHA256)
        download.fetch(wanted)
        assert store.remove(wanted) == SIZE

        def break_down(done: int, _: int, file: object = file) -> None:
            if done:
                file.fault.busy = 1_000  # type: ignore[attr-defined]

        file.fault = Fault(drop_after=100_000)
        with pytest.raises(WeightsError):
            download.fetch(wanted, break_down)
        assert store.remove(wanted) == 100_000
    left = [path for path in home.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in left if path.parent.name != "refs") == 0


def test_weights_that_were_not_downloaded_are_not_removed(entry: Make) -> None:
    with pytest.raises(WeightsError, match="cannot remove 'starter': it is part of stemsplit, not a download"):
        store.remove(registry.find("starter"))
    with pytest.raises(WeightsError, match=r"it is your own file /own/w\.ckpt, not a download"):
        store.remove(entry("file:/own/w.ckpt"))
    with pytest.raises(
        WeightsError, match=r"cannot remove 'tiny': its source hf://w.ckpt is invalid: it does not have the form hf"
    ):
        store.remove(entry("hf://w.ckpt"))


def test_a_record_of_a_file_elsewhere_is_ignored(tmp_path: Path, entry: Make) -> None:
    """Otherwise, anybody who can write to the cache could have any file taken for the weights."""
    (tmp_path / "w.ckpt").write_bytes(CONTENT)
    (tmp_path / "other.ckpt").write_bytes(CONTENT[::-1])
    wanted = entry(f"file:{tmp_path / 'w.ckpt'}", sha256=SHA256)
    verified.remember(SHA256, tmp_path / "other.ckpt")
    assert store.local(wanted) == tmp_path / "w.ckpt"


def test_machines_that_share_a_cache_resume_no_download_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that write into one file at the same time would spoil it, if the disk's locks hold for one machine only."""
    file, url = hub_cache.HubFile.parse("hf://some/repo/w.ckpt"), "https://example.org/w.ckpt"
    monkeypatch.setattr("stemsplit.disk.owner.is_local", lambda _: False)
    names = list[str]()
    for number in "01":
        monkeypatch.setattr("stemsplit.disk.owner.machine", lambda _, number=number: number * 16)
        part = file.part("x")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        web = cache_folder() / store.web_part(url, "x")
        web.parent.mkdir(parents=True, exist_ok=True)
        web.touch()
        names += [part.name, web.name]
    assert len(set(names)) == 4
    # `stemsplit remove` finds them all.
    assert sorted([path.name for path in (*file.parts(), *store.web_parts(url))]) == sorted(names)
