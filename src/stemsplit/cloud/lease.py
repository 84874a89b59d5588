"""Claims a song in a bucket for one process at a time, by an object that its owner writes again and again.

A claim saves work: no two processes compute the same song. That stems of two processes never mix does not depend on it,
see `stemsplit.cloud.commit`.
"""

import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import replace
from functools import cache
from time import monotonic, sleep

from stemsplit.cloud.failures import ConflictError, StoreError, TooLargeError
from stemsplit.cloud.owner import DONE, LIMIT, Owner, parsed
from stemsplit.cloud.store import Bucket, Version
from stemsplit.cloud.waiting import Pulse, go_on
from stemsplit.disk.claim import MOST_NAMES, PREFIX, BusyError

LEASE_SECONDS = 120.0
"""Time without a sign of life after which a claim may be taken over, by the clock of whoever waits for it."""

BEAT_SECONDS = 20.0
"""Time between two signs of life."""

LOOK_SECONDS = 5.0
"""Least time between two looks at another's claim, since each costs a request."""

RELEASE_SECONDS = 10.0
"""Longest time for giving up a claim. A store that fails so long would keep the user waiting."""


class TakenOverError(StoreError):
    """Another process took this one for dead, and works on the song, or finished it."""


class _Watch:
    """Remembers when claims of others were last seen to change. No two machines' clocks are ever compared."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.seen: dict[tuple[str, str], tuple[Version, float, float]] = {}

    def is_early(self, place: tuple[str, str]) -> Version | None:
        """Return the last state of a claim if it is too early to look at it again."""
        with self.guard:
            version, _, looked = self.seen.get(place, (None, 0.0, 0.0))
            return version if version and monotonic() - looked < LOOK_SECONDS else None

    def is_over(self, place: tuple[str, str], version: Version) -> bool:
        """Note a claim's state; return whether it has not changed for the time of a lease."""
        now = monotonic()
        with self.guard:
            before, since, _ = self.seen.get(place, (None, now, now))
            since = since if before == version else now
            self.seen[place] = version, since, now
            return now - since >= LEASE_SECONDS

    def forget(self, place: tuple[str, str]) -> None:
        """Forget a claim."""
        with self.guard:
            self.seen.pop(place, None)


_watch = _Watch()


def note(bucket: Bucket, key: str, version: Version) -> bool:
    """Note a claim's state; return whether it has not changed for the time of a lease."""
    return _watch.is_over((str(bucket.address), key), version)


class Lease:
    """A claim that this process holds. It is renewed in a thread of its own until it is released.

    Args:
        bucket: bucket of the claim.
        key: its name.
        owner: what it says.
        version: its state in the bucket.
    """

    def __init__(self, bucket: Bucket, key: str, owner: Owner, version: Version) -> None:
        self.bucket, self.key = bucket, key
        self._owner, self._version = owner, version
        self._guard = threading.Lock()
        self._is_lost = self._is_released = False

    @property
    def token(self) -> str:
        """16 hexadecimal digits that no other claim has."""
        return self._owner.token

    @property
    def takeovers(self) -> int:
        """How many processes died, or went silent, at this song before."""
        return self._owner.takeovers

    def check(self) -> None:
        """Raise TakenOverError if it is known that another process took the claim over."""
        if self._is_lost:
            raise TakenOverError(f"another process took over {self.bucket.shown(self.key)}, as this one was silent")

    def renew(self, state: str = "", pulse: Pulse = go_on) -> None:
        """Write a sign of life.

        Args:
            state: new state of the claim; empty if it stays as it is.
            pulse: called during a wait.

        Raises:
            TakenOverError: another process took the claim over.
            StoreError: the store fails.
        """
        with self._guard:
            if self._is_released and state != DONE:
                return  # by another thread, while this one waited: it would make the claim anew
            self.check()
            owner = self._owner.next(state or self._owner.state)
            for _ in range(MOST_NAMES):
                try:
                    self._version = self.bucket.put(self.key, owner.content(), self._version, pulse)
                except ConflictError:
                    self._find(pulse)
                    continue
                self._owner = owner
                return
        raise StoreError(f"cannot renew {self.bucket.shown(self.key)} (it keeps changing)")

    def _find(self, pulse: Pulse) -> None:
        """Find out why the claim could not be renewed; it may have been removed by mistake.

        Raises:
            TakenOverError: another process has it.
        """
        found = self.bucket.read(self.key, LIMIT, pulse)
        if found is None:
            with suppress(ConflictError):
                self._version = self.bucket.put(self.key, self._owner.content(), None, pulse)
            return
        owner = parsed(found[0])
        if owner is None or owner.token != self._owner.token:
            self._is_lost = True
            self.check()
        self._version = found[1]

    def beat(self) -> None:
        """Write a sign of life, as the thread does. A store that fails is asked again at the next beat."""
        until = monotonic() + BEAT_SECONDS / 2

        def pulse() -> None:
            if self._is_released or monotonic() > until:
                raise StoreError("no time")

        with suppress(Exception):  # of any kind: the thread has other claims to renew
            if not self._is_released:
                self.renew(pulse=pulse)

    def release(self) -> None:
        """Give up the claim and remove it. A second call does nothing. If the store fails, it expires by itself."""
        if self._is_released:
            return
        self._is_released = True
        _heart(os.getpid()).remove(self)
        until = monotonic() + RELEASE_SECONDS

        def pulse() -> None:
            if monotonic() > until:
                raise StoreError("no time")

        # First by a condition: what another process has by now must not be removed.
        with suppress(StoreError):
            self.renew(DONE, pulse)
            self.bucket.delete(self.key, pulse)


class _Heart:
    """Renews the claims that this process holds."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.leases: list[Lease] = []
        threading.Thread(target=self.run, name="claims", daemon=True).start()

    def add(self, lease: Lease) -> None:
        with self.guard:
            self.leases.append(lease)

    def remove(self, lease: Lease) -> None:
        with self.guard, suppress(ValueError):
            self.leases.remove(lease)

    def run(self) -> None:
        while True:
            sleep(BEAT_SECONDS)
            with self.guard:
                leases = list(self.leases)
            for lease in leases:
                lease.beat()


@cache
def _heart(_process: int) -> _Heart:
    return _Heart()


def read_claim(bucket: Bucket, key: str, pulse: Pulse = go_on) -> tuple[Owner | None, Version | None]:
    """Return what a claim says, None if it is not one, and the state of its object, None if there is none.

    Raises:
        StoreError: the store fails.
    """
    try:
        found = bucket.read(key, LIMIT, pulse)
    except TooLargeError:
        return None, Version("")
    return (parsed(found[0]), found[1]) if found else (None, None)


def _busy(bucket: Bucket, key: str, version: Version) -> BusyError:
    digest = hashlib.sha256(f"{version.tag} {version.number}".encode()).hexdigest()
    return BusyError(bucket.shown(key), int(digest[:12], 16))


def acquire_at(bucket: Bucket, key: str, pulse: Pulse) -> Lease | None:
    """Claim a song by an object of one name; None if something else has that name.

    Raises:
        BusyError: another process works on the song.
        StoreError: the store fails.
    """
    place, mine = (str(bucket.address), key), Owner()
    if version := _watch.is_early(place):
        raise _busy(bucket, key, version)
    with suppress(ConflictError):
        return Lease(bucket, key, mine, bucket.put(key, mine.content(), None, pulse))
    owner, version = read_claim(bucket, key, pulse)
    if version is None:  # it was removed just now
        raise _busy(bucket, key, Version(""))
    if owner is None:
        return None
    if not (owner.state == DONE or owner.is_dead() or note(bucket, key, version)):
        raise _busy(bucket, key, version)
    mine = replace(mine, takeovers=owner.takeovers + (owner.state != DONE))
    try:
        version = bucket.put(key, mine.content(), version, pulse)
    except ConflictError as error:
        raise _busy(bucket, key, version) from error
    _watch.forget(place)
    return Lease(bucket, key, mine, version)


def acquire(bucket: Bucket, prefix: str, work: str, pulse: Pulse = go_on) -> Lease:
    """Claim a song.

    Args:
        bucket: bucket of its stems.
        prefix: output prefix; empty for the whole bucket.
        work: hash of the song's place below the prefix, 16 hexadecimal digits.
        pulse: called during a wait.

    Raises:
        BusyError: another process works on the song.
        StoreError: the store fails, or other things have all the names that a claim could have.
    """
    first = f"{prefix}/{PREFIX}{work}" if prefix else f"{PREFIX}{work}"
    for number in range(MOST_NAMES):
        lease = acquire_at(bucket, f"{first}-{number}" if number else first, pulse)
        if lease:
            _heart(os.getpid()).add(lease)
            return lease
    raise StoreError(f"cannot claim {bucket.shown(first)} (something else has that name); remove it")
