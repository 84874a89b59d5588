"""Several processes on one song in a bucket have one winner, in whatever order their requests arrive."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemsplit.cloud import lease
from stemsplit.cloud.commit import commit, look
from stemsplit.cloud.failures import ConflictError
from stemsplit.cloud.lease import TakenOverError, acquire
from stemsplit.disk.claim import BusyError
from stemsplit.songs.record import Record, parsed
from tests.cloud.simulated import Objects, Writer

WORK, RECORD = "0123456789abcdef", "out/song/stemsplit.json"
STEMS = ("vocals", "drums")
FOREIGN = {"out/song/notes.txt": b"mine", f"out/.stemsplit-{WORK}-9": b"mine", "out/.stemsplit-x": b"mine"}
FACTS = {"weights": [1.0], "peak": 0.5, "clipped": 0, "energy_share": 0.5, "silent": False}
FIGURES = {"duration": 1.0, "sample_rate": 44_100, "channels": 2, "frames": 44_100, "sum_error": None}


def record_of(writer: Writer) -> Record:
    """The record of a writer, whose stems hold its number."""
    stems = {stem: {"file": f"{stem}.wav", "size": 1, **FACTS} for stem in STEMS}
    song = {"name": "song.wav", "size": 1, "sha256": "0" * 64}
    return Record(song, {"writer": writer.number}, {}, stems, FIGURES)


def split(writer: Writer, is_forced: bool, is_claimed: bool) -> str:
    """What a process does with a song; the stems' content is the name of the staged file."""
    try:
        held = acquire(writer, "out", WORK if is_claimed else f"{writer.number:016x}")
    except BusyError:
        return "busy"
    try:
        seen = look(writer, RECORD)
        if seen.record and not is_forced:
            return "done before"
        stems = {f"out/song/{stem}.wav": Path(f"{stem} of {writer.number}") for stem in STEMS}
        commit(held, seen, RECORD, record_of(writer), stems)
    except TakenOverError:
        return "taken over"
    else:
        return "won"
    finally:
        held.release()


class Clock:
    """Time as every writer measures it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def no_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Heart:
        def add(self, _: object) -> None: ...
        def remove(self, _: object) -> None: ...

    monkeypatch.setattr(lease, "_heart", lambda _: Heart())


def fits(objects: Objects) -> bool:
    """Whether the record, if there is one, is of the stems beside it."""
    record = parsed(objects.content.get(RECORD, b""))
    if record is None:
        return True
    number = record.model["writer"]
    return all(objects.content.get(f"out/song/{stem}.wav") == f"{stem} of {number}".encode() for stem in STEMS)


class Play:
    """Three writers that take their steps in a given order, and a look at the store after each.

    Args:
        is_s3: see `Objects`.
        is_forced: whether the song is split again although it has a record.
        is_claimed: whether claims work; if not, each writer has one of its own, and all go on at once.
    """

    def __init__(self, is_s3: bool, is_forced: bool, is_claimed: bool) -> None:
        self.clock, self.objects, self.is_forced, self.is_claimed = Clock(), Objects(is_s3), is_forced, is_claimed
        lease.monotonic, lease._watch = self.clock, lease._Watch()  # type: ignore[assignment]
        for key, content in FOREIGN.items():
            self.objects.put(key, content, None, "")
        self.flying = list[Callable[[], object]]()
        """Requests of dead writers that have not arrived yet."""
        self.writers = list[Writer]()
        self.now = [self.come(process) for process in range(3)]

    def come(self, process: int, is_forced: bool | None = None) -> Writer:
        forced = self.is_forced if is_forced is None else is_forced
        work: Callable[[Writer], str] = lambda writer: split(writer, forced, self.is_claimed)  # noqa: E731
        self.writers.append(Writer(len(self.writers), process, self.objects, work))
        return self.writers[-1]

    def step(self, writer: Writer) -> None:
        writer.step()
        assert fits(self.objects)

    def land(self) -> None:
        if self.flying:
            with suppress(ConflictError):
                self.flying.pop(0)()
            assert fits(self.objects)

    def act(self, action: str, number: int) -> None:
        slot = number % 3
        if action == "step":
            for _ in range(1 + number // 3):
                self.step(self.now[slot])
        elif action == "kill":
            self.flying += [request] if (request := self.now[slot].kill()) else []
        elif action == "time":
            self.clock.now += 70.0
        elif action == "land":
            self.land()
        elif self.now[slot].result:  # the same process tries again, or another comes
            self.now[slot] = self.come(slot if number % 2 else len(self.writers))

    def end(self) -> str:
        """Let all go on to their end, and a last process come until it is not told to wait; return what it did."""
        for writer in self.now:
            while not writer.result:
                self.step(writer)
        result = "busy"
        for _ in range(6 + 3 * len(self.flying)):  # each request that lands may be a claim
            self.clock.now += 70.0
            last = self.come(1_000, False)
            while not last.result:
                self.step(last)
            result = last.result
            self.land()
        return result


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["step"] * 5 + ["time", "kill", "land", "come"]), st.integers(0, 14)), max_size=60
)


@settings(max_examples=80, deadline=None)
@given(ACTIONS, st.booleans(), st.booleans(), st.booleans())
def test_stems_beside_a_record_are_always_those_of_its_writer(
    actions: list[tuple[str, int]], is_s3: bool, is_forced: bool, is_claimed: bool
) -> None:
    play = Play(is_s3, is_forced, is_claimed)
    for action in actions:
        play.act(*action)
    assert play.end() in ("won", "done before")
    results = [writer.result for writer in play.writers]
    assert not [result for result in results if result.startswith("error")]
    if not is_forced:
        assert results.count("won") <= 1
    content = play.objects.content
    assert parsed(content[RECORD])
    if is_claimed:
        assert not [key for key in content if key not in FOREIGN and not key.startswith("out/song/")]
    assert all(content[key] == mine for key, mine in FOREIGN.items())
