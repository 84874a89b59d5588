"""The record beside a song's stems."""

import json
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemsplit.disk.digest import sha256
from stemsplit.songs import record as records
from stemsplit.songs.found import Found
from stemsplit.songs.job import Options
from stemsplit.songs.naming import Template
from stemsplit.songs.outputs import Output
from stemsplit.songs.plan import planned
from stemsplit.songs.record import Record
from tests.conftest import unix

STEM = {
    "file": "vocals.wav",
    "size": 3,
    "weights": [0.0, 1.0],
    "peak": 0.5,
    "clipped": 0,
    "energy_share": 0.25,
    "silent": False,
}
RECORD = Record(
    {"name": "a.wav", "size": 4, "sha256": "0" * 64},
    {"stems": ("vocals",)},
    {"start": 0.0},
    {"vocals": STEM},
    {"duration": 1.0, "sample_rate": 44_100, "channels": 2, "frames": 44_100, "sum_error": None},
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    record = replace(RECORD, earlier={"../drums.wav": 5})
    (tmp_path / "r.json").write_text(record.text())
    read = records.read(tmp_path / "r.json")
    assert read is not None
    assert read.text() == record.text()
    assert read.files == {"vocals.wav": 3, "../drums.wav": 5}
    assert records.same(read.model, record.model)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"stemsplit_record": 2}', RECORD.text().replace("stems", "stem")]
)
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    assert records.read(tmp_path / "r.json") is None


def test_there_may_be_no_record(tmp_path: Path) -> None:
    assert records.read(tmp_path / "none.json") is None


def test_a_stem_that_was_left_out_is_no_file() -> None:
    assert replace(RECORD, stems={"vocals": {**STEM, "file": None}}).files == {}


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(b"song")
    return path


def recorded(song: Path) -> tuple[Record, Path]:
    """A record of the song as it is now, written long after it."""
    record = replace(RECORD, song={"name": song.name, "size": song.stat().st_size, "sha256": sha256(song)})
    path = song.with_name("r.json")
    path.write_text(record.text())
    later = song.stat().st_ctime_ns + 1
    os.utime(path, ns=(later, later))
    return record, path


def test_a_song_that_nobody_touched_is_unchanged(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being read: a collection may be large."""
    record, path = recorded(song)
    monkeypatch.setattr(records, "sha256", None)
    assert records.unchanged(song, record, path)


def test_a_record_of_the_future_tells_nothing_by_its_time(song: Path) -> None:
    """The clock was ahead, or somebody set it: the song's content decides."""
    record, path = recorded(song)
    later = time.time_ns() + 10**12
    os.utime(path, ns=(later, later))
    assert records.unchanged(song, record, path)
    song.write_bytes(b"gnos")
    assert not records.unchanged(song, record, path)


def test_a_song_that_was_only_touched_is_unchanged(song: Path) -> None:
    record, path = recorded(song)
    os.utime(song, ns=(path.stat().st_mtime_ns + 1,) * 2)
    assert records.unchanged(song, record, path)


def test_another_song_of_the_same_size_in_its_place_is_a_change(song: Path) -> None:
    """Even one that is older: to move it here is to touch it."""
    record, path = recorded(song)
    os.utime(path, ns=(song.stat().st_mtime_ns,) * 2)
    other = song.with_name("b.wav")
    other.write_bytes(b"gong")
    os.utime(other, ns=(1, 1))
    other.replace(song)
    assert not records.unchanged(song, record, path)


def test_a_longer_song_is_a_change(song: Path) -> None:
    record, path = recorded(song)
    song.write_bytes(b"longer song")
    assert not records.unchanged(song, record, path)


def moved(song: Path) -> tuple[Record, Path, records.State]:
    """A record that is older than its song, as in a library that was copied to another disk; and the song at rest."""
    record, path = recorded(song)
    os.utime(path, ns=(1, 1))
    now = records.state(song)
    return record, path, replace(now, seen=now.seen + 10 * records.WHOLE)


@unix
def test_a_moved_song_is_compared_once_and_not_again(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, path, compared = moved(song)
    assert records.unchanged(song, record, path)
    records.confirm(song, path, compared)
    monkeypatch.setattr(records, "sha256", None)
    assert records.unchanged(song, record, path)
    assert record.text() == path.read_text()


@unix
def test_a_song_dated_in_the_future_is_compared_once_too(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, path, _ = moved(song)
    os.utime(song, ns=(4 * 10**18, 4 * 10**18))
    compared = records.state(song)
    records.confirm(song, path, replace(compared, seen=compared.seen + 10 * records.WHOLE))
    monkeypatch.setattr(records, "sha256", None)
    assert records.unchanged(song, record, path)


@unix
@pytest.mark.parametrize("dated", [None, 1, 4 * 10**18], ids=["now", "in the past", "in the future"])
def test_a_change_after_the_comparison_is_a_change(song: Path, dated: int | None) -> None:
    """Whatever time it is given: the time at which that was done cannot be set."""
    record, path, compared = moved(song)
    records.confirm(song, path, compared)
    time.sleep(0.05)  # a tick of the disk
    song.write_bytes(b"gnos")
    if dated:
        os.utime(song, ns=(dated, dated))
    assert not records.unchanged(song, record, path)


def test_a_song_that_was_changed_meanwhile_is_not_confirmed(song: Path) -> None:
    record, path, compared = moved(song)
    song.write_bytes(b"gnos")
    records.confirm(song, path, replace(compared, modified=compared.modified - 1))
    assert path.stat().st_mtime_ns == 1
    assert not records.unchanged(song, record, path)


def test_a_song_that_was_changed_a_moment_ago_is_compared_again(song: Path) -> None:
    """It may be changed once more within the same tick of the disk's clock."""
    _, path, compared = moved(song)
    records.confirm(song, path, replace(compared, seen=compared.latest + 1))
    assert path.stat().st_mtime_ns == 1


@unix
@pytest.mark.parametrize("kind", ["link", "second name"])
def test_only_a_record_of_its_own_gets_another_time(song: Path, kind: str) -> None:
    _, path, compared = moved(song)
    other = path.with_name("others.json")
    path.replace(other)
    if kind == "link":
        path.symlink_to(other)
    else:
        os.link(other, path)
    records.confirm(song, path, compared)
    assert other.stat().st_mtime_ns == 1


NUMBERS = st.integers() | st.floats() | st.just(10**400)
NAMES = st.sampled_from(
    ["../" * 9 + "etc/passwd", "/etc/passwd", "a\0b", "\ud800", "", ".", "..", "a/../b", "a\\b", "a" * 999]
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | NAMES,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5) | NAMES, children, max_size=3)
    ),
    max_leaves=10,
)


def places(value: object, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The ways to all that is in a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for key, item in inside for place in places(item, (*way, key)))]


def changed(value: Any, way: tuple[str | int, ...], new: object) -> Any:
    """A value with something else in one place."""
    if not way:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = changed(value[way[0]], way[1:], new)
    return copy


WRITTEN = json.loads(replace(RECORD, earlier={"drums.wav": 5}).text())


@given(st.lists(st.tuples(st.sampled_from(places(WRITTEN)), JSON), min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_record_breaks_the_reader_or_what_it_is_read_for(
    tmp_path: Path, changes: list[tuple[tuple[str | int, ...], object]]
) -> None:
    content: Any = WRITTEN
    for way, new in changes:
        with suppress(KeyError, IndexError, TypeError):  # an earlier change took the place away
            content = changed(content, way, new)
    (tmp_path / "out").mkdir(exist_ok=True)
    path = tmp_path / "out/stemsplit.json"
    path.write_text(json.dumps(content))
    read = records.read(path)
    assert read is None or read.text() == path.read_text() or json.loads(read.text()) == content
    options = Options(tmp_path / "out", (Output("vocals", (0.0, 1.0)),), RECORD.model, start=0.0)
    job = planned(Found(tmp_path / "a.wav"), options, Template("{stem}"), "model")
    assert job.record == path
    assert job.obstacle(job.recorded()) == ""
    assert not job.is_done(job.recorded())
    for name, size in (read.files if read else {}).items():
        assert (job.size_of(name), size >= 0) == (None, True)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"stemsplit_record": 1, "song": ' + "[" * 100_000,
        RECORD.text().replace('"size": 3', '"size": NaN'),
        RECORD.text().replace('"size": 3', '"size": 1e999'),
        RECORD.text().replace('"size": 3', f'"size": {"9" * 5000}'),
        RECORD.text().replace('"clipped": 0,', ""),
        RECORD.text().replace('"clipped": 0', '"clipped": 0, "more": 1'),
        RECORD.text().replace('"file": "vocals.wav"', '"file": "/vocals.wav"'),
        RECORD.text().replace('"file": "vocals.wav"', '"file": null'),
        RECORD.text().replace('"start": 0.0', '"start": ' + "[" * 50 + "]" * 50),
    ],
    ids=lambda text: text[-60:].strip(),
)
def test_what_is_not_wholly_as_it_should_be_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    assert records.read(tmp_path / "r.json") is None


@unix
def test_a_record_that_is_a_link_a_pipe_or_a_device_is_none(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text(RECORD.text())
    (tmp_path / "link").symlink_to("real.json")
    (tmp_path / "endless").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert records.read(tmp_path / "real.json") is not None
    assert [records.read(tmp_path / name) for name in ("link", "endless", "pipe", "folder")] == [None] * 4
