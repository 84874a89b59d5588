"""Objects are read and written whole, through whatever a network and a store do meanwhile."""

import io
import os
import threading
from pathlib import Path

import pytest

from stemsplit.cloud import transfer, waiting
from stemsplit.cloud.address import parse
from stemsplit.cloud.failures import ConflictError, RefusedError, StoreError
from stemsplit.cloud.listing import objects
from stemsplit.cloud.probe import check_writable
from stemsplit.cloud.store import Bucket, bucket_of
from tests.cloud.server import BUCKET, Fault, Server


def content(bucket: Bucket, key: str) -> bytes:
    found = bucket.read(key, 10_000_000)
    assert found
    return found[0]


def downloaded(bucket: Bucket, key: str) -> bytes:
    item, file = bucket.look(key), io.BytesIO()
    assert item
    transfer.download(bucket, item, file)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["busy", "cut", "lost", "racing"])
def test_a_write_that_fails_once_is_made_once(kind: str, s3: Server, bucket: Bucket) -> None:
    s3.network.faults.append(Fault(kind, "PUT"))
    first = bucket.put("a", b"first", None)
    s3.network.faults.append(Fault(kind, "PUT"))
    bucket.put("a", b"second", first)
    assert content(bucket, "a") == b"second"


def test_a_write_whose_answer_was_lost_is_not_taken_for_anothers(s3: Server, bucket: Bucket) -> None:
    bucket.put("a", b"another's", None)
    s3.network.faults.append(Fault("cut", "PUT"))
    with pytest.raises(ConflictError):
        bucket.put("a", b"mine", None)
    assert content(bucket, "a") == b"another's"


def test_of_two_writers_who_saw_the_same_one_wins(bucket: Bucket) -> None:
    seen = bucket.put("a", b"0", None)
    bucket.put("a", b"1", seen)
    with pytest.raises(ConflictError, match=f"cannot write s3://{BUCKET}/a"):
        bucket.put("a", b"2", seen)
    with pytest.raises(ConflictError):
        bucket.put("b", b"2", seen)
    assert content(bucket, "a") == b"1"
    assert bucket.look("b") is None


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_file_arrives_and_comes_back(size: int, s3: Server, bucket: Bucket, tmp_path: Path) -> None:
    data = os.urandom(size)
    (tmp_path / "stem.wav").write_bytes(data)
    s3.network.faults += [Fault("lost", "PUT"), Fault("half", "GET"), Fault("busy", "GET"), Fault("cut", "GET")]
    bucket.upload("song [live] #1 %41/stem é.wav", tmp_path / "stem.wav", None)
    assert downloaded(bucket, "song [live] #1 %41/stem é.wav") == data


def test_a_download_that_breaks_off_resumes(s3: Server, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PIECE", 1_000)
    data = os.urandom(4_500)
    bucket.put("a", data, None)
    s3.network.faults += [Fault("half", "GET", times=2)]
    assert downloaded(bucket, "a") == data
    assert len([seen for seen in s3.network.seen if seen.startswith("GET")]) == 5 + 2


def test_a_download_of_two_versions_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PIECE", 1_000)
    bucket.put("a", b"1" * 2_000, None)
    item = bucket.look("a")
    assert item

    def change(_: int) -> None:
        bucket.overwrite("a", b"2" * 2_000)

    with pytest.raises(ConflictError, match="changed"):
        transfer.download(bucket, item, io.BytesIO(), progress=change)


@pytest.mark.parametrize("kind", ["more", "less"])
def test_other_bytes_than_asked_for_are_refused(
    kind: str, s3: Server, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PIECE", 1_000)
    s3.plant("a", b"0" * 1_500)
    item = bucket.look("a")
    assert item
    s3.network.faults.append(Fault(kind, "GET"))
    with pytest.raises(StoreError, match="asked for"):
        transfer.download(bucket, item, io.BytesIO())


def test_a_store_that_fails_for_good_is_told_in_a_line_without_secrets(s3: Server, bucket: Bucket) -> None:
    s3.network.faults.append(Fault("busy", times=waiting.TRIES))
    with pytest.raises(StoreError, match=r"cannot read s3://songs/a \(the server answers 503\)"):
        bucket.read("a", 10)
    s3.network.faults.append(Fault("denied"))
    with pytest.raises(RefusedError) as caught:
        bucket.read("a", 10)
    assert str(caught.value) == "cannot read s3://songs/a (no permission, AccessDenied)"
    with pytest.raises(RefusedError, match="no such bucket"):
        bucket_of(parse("s3://other")).put("a", b"", None)
    with pytest.raises(RefusedError, match="no such bucket"):
        next(objects(bucket_of(parse("s3://other")), ""))


def test_what_takes_long_can_be_given_up(s3: Server, bucket: Bucket) -> None:
    class EndError(Exception):
        pass

    def pulse() -> None:
        raise EndError

    for kind in ("slow", "busy"):
        s3.network.faults.append(Fault(kind, times=1))
        with pytest.raises(EndError):
            bucket.put("a", b"", None, pulse)


def test_each_object_is_listed_once_over_all_pages(s3: Server, bucket: Bucket) -> None:
    names = {f"album/{number:04}.wav" for number in range(2_100)}
    for key in names:
        s3.plant(key)
    s3.plant("album 2/1.wav")
    listed = list[str]()
    for item in objects(bucket, "album"):
        if len(listed) == 1_000:
            s3.network.faults.append(Fault("busy", "GET", times=2))
        listed.append(item.key)
    assert sorted(listed) == sorted(names)


def test_a_list_with_a_name_that_cannot_be_used_says_so(s3: Server, bucket: Bucket) -> None:
    s3.plant("album/../1.wav")
    with pytest.raises(StoreError, match=r"cannot list s3://songs/album .*'album/../1.wav'"):
        list(objects(bucket, "album"))


def test_a_store_without_conditional_writes_is_found_out(s3: Server, bucket: Bucket) -> None:
    check_writable(bucket, "out")
    assert not list(objects(bucket, ""))
    s3.network.faults.append(Fault("unconditional", times=10_000))
    with pytest.raises(RefusedError, match="does not refuse to write over"):
        check_writable(bucket, "out")
    assert not list(objects(bucket, ""))


def test_a_song_on_the_web_is_read_like_an_object(s3: Server, bucket: Bucket) -> None:
    bucket.put("a b.wav", b"0123456789", None)
    url = f"{s3.environment['AWS_ENDPOINT_URL']}/{BUCKET}/a%20b.wav?X-Signature=SECRET"
    web = bucket_of(parse(url))
    assert downloaded(web, "") == b"0123456789"
    s3.network.faults.append(Fault("not there"))
    assert web.look("") is None
    s3.network.faults.append(Fault("denied"))
    with pytest.raises(RefusedError) as caught:
        web.look("")
    assert "SECRET" not in str(caught.value)


def test_many_threads_may_use_a_bucket(bucket: Bucket) -> None:
    results = list[str]()

    def write(number: int) -> None:
        try:
            bucket.put("a", str(number).encode(), None)
            results.append("won")
        except ConflictError:
            results.append("lost")

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["lost"] * 7 + ["won"]


def test_where_nothing_may_be_removed_nothing_is_left(s3: Server, bucket: Bucket) -> None:
    s3.network.faults.append(Fault("denied", "POST"))
    with pytest.raises(RefusedError, match="cannot write and remove"):
        check_writable(bucket, "out")
    assert not list(objects(bucket, ""))
