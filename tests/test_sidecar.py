"""The record beside a song's stems."""

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemsplit import sidecar
from stemsplit.sidecar import Record
from stemsplit.weights.digests import sha256

STEM = {"file": "vocals.wav", "size": 3, "weights": [0.0, 1.0], "peak": 0.5}
RECORD = Record({"name": "a.wav", "size": 4, "sha256": "0"}, {"stems": ("vocals",)}, {"start": 0.0}, {"vocals": STEM})


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    record = replace(RECORD, earlier={"drums.wav": 5}, figures={"sum_error": None})
    (tmp_path / "r.json").write_text(record.text())
    read = sidecar.read(tmp_path / "r.json")
    assert read is not None
    assert read.text() == record.text()
    assert read.files == {"vocals.wav": 3, "drums.wav": 5}
    assert sidecar.same(read.model, record.model)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"stemsplit_record": 2}', RECORD.text().replace("stems", "stem")]
)
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    assert sidecar.read(tmp_path / "r.json") is None


def test_there_may_be_no_record(tmp_path: Path) -> None:
    assert sidecar.read(tmp_path / "none.json") is None


def test_a_stem_that_was_left_out_is_no_file() -> None:
    assert replace(RECORD, stems={"vocals": {**STEM, "file": None}}).files == {}


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(b"song")
    return path


def recorded(song: Path) -> tuple[Record, Path]:
    """A record of the song as it is now, written long after it."""
    record = replace(RECORD, song={"size": song.stat().st_size, "sha256": sha256(song)})
    path = song.with_name("r.json")
    path.write_text(record.text())
    later = song.stat().st_ctime_ns + 10**9
    os.utime(path, ns=(later, later))
    return record, path


def test_a_song_that_nobody_touched_is_unchanged(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being read: a collection may be large."""
    record, path = recorded(song)
    monkeypatch.setattr(sidecar, "sha256", None)
    assert sidecar.unchanged(song, record, path)


def test_a_song_that_was_only_touched_is_unchanged(song: Path) -> None:
    record, path = recorded(song)
    os.utime(song, ns=(path.stat().st_mtime_ns + 1,) * 2)
    assert sidecar.unchanged(song, record, path)


def test_another_song_of_the_same_size_in_its_place_is_a_change(song: Path) -> None:
    """Even one that is older: to move it here is to touch it."""
    record, path = recorded(song)
    os.utime(path, ns=(song.stat().st_mtime_ns,) * 2)
    other = song.with_name("b.wav")
    other.write_bytes(b"gong")
    os.utime(other, ns=(1, 1))
    other.replace(song)
    assert not sidecar.unchanged(song, record, path)


def test_a_longer_song_is_a_change(song: Path) -> None:
    record, path = recorded(song)
    song.write_bytes(b"longer song")
    assert not sidecar.unchanged(song, record, path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(list(json.loads(RECORD.text()))), JSON))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_record_breaks_the_reader(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**json.loads(RECORD.text()), **changes}))
    with suppress(AttributeError):
        assert isinstance(sidecar.read(path).files, dict)  # type: ignore[union-attr]  # or none
