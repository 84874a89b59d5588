"""What has become of songs, found in an output folder."""

import hashlib
import json
import os
import time
from itertools import permutations
from pathlib import Path

import pytest

from stemsplit.disk import Folder
from stemsplit.disk.claim import Claim
from stemsplit.disk.claim import claim as take
from stemsplit.disk.owner import Owner
from stemsplit.songs.apart import apart
from stemsplit.songs.find import find
from stemsplit.songs.found import Found
from stemsplit.songs.hidden import COMMIT, key_of
from stemsplit.songs.job import Job, Options
from stemsplit.songs.naming import Template
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.outputs import Output
from stemsplit.songs.plan import planned
from stemsplit.songs.record import Record
from stemsplit.songs.sharing.batches import batches
from stemsplit.songs.sharing.note_forms import FOLDER, Run
from stemsplit.songs.sharing.notes import Notes
from stemsplit.songs.sharing.place import LocalPlace
from stemsplit.songs.sharing.status import NOT_BEGUN, Status, status
from tests.conftest import snapshot


class Library:
    """Songs, an output folder, and what runs would leave in it."""

    def __init__(self, top: Path) -> None:
        self.songs, self.out = top / "lib", top / "out"
        self.options = Options(self.out, (Output("vocals", (1.0,)), Output("drums", (1.0,))))
        self.template = Template()
        self.out.mkdir()

    def add(self, *names: str, content: str = "") -> None:
        for name in names:
            (self.songs / name).parent.mkdir(parents=True, exist_ok=True)
            (self.songs / name).write_text(content or name)

    def found(self) -> tuple[Found, ...]:
        return find([self.songs], self.out).songs

    def jobs(self, model: str) -> list[Job]:
        return apart([planned(found, self.options, self.template, model) for found in self.found()])

    def split(self, *names: str, model: str = "model") -> None:
        """Write the records and stems of songs, with the names that they have among all."""
        for job in self.jobs(model):
            if job.path.relative_to(self.songs).as_posix() not in names:
                continue
            content = job.path.read_bytes()
            song = {"name": job.path.name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            facts = {"weights": [1.0], "peak": 0.5, "clipped": 0, "energy_share": 0.5, "silent": False}
            for target in (*job.targets.values(), job.record):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(b"sound")
            stems = {name: {"file": job.name(path), "size": 5, **facts} for name, path in job.targets.items()}
            figures = {"duration": 2.0, "sample_rate": 44_100, "channels": 2, "frames": 88_200, "sum_error": None}
            record = Record(song, {"name": model}, job.recorded_options, stems, figures)
            job.record.write_text(record.text())

    def fail(self, name: str, error: str = "no", host: str = "one") -> None:
        notes = Notes(LocalPlace(self.out), self.options, host)
        for job in self.jobs("model"):
            if job.path == self.songs / name:
                notes.add(Outcome(job, error))

    def status(self, all_: bool = True) -> Status:
        return status(LocalPlace(self.out), self.found() if all_ else None, self.options, self.template)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def missing(found: Status) -> dict[str, str]:
    return {Path(each.song).name: each.reason for each in found.missing}


def test_every_song_is_split_failed_or_missing(library: Library) -> None:
    library.add("a.wav", "b.wav", "more/a.wav", "more/c.wav", "bad.wav")
    library.split("a.wav", "more/a.wav")
    library.fail("bad.wav", "first", host="one")
    library.fail("bad.wav", "second", host="two")
    found = library.status()
    assert (found.songs, found.done, found.seconds, found.others) == (5, 2, 4.0, 0)
    assert missing(found) == {"b.wav": NOT_BEGUN, "c.wav": NOT_BEGUN}
    assert [[said.host for said in failure.said] for failure in found.failures] == [["one", "two"]]
    known = library.status(all_=False)
    assert (known.songs, known.done, len(known.failures), known.missing) == (None, 2, 1, [])
    assert not found.is_complete
    assert not known.is_complete


def test_all_is_complete_when_all_is_split(library: Library) -> None:
    """Under whatever names: songs of one name are kept apart by their suffixes."""
    library.add("a.wav", "a.flac", "more/b.wav", "more/b.mp3")
    library.split("a.wav", "a.flac", "more/b.wav", "more/b.mp3")
    found = library.status()
    assert (found.done, found.is_complete) == (4, True)


@pytest.mark.parametrize(
    "name", ["{track}_{stem}", "{stem}/{track}", "{parent}/{ext}/{track} - {stem}", "{track}/{stem}"]
)
def test_other_names_are_found_too(library: Library, name: str) -> None:
    """With the same --name by their places, and without it by their content: one of two equal names is missing."""
    library.template = Template(name)
    library.add("a.wav", "b.wav", "more/c.wav", content="of one size")
    library.split("a.wav", "more/c.wav")
    for template in (Template(name), Template("elsewhere/{track}/{stem}")):
        library.template = template
        found = library.status()
        assert (found.done, missing(found)) == (2, {"b.wav": NOT_BEGUN})


def test_another_song_of_the_same_name_and_size_is_not_taken_for_split(library: Library) -> None:
    library.add("one/mixture.wav", content="1" * 100)
    library.add("two/mixture.wav", content="2" * 100)
    library.split("one/mixture.wav")
    found = library.status()
    assert (found.done, [each.song for each in found.missing]) == (1, [str(library.songs / "two" / "mixture.wav")])


def test_a_song_that_changed_or_lost_a_stem_is_missing_with_the_reason(library: Library) -> None:
    library.add("a.wav", "b.wav", "c.wav", "d.wav")
    library.split("a.wav", "b.wav", "c.wav", "d.wav")
    (library.out / "a" / "drums.wav").unlink()
    (library.out / "b" / "vocals.wav").write_bytes(b"another sound")
    library.add("c.wav", content="longer than it was")
    found = library.status()
    assert missing(found) == {
        "a.wav": "its stems are not whole: drums.wav is missing",
        "b.wav": "its stems are not whole: vocals.wav is changed",
        "c.wav": "changed since it was split",
    }
    assert [record for record, _ in found.incomplete] == ["a/stemsplit.json", "b/stemsplit.json"]
    assert (found.done, library.status(all_=False).done) == (1, 2)


def test_a_song_that_failed_as_another_has_its_names_is_not_said_to_be_forgotten(library: Library) -> None:
    library.add("a.wav", "b.wav")
    library.template = Template("same/{stem}")
    notes = Notes(LocalPlace(library.out), library.options, "one")
    for found in library.found():
        notes.add(Outcome(planned(found, library.options, library.template, ""), "would be written to the same files"))
    found = library.status()
    assert [Path(failure.song).name for failure in found.failures] == ["b.wav"]
    assert "b.wav, whose files would have the same names" in missing(found)["a.wav"]


def test_a_failure_is_over_when_the_song_is_split_or_changed(library: Library) -> None:
    library.add("a.wav", "b.wav", "c.wav")
    library.split("c.wav")
    for name in ("a.wav", "b.wav", "c.wav"):
        library.fail(name)
    assert (library.status().done, len(library.status().failures)) == (0, 3)  # the last word on c is a failure
    library.split("a.wav")
    library.split("c.wav", model="another")
    library.add("b.wav", content="mended")
    found = library.status()
    assert (found.done, found.failures, missing(found)) == (2, [], {"b.wav": NOT_BEGUN})


def test_what_is_not_ours_is_named_and_hides_nothing(library: Library, tmp_path: Path) -> None:
    library.add("a.wav")
    library.split("a.wav")
    (library.out / "x").mkdir()
    (library.out / "x" / "stemsplit.json").write_text("{}")
    (library.out / FOLDER).mkdir()
    (library.out / FOLDER / f"run-{'0' * 16}.json").write_text("[]")
    (library.out / "linked").symlink_to(library.out / "a")
    (tmp_path / "far").mkdir()
    (library.out / "far").symlink_to(tmp_path / "far")
    found = library.status()
    assert sorted(found.strange) == [f"{FOLDER}/run-{'0' * 16}.json", "x/stemsplit.json"]
    assert (found.done, found.others, found.is_complete) == (1, 0, False)


def test_a_record_cannot_point_out_of_the_folder(library: Library, tmp_path: Path) -> None:
    library.add("a.wav")
    library.split("a.wav")
    (tmp_path / "vocals.wav").write_bytes(b"sound")
    record = library.out / "a" / "stemsplit.json"
    content = json.loads(record.read_text())
    content["stems"]["vocals"]["file"] = "../../vocals.wav"
    record.write_text(json.dumps(content))
    assert library.status().done == 0


def run(shard: str, done: int, skipped: int, ended: float, host: str = "one", failed: int = 0) -> Run:
    counts = {"songs": done + skipped + failed, "done": done, "skipped": skipped, "failed": failed}
    return Run(host, shard, "batch", ended, {**counts, "exit_status": 0, "duration": 2.0 * done, "seconds": 1.0})


def test_a_shard_that_was_run_twice_counts_once() -> None:
    """In whatever order its notes are read; the work of both runs counts."""
    runs = [run("1/3", 4, 0, 10.0), run("1/3", 1, 4, 30.0, host="two"), run("3/3", 2, 0, 20.0, failed=1)]
    for order in permutations(runs):
        (batch,) = batches(order)
        assert (batch.songs, batch.done, batch.failed) == (8, 7, 1)
        assert (batch.ended, batch.lacking, batch.runs, batch.hosts) == ((1, 3), (2,), 3, ("one", "two"))
        assert (batch.duration, batch.seconds) == (14.0, 3.0)


def test_runs_with_other_settings_or_another_number_of_shards_are_not_added_up() -> None:
    other = Run("one", "1/2", "another batch", 5.0, run("", 1, 0, 0).summary)
    found = batches([run("1/2", 3, 0, 1.0), run("1/4", 1, 0, 2.0), run("", 5, 0, 3.0), run("", 0, 5, 4.0), other])
    assert [(batch.settings, batch.shards, batch.done) for batch in found] == [
        ("batch", 2, 3),
        ("batch", 4, 1),
        ("batch", None, 5),
        ("another batch", 2, 1),
    ]


def test_a_folder_without_songs_is_not_done(library: Library) -> None:
    """Its name may be mistyped."""
    assert not library.status(all_=False).is_complete


def test_shards_of_which_no_run_ended_are_not_done(library: Library) -> None:
    """Unless all songs are named, and split."""
    library.add("a.wav")
    library.split("a.wav")
    notes = Notes(LocalPlace(library.out), library.options, "one", "1/2")
    notes.close(dict(run("1/2", 1, 0, 0).summary))
    assert not library.status(all_=False).is_complete
    assert library.status().is_complete


def held(library: Library, name: str) -> Claim:
    """The claim that a run takes on a song."""
    (job,) = [job for job in library.jobs("model") if job.path == library.songs / name]
    with Folder(library.out) as out:
        claim = take(out, key_of(job.below(job.record).as_posix()))
    claim.begin(["vocals.wav", COMMIT])
    return claim


def left(library: Library, name: str, whole: bool = False) -> None:
    """What a killed run leaves of a claim."""
    claim = held(library, name)
    if whole:
        claim.create(COMMIT).close()
    claim.leave()


def test_claims_say_who_works_on_which_song(library: Library) -> None:
    """And what is left behind; nothing of it is changed, and whoever works goes on."""
    library.add("a.wav", "b.wav", "c.wav", "more/d.wav")
    working = held(library, "a.wav")
    left(library, "b.wav")
    left(library, "more/d.wav", whole=True)
    before = snapshot(library.out)
    found = library.status()
    assert snapshot(library.out) == before
    assert {Path(song).name: claim.is_live for claim, song in found.claims} == {
        "a.wav": True,
        "b.wav": False,
        "d.wav": False,
    }
    assert {Path(song).name for claim, song in found.claims if claim.is_whole} == {"d.wav"}
    said = missing(found)
    assert said["a.wav"].startswith("being split")
    assert said["b.wav"].startswith("left behind")
    assert said["c.wav"] == NOT_BEGUN
    assert said["d.wav"].startswith("whole, but not yet moved")
    working.release()
    assert [claim.is_live for claim, _ in library.status(all_=False).claims] == [False, False]


def test_a_song_that_is_split_again_is_claimed_and_done(library: Library) -> None:
    library.add("a.wav")
    library.split("a.wav")
    claim = held(library, "a.wav")
    found = library.status(all_=False)
    assert (found.done, [song for _, song in found.claims], found.is_complete) == (1, ["a.wav"], False)
    claim.release()
    assert library.status(all_=False).is_complete


def test_hidden_folders_of_others_are_named_and_not_called_left_behind(library: Library, tmp_path: Path) -> None:
    """Somebody may remove what is called so: it must hold nothing but files of stemsplit."""
    library.add("a.wav")
    left(library, "a.wav")
    (claim,) = library.status().claims
    (library.out / claim[0].name / "precious").write_text("mine")
    (library.out / ".stemsplit-mine").mkdir()
    (library.out / f".stemsplit-{'0' * 16}").symlink_to(tmp_path)
    (library.out / f".stemsplit-{'1' * 16}").write_text("mine")
    found = library.status()
    assert found.claims == []
    assert sorted(found.strange) == sorted(path.name for path in library.out.glob(".stemsplit-*"))


@pytest.mark.parametrize("where", ["files.json", f"work-{'a' * 16}/precious"])
def test_a_hidden_folder_that_no_run_takes_over_is_named_and_not_called_left_behind(
    library: Library, where: str
) -> None:
    library.add("a.wav")
    left(library, "a.wav")
    (hidden,) = library.out.glob(".stemsplit-*")
    (hidden / where).parent.mkdir(exist_ok=True)
    (hidden / where).write_text('["../mine"]')
    found = library.status()
    assert (found.claims, found.strange) == ([], [hidden.name])


def test_a_folder_that_is_being_made_is_passed_over_unless_it_holds_what_others_made(library: Library) -> None:
    library.split()
    new = library.out / f".stemsplit-{'0' * 16}-new-{'1' * 16}"
    new.mkdir()
    (new / "undecided").touch()
    assert library.status().strange == []
    (new / "precious").write_text("mine")
    assert library.status().strange == [new.name]


def test_of_another_machine_only_the_last_sign_of_life_is_known(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever this machine's locks say: on a network's disk, they may be its own only."""
    library.add("a.wav")
    left(library, "a.wav")
    (folder,) = library.out.glob(".stemsplit-*")
    (mine,) = folder.glob("owner-*")
    there = Owner(takeovers=2, machine="f" * 16, process=7, host="node7")
    mine.rename(folder / there.name)
    monkeypatch.setattr("stemsplit.disk.owner.is_local", lambda _: False)
    os.utime(folder / "lock", (1_000.0, time.time() - 3_600))
    ((claim, _),) = library.status().claims
    assert (claim.is_live, claim.host, claim.process, claim.takeovers) == (None, "node7", 7, 2)
    assert claim.silent_seconds == pytest.approx(3_600, abs=60)
    assert missing(library.status()) == {"a.wav": "claimed on node7"}
