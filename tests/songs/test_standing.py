"""What a plan reads quickly is what it would find by reading everything: records, and names that two songs share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemsplit.disk.digest import sha256
from stemsplit.songs import apart
from stemsplit.songs.found import Found
from stemsplit.songs.job import Job
from stemsplit.songs.naming import Template
from stemsplit.songs.plan import planned
from stemsplit.songs.record import Record
from stemsplit.songs.standing import Standings
from tests.conftest import unix
from tests.songs.test_commit import FACTS, FIGURES
from tests.songs.test_plan import options

Song = Callable[..., Path]
Change = Callable[[dict[str, Any]], object]

CHANGES: dict[str, Change] = {
    "nothing": dict,
    "another model": lambda record: record["model"].update(weights="0" * 64),
    "another option": lambda record: record["options"].update(start=1.0),
    "another gain": lambda record: record["stems"]["drums"].update(weights=[2.0]),
    "another size": lambda record: record["stems"]["drums"].update(size=5),
    "another file": lambda record: record["stems"]["drums"].update(file="../drums.wav"),
    "a silent stem": lambda record: record["stems"]["drums"].update(file=None, size=None),
    "half a silent stem": lambda record: record["stems"]["drums"].update(file=None),
    "one stem more": lambda record: record["stems"].update(bass=record["stems"]["drums"]),
    "one stem less": lambda record: record["stems"].pop("vocals"),
    "an earlier stem": lambda record: record["earlier"].update({"old.wav": 4}),
    "another order": lambda record: record.update(model=record.pop("model")),
    "another version": lambda record: record.update(stemsplit_record=2),
    "a strange part": lambda record: record.update(more=1),
    "an impossible digest": lambda record: record["song"].update(sha256="x"),
}


@pytest.fixture
def done(song: Song, tmp_path: Path) -> Job:
    """Return the job of a song that is split; its name is not ASCII."""
    job = planned(Found(song("a \u201e\u00e4\u201c.wav")), options(tmp_path), Template(), "starter")
    stems: dict[str, Any] = {}
    for output in job.options.outputs:
        target = job.targets[output.name]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"stem")
        stems[output.name] = {"file": job.name(target), **FACTS, "weights": list(output.gains)}
    of = {"name": job.path.name, "size": job.path.stat().st_size, "sha256": sha256(job.path)}
    job.record.write_text(Record(of, job.options.model, job.recorded_options, stems, FIGURES).text())
    return job


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("indent", [2, None])
def test_a_record_that_is_read_quickly_says_what_it_says_when_it_is_parsed(
    done: Job, change: str, indent: int | None
) -> None:
    content = json.loads(done.record.read_text())
    CHANGES[change](content)
    done.record.write_text(json.dumps(content, indent=indent) + "\n")
    found, parsed = Standings(done.options).of(done), done.recorded()
    assert (found is None) == (parsed is None)
    if found and parsed:
        assert found.fits == done.is_done(parsed)
        assert [found.name, found.size, found.sha256] == [*parsed.song.values()]


def test_a_record_as_it_is_written_need_not_be_parsed(done: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemsplit.songs.record.parsed", None)
    found = Standings(done.options).of(done)
    assert found is not None
    assert found.fits


@unix
def test_a_record_that_is_a_link_is_none(done: Job, tmp_path: Path) -> None:
    done.record.rename(tmp_path / "elsewhere.json")
    done.record.symlink_to(tmp_path / "elsewhere.json")
    assert Standings(done.options).of(done) is None


TEMPLATES = ["{track}/{stem}", "{stem}/{track}", "{track} {stem}", "{parent}/{track}/a {stem}", "{stem}"]
PLACES = st.tuples(st.sampled_from(["x", "X", "x/y"]), st.sampled_from(["a.wav", "A.wav", "a.mp3", "a x.wav", "b.wav"]))


@settings(max_examples=40, deadline=None)
@given(st.lists(PLACES, max_size=6, unique=True), st.sampled_from(TEMPLATES))
def test_no_two_songs_that_share_a_file_are_overlooked(places: list[tuple[str, str]], template: str) -> None:
    chosen = options(Path("/nowhere"))
    jobs = [planned(Found(Path(f, name), Path(f)), chosen, Template(template), "starter") for f, name in places]
    suspects = {*apart.suspects(jobs)}
    for number, job in enumerate(jobs):
        for other, another in enumerate(jobs[:number]):
            if apart.files(job).keys() & apart.files(another).keys():
                assert {number, other} <= suspects
