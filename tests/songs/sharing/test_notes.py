"""Notes on failures and on runs, which many machines write into one output folder."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from stemsplit.errors import AudioError, DeviceError, PlaceError
from stemsplit.songs.found import Found
from stemsplit.songs.job import Job, Options
from stemsplit.songs.naming import Template
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.outputs import Output
from stemsplit.songs.plan import planned
from stemsplit.songs.sharing.note_forms import FOLDER, LONGEST, MOST_SAID, Failure, Run, name_of
from stemsplit.songs.sharing.notes import Notes, all_notes, contents
from stemsplit.songs.sharing.place import LocalPlace

SUMMARY = {"songs": 3, "done": 2, "skipped": 1, "failed": 0, "exit_status": 0, "duration": 9.5, "seconds": 3.5}


@pytest.fixture
def place(tmp_path: Path) -> LocalPlace:
    return LocalPlace(tmp_path / "out")


def job(tmp_path: Path, start: float = 0.0) -> Job:
    """Of a song that is there, whose stems go to `out/a`."""
    song = tmp_path / "a.flac"
    if not song.exists():
        song.write_bytes(b"song")
    options = Options(tmp_path / "out", (Output("vocals", (1.0,)),), start=start)
    return planned(Found(song), options, Template(), "model")


def notes(place: LocalPlace, one: Job, host: str = "one", **more: str) -> Notes:
    return Notes(place, one.options, host, **more)


def read(place: LocalPlace) -> Iterator[Failure | Run | str]:
    return all_notes(place, [name for name, _ in place.files(FOLDER)])


def test_every_machine_knows_what_others_said(place: LocalPlace, tmp_path: Path) -> None:
    one = job(tmp_path)
    for number in range(MOST_SAID + 2):
        notes(place, one, f"host {number}").add(Outcome(one, f"error {number}" + "." * LONGEST))
    known = notes(place, one).known(one)
    assert known is not None
    assert [said.host for said in known.said] == [f"host {number}" for number in range(2, MOST_SAID + 2)]
    assert {len(said.error) for said in known.said} == {LONGEST}
    assert [*read(place)] == [known]


def test_nothing_is_known_of_a_song_that_did_not_fail(place: LocalPlace, tmp_path: Path) -> None:
    one = job(tmp_path)
    notes(place, one).add(Outcome(one))
    assert notes(place, one).known(one) is None
    assert not place.root.exists()


@pytest.mark.parametrize("change", ["song", "settings", "stems"])
def test_a_failure_counts_until_something_changes(place: LocalPlace, tmp_path: Path, change: str) -> None:
    """The song, the settings, or its record, which says that it was split since."""
    one = job(tmp_path)
    notes(place, one).add(Outcome(one, "no"))
    if change == "song":
        one.path.write_bytes(b"another")
    elif change == "stems":
        place.write("a/stemsplit.json", b"{}")
    later = job(tmp_path, start=1.0 if change == "settings" else 0.0)
    assert notes(place, later).known(later) is None
    notes(place, later).add(Outcome(later, "again"))
    (failure,) = read(place)
    assert isinstance(failure, Failure)
    assert [said.error for said in failure.said] == ["again"]


@pytest.mark.parametrize("error", [PlaceError("taken"), DeviceError("lost"), OSError("full"), AudioError("broken")])
def test_only_the_song_s_own_faults_speak_against_it(place: LocalPlace, tmp_path: Path, error: Exception) -> None:
    """Also where the exception did not come along, as from another machine."""
    one = job(tmp_path)
    outcome = Outcome(one, "no", cause=error)
    for each in (outcome, replace(outcome, cause=None)):
        notes(place, one).add(each)
    known = notes(place, one).known(one)
    assert known is not None
    assert {said.counts for said in known.said} == {type(error) is AudioError}


def test_runs_are_kept_apart(place: LocalPlace, tmp_path: Path) -> None:
    one = job(tmp_path)
    for host in ("one", "two", "two"):
        notes(place, one, host, shard="2/3").close(SUMMARY)
    runs = [run for run in read(place) if isinstance(run, Run)]
    assert sorted(run.host for run in runs) == ["one", "two", "two"]
    assert {run.shard for run in runs} == {"2/3"}
    assert all(run.summary == SUMMARY for run in runs)


def test_a_stranger_can_neither_crash_nor_mislead_who_reads(place: LocalPlace, tmp_path: Path) -> None:
    one = job(tmp_path)
    notes(place, one).add(Outcome(one, "no"))
    notes(place, one).close(SUMMARY)
    good = {name: json.loads(place.read(name, 10_000) or b"") for name, _ in place.files(FOLDER)}
    bad = (-1, 1e300, float("nan"), True, [], [{}], {}, "x" * 20_000)
    for name, content in good.items():
        for key, value in product(content.keys() - {"stemsplit_failure", "stemsplit_run"}, (*bad, None, "../../x")):
            if (key, value) == ("stems", None) or (key in ("host", "batch", "state", "song") and value == "../../x"):
                continue
            place.write(name, json.dumps({**content, key: value}).encode())
            assert name in [*read(place)], (key, value)
        for raw in (b"", b"[" * 100_000, b"\xff", b"null", json.dumps({**content, "more": 1}).encode()):
            place.write(name, raw)
            assert name in [*read(place)]
        place.write(name, json.dumps(content).encode())
    place.write(f"{FOLDER}/failed-{'0' * 16}.json", json.dumps(good[name_of("a/stemsplit.json")]).encode())
    assert [each for each in read(place) if isinstance(each, str)] == [f"{FOLDER}/failed-{'0' * 16}.json"]


def test_what_is_not_a_note_is_not_written_over(place: LocalPlace, tmp_path: Path) -> None:
    one, said = job(tmp_path), list[str]()
    for make in ("file", "link", "folder"):
        target = place.root / name_of("a/stemsplit.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "precious").write_bytes(b"mine")
        if make == "file":
            target.write_bytes(b"mine")
        elif make == "link":
            target.symlink_to(tmp_path / "precious")
        else:
            target.mkdir()
        before = target.lstat()
        notes(place, one, tell=said.append).add(Outcome(one, "no"))
        assert target.lstat().st_ino == before.st_ino
        assert (tmp_path / "precious").read_bytes() == b"mine"
        target.rmdir() if make == "folder" else target.unlink()
    assert len(said) == 3


def test_many_are_read_at_once_in_their_order() -> None:
    class Store(LocalPlace):
        reads_at_once = 4

        def read(self, name: str, limit: int) -> bytes | None:
            return name.encode()[:limit] if name != "7" else None

    names = [str(number) for number in range(2_000)]
    found = [*contents(Store(Path()), names, 10)]
    assert found == [(name, name.encode() if name != "7" else None) for name in names]
