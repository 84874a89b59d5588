"""Plans of a batch; what comes of them is in test_pipeline.py, and what the command makes of it in tests/cli."""

import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from stemsplit import registry
from stemsplit.audio import Format
from stemsplit.audio.heading import Heading
from stemsplit.disk.names import Distinctions
from stemsplit.songs import apart as telling_apart
from stemsplit.songs import plan
from stemsplit.songs.found import Found
from stemsplit.songs.job import Job, Options
from stemsplit.songs.naming import Template
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.outputs import chosen
from stemsplit.songs.preparing import Course, prepare
from tests.cli.processes import registry as small_network
from tests.conftest import unix
from tests.songs.test_record import RECORD, STEM

Song = Callable[..., Path]
FOLDER = TemporaryDirectory()
STARTER = registry.read(small_network(Path(FOLDER.name) / "model", "starter"))["starter"].with_chunks(0.2)
"""A small network in the place of the built-in one, which takes a second for a chunk."""


def options(folder: Path, stems: str = "drums,vocals", mixes: tuple[str, ...] = (), **changes: Any) -> Options:
    outputs = chosen(STARTER.outputs, stems.split(","), mixes)
    return Options(folder / "out", outputs, STARTER.identity("digest"), adds_up=True, **changes)


def planned(songs: list[Path], chosen: Options, template: str = "{track}/{stem}") -> list[Job]:
    return plan.plan([Found(path) for path in songs], chosen, Template(template), "starter")


def test_a_plan_says_what_goes_where_and_how_large_it_is(song: Song, tmp_path: Path) -> None:
    (job,) = planned([song("a.flac", frames=1_000)], options(tmp_path, format=Format("flac", "16")))
    assert job.targets["drums"] == tmp_path / "out" / "a" / "drums.flac"
    assert (job.problem, job.size, job.done) == ("", 1_000 * 2 * 2 * 2, False)


def test_a_length_that_no_header_tells_is_unknown_and_not_0(
    song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemsplit.songs.examining.heading", lambda *_: Heading(44_100, 1, None))
    (job,) = planned([song("a.wav", channels=1)], options(tmp_path))
    assert (job.problem, job.seconds, job.size, job.channels) == ("", None, None, 1)
    plan.check_room([job])


def test_the_disk_is_measured_by_the_samples_if_no_header_tells_their_number(
    song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = planned([song("a.wav", frames=1_000)], options(tmp_path))
    monkeypatch.setattr("stemsplit.disk.space.free_space", lambda _: 1_000 * 2 * 2 * 4 - 1)
    found = prepare(replace(job, seconds=None, size=None), Course(print))
    assert isinstance(found, Outcome)
    assert "MB are free; choose another disk with -o" in found.error


def test_a_plan_touches_nothing(song: Song, tmp_path: Path) -> None:
    path = song("a.wav")
    planned([path, tmp_path / "missing.wav"], options(tmp_path))
    assert list(tmp_path.iterdir()) == [path]


def test_the_tree_is_kept_and_names_follow_the_template(song: Song, tmp_path: Path) -> None:
    found = Found(song("a.wav"), Path("album/cd 1"))
    (job,) = plan.plan([found], options(tmp_path), Template("{stem}/{model} {track}"), "starter")
    assert job.targets["drums"] == tmp_path / "out/album/cd 1/drums/starter a.wav"
    assert job.record == tmp_path / "out/album/cd 1/stemsplit/starter a.json"


def folders(jobs: list[Job]) -> dict[str, str]:
    return {job.path.name: job.record.parent.name for job in jobs if not job.problem}


def test_songs_of_one_name_are_told_apart_by_their_suffixes_in_any_order(song: Song, tmp_path: Path) -> None:
    """As in a folder that holds the same album in two formats."""
    paths = [song("a.flac"), song("b.wav"), song("a.wav")]
    for some in permutations(paths):
        assert folders(planned(some, options(tmp_path))) == {"a.flac": "a.flac", "b.wav": "b", "a.wav": "a.wav"}
    more = [*paths, song("a.flac.wav")]
    names = [folders(planned(some, options(tmp_path))) for some in permutations(more)]
    assert all(each == names[0] for each in names)
    assert len(set(names[0].values())) == 4


def test_the_advice_for_songs_of_one_name_in_several_folders_works(song: Song, tmp_path: Path) -> None:
    for folder in ("x/1", "x/2", "y/1"):
        (tmp_path / folder).mkdir(parents=True)
    paths = [song("x/1/a.wav"), song("x/2/a.wav"), song("x/2/a.flac")]
    jobs = planned(paths, options(tmp_path))
    assert [bool(job.problem) for job in jobs] == [True, True, False]
    (advised,) = {re.search('--name "(.*)"', job.problem)[1] for job in jobs[:2]}  # type: ignore[index]
    assert not any(job.problem for job in planned(paths, options(tmp_path), advised))
    last = planned([*paths[:2], song("y/1/a.wav")], options(tmp_path))
    assert ["another folder, with -o" in job.problem for job in last] == [True, True, True]


@pytest.mark.parametrize(
    ("first", "second"), [("Intro", "intro"), ("Caf\u00e9", "Cafe\u0301"), ("\u00c9t\u00e9", "\u00e9te\u0301")]
)
@pytest.mark.parametrize("apart", [True, False])
def test_names_that_a_disk_takes_for_one_are_told_apart_and_others_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str, apart: bool
) -> None:
    monkeypatch.setattr("stemsplit.songs.apart.distinctions", lambda _: Distinctions(apart, apart))
    paths = [tmp_path / f"{name}.wav" for name in (first, second)]
    jobs = telling_apart.apart([plan.planned(Found(path), options(tmp_path), Template(), "starter") for path in paths])
    names = [job.record.parent.name for job in jobs]
    assert (names == [first, second]) is apart
    assert Distinctions(False, False).key(names[0]) != Distinctions(False, False).key(names[1]) or apart
    assert not any(job.problem for job in jobs)


def test_long_names_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / f"{'x' * 247}{last}.mp3" for last in "ab"]
    jobs = telling_apart.apart([plan.planned(Found(path), options(tmp_path), Template(), "starter") for path in paths])
    assert len({job.record for job in jobs}) == 2
    assert not any(job.problem for job in jobs)


def test_stems_of_another_song_are_not_replaced(song: Song, tmp_path: Path) -> None:
    """Whichever was split first, in one run or in two."""
    first, second = song("a.flac"), song("a.wav")
    (job,) = planned([first], options(tmp_path))
    job.record.parent.mkdir(parents=True)
    stem = job.targets["vocals"]
    stem.write_bytes(b"stem")
    facts = {**STEM, "file": stem.name, "size": 4}
    written = replace(RECORD, song={**RECORD.song, "name": first.name}, stems={"vocals": facts})
    job.record.write_text(written.text())
    (again,), (other,) = planned([first], options(tmp_path)), planned([second], options(tmp_path))
    assert (again.problem, again.record) == ("", job.record)
    assert (other.problem, other.record.parent.name) == ("", "a.wav")
    assert planned([second], replace(options(tmp_path), force=True))[0].record == job.record
    assert [planned([first], options(tmp_path))[0].replaces, RECORD.song["size"] == first.stat().st_size] == [
        True,
        False,
    ]
    stem.unlink()
    assert planned([second], options(tmp_path))[0].problem == ""


LONG = "x" * 240
ONE_FILE = [
    ("vocals.=mixture-drums",),
    ("vocals ..=mixture-drums",),
    ("\u00c9t\u00e9=drums", "\u00e9T\u00c9.=vocals"),
    (f"{LONG}{'y' * 10}=drums", f"{LONG}{'y' * 11}=vocals"),
]


@pytest.mark.parametrize("mixes", ONE_FILE, ids=lambda mixes: mixes[-1][-20:])
def test_two_outputs_that_would_be_one_file_are_refused_before_any_song_is_looked_at(
    tmp_path: Path, mixes: tuple[str, ...]
) -> None:
    with pytest.raises(plan.PlanError, match=r"would be one file, .*; name them otherwise"):
        planned([], options(tmp_path, mixes=mixes))


@unix
def test_a_link_on_the_way_to_the_files_is_not_followed_and_known_beforehand(song: Song, tmp_path: Path) -> None:
    (tmp_path / "out/real").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/a").symlink_to("../elsewhere")
    (tmp_path / "out/real/b").symlink_to("nothing")
    first, second = planned([song("a.wav"), song("b.wav")], options(tmp_path), "{track}/x/{stem}")[:1] + planned(
        [tmp_path / "b.wav"], options(tmp_path), "real/{track}/{stem}"
    )
    for job, link in ((first, "out/a"), (second, "out/real/b")):
        assert f"{tmp_path / link} is a link, which is not followed" in job.problem
    # The output folder itself is the user's own word.
    (tmp_path / "link").symlink_to("out")
    (job,) = planned([tmp_path / "a.wav"], replace(options(tmp_path), out=tmp_path / "link"), "{track}.x/{stem}")
    assert job.problem == ""


def test_a_plan_of_many_songs_takes_little_memory(tmp_path: Path) -> None:
    """Hundreds of thousands of songs are a list of a few megabytes, not of gigabytes."""
    tracemalloc.start()
    found = [Found(tmp_path / f"{number}.wav") for number in range(2_000)]
    chosen, template = options(tmp_path), Template()
    before = tracemalloc.get_traced_memory()[0]
    jobs = [plan.planned(each, chosen, template, "starter") for each in found]
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used / len(jobs) < 1_500
