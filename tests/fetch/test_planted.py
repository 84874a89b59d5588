"""Files in a cache are untrusted: nothing is written or removed through links, and nonsense causes no traceback."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemsplit.disk.folders import cache_folder
from stemsplit.errors import WeightsError
from stemsplit.fetch import digests, download, hub_cache, store, timeouts, verified
from stemsplit.fetch.pins import LockFileError, lock_file
from stemsplit.registry import ModelEntry
from tests.conftest import unix
from tests.fetch.conftest import CONTENT
from tests.fetch.hub import COMMIT, Hub, Served
from tests.fetch.test_download import SHA256, SIZE, half_downloaded
from tests.fetch.test_download import published as published

Make = Callable[..., ModelEntry]
PRECIOUS = b"a year of work"
NOT_OURS = "it was not made by stemsplit; move it away"
NO_LINKS = "a link, which is not followed"

pytestmark = unix


@pytest.fixture(params=["large file of the hub", "web"])
def kind(request: pytest.FixtureRequest) -> str:
    """Kind of source; small files of the hub are treated like large ones."""
    return request.param


@pytest.fixture
def precious(tmp_path: Path) -> Iterator[Path]:
    """A file elsewhere, in a folder of its own, that must not be touched."""
    path = tmp_path / "elsewhere" / "precious"
    path.parent.mkdir()
    path.write_bytes(PRECIOUS)
    yield path
    assert path.read_bytes() == PRECIOUS
    assert list(path.parent.rglob("*")) == [path]


def symbolic_link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def link_to_nothing(path: Path, target: Path) -> None:
    path.symlink_to(target.with_name("new"))


def pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, _: Path) -> None:
    path.mkdir()


TRAPS = [symbolic_link, hard_link, link_to_nothing, pipe, folder]


@pytest.mark.parametrize("trap", TRAPS)
def test_a_part_that_stemsplit_did_not_make_is_not_written(
    published: tuple[Served, str], entry: Make, home: Path, precious: Path, trap: Callable[[Path, Path], None]
) -> None:
    wanted = entry(published[1], sha256=SHA256)
    part = half_downloaded(published[0], wanted, home)
    part.unlink()
    trap(part, precious)
    with pytest.raises(WeightsError, match=f"cannot write .*{part.name}: {NOT_OURS}"):
        download.fetch(wanted)
    assert os.path.lexists(part)


def lock_and_part(kind: str, source: str) -> tuple[Path, Path]:
    """The lock file and the part of a download."""
    if kind == "web":
        way = store.web_part(source, f'"{SHA256}"')
        return cache_folder() / "locks" / f"{way.stem}.lock", cache_folder() / way
    file = hub_cache.HubFile.parse(source)
    return hub_cache.folder() / ".locks" / file.repo_folder / f"{SHA256}.lock", file.part(SHA256)


@pytest.mark.parametrize("trap", TRAPS)
def test_a_lock_that_stemsplit_did_not_make_is_not_touched(
    kind: str, published: tuple[Served, str], entry: Make, precious: Path, trap: Callable[[Path, Path], None]
) -> None:
    """Some versions of the lock library would empty the file behind a link, or create it."""
    lock, _ = lock_and_part(kind, published[1])
    lock.parent.mkdir(parents=True)
    trap(lock, precious)
    with pytest.raises(WeightsError, match=f"cannot write .*{lock.name}: {NOT_OURS}"):
        download.fetch(entry(published[1], sha256=SHA256))


@pytest.mark.parametrize("trap", TRAPS)
def test_a_lock_of_the_pins_that_stemsplit_did_not_make_is_not_touched(
    hub: Hub, entry: Make, precious: Path, trap: Callable[[Path, Path], None]
) -> None:
    hub.put("/w.ckpt", CONTENT)
    lock_file().parent.mkdir()
    trap(lock_file().with_name(".models.lock"), precious)
    with pytest.raises(WeightsError, match=f"models.lock: {NOT_OURS}"):
        download.fetch(entry(f"{hub.url}/w.ckpt"))


FOLDERS = {
    "web": ["locks", "weights", f"weights/{SHA256}"],
    "hub": [
        ".locks",
        ".locks/models--some--repo",
        "models--some--repo",
        "models--some--repo/blobs",
        "models--some--repo/snapshots",
        f"models--some--repo/snapshots/{COMMIT}",
        f"models--some--repo/snapshots/{COMMIT}/in",
        "models--some--repo/refs",
    ],
}


@pytest.mark.parametrize(("where", "name"), [(where, name) for where, names in FOLDERS.items() for name in names])
def test_a_folder_that_is_a_link_is_not_written_to(
    hub: Hub, entry: Make, precious: Path, where: str, name: str
) -> None:
    hub.put("/w.ckpt", CONTENT)
    hub.put("some/repo/in/w.ckpt", CONTENT)
    source = f"{hub.url}/w.ckpt" if where == "web" else "hf://some/repo/in/w.ckpt"
    trap = (cache_folder() if where == "web" else hub_cache.folder()) / name
    trap.parent.mkdir(parents=True)
    trap.symlink_to(precious.parent)
    with pytest.raises(WeightsError, match=NO_LINKS):
        download.fetch(entry(source, sha256=SHA256))


def test_records_are_not_written_or_removed_through_a_link(hub: Hub, entry: Make, precious: Path) -> None:
    """A missing record only costs time, so there is no error."""
    hub.put("/w.ckpt", CONTENT)
    cache_folder().mkdir()
    (cache_folder() / "verified").symlink_to(precious.parent)
    wanted = entry(f"{hub.url}/w.ckpt", sha256=SHA256)
    download.fetch(wanted)
    record = precious.with_name(f"{SHA256}.json")
    assert not record.exists()
    record.write_text("{}")
    assert store.remove(wanted) == SIZE
    assert record.read_text() == "{}"
    record.unlink()


@pytest.mark.parametrize("trap", [symbolic_link, hard_link, link_to_nothing])
def test_a_link_in_the_cache_is_replaced_and_not_followed(
    hub: Hub, entry: Make, precious: Path, trap: Callable[[Path, Path], None]
) -> None:
    """Complete files replace blobs, files of commits, branches, files from the web and records."""
    hub.put("some/repo/w.ckpt", CONTENT)
    hub.put("/w.ckpt", CONTENT[::-1])
    web = f"{hub.url}/w.ckpt"
    repo, other = hub_cache.folder() / "models--some--repo", hashlib.sha256(CONTENT[::-1]).hexdigest()
    for place in (
        repo / "blobs" / SHA256,
        repo / "snapshots" / COMMIT / "w.ckpt",
        repo / "refs" / "main",
        cache_folder() / store.web_file(other, web),
        cache_folder() / "verified" / f"{SHA256}.json",
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        trap(place, precious)
    assert download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256)).read_bytes() == CONTENT
    assert download.fetch(entry(web, sha256=other)).read_bytes() == CONTENT[::-1]
    assert (repo / "refs" / "main").read_text() == COMMIT


@pytest.fixture
def downloaded(hub: Hub, entry: Make) -> tuple[ModelEntry, Path]:
    """An entry, and the folder of its repository in the hub's cache."""
    hub.put("some/repo/in/w.ckpt", CONTENT)
    wanted = entry("hf://some/repo/in/w.ckpt", sha256=SHA256)
    download.fetch(wanted)
    return wanted, hub_cache.folder() / "models--some--repo"


def snapshot(folder: Path) -> dict[Path, str]:
    """Every path below a folder, with its target if it is a link."""
    return {path: str(path.readlink()) if path.is_symlink() else "" for path in folder.rglob("*")}


def test_removing_does_not_follow_a_commit_s_file_out_of_the_cache(
    downloaded: tuple[ModelEntry, Path], precious: Path
) -> None:
    wanted, repo = downloaded
    pointer = repo / "snapshots" / COMMIT / "in" / "w.ckpt"
    pointer.unlink()
    pointer.symlink_to(precious)
    before = snapshot(repo)
    with pytest.raises(WeightsError, match=rf"cannot remove .*w\.ckpt: it leads to {precious}, outside of the hub"):
        store.remove(wanted)
    assert snapshot(repo) == before


def test_removing_keeps_another_repository_s_files(downloaded: tuple[ModelEntry, Path], hub: Hub, entry: Make) -> None:
    hub.put("other/repo/w.ckpt", CONTENT[::-1])
    other = download.fetch(entry("hf://other/repo/w.ckpt", sha256=hashlib.sha256(CONTENT[::-1]).hexdigest()))
    wanted, repo = downloaded
    pointer = repo / "snapshots" / COMMIT / "in" / "w.ckpt"
    pointer.unlink()
    pointer.symlink_to(other.resolve())
    assert store.remove(wanted) == 0
    assert other.read_bytes() == CONTENT[::-1]


def test_removing_a_blob_that_is_a_link_removes_the_link(downloaded: tuple[ModelEntry, Path], precious: Path) -> None:
    wanted, repo = downloaded
    blob = repo / "blobs" / SHA256
    blob.unlink()
    blob.symlink_to(precious)
    store.remove(wanted)
    assert not os.path.lexists(blob)


@pytest.mark.parametrize("name", ["", "blobs", "snapshots", f"snapshots/{COMMIT}", f"snapshots/{COMMIT}/in"])
def test_removing_does_not_go_through_a_folder_that_is_a_link(
    downloaded: tuple[ModelEntry, Path], tmp_path: Path, name: str
) -> None:
    wanted, repo = downloaded
    if name.startswith("snapshots"):  # without links, the file itself is there
        (repo / "blobs" / SHA256).replace(repo / "snapshots" / COMMIT / "in" / "w.ckpt")
    away = tmp_path / "away"
    (repo / name).rename(away)
    (repo / name).symlink_to(away)
    before = snapshot(tmp_path)
    with pytest.raises(WeightsError, match=f"cannot remove .*({NO_LINKS}|considers its cache damaged|leads to)"):
        store.remove(wanted)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["weights", f"weights/{SHA256}"])
def test_removing_a_web_file_does_not_go_through_a_folder_that_is_a_link(
    hub: Hub, entry: Make, tmp_path: Path, name: str
) -> None:
    hub.put("/w.ckpt", CONTENT)
    wanted = entry(f"{hub.url}/w.ckpt", sha256=SHA256)
    download.fetch(wanted)
    away, place = tmp_path / "away", cache_folder() / name
    place.rename(away)
    place.symlink_to(away)
    before = snapshot(tmp_path)
    with pytest.raises(WeightsError, match=f"cannot remove 'tiny' .*{NO_LINKS}"):
        store.remove(wanted)
    assert snapshot(tmp_path) == before


def test_removing_takes_only_parts_with_names_that_stemsplit_gives(hub: Hub, entry: Make) -> None:
    """Files with similar names stay."""
    hub_way, web = hub_cache.HubFile.parse("hf://some/repo/w.ckpt"), f"{hub.url}/w.ckpt"
    parts = [hub_way.part("x"), cache_folder() / store.web_part(web, "x")]
    others = [
        hub_way.part("x").with_suffix(".incomplete2"),
        hub_way.part("x").with_name("x.incomplete"),
        parts[1].with_name(parts[1].name.replace("-", "-notes-")),
    ]
    for path in parts + others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    assert store.remove(entry("hf://some/repo/w.ckpt", web, sha256=SHA256)) == 2
    assert not any(path.exists() for path in parts)
    assert all(path.exists() for path in others)


def test_a_cache_that_the_hub_s_library_cannot_read_is_an_error(
    downloaded: tuple[ModelEntry, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library reads every branch of every repository, and a pipe never ends."""
    wanted, repo = downloaded
    monkeypatch.setattr(timeouts, "PATIENCE", 0.5)
    trap = repo.with_name("models--a--b") / "refs" / "main"
    trap.parent.mkdir(parents=True)
    (trap.parents[1] / "snapshots").mkdir()
    os.mkfifo(trap)
    with pytest.raises(WeightsError, match="nothing arrived"):
        store.remove(wanted)
    trap.unlink()
    trap.write_bytes(b"\xff")
    monkeypatch.setattr(timeouts, "PATIENCE", 60.0)
    with pytest.raises(WeightsError, match="the hub's library considers its cache damaged"):
        store.remove(wanted)


BRANCHES = [b"../../..", b"/etc", b"a\0b", b"", b"\xff\xfe", b"x" * 10_000_000, b"..", b"a/b", b".", b"c0ffee\n\n\n"]


@pytest.mark.parametrize("content", [*BRANCHES, None], ids=lambda content: repr(content)[:20])
def test_a_branch_of_nonsense_is_ignored(
    downloaded: tuple[ModelEntry, Path], content: bytes | None, tmp_path: Path
) -> None:
    wanted, repo = downloaded
    verified.forget(SHA256)
    branch = repo / "refs" / "main"
    branch.unlink()
    if content is None:
        os.mkfifo(branch)
    else:
        branch.write_bytes(content)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "w.ckpt").write_bytes(CONTENT)
    assert store.local(wanted) is None
    assert store.remove(wanted) is None
    assert download.fetch(wanted).read_bytes() == CONTENT
    assert branch.read_text() == COMMIT


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["/dev/zero", "\0", "/", ".."]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["path", "size", "mtime_ns"]), inner),
    max_leaves=8,
)
RECORDS = JSON | st.fixed_dictionaries({"path": JSON, "size": JSON, "mtime_ns": JSON})
PINS = JSON | st.dictionaries(st.just("tiny"), JSON | st.fixed_dictionaries({"sha256": JSON, "size": JSON}))


@given(RECORDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
def test_a_record_of_nonsense_is_ignored(content: Any) -> None:
    record = cache_folder() / "verified" / f"{SHA256}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(content))
    assert verified.recall(SHA256) is None


@given(PINS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
def test_a_lock_file_of_nonsense_is_an_error_or_has_no_pins(entry: Make, content: Any) -> None:
    lock_file().parent.mkdir(exist_ok=True)
    lock_file().write_text(json.dumps(content))
    wanted = entry("https://127.0.0.1:1/w.ckpt")
    assert store.local(wanted) is None
    with suppress(LockFileError):
        assert digests.expected(wanted) == ""


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"path": "/dev/zero", "size": 1' + "0" * 100_000 + "}",
        '{"path": "a\\u0000b"}',
        '{"path": "\\ud800"}',
    ],
    ids=lambda text: text[:30],
)
@pytest.mark.parametrize("place", [lambda: cache_folder() / "verified" / f"{SHA256}.json", lock_file])
def test_records_that_are_nested_too_deeply_or_too_long_are_ignored(
    entry: Make, text: str, place: Callable[[], Path]
) -> None:
    place().parent.mkdir(parents=True)
    place().write_text(text)
    assert store.local(entry("https://127.0.0.1:1/w.ckpt", sha256=SHA256)) is None
    assert store.local(entry("https://127.0.0.1:1/w.ckpt")) is None


def device(path: Path, _: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("trap", [pipe, folder, device])
@pytest.mark.parametrize("place", [lambda: cache_folder() / "verified" / f"{SHA256}.json", lock_file])
def test_a_pipe_a_device_or_a_folder_in_place_of_a_record_is_not_read(
    hub: Hub, entry: Make, trap: Callable[[Path, Path], None], place: Callable[[], Path]
) -> None:
    hub.put("/w.ckpt", CONTENT)
    place().parent.mkdir(parents=True)
    trap(place(), Path())
    assert download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256)).read_bytes() == CONTENT
    if place is lock_file:
        with pytest.raises(LockFileError, match="not a regular file"):
            download.fetch(entry(f"{hub.url}/w.ckpt"))


def test_a_record_of_a_pipe_is_ignored(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    verified.remember(SHA256, tmp_path / "pipe")
    assert verified.recall(SHA256) is None


@pytest.mark.parametrize("trap", [pipe, folder, device])
def test_own_weights_that_are_a_pipe_or_a_device_are_refused_at_once(
    tmp_path: Path, entry: Make, trap: Callable[[Path, Path], None]
) -> None:
    trap(tmp_path / "w.ckpt", Path())
    for known in ({}, {"sha256": SHA256}):
        wanted = entry(f"file:{tmp_path / 'w.ckpt'}", **known)
        assert store.local(wanted) is None
        with pytest.raises(WeightsError, match=r"w\.ckpt cannot be read: not a regular file"):
            download.fetch(wanted)
    with pytest.raises(WeightsError, match="not a regular file"):
        digests.identity(entry(f"file:{tmp_path / 'w.ckpt'}"))
