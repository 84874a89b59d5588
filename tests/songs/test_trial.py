"""A disk that cannot hold a song's names or sizes is found out before anything is computed."""

import errno
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from stemsplit.audio import Format
from stemsplit.disk import limits
from stemsplit.disk.folder import Folder
from stemsplit.songs import preparing, trial
from stemsplit.songs.job import Job
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.preparing import Course
from stemsplit.songs.stem_files import StemFiles
from tests.conftest import unix
from tests.songs.test_plan import options, planned

Song = Callable[..., Path]
Prepare = Callable[[Job], str]


@pytest.fixture
def poor(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the disk refuse names with `:` and names of more than 143 bytes; return the names that it was given."""
    create, given = Folder.create, []

    def refusing(self: Folder, name: str) -> IO[bytes]:
        given.append(name)
        if ":" in name or "?" in name:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
        if len(os.fsencode(name)) > 143:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
        return create(self, name)

    monkeypatch.setattr(Folder, "create", refusing)
    return given


@pytest.fixture
def prepare() -> Iterator[Prepare]:
    """Return a function that prepares a song, and returns its error; empty if the song can be split."""
    opened = list[StemFiles]()

    def prepared(job: Job) -> str:
        found = preparing.prepare(job, Course(pytest.fail))
        if isinstance(found, StemFiles):
            opened.append(found)
            return ""
        assert isinstance(found, Outcome)
        return found.error

    yield prepared
    for files in opened:
        files.close()


@unix
@pytest.mark.usefixtures("poor")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("AC:DC", "does not allow : in names, as in AC:DC"),
        ("Up? Yes: up", "does not allow : ? in names, as in Up? Yes: up"),
        ("n" * 160, "does not allow a name of 160 bytes"),
        ("\u00e9" * 80, "does not allow a name of 160 bytes"),
    ],
)
def test_a_name_that_the_disk_refuses_is_known_before_the_song_is_read(
    song: Song, tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.setattr(preparing, "examine", lambda *_: pytest.fail("it is read"))
    (job,) = planned([song(f"{name}.wav")], options(tmp_path))
    error = prepare(job)
    assert why in error
    assert "again" not in error
    assert not list((tmp_path / "out").iterdir())


@unix
@pytest.mark.usefixtures("poor")
@pytest.mark.parametrize("name", ["AC:DC", 'a "b" $HOME `c` \\ {x}: é?', "n" * 160, "a/AC:DC", "stemsplit: up?"])
@pytest.mark.parametrize("usual", ["{track}, {parent}/{stem}", "{track} - {stem} x"])
def test_the_name_that_is_advised_is_one_that_the_disk_takes(
    song: Song, tmp_path: Path, prepare: Prepare, name: str, usual: str
) -> None:
    (tmp_path / "a").mkdir()
    (job,) = planned([song(f"{name}.wav")], options(tmp_path), usual)
    advice = re.search(r"split it by itself (--name .*), or choose", prepare(job).replace("with ", ""))
    assert advice
    _, template = shlex.split(advice[1])
    assert f'"{template}"' in advice[1]  # nothing in it means anything to a shell
    assert prepare(planned([job.path], options(tmp_path), template)[0]) == ""


@unix
def test_a_folder_that_is_removed_meanwhile_is_not_taken_for_a_bad_name(
    song: Song, tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_self: Folder, name: str) -> IO[bytes]:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    (job,) = planned([song("What's up?.wav")], options(tmp_path))
    make = Folder.make

    def then_gone(self: Folder, name: str, *arguments: Any, **others: Any) -> None:
        make(self, name, *arguments, **others)
        if name == trial.TRIAL:
            monkeypatch.setattr(Folder, "create", gone)

    monkeypatch.setattr(Folder, "make", then_gone)
    error = prepare(job)
    assert os.strerror(errno.ENOENT) in error
    assert "does not allow" not in error


@unix
def test_a_usual_name_is_not_tried(song: Song, tmp_path: Path, poor: list[str], prepare: Prepare) -> None:
    assert prepare(planned([song("01 - A Song (live).wav")], options(tmp_path))[0]) == ""
    assert not set(poor) & {"01 - A Song (live)", trial.TRIAL}


@unix
def test_nothing_is_left_of_the_trial_on_a_disk_that_takes_every_name(
    song: Song, tmp_path: Path, prepare: Prepare
) -> None:
    (job,) = planned([song("What's up?.wav")], options(tmp_path))
    assert prepare(job) == ""
    (hidden,) = (tmp_path / "out").iterdir()
    names = sorted(path.name for path in hidden.iterdir() if not path.name.startswith("owner-"))
    assert names == ["drums.wav", "files.json", "lock", "undecided", "vocals.wav"]


@unix
def test_names_are_cut_to_what_the_disk_says(song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    songs = [song(f"{'n' * 200}{end}.wav") for end in "ab"]
    usual = planned(songs, options(tmp_path))
    monkeypatch.setattr(os, "pathconf", lambda *_: 143)
    short = planned(songs, options(tmp_path))
    assert [job.record.parent.name for job in usual] == [path.stem for path in songs]
    names = [name for job in short for path in job.targets.values() for name in job.below(path).parts]
    assert max(len(name) for name in names) <= 143
    assert len({job.record for job in short}) == 2
    assert [job.record for job in planned(songs, options(tmp_path))] == [job.record for job in short]


@unix
def test_a_template_that_is_too_long_for_the_disk_is_a_problem_of_all(
    song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pathconf", lambda *_: 143)
    with pytest.raises(ValueError, match="is too long; a name has at most 143 bytes"):
        planned([song("a.wav")], options(tmp_path), "x" * 150 + "{stem}")


def test_a_plan_knows_what_fat_does_not_hold(song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "kind", lambda _: "vfat")
    (job,) = planned([song("a.wav")], options(tmp_path), "{track}; {stem}")
    assert job.problem == ""
    assert trial.too_large(job, 1 << 32).startswith(f"each stem of {job.path} needs 4,295 MB, but its disk")
    assert trial.too_large(replace(job, format=Format("flac")), 1 << 32) == ""
    (job,) = planned([job.path], options(tmp_path), "{track}| {stem}")
    assert "does not allow | in names" in job.problem
    assert not (tmp_path / "out").exists()
