# ruff: noqa: ARG002  # a protocol's arguments

"""Songs whose stems are not kept on this machine: what the pipeline does while they are brought and sent."""

import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stemsplit.errors import AudioError
from stemsplit.songs import pipeline, plan
from stemsplit.songs.elsewhere import FullError, OvertakenError, Pulse
from stemsplit.songs.found import Found
from stemsplit.songs.job import Job
from stemsplit.songs.naming import Template
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.record import Record, parsed
from tests.songs.test_pipeline import WAYS, Song, Spy, batcher, ignore, short_songs
from tests.songs.test_plan import options

SOON = 30.0
"""Seconds after which something that has to happen is taken for not happening."""


@dataclass(eq=False)
class Far:
    """A place far away for the stems of a song, of which a test says what it does."""

    path: Path
    out: Path
    sending: Callable[["Far", Pulse], object] = lambda *_: None
    fetching: Callable[["Far"], object] = lambda *_: None
    sent: Callable[["Far"], object] = lambda *_: None
    stored: dict[Path, bytes] = field(default_factory=dict)
    record: Record | None = None
    begun: int = 0
    ended: int = 0

    fetches, sends, parent, state, problem, takeovers = False, True, "folder", "", "", 0

    @property
    def song(self) -> str:
        return f"far://songs/{self.path.name}"

    def look_ahead(self, records: Sequence[Path]) -> None:
        pass

    def shown(self, target: Path) -> str:
        return f"far://{target.relative_to(self.out)}"

    def told(self, text: str) -> str:
        return text.replace(str(self.path), self.song).replace(str(self.out), "far:/")

    def recorded(self, path: Path) -> Record | None:
        return self.record

    def size_of(self, target: Path) -> int | None:
        return len(self.stored[target]) if target in self.stored else None

    def is_foreign(self, target: Path) -> bool:
        return False

    def is_unchanged(self, song: Path, found: Record, path: Path) -> bool:
        return True

    def begin(self, record: Path, pulse: Pulse) -> None:
        self.begun += 1
        self.fetching(self)

    def fetch(self, song: Path, pulse: Pulse) -> None:
        pass

    def reserve(self, needed: int, pulse: Pulse) -> None:
        pass

    def confirm(self, found: Record, path: Path) -> None:
        pass

    def send(self, files: Mapping[Path, Path], record: Record, path: Path, pulse: Pulse) -> None:
        self.sending(self, pulse)
        self.stored |= {target: file.read_bytes() for target, file in files.items()}
        self.record = parsed(record.text().encode())
        self.sent(self)

    def give_up(self) -> None:
        self.ended += 1


def planned(songs: list[Path], folder: Path, *far: Far) -> list[Job]:
    """Jobs of songs whose stems go far away."""
    found = [Found(path, elsewhere=place) for path, place in zip(songs, far, strict=True)]
    return plan.plan(found, options(folder), Template(), "starter")


def split(jobs: list[Job], progress: pipeline.Progress = ignore) -> list[Outcome]:
    """What is reported of each song."""
    reported: list[Outcome] = []
    pipeline.run(jobs, lambda: batcher(WAYS[0], Spy()), progress, reported.append)
    return reported


def test_stems_on_their_way_hold_up_no_other_song(song: Song, tmp_path: Path) -> None:
    """The first song's stems arrive only after two more songs were computed; outcomes come in order all the same."""
    songs, computed = short_songs(song, 9_000, 9_000, 9_000), threading.Event()

    def send(place: Far, _pulse: Pulse) -> None:
        if place.path == songs[0] and not computed.wait(SOON):
            raise AudioError("the third song waits for the first")

    def progress(job: Job, done: float, total: float) -> None:
        if job.path == songs[2] and done == total:
            computed.set()

    far = [Far(path, tmp_path / "out", send) for path in songs]
    outcomes = split(planned(songs, tmp_path, *far), progress)
    assert [outcome.error for outcome in outcomes] == ["", "", ""]
    assert [outcome.job.path for outcome in outcomes] == songs
    assert [name for place in far for name in map(place.shown, place.stored)] == [
        f"far://{number}/{stem}.wav" for number in range(3) for stem in ("drums", "vocals")
    ]
    assert not (tmp_path / "out").exists()


def test_a_song_without_room_waits_until_those_before_it_are_sent(song: Song, tmp_path: Path) -> None:
    songs = short_songs(song, 9_000, 9_000, 9_000)

    def fetch(place: Far) -> None:
        if any(other.begun > other.ended for other in far if other is not place):
            raise FullError

    far = [Far(path, tmp_path / "out", fetching=fetch) for path in songs]
    outcomes = split(planned(songs, tmp_path, *far))
    assert [outcome.error for outcome in outcomes] == ["", "", ""]
    assert all(place.begun == place.ended for place in far)


def test_a_song_that_another_process_took_over_is_come_back_to(song: Song, tmp_path: Path) -> None:
    """By then, it is split; until then, it is neither done nor failed."""
    songs = short_songs(song, 9_000, 9_000)

    def sent(place: Far) -> None:
        if place.path == songs[0]:
            raise OvertakenError("another process was faster, and has left the same stems")

    far = [Far(path, tmp_path / "out", sent=sent) for path in songs]
    outcomes = split(planned(songs, tmp_path, *far))
    assert [(outcome.job.path, outcome.error, outcome.skipped) for outcome in outcomes] == [
        (songs[1], "", False),
        (songs[0], "", True),
    ]


def test_stems_that_cannot_be_sent_fail_their_song_only_and_are_told_by_address(song: Song, tmp_path: Path) -> None:
    songs = short_songs(song, 9_000, 9_000)

    def send(place: Far, _pulse: Pulse) -> None:
        if place.path == songs[0]:
            raise OSError(28, "No space left on device", str(place.out / "0"))

    far = [Far(path, tmp_path / "out", send) for path in songs]
    first, second = split(planned(songs, tmp_path, *far))
    assert "far://" in first.error
    assert str(tmp_path) not in first.error
    assert not second.error
    assert all(place.begun == place.ended for place in far)


def test_an_interrupt_gives_up_songs_that_are_being_sent(song: Song, tmp_path: Path) -> None:
    """However long that would take; nothing of them stays here, and all claims are given up."""
    songs, sent = short_songs(song, 9_000, 9_000), threading.Event()

    def send(_place: Far, pulse: Pulse) -> None:
        sent.set()
        for _ in range(round(SOON * 100)):
            pulse()
            threading.Event().wait(0.01)

    def progress(job: Job, _done: float, _total: float) -> None:
        if job.path == songs[1] and sent.wait(SOON):
            raise KeyboardInterrupt

    far = [Far(path, tmp_path / "out", send) for path in songs]
    with suppress(KeyboardInterrupt):
        split(planned(songs, tmp_path, *far), progress)
        pytest.fail("it was not interrupted")
    assert not any(place.stored for place in far)
    assert all(place.begun and place.ended for place in far)
    assert not (tmp_path / "out").exists()


def test_jobs_of_songs_elsewhere_can_be_handed_to_other_processes(tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    from stemsplit.cloud.address import parse
    from stemsplit.cloud.away import Away
    from stemsplit.cloud.output import Output
    from stemsplit.cloud.staging import Stage

    output, place = Output(parse("s3://bucket/stems"), tmp_path / "out"), Stage(tmp_path)
    path = place.song("0" * 16, "a.wav")
    away = Away(path, tmp_path / "out", place, parse("s3://bucket/a.wav"), output)
    output.seen.is_whole = True  # and nothing there
    (job,) = plan.plan([Found(path, elsewhere=away)], options(tmp_path), Template(), "starter")
    copy = pickle.loads(pickle.dumps(job))
    assert (copy.song, copy.shown(copy.targets["drums"])) == ("s3://bucket/a.wav", "s3://bucket/stems/a/drums.wav")
    assert not copy.elsewhere.output.seen.is_whole
