"""A song's journal is untrusted input: it is carried out only if a run on the song wrote it."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stemsplit.audio import Format
from stemsplit.disk import Folder
from stemsplit.disk.claim import Claim
from stemsplit.songs import commit, hidden
from stemsplit.songs.job import Job
from stemsplit.songs.record import Record
from tests.conftest import snapshot
from tests.disk.test_poor_disks import without_moves
from tests.songs.test_plan import options, planned

Song = Callable[..., Path]

FACTS = {"size": 4, "weights": [0.0, 1.0], "peak": 0.5, "clipped": 0, "energy_share": 0.5, "silent": False}
FIGURES = {"duration": 1.0, "sample_rate": 44_100, "channels": 2, "frames": 44_100, "sum_error": None}


def record(job: Job, **changes: Any) -> Record:
    """Return the record of a run on a song whose stems have four bytes each."""
    stems = {name: {"file": job.name(target), **FACTS} for name, target in job.targets.items()}
    song = {"name": job.path.name, "size": 1, "sha256": "0" * 64}
    return replace(Record(song, {"name": "m"}, job.recorded_options, stems, FIGURES), **changes)


def killed(job: Job, of: Record, digest: str = "", parts: bytes = b"stem") -> Path:
    """Make the hidden folder of a run that was killed right after it wrote its journal."""
    held = commit.hold(job, pytest.fail)
    for name in job.targets:
        with held.create(hidden.finished(name, job.format)) as file:
            file.write(parts)
    digest = digest or hashlib.sha256(of.text().encode()).hexdigest()
    with held.create(hidden.RECORD) as file:
        file.write(of.text().encode())
    with held.create(hidden.COMMIT) as file:
        file.write(json.dumps({"stemsplit_commit": 1, "record": digest}).encode())
    held.leave()
    return held.folder.path


def resumed(job: Job) -> list[str]:
    """Begin to work on a song, as the next run does, and stop; return the messages."""
    told: list[str] = []
    held = commit.hold(job, told.append)
    assert held.names == []
    held.release()
    assert not list(job.options.out.glob(".stemsplit-*"))
    return told


def test_an_output_folder_that_another_run_removes_as_empty_is_made_again(
    song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That run made it, and its songs failed: it removes the folder between two steps of this one."""
    claim, removed = commit.claim, list[Path]()

    def after_another(out: Folder, key: str, stale: int | None) -> Claim:
        if len(removed) < 2:
            removed.append(out.path)
            out.path.rmdir()
            if len(removed) == 2:  # as network disks say it
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return claim(out, key, stale)

    monkeypatch.setattr(commit, "claim", after_another)
    (job,) = planned([song("a.wav")], options(tmp_path))
    assert resumed(job) == []
    assert removed == [job.options.out] * 2


@pytest.fixture
def job(song: Song, tmp_path: Path) -> Job:
    return planned([song("a.wav")], options(tmp_path))[0]


@pytest.fixture
def out(job: Job) -> Path:
    return job.options.out


def test_finished_files_are_moved_to_their_names(job: Job, out: Path) -> None:
    made = record(job)
    killed(job, made)
    assert resumed(job) == []
    assert snapshot(out / "a") == {"drums.wav": b"stem", "vocals.wav": b"stem", "stemsplit.json": made.text().encode()}


def test_they_are_moved_also_by_a_run_for_other_stems_in_another_format(job: Job, out: Path, tmp_path: Path) -> None:
    killed(job, record(job))
    (other,) = planned([job.path], options(tmp_path, "bass", format=Format("flac")))
    assert resumed(other) == []
    assert set(snapshot(out / "a")) == {"drums.wav", "vocals.wav", "stemsplit.json"}


@pytest.mark.parametrize("moved", ["drums", "both", "all"])
def test_they_are_moved_also_if_some_were_moved_before(job: Job, out: Path, moved: str) -> None:
    made = record(job)
    left = killed(job, made)
    (out / "a").mkdir()
    for name in {"drums": ["drums.wav"], "both": ["drums.wav", "vocals.wav"]}.get(moved, ["drums.wav", "vocals.wav"]):
        (left / name).rename(out / "a" / name)
    if moved == "all":
        (left / "record.json").rename(out / "a/stemsplit.json")
    assert resumed(job) == []
    assert snapshot(out / "a") == {"drums.wav": b"stem", "vocals.wav": b"stem", "stemsplit.json": made.text().encode()}


def to(stem: str, file: str) -> Callable[[Job], Record]:
    """Return a record with a stem in another place."""
    return lambda job: record(job, stems={**record(job).stems, stem: {"file": file, **FACTS}})


LIES: dict[str, Callable[[Job], Record]] = {
    "another song": lambda job: record(job, song={**record(job).song, "name": "b.wav"}),
    "another format": lambda job: record(job, options={**job.recorded_options, "format": "flac"}),
    "no format": lambda job: record(job, options={}),
    "a format that there is not": lambda job: record(job, options={"format": "../../victim/diary.txt"}),
    "another size": lambda job: record(
        job, stems={name: {"file": f"{name}.wav", **FACTS, "size": 5} for name in job.targets}
    ),
    "a file that is not there": to("bass", "bass.wav"),
    "a file outside": to("vocals", "../../victim/diary.txt"),
    "another file in there": to("vocals", "diary.txt"),
    "a stem that no file can be called after": to("\ud800", "_.wav"),
    "a stem that is called like a way out": to("../../victim/diary", "../../victim/diary.wav"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_journal_that_no_run_on_the_song_wrote_is_told_and_not_carried_out(
    job: Job, out: Path, tmp_path: Path, lie: str
) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/diary.txt").write_bytes(b"mine")
    killed(job, LIES[lie](job))
    (told,) = resumed(job)
    assert "is not used" in told
    assert snapshot(tmp_path / "victim") == {"diary.txt": b"mine"}
    assert snapshot(out) == {}


def planted(content: bytes) -> Callable[[Path], object]:
    return lambda hidden: (hidden / "commit.json").write_bytes(content)


WRONG: dict[str, Callable[[Path], object]] = {
    "an empty commit": planted(b""),
    "a commit that is a list": planted(b"[]"),
    "a commit that is null": planted(b"null"),
    "a commit of numbers": planted(b'{"stemsplit_commit": 1, "record": 5}'),
    "a commit with more": planted(b'{"stemsplit_commit": 1, "record": "x", "files": {"a": "b"}}'),
    "a commit of another version": planted(b'{"stemsplit_commit": 2, "record": "x"}'),
    "a deep commit": planted(b"[" * 100_000),
    "a commit that is not text": planted(b"\xff"),
    "a huge commit": lambda hidden: os.truncate(hidden / "commit.json", 1 << 40),
    "another record": lambda hidden: (hidden / "record.json").write_text("{}"),
    "no record": lambda hidden: (hidden / "record.json").unlink(),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_malformed_journal_does_not_stop_a_run(job: Job, out: Path, wrong: str) -> None:
    WRONG[wrong](killed(job, record(job)))
    (told,) = resumed(job)
    assert "is not used" in told
    assert snapshot(out) == {}


def test_a_file_that_others_put_there_is_not_overwritten(job: Job, out: Path) -> None:
    killed(job, record(job))
    (out / "a").mkdir()
    (out / "a/vocals.wav").write_bytes(b"mine")
    (told,) = resumed(job)
    assert "not as stemsplit left it" in told
    assert snapshot(out) == {"a": None, "a/vocals.wav": b"mine"}


def test_stems_of_an_earlier_run_are_overwritten(job: Job, out: Path) -> None:
    killed(job, record(job))
    assert resumed(job) == []
    new = record(job, stems={name: {"file": f"{name}.wav", **FACTS, "size": 3} for name in job.targets})
    killed(job, new, parts=b"new")
    assert resumed(job) == []
    assert snapshot(out / "a")["vocals.wav"] == b"new"


def test_a_journal_that_cannot_be_carried_out_is_left_to_the_next_run(
    job: Job, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = record(job)
    held = commit.hold(job, pytest.fail)
    for name in job.targets:
        with held.create(hidden.finished(name, job.format)) as file:
            file.write(b"stem")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(commit, "carry_out", refuse)
        with pytest.raises(OSError, match="No space"):
            commit.commit(held, job, made)
    held.release()
    assert resumed(job) == []
    assert set(snapshot(out / "a")) == {"drums.wav", "vocals.wav", "stemsplit.json"}


def test_sweeping_removes_unfinished_files_and_keeps_finished_ones(
    job: Job, out: Path, song: Song, tmp_path: Path
) -> None:
    whole = killed(job, record(job))
    (other,) = planned([song("b.wav")], options(tmp_path))
    held: Claim = commit.hold(other, pytest.fail)
    held.create("vocals.wav").close()
    held.leave()
    told: list[str] = []
    commit.sweep(out, told.append)
    assert list(out.iterdir()) == [whole]
    assert ["run the same command again to move them" in line for line in told] == [True]
    assert resumed(job) == []


def test_sweeping_a_missing_folder_does_nothing(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    commit.sweep(out, pytest.fail)


@pytest.mark.parametrize("stem", ["vocals", "v" * 300, "ö" * 140, "\udcff" * 250])
def test_the_name_of_a_hidden_file_is_valid_on_every_disk(stem: str) -> None:
    flac = Format("flac")
    assert len(os.fsencode(hidden.finished(stem, flac))) <= 255
    assert hidden.finished(stem, flac) != hidden.finished(f"{stem}x", flac)


def test_stems_get_their_names_on_a_disk_that_moves_no_file_between_folders(
    job: Job, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if a run is killed when the first of them is copied, and not yet removed from the hidden folder."""
    without_moves(monkeypatch)
    made = record(job)
    folder = killed(job, made)
    (out / "a").mkdir()
    shutil.copy(folder / "drums.wav", out / "a" / "drums.wav")
    assert resumed(job) == []
    assert snapshot(out / "a") == {"drums.wav": b"stem", "vocals.wav": b"stem", "stemsplit.json": made.text().encode()}


def test_another_file_of_the_same_size_is_not_taken_for_such_a_copy(
    job: Job, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_moves(monkeypatch)
    killed(job, record(job))
    (out / "a").mkdir()
    (out / "a" / "drums.wav").write_bytes(b"mine")
    assert ["--force writes over it" in line for line in resumed(job)] == [True]
    assert snapshot(out / "a") == {"drums.wav": b"mine"}
