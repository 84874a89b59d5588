"""The journal by which a song's files get their names is input: it is followed only if a run on the song wrote it."""

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
from stemsplit.disk.claim import Claim
from stemsplit.songs import commit
from stemsplit.songs.job import Job
from stemsplit.songs.record import Record
from tests.conftest import snapshot
from tests.songs.test_plan import options, planned

Song = Callable[..., Path]

FACTS = {"size": 4, "weights": [0.0, 1.0], "peak": 0.5, "clipped": 0, "energy_share": 0.5, "silent": False}
FIGURES = {"duration": 1.0, "sample_rate": 44_100, "channels": 2, "frames": 44_100, "sum_error": None}


def record(job: Job, **changes: Any) -> Record:
    """What a run on a song would record, were its stems of four bytes."""
    stems = {name: {"file": job.name(target), **FACTS} for name, target in job.targets.items()}
    song = {"name": job.path.name, "size": 1, "sha256": "0" * 64}
    return replace(Record(song, {"name": "m"}, job.recorded_options, stems, FIGURES), **changes)


def killed(job: Job, of: Record, digest: str = "", parts: bytes = b"stem") -> Path:
    """The hidden folder of a run that was killed right after its commit."""
    held = commit.hold(job, pytest.fail)
    for name in job.targets:
        with held.create(commit.hidden(name, job.format)) as file:
            file.write(parts)
    digest = digest or hashlib.sha256(of.text().encode()).hexdigest()
    with held.create(commit.RECORD) as file:
        file.write(of.text().encode())
    with held.create(commit.COMMIT) as file:
        file.write(json.dumps({"stemsplit_commit": 1, "record": digest}).encode())
    held.leave()
    return held.folder.path


def resumed(job: Job) -> list[str]:
    """Begin to work on a song, as the next run does, and stop; gives what was told."""
    told: list[str] = []
    held = commit.hold(job, told.append)
    assert held.names == []
    held.release()
    assert not list(job.options.out.glob(".stemsplit-*"))
    return told


@pytest.fixture
def job(song: Song, tmp_path: Path) -> Job:
    return planned([song("a.wav")], options(tmp_path))[0]


@pytest.fixture
def out(job: Job) -> Path:
    return job.options.out


def test_what_was_committed_gets_its_names(job: Job, out: Path) -> None:
    made = record(job)
    killed(job, made)
    assert resumed(job) == []
    assert snapshot(out / "a") == {"drums.wav": b"stem", "vocals.wav": b"stem", "stemsplit.json": made.text().encode()}


def test_also_by_a_run_that_makes_other_stems_in_another_format(job: Job, out: Path, tmp_path: Path) -> None:
    killed(job, record(job))
    (other,) = planned([job.path], options(tmp_path, "bass", format=Format("flac")))
    assert resumed(other) == []
    assert set(snapshot(out / "a")) == {"drums.wav", "vocals.wav", "stemsplit.json"}


@pytest.mark.parametrize("moved", ["drums", "both", "all"])
def test_also_if_some_of_it_had_its_name_already(job: Job, out: Path, moved: str) -> None:
    made = record(job)
    hidden = killed(job, made)
    (out / "a").mkdir()
    for name in {"drums": ["drums.wav"], "both": ["drums.wav", "vocals.wav"]}.get(moved, ["drums.wav", "vocals.wav"]):
        (hidden / name).rename(out / "a" / name)
    if moved == "all":
        (hidden / "record.json").rename(out / "a/stemsplit.json")
    assert resumed(job) == []
    assert snapshot(out / "a") == {"drums.wav": b"stem", "vocals.wav": b"stem", "stemsplit.json": made.text().encode()}


def to(stem: str, file: str) -> Callable[[Job], Record]:
    """A record whose stem lies elsewhere."""
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
def test_what_no_run_on_the_song_commits_is_told_and_not_followed(
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
def test_a_journal_of_the_wrong_shape_blocks_no_run(job: Job, out: Path, wrong: str) -> None:
    WRONG[wrong](killed(job, record(job)))
    (told,) = resumed(job)
    assert "is not used" in told
    assert snapshot(out) == {}


def test_a_file_that_somebody_put_there_meanwhile_is_not_moved_over(job: Job, out: Path) -> None:
    killed(job, record(job))
    (out / "a").mkdir()
    (out / "a/vocals.wav").write_bytes(b"mine")
    (told,) = resumed(job)
    assert "not as stemsplit left it" in told
    assert snapshot(out) == {"a": None, "a/vocals.wav": b"mine"}


def test_what_earlier_stems_were_is_moved_over(job: Job, out: Path) -> None:
    killed(job, record(job))
    assert resumed(job) == []
    new = record(job, stems={name: {"file": f"{name}.wav", **FACTS, "size": 3} for name in job.targets})
    killed(job, new, parts=b"new")
    assert resumed(job) == []
    assert snapshot(out / "a")["vocals.wav"] == b"new"


def test_a_commit_that_cannot_be_carried_out_is_left_to_the_next_run(
    job: Job, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = record(job)
    held = commit.hold(job, pytest.fail)
    for name in job.targets:
        with held.create(commit.hidden(name, job.format)) as file:
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


def test_sweeping_removes_what_is_half_done_and_keeps_what_is_whole(
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
    assert ["the same command goes on from there" in line for line in told] == [True]
    assert resumed(job) == []


def test_sweeping_a_folder_that_is_gone_is_no_trouble(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    commit.sweep(out, pytest.fail)


@pytest.mark.parametrize("stem", ["vocals", "v" * 300, "ö" * 140, "\udcff" * 250])
def test_a_hidden_file_has_a_name_that_every_disk_takes(stem: str) -> None:
    flac = Format("flac")
    assert len(os.fsencode(commit.hidden(stem, flac))) <= 255
    assert commit.hidden(stem, flac) != commit.hidden(f"{stem}x", flac)
