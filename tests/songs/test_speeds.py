"""What is remembered of a model's speed, and what is estimated from it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stemsplit import registry
from stemsplit.choices import WindowName
from stemsplit.engine.chain import Chain
from stemsplit.engine.chain_entry import ChainEntry
from stemsplit.engine.cutting import chunks
from stemsplit.engine.separator import Separator
from stemsplit.songs import speeds
from stemsplit.songs.job import Job, Options
from stemsplit.songs.naming import Template
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.record import Record
from stemsplit.songs.speeds import Settings, Speed, Stopwatch, estimate, known, remember
from tests.cli.processes import registry as small_network

STARTER = ChainEntry(registry.find("starter"))
USUAL = Settings()


def told(*, start_up: float = 3.0, per_chunk: float = 0.5, chunks: int = 60, settings: Settings = USUAL) -> None:
    remember(STARTER, [settings, Settings("cpu", 2, "fp32", 1)], Speed(start_up, per_chunk, chunks))


def file(home: Path) -> Path:
    return home / "cache" / "speeds.json"


@pytest.mark.parametrize("window", WindowName)
@pytest.mark.parametrize("length", [1, 7, 99, 100, 101, 299, 300, 301, 450, 1_037])
@pytest.mark.parametrize("hop", [1, 25, 50, 60, 100])
@pytest.mark.parametrize(("shortest", "longest"), [(0, 0), (30, 130)])
def test_as_much_work_is_foretold_as_a_song_is_cut_into(
    window: WindowName, length: int, hop: int, shortest: int, longest: int
) -> None:
    changes = {"sample_rate": 100, "chunk": 100, "hop": hop, "window": window, "shortest": shortest, "longest": longest}
    entry = replace(registry.find("starter"), **changes)
    cut = chunks([torch.zeros(2, length)], 100, hop, window, entry.ends)
    assert entry.chunks_in(length / 100) == pytest.approx(sum(each.samples.shape[-1] for each in cut) / 100)


def test_a_song_of_six_channels_is_three_times_the_work_of_a_stereo_one() -> None:
    entry = STARTER.first
    assert entry.chunks_in(60.0, channels=6) == 3 * entry.chunks_in(60.0)
    assert entry.chunks_in(60.0, channels=1) == entry.chunks_in(60.0)


def test_an_estimate_is_the_start_up_and_the_time_of_each_chunk() -> None:
    told(start_up=3.0, per_chunk=0.5)
    found = estimate(known(STARTER, USUAL), 10)
    assert found is not None
    assert (found.seconds, found.is_vague) == (8.0, False)


def test_without_a_run_there_is_no_estimate() -> None:
    assert estimate(known(STARTER, USUAL), 10) is None


def test_one_odd_run_does_not_move_the_estimate_but_widens_it() -> None:
    for pace in (0.5, 0.5, 9.0):
        told(start_up=0.0, per_chunk=pace)
    found = estimate(known(STARTER, USUAL), 10)
    assert found is not None
    assert (found.seconds, found.least, found.most, found.is_vague) == (5.0, 5.0, 90.0, True)


def test_only_the_last_runs_count() -> None:
    for pace in (9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 0.5, 0.5, 0.5, 0.5, 0.5):
        told(per_chunk=pace)
    assert {speed.per_chunk for speed in known(STARTER, USUAL)} == {0.5}


def test_what_a_few_chunks_tell_is_used_only_if_nothing_else_is_known() -> None:
    told(per_chunk=7.0, chunks=1)
    assert [speed.per_chunk for speed in known(STARTER, USUAL)] == [7.0]
    told(per_chunk=0.5, chunks=60)
    told(per_chunk=7.0, chunks=1)
    assert [speed.per_chunk for speed in known(STARTER, USUAL)] == [0.5]


@pytest.mark.parametrize(
    "other",
    [
        {"device": "cuda"},
        {"threads": 7},
        {"precision": "bf16"},
        {"batch_size": 8},
        {"compiled": True},
    ],
)
def test_a_run_with_other_settings_says_nothing(other: Mapping[str, object]) -> None:
    told()
    assert known(STARTER, USUAL)
    assert not known(STARTER, replace(USUAL, **other))  # type: ignore[arg-type]


def test_what_a_default_turned_out_to_be_is_the_same_as_giving_it() -> None:
    told()
    assert known(STARTER, Settings("cpu", 2, "fp32", 1))
    assert known(STARTER, Settings("cpu", None, "auto", 1))


def test_models_of_different_precisions_have_none_but_what_was_given(tmp_path: Path) -> None:
    entry = registry.read(small_network(tmp_path / "model", "starter"))["starter"]
    first, second = (Separator(entry, device="cpu", precision="fp32") for _ in range(2))
    chain = Chain(first, first.stems[0], second)
    assert speeds.found(chain, USUAL).precision == "fp32"
    second.estimator.dtype = torch.bfloat16
    assert speeds.found(chain, USUAL).precision == "auto"


@pytest.mark.parametrize("other", [{"chunk": 100_000}, {"config": {"n": 1}}, {"name": "another"}])
def test_another_network_says_nothing(other: Mapping[str, object]) -> None:
    told()
    assert not known(ChainEntry(replace(STARTER.first, **other)), USUAL)  # type: ignore[arg-type]


def test_other_weights_of_the_same_network_are_as_fast() -> None:
    told()
    assert known(ChainEntry(replace(STARTER.first, sources=("file:other.safetensors",), sha256="0" * 64)), USUAL)


def test_another_version_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told()
    monkeypatch.setattr(speeds, "version", lambda _: "99")
    assert not known(STARTER, USUAL)


RUN = '{"model": "starter"}'
HOSTILE = [
    "",
    "{",
    "[" * 50_000,
    "[]",
    "1e999",
    '{"starter cpu": 4.1}',
    '{"runs": 7}',
    '{"runs": [7, null, "x", [], ' + RUN + "]}",
    '{"runs": [' + RUN + "]" * 9,
    " " * 200_000 + "{}",
    "\udc80",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_a_file_that_is_not_ours_is_no_file(home: Path, content: str) -> None:
    """The format of earlier versions is among them."""
    file(home).parent.mkdir(parents=True)
    file(home).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert known(STARTER, USUAL) == []
    told()
    assert len(known(STARTER, USUAL)) == 1


@pytest.mark.parametrize("name", ["per_chunk", "start_up", "chunks", "settings", "model"])
@pytest.mark.parametrize("value", [None, -1, 0, float("nan"), float("inf"), 10**400, True, "1", [], {}, {"device": 1}])
def test_no_value_in_the_file_can_do_harm(home: Path, name: str, value: object) -> None:
    told()
    data = json.loads(file(home).read_text())
    data["runs"][0][name] = value
    file(home).write_text(json.dumps(data))
    found = estimate(known(STARTER, USUAL), 10)
    assert found is None or 0 < found.least <= found.seconds <= found.most < 1e9


def test_the_file_does_not_grow_for_ever(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "KEPT", 5)
    for _ in range(speeds.KEPT + 3):
        told()
    assert len(json.loads(file(home).read_text())["runs"]) == speeds.KEPT
    remember(ChainEntry(replace(STARTER.first, name="x" * 30_000)), [USUAL], Speed(1.0, 1.0, 60))
    assert file(home).stat().st_size <= speeds.LIMIT


@pytest.mark.parametrize("speed", [Speed(1.0, 0.0, 9), Speed(1.0, float("nan"), 9), Speed(1.0, 1.0, 0)])
def test_an_impossible_speed_is_not_stored(home: Path, speed: Speed) -> None:
    remember(STARTER, [USUAL], speed)
    assert not file(home).exists()


def test_a_link_is_replaced_and_what_it_points_to_is_kept(home: Path, tmp_path: Path) -> None:
    file(home).parent.mkdir(parents=True)
    (tmp_path / "precious").write_text("mine")
    file(home).symlink_to(tmp_path / "precious")
    told()
    assert (tmp_path / "precious").read_text() == "mine"
    assert len(known(STARTER, USUAL)) == 1


def test_where_nothing_can_be_written_nothing_is_remembered(home: Path) -> None:
    home.joinpath("cache").write_text("a file where a folder should be")
    told()
    assert known(STARTER, USUAL) == []


def test_several_processes_lose_none_of_their_runs(home: Path) -> None:
    code = """
from stemsplit import registry
from stemsplit.engine.chain_entry import ChainEntry
from stemsplit.songs.speeds import Settings, Speed, remember
for _ in range(5):
    remember(ChainEntry(registry.find("starter")), [Settings()], Speed(1.0, 1.0, 9))
"""
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(json.loads(file(home).read_text())["runs"]) == 3 * 5
    assert not [path.name for path in file(home).parent.iterdir() if path.suffix == ".partial"]


FIRST = STARTER.first.chunks_in(4.0)
"""Work of the first 4 s of a song, in chunks."""


class Loaded:
    """A splitter that need not split."""


def outcome(name: str, seconds: float, took: float, skipped: bool = False) -> Outcome:
    """A song of so many seconds that took so many others."""
    names = Template("{track}/{stem}").of_song(track=name, model="", parent="", ext="", artist=None, title=None)
    job = Job(Path(name), Options(Path("out"), ()), Path("out"), names)
    record = Record({}, {}, {}, {}, {"duration": seconds})  # type: ignore[call-arg]
    return Outcome(job, record=record, seconds=took, skipped=skipped)


def watched(monkeypatch: pytest.MonkeyPatch, first: float, *outcomes: Outcome) -> Speed | None:
    """What a run shows that loads in 2 s, and has the first 4 s of the first song after `first` more."""
    now = [0.0]
    monkeypatch.setattr(speeds.time, "monotonic", lambda: now[0])

    def load() -> object:
        now[0] += 2.0
        return Loaded()

    watch = Stopwatch(STARTER, USUAL)
    watch.loads(load)()  # type: ignore[arg-type]
    now[0] += first
    watch.watches(lambda *_: None)(outcomes[0].job, 4.0, 100.0)
    for each in outcomes:
        watch.add(each)
    return watch.speed


@pytest.mark.parametrize("seconds", [36.0, 236.0])
def test_short_and_long_songs_show_the_same_speed(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A chunk takes half a second, the first one 3 s more; so does a song of any length."""
    count = STARTER.first.chunks_in(seconds)
    found = watched(monkeypatch, 3.0 + 0.5 * FIRST, outcome("a", seconds, 3.0 + 0.5 * count))
    assert found
    assert (found.start_up, found.per_chunk) == pytest.approx((5.0, 0.5))
    assert found.chunks == round(count - FIRST)


def test_a_folder_of_songs_shows_the_speed_of_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    count = STARTER.first.chunks_in(9.0)
    songs = [outcome("a", 9.0, 3.0 + 0.5 * count), *(outcome(name, 9.0, 0.5 * count) for name in "bcd")]
    found = watched(monkeypatch, 3.0 + 0.5 * FIRST, *songs)
    assert found
    assert (found.start_up, found.per_chunk) == pytest.approx((5.0, 0.5))
    assert found.chunks == round(4 * count - FIRST)


def test_a_song_that_was_already_split_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(monkeypatch, 4.0, outcome("a", 9.0, 0.0, skipped=True)) is None
