"""A bucket in memory, and writers that stop before each of their requests until the test lets them go on."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from obstore.store import MemoryStore

from stemsplit.cloud.address import parse
from stemsplit.cloud.failures import ConflictError
from stemsplit.cloud.store import Bucket, Item, Version


class Killed(BaseException):  # nothing in the code under test may catch it
    """The writer is dead."""


@dataclass
class Objects:
    """What a store holds.

    Args:
        is_s3: whether an entity tag tells only what an object holds, as on S3; else each write has its own.
    """

    is_s3: bool
    content: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    writes: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def put(self, key: str, data: bytes, seen: Version | None, mark: str = "ours") -> Version:
        with self.guard:
            if self.versions.get(key) != seen:
                raise ConflictError(key)
            self.writes += 1
            tag = hashlib.md5(data).hexdigest() if self.is_s3 else str(self.writes)
            self.content[key], self.versions[key], self.marks[key] = data, Version(tag), mark
            return self.versions[key]

    def look(self, key: str) -> Item | None:
        with self.guard:
            if key not in self.content:
                return None
            return Item(key, len(self.content[key]), self.versions[key], 0.0, self.marks[key])

    def delete(self, key: str) -> None:
        with self.guard:
            for part in (self.content, self.versions, self.marks):
                part.pop(key, None)


class Writer(Bucket):
    """A process as the store sees it: work in a thread that sends one request whenever the test says so.

    Args:
        number: number of the writer.
        process: number of the process that it is; a process may look at a claim again and again.
        objects: the store.
        work: what it does with its bucket.
    """

    def __init__(self, number: int, process: int, objects: Objects, work: Callable[["Writer"], str]) -> None:
        super().__init__(parse(f"s3://process-{process}"), MemoryStore())
        self.number, self.objects, self.work = number, objects, work
        self.turn, self.waits = threading.Semaphore(0), threading.Semaphore(0)
        self.pending: Callable[[], object] | None = None
        self.is_killed = False
        self.result = ""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.waits.acquire()

    def _run(self) -> None:
        try:
            self.result = self.work(self)
        except Killed:
            self.result = "killed"
        except BaseException as error:
            self.result = f"error: {error!r}"
            raise
        finally:
            self.pending = None
            self.waits.release()

    def _sent(self, request: Callable[[], Any]) -> Any:
        """Wait for the test, and send a request."""
        if self.is_killed:
            raise Killed
        self.pending = request
        self.waits.release()
        self.turn.acquire()
        if self.is_killed:
            raise Killed
        return request()

    def step(self) -> None:
        """Let the writer send its request and go on to the next one."""
        if not self.result:
            self.turn.release()
            self.waits.acquire()

    def kill(self) -> Callable[[], object] | None:
        """End the writer; return the request that it may have sent just before."""
        if self.result:
            return None
        pending, self.is_killed = self.pending, True
        self.turn.release()
        self.thread.join()
        return pending

    def look(self, key: str, *_: Any) -> Item | None:
        return self._sent(lambda: self.objects.look(key))  # type: ignore[no-any-return]

    def read(self, key: str, *_: Any) -> tuple[bytes, Version] | None:
        def request() -> tuple[bytes, Version] | None:
            item = self.objects.look(key)
            return (self.objects.content[key], item.version) if item else None

        return self._sent(request)  # type: ignore[no-any-return]

    def put(self, key: str, data: bytes, seen: Version | None, *_: Any) -> Version:
        return self._sent(lambda: self.objects.put(key, data, seen))  # type: ignore[no-any-return]

    def upload(self, key: str, path: Path, seen: Version | None, *_: Any) -> Version:
        data = path.name.encode()
        return self._sent(lambda: self.objects.put(key, data, seen))  # type: ignore[no-any-return]

    def delete(self, key: str, *_: Any) -> None:
        self._sent(lambda: self.objects.delete(key))
