"""A claim in a bucket has one owner, who may go silent and be followed by another."""

import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from stemsplit.cloud import claims, lease
from stemsplit.cloud.lease import Lease, TakenOverError, acquire, read_claim
from stemsplit.cloud.listing import objects
from stemsplit.cloud.owner import Owner, parsed
from stemsplit.cloud.store import Bucket
from stemsplit.disk.claim import BusyError
from tests.cloud.server import Fault, Server

WORK = "0123456789abcdef"
KEY = f"out/.stemsplit-{WORK}"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(lease, "monotonic", Clock())
    return lease.monotonic  # type: ignore[return-value]


def claimed(bucket: Bucket) -> Lease:
    return acquire(bucket, "out", WORK)


def test_of_many_that_claim_at_once_one_has_it(bucket: Bucket) -> None:
    got, busy = list[Lease](), list[BusyError]()

    def claim() -> None:
        try:
            got.append(claimed(bucket))
        except BusyError as error:
            busy.append(error)

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert len(busy) == 5
    got[0].release()
    assert not list(objects(bucket, ""))


def test_an_owner_that_shows_life_keeps_its_claim(bucket: Bucket, clock: Clock) -> None:
    mine = claimed(bucket)
    beats = set[int]()
    for _ in range(6):
        with pytest.raises(BusyError) as caught:
            claimed(bucket)
        beats.add(caught.value.beat)
        mine.beat()
        clock.now += lease.LEASE_SECONDS - 1
    assert len(beats) == 6
    mine.check()
    mine.release()


def test_a_silent_owner_is_followed_and_gives_up_when_it_wakes(bucket: Bucket, clock: Clock) -> None:
    zombie = claimed(bucket)
    for seconds in (lease.LEASE_SECONDS - 1, lease.LOOK_SECONDS + 1):
        with pytest.raises(BusyError):
            claimed(bucket)
        clock.now += seconds
    successor = claimed(bucket)
    assert successor.takeovers == 1
    with pytest.raises(TakenOverError, match="another process took over"):
        zombie.renew()
    zombie.release()
    found, _ = read_claim(bucket, KEY)
    assert found
    assert found.token == successor.token
    successor.release()
    assert claimed(bucket).takeovers == 0


def test_whoever_has_looked_only_once_takes_nothing_over(bucket: Bucket, clock: Clock) -> None:
    mine = claimed(bucket)
    clock.now += 10 * lease.LEASE_SECONDS
    with pytest.raises(BusyError):
        claimed(bucket)
    mine.check()


def test_claims_of_the_dead_are_swept_and_nothing_else(s3: Server, bucket: Bucket, clock: Clock) -> None:
    for key in ("out/.stemsplit-x", "out/0.wav", f"out/song/.stemsplit-{WORK}", f"{KEY}-2", "out.wav"):
        s3.plant(key)
    dead = replace(Owner(), begun="1")
    bucket.put(f"out/.stemsplit-{'a' * 16}", dead.content(), None)
    bucket.put(f"out/.stemsplit-{'b' * 16}", replace(dead, kernel="another machine's").content(), None)
    mine = claimed(bucket)
    assert len(list(claims.claims(bucket, "out"))) == 3
    claims.watch(bucket, "out")
    assert len(list(claims.claims(bucket, "out"))) == 3
    clock.now += lease.LOOK_SECONDS
    claims.sweep(bucket, "out")
    assert len(list(claims.claims(bucket, "out"))) == (2 if sys.platform == "linux" else 3)
    mine.beat()
    clock.now += lease.LEASE_SECONDS + 1
    claims.sweep(bucket, "out")
    assert [name for name, _, _ in claims.claims(bucket, "out")] == [mine.key.removeprefix("out/")]
    mine.release()
    assert len(list(objects(bucket, ""))) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process was started")
def test_a_process_that_ended_on_this_machine_is_followed_at_once(bucket: Bucket) -> None:
    code = "from stemsplit.cloud.owner import Owner; print(Owner().content().decode())"
    ended = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert ended.stdout
    bucket.put(KEY, ended.stdout.read(), None)
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # its parent has not taken notice
    assert claimed(bucket).takeovers == 1
    ended.communicate()
    # The same number may be another process by now.
    again = replace(Owner(), begun="1")
    assert replace(again, process=os.getpid()).is_dead()
    assert not Owner().is_dead()
    assert not replace(again, kernel="another machine's").is_dead()


def test_a_claim_that_was_removed_by_mistake_is_renewed(bucket: Bucket) -> None:
    mine = claimed(bucket)
    bucket.delete(KEY)
    mine.renew()
    with pytest.raises(BusyError):
        claimed(bucket)


def test_a_claim_that_was_released_is_not_made_anew(bucket: Bucket) -> None:
    """The thread that renews claims may have begun just before."""
    mine = claimed(bucket)
    mine.release()
    mine.renew()
    mine.beat()
    assert not list(objects(bucket, ""))


def test_a_claim_survives_answers_that_are_lost(s3: Server, bucket: Bucket) -> None:
    s3.network.faults.append(Fault("lost", "PUT"))
    mine = claimed(bucket)
    s3.network.faults.append(Fault("lost", "PUT"))
    mine.renew()
    mine.renew()
    s3.network.faults.append(Fault("lost", "PUT"))
    mine.release()
    assert not list(objects(bucket, ""))


@pytest.mark.parametrize(
    "content", [b"", b"mine", b"[" * 5_000, b'{"stemsplit_claim": "1"}', b"\xff", b"x" * 20_000, b'{"token": 1}']
)
def test_what_is_not_a_claim_is_left_alone_and_stops_nobody(bucket: Bucket, content: bytes) -> None:
    bucket.put(KEY, content, None)
    mine = claimed(bucket)
    assert mine.key == f"{KEY}-1"
    with pytest.raises(BusyError):
        claimed(bucket)
    mine.release()
    found = bucket.read(KEY, 100_000)
    assert found
    assert found[0] == content
    assert len(list(objects(bucket, ""))) == 1


def test_a_strangers_claim_is_read_with_care() -> None:
    owner = parsed(
        b'{"stemsplit_claim": 9, "host": "\\u001b[2J'
        + b"h" * 1_000
        + b'", "process": -1, "takeovers": 1e99, "state": []}'
    )
    assert owner
    assert "\x1b" not in owner.host
    assert len(owner.host) <= 260
    assert (owner.process, owner.takeovers, owner.state) == (0, 0, "working")
    assert not owner.is_dead()


def test_a_claim_is_renewed_by_itself(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    lease._heart.cache_clear()
    mine = claimed(bucket)
    first = bucket.look(KEY)
    for _ in range(200):
        now = bucket.look(KEY)
        if now != first:
            break
    lease._heart.cache_clear()
    assert now
    assert now != first
    mine.release()
