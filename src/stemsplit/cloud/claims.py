"""Finds the claims below an output prefix, and removes those of the dead."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from stemsplit.cloud.failures import StoreError
from stemsplit.cloud.lease import acquire_at, in_time, note, read_claim
from stemsplit.cloud.listing import objects
from stemsplit.cloud.owner import Owner
from stemsplit.cloud.store import Bucket, Item
from stemsplit.cloud.waiting import Pulse, go_on
from stemsplit.disk.claim import NAME, PREFIX, BusyError


def claims(bucket: Bucket, prefix: str, pulse: Pulse = go_on) -> Iterator[tuple[str, Owner, Item]]:
    """Yield the claims below an output prefix: name, what it says, and the object.

    Raises:
        StoreError: they cannot be listed or read.
    """
    first = f"{prefix}/{PREFIX}" if prefix else PREFIX
    for item in objects(bucket, prefix, pulse, after=first):
        if not item.key.startswith(first):
            break
        name = item.key.rpartition("/")[2]
        if NAME.fullmatch(name) and first + name.removeprefix(PREFIX) == item.key:
            owner, version = read_claim(bucket, item.key, pulse)
            if owner and version:
                yield name, owner, replace(item, version=version)


def watch(bucket: Bucket, prefix: str) -> None:
    """Look at the claims below an output prefix, so that a later sweep knows which ones have not changed since.

    Call it when a run begins. Nothing is removed: a claim also tells how often processes died at its song.
    """
    with suppress(StoreError):
        for _, _, item in claims(bucket, prefix, in_time(bucket)):
            note(bucket, item.key, item.version)


def sweep(bucket: Bucket, prefix: str) -> None:
    """Remove the claims of processes that are dead: that ended on this machine, or were silent for the time of a lease.

    Call it when a run ends. What fails is left to the next run.

    Args:
        bucket: the bucket.
        prefix: output prefix; empty for the whole bucket.
    """
    pulse = in_time(bucket)
    with suppress(StoreError):
        for name, _, _ in claims(bucket, prefix, pulse):
            with suppress(BusyError):
                lease = acquire_at(bucket, f"{prefix}/{name}" if prefix else name, pulse)
                if lease:
                    lease.release()
