"""Stems get to their places in a bucket with their record last, or nothing there looks finished."""

from pathlib import Path

import pytest

from stemsplit.cloud.commit import OccupiedError, commit, look
from stemsplit.cloud.failures import StoreError
from stemsplit.cloud.lease import Lease, TakenOverError, acquire
from stemsplit.cloud.store import Bucket
from stemsplit.songs.record import Record, parsed
from tests.cloud.server import Fault, Server
from tests.cloud.test_two_writers import FACTS, FIGURES

WORK, RECORD = "0123456789abcdef", "out/song/stemsplit.json"
SONG = {"name": "song.wav", "size": 1, "sha256": "0" * 64}


def record(*stems: str) -> Record:
    return Record(SONG, {}, {}, {stem: {"file": f"{stem}.wav", "size": 4, **FACTS} for stem in stems}, FIGURES)


@pytest.fixture
def lease(bucket: Bucket) -> Lease:
    return acquire(bucket, "out", WORK)


@pytest.fixture
def stems(tmp_path: Path) -> dict[str, Path]:
    for stem in ("vocals", "drums"):
        (tmp_path / stem).write_bytes(stem[:4].encode())
    return {f"out/song/{stem}.wav": tmp_path / stem for stem in ("vocals", "drums")}


def content(bucket: Bucket, key: str) -> bytes:
    found = bucket.read(key, 10_000_000)
    return found[0] if found else b""


def test_stems_and_record_arrive_through_faults(
    s3: Server, bucket: Bucket, lease: Lease, stems: dict[str, Path]
) -> None:
    s3.network.faults += [Fault(kind, "PUT", "song/") for kind in ("lost", "busy", "cut", "lost", "lost", "lost")]
    commit(lease, look(bucket, RECORD), RECORD, record("vocals", "drums"), stems)
    assert content(bucket, RECORD) == record("vocals", "drums").text().encode()
    assert content(bucket, "out/song/vocals.wav") == b"voca"
    assert look(bucket, RECORD).keys == set(stems)


def test_a_run_that_ends_in_between_leaves_what_the_next_one_replaces(
    s3: Server, bucket: Bucket, lease: Lease, stems: dict[str, Path]
) -> None:
    s3.network.faults.append(Fault("denied", "PUT", "drums"))
    with pytest.raises(StoreError):
        commit(lease, look(bucket, RECORD), RECORD, record("vocals", "drums"), stems)
    lease.release()
    seen = look(bucket, RECORD)
    assert seen.record is None
    assert seen.keys == set(stems)
    again = acquire(bucket, "out", WORK)
    commit(again, seen, RECORD, record("vocals", "drums"), stems)
    assert look(bucket, RECORD).record


def test_a_strangers_object_is_not_written_over(bucket: Bucket, s3: Server, stems: dict[str, Path]) -> None:
    s3.plant("out/song/drums.wav", b"mine")
    before = look(bucket, RECORD)
    with pytest.raises(OccupiedError, match="--force"):
        commit(acquire(bucket, "out", WORK), before, RECORD, record("vocals", "drums"), stems)
    assert look(bucket, RECORD) == before
    assert bucket.look("out/song/vocals.wav") is None
    assert content(bucket, "out/song/drums.wav") == b"mine"
    commit(acquire(bucket, "out", "f" * 16), before, RECORD, record("vocals", "drums"), stems, is_forced=True)
    assert content(bucket, "out/song/drums.wav") == b"drum"


def test_a_song_that_another_finished_meanwhile_is_not_touched(
    bucket: Bucket, lease: Lease, stems: dict[str, Path], tmp_path: Path
) -> None:
    seen = look(bucket, RECORD)
    other = tmp_path / "other"
    other.write_bytes(b"else")
    commit(acquire(bucket, "out", "f" * 16), seen, RECORD, record("vocals"), {"out/song/vocals.wav": other})
    with pytest.raises(TakenOverError):
        commit(lease, seen, RECORD, record("vocals", "drums"), stems)
    assert parsed(content(bucket, RECORD)) == record("vocals")
    assert content(bucket, "out/song/vocals.wav") == b"else"
    assert bucket.look("out/song/drums.wav") is None


@pytest.mark.parametrize("planted", [b"", b"{}", b"\xff", b'{"stemsplit_fence": 1, "files": [1, "../../other.wav"]}'])
def test_what_is_not_a_record_makes_no_song_look_finished(
    s3: Server, bucket: Bucket, lease: Lease, stems: dict[str, Path], planted: bytes
) -> None:
    s3.plant(RECORD, planted)
    s3.plant("other.wav", b"mine")
    seen = look(bucket, RECORD)
    assert seen.record is None
    commit(lease, seen, RECORD, record("vocals", "drums"), stems, is_forced=seen.is_foreign)
    assert look(bucket, RECORD).record
    assert content(bucket, "other.wav") == b"mine"


@pytest.mark.parametrize("theirs", [b"somebody's", b"[" * 100_000, b"0" * 5_000_000], ids=["text", "deep", "large"])
def test_somebodys_object_with_the_name_of_the_record_stays_unless_forced(
    theirs: bytes, s3: Server, bucket: Bucket, lease: Lease, stems: dict[str, Path]
) -> None:
    s3.plant(RECORD, theirs)
    with pytest.raises(OccupiedError, match=f"{RECORD} was not written by stemsplit; --force"):
        commit(lease, look(bucket, RECORD), RECORD, record("vocals", "drums"), stems)
    assert content(bucket, RECORD) == theirs
    commit(lease, look(bucket, RECORD), RECORD, record("vocals", "drums"), stems, is_forced=True)
    assert look(bucket, RECORD).record
