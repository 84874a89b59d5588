"""Defines what a claim in a bucket says of the process that holds it, and whether that process is certainly dead."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from stemsplit.disk.owner import BOOT, this_host
from stemsplit.words import printable

VERSION = 1
"""Version of a claim's form. A newer one is a claim all the same, of a process that is waited for."""

LIMIT = 10_000
"""Largest size of a claim in bytes."""

WORKING, COMMITTING, DONE = "working", "committing", "done"
"""States of a claim: the stems are being computed; they are being brought to their places; the claim is given up."""


@cache
def kernel() -> str:
    """Return what tells processes that see each other's numbers from all others; empty if the system does not say.

    Containers of one machine have one kernel, but numbers of their own.
    """
    if sys.platform != "linux":
        return ""
    with suppress(OSError):
        boot = BOOT.read_text(encoding="ascii").strip()
        space = Path("/proc/self/ns/pid").readlink()
        return hashlib.sha256(f"{boot} {space}".encode()).hexdigest()[:32]
    return ""


def _begun(process: int) -> str:
    """Return when a process of this kernel was started, in ticks; empty if it has ended."""
    with suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]  # killed, and its parent has not taken notice yet
    return ""


@dataclass(frozen=True)
class Owner:
    """What a claim says.

    Args:
        token: 16 hexadecimal digits that no other claim has.
        host: name of the machine, for people.
        process: number of the process.
        kernel: see `kernel`.
        begun: when the process was started, in the kernel's ticks; empty if unknown.
        state: WORKING, COMMITTING or DONE.
        beat: number of the sign of life, so that no two contents of a claim are the same.
        takeovers: how many processes died, or went silent, at this song before.
    """

    token: str = field(default_factory=lambda: os.urandom(8).hex())
    host: str = field(default_factory=lambda: printable(this_host())[:255])
    process: int = field(default_factory=os.getpid)
    kernel: str = field(default_factory=kernel)
    begun: str = field(default_factory=lambda: _begun(os.getpid()))
    state: str = WORKING
    beat: int = 0
    takeovers: int = 0

    def next(self, state: str) -> "Owner":
        """Return the claim with another sign of life."""
        return replace(self, state=state, beat=self.beat + 1)

    def content(self) -> bytes:
        """Return the content of the claim's object."""
        return (json.dumps({"stemsplit_claim": VERSION, **asdict(self)}) + "\n").encode()

    def is_dead(self) -> bool:
        """Return whether it was a process of this kernel, and ended."""
        return bool(self.kernel) and self.kernel == kernel() and (not self.begun or _begun(self.process) != self.begun)


def _text(found: Mapping[str, Any], key: str, longest: int) -> str:
    value = found.get(key)
    return printable(value[:longest]) if isinstance(value, str) else ""


def _count(found: Mapping[str, Any], key: str) -> int:
    value = found.get(key)
    return value if type(value) is int and 0 <= value < 10**9 else 0


def parsed(content: bytes) -> Owner | None:
    """Parse a claim's content, which any stranger may have written; None if it is not a claim."""
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or type(found.get("stemsplit_claim")) is not int:
        return None
    state = _text(found, "state", 20)
    return Owner(
        token=_text(found, "token", 64),
        host=_text(found, "host", 255),
        process=_count(found, "process"),
        kernel=_text(found, "kernel", 64),
        begun=_text(found, "begun", 30),
        state=state if state in (WORKING, COMMITTING, DONE) else WORKING,
        beat=_count(found, "beat"),
        takeovers=_count(found, "takeovers"),
    )
