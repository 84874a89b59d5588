"""Finds out at the start whether a store can be written to, and whether two writers would have one winner there."""

import secrets

from stemsplit.cloud.failures import ConflictError, MissingError, RefusedError
from stemsplit.cloud.store import Bucket, Version
from stemsplit.cloud.waiting import Pulse, go_on

PROBE = ".stemsplit-probe-"
"""Start of the name of the object by which a store is tried out. It is removed at once."""


def _refuses(bucket: Bucket, key: str, seen: Version | None, pulse: Pulse) -> bool:
    """Return whether a write is refused because an object is not in the state that was given."""
    try:
        bucket.put(key, b"second\n", seen, pulse)
    except ConflictError:
        return True
    return False


def check_writable(bucket: Bucket, prefix: str, pulse: Pulse = go_on) -> None:
    """Check that stems can be written below a prefix, and that the store refuses to write over what has changed.

    A store that ignores the condition of a write would let two machines mix their stems without an error.

    Args:
        bucket: the bucket.
        prefix: prefix of the stems; empty for the whole bucket.
        pulse: called during a wait.

    Raises:
        RefusedError: stems cannot be written there.
        StoreError: the store fails.
    """
    key = f"{prefix}/{PROBE}{secrets.token_hex(8)}" if prefix else f"{PROBE}{secrets.token_hex(8)}"
    try:
        bucket.delete(key, pulse)  # there is none: whoever may not remove it would leave it there
    except RefusedError as error:
        raise RefusedError(str(error).replace("cannot remove", "cannot write and remove", 1)) from error
    try:
        first = bucket.put(key, b"first\n", None, pulse)
    except MissingError as error:
        raise RefusedError(f"cannot write to {bucket.shown(prefix)} (there is no such bucket)") from error
    try:
        holds = bool(first.tag or first.number) and _refuses(bucket, key, None, pulse)
        if holds:
            bucket.put(key, b"third\n", first, pulse)
            holds = _refuses(bucket, key, first, pulse)
    finally:
        bucket.delete(key, pulse)
    if not holds:
        raise RefusedError(
            f"cannot write to {bucket.shown(prefix)} (the store does not refuse to write over what another process "
            "wrote, so that stems could be mixed); choose a store with conditional writes, or a shared folder"
        )
