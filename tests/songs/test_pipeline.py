"""Runs of a batch: what comes of many songs, of bad ones among them, and of those who stop in the middle."""

import json
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from stemsplit import Separator, WeightsError
from stemsplit.audio import Format
from stemsplit.disk import heartbeat
from stemsplit.disk.claim import BusyError, Claim
from stemsplit.disk.digest import sha256
from stemsplit.errors import AudioError
from stemsplit.songs import commit, pipeline, preparing
from stemsplit.songs import record as records
from stemsplit.songs.job import Job, Options
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.pipeline import Progress
from tests.conftest import noise
from tests.songs.test_plan import STARTER, options, planned

Song = Callable[..., Path]


@cache
def starter() -> Separator:
    return Separator(STARTER, "cpu")


@pytest.fixture
def separator() -> Separator:
    return starter()


def ignore(_job: Job, _done: float, _total: float) -> None:
    pass


def outcomes(jobs: list[Job], load: Callable[[], Separator], progress: Progress = ignore) -> list[Outcome]:
    """What is reported of each song."""
    reported: list[Outcome] = []
    pipeline.run(jobs, load, progress, reported.append)
    return reported


def ran(songs: list[Path], chosen: Options, separator: Separator) -> list[Outcome]:
    return outcomes(planned(songs, chosen), lambda: separator)


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, by its path from there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_model_is_not_loaded_for_songs_that_cannot_be_split(song: Song, tmp_path: Path) -> None:
    """Not even for one whose fault shows only when it is decoded to its end."""
    whole = song("a.flac", frames=300_000)
    half = tmp_path / "half.flac"
    half.write_bytes(whole.read_bytes()[:100_000])

    def load() -> Separator:
        pytest.fail("the model was loaded")

    jobs = planned([half, tmp_path / "missing.flac"], options(tmp_path))
    assert [bool(outcome.error) for outcome in outcomes(jobs, load)] == [True, True]
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_loaded_ends_the_batch_and_leaves_nothing(song: Song, tmp_path: Path) -> None:
    def load() -> Separator:
        raise WeightsError("gone")

    jobs = planned([song("a.wav"), song("b.wav")], options(tmp_path))
    with pytest.raises(WeightsError, match="gone"):
        outcomes(jobs, load)
    assert not (tmp_path / "out").exists()


def test_a_separator_that_fails_before_it_asks_for_a_song_leaves_nothing(
    song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Separator) -> None:
        raise MemoryError("no room for the network")

    monkeypatch.setattr(Separator, "_computing", fail)
    with pytest.raises(MemoryError, match="no room"):
        outcomes(planned([song("a.wav")], options(tmp_path)), starter)
    assert not (tmp_path / "out").exists()


def test_progress_ends_at_the_songs_end(song: Song, tmp_path: Path, separator: Separator) -> None:
    seen: list[tuple[float, float]] = []
    jobs = planned([song("a.wav", frames=44_100)], options(tmp_path))
    outcomes(jobs, lambda: separator, lambda _, done, total: seen.append((done, total)))
    assert seen[0] == (0, 1)
    assert seen[-1] == (1, 1)
    assert seen == sorted(seen)


def test_outcomes_come_in_the_order_of_the_songs(song: Song, tmp_path: Path, separator: Separator) -> None:
    songs = [song("a.wav"), tmp_path / "missing.wav", song("b.wav"), song("c.wav")]
    reported = ran(songs, options(tmp_path), separator)
    assert [outcome.job.path for outcome in reported] == songs
    assert [bool(outcome.error) for outcome in reported] == [False, True, False, False]


def test_a_song_is_split_once(song: Song, tmp_path: Path, separator: Separator) -> None:
    songs = [song("a.wav")]
    first = ran(songs, options(tmp_path), separator)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = ran(songs, options(tmp_path), separator)
    assert (first[0].skipped, again[0].skipped) == (False, True)
    assert again[0].paths == first[0].paths
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    assert planned(songs, options(tmp_path))[0].done


def test_stems_that_are_among_those_there_are_not_made_again(song: Song, tmp_path: Path, separator: Separator) -> None:
    songs = [song("a.wav")]
    ran(songs, options(tmp_path), separator)
    assert ran(songs, options(tmp_path, "drums"), separator)[0].skipped
    assert not ran(songs, options(tmp_path, "drums,bass"), separator)[0].skipped


@pytest.mark.parametrize(
    "changes",
    [
        {"format": Format("flac")},
        {"format": Format("wav", "16")},
        {"start": 0.1},
        {"duration": 0.2},
        {"drop_silent": True},
        {"force": True},
        {"model": STARTER.identity("other weights")},
        {"model": replace(STARTER, hop=STARTER.chunk).identity("digest")},
        {"mixes": ("karaoke=mixture-vocals",)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_is_changed_is_made_again(
    song: Song, tmp_path: Path, separator: Separator, changes: dict[str, Any]
) -> None:
    songs = [song("a.wav")]
    ran(songs, options(tmp_path), separator)
    chosen = options(tmp_path, mixes=changes.pop("mixes", ()))
    (outcome,) = ran(songs, replace(chosen, **changes), separator)
    assert (outcome.error, outcome.skipped) == ("", False)


def test_stems_of_an_earlier_version_are_not_made_again(song: Song, tmp_path: Path, separator: Separator) -> None:
    songs, before = [song("a.wav")], replace(STARTER, hop=STARTER.chunk).identity("digest")
    ran(songs, replace(options(tmp_path), model=before), separator)
    (outcome,) = ran(songs, replace(options(tmp_path), earlier_models=(before,)), separator)
    assert outcome.skipped
    assert not ran(songs, options(tmp_path), separator)[0].skipped


def test_a_changed_song_is_split_again(song: Song, tmp_path: Path, separator: Separator) -> None:
    songs = [song("a.wav")]
    ran(songs, options(tmp_path), separator)
    soundfile.write(songs[0], noise(22_050, seed=1), 44_100)
    assert not ran(songs, options(tmp_path), separator)[0].skipped


def test_a_song_that_changes_while_it_is_split_is_not_taken_for_done(
    song: Song, tmp_path: Path, separator: Separator
) -> None:
    songs = [song("a.wav")]

    def load() -> Separator:
        soundfile.write(songs[0], noise(22_050, seed=1), 44_100)
        return separator

    (outcome,) = outcomes(planned(songs, options(tmp_path)), load)
    assert "was changed while it was split" in outcome.error
    assert not (tmp_path / "out").exists()


def test_a_stem_that_someone_worked_on_is_not_written_over(song: Song, tmp_path: Path, separator: Separator) -> None:
    songs = [song("a.wav")]
    ran(songs, options(tmp_path), separator)
    (tmp_path / "out/a/drums.wav").write_bytes(b"edited")
    (outcome,) = ran(songs, options(tmp_path), separator)
    assert "not as stemsplit left it; --force" in outcome.error
    assert ran(songs, options(tmp_path, force=True), separator)[0].error == ""


def test_what_an_earlier_run_left_may_be_written_over_by_a_later_one(
    song: Song, tmp_path: Path, separator: Separator
) -> None:
    """All stems, then fewer with another model, then all with that model."""
    songs = [song("a.wav")]
    other = STARTER.identity("other weights")
    ran(songs, options(tmp_path), separator)
    ran(songs, replace(options(tmp_path, "drums"), model=other), separator)
    assert sorted(files(tmp_path / "out")) == ["a/drums.wav", "a/stemsplit.json", "a/vocals.wav"]
    (outcome,) = ran(songs, replace(options(tmp_path), model=other), separator)
    assert outcome.error == ""


def test_the_record_says_what_was_made_from_what(song: Song, tmp_path: Path, separator: Separator) -> None:
    (outcome,) = ran([song("a.wav")], options(tmp_path, "drums,bass,other,vocals"), separator)
    record = records.read(tmp_path / "out/a/stemsplit.json")
    assert record == outcome.record or (record and outcome.record and record.text() == outcome.record.text())
    assert record is not None
    assert record.song["name"] == "a.wav"
    assert record.figures["duration"] == 0.5
    assert record.figures["sum_error"] < -120
    assert set(record.stems) == set(STARTER.stems)
    assert record.stems["drums"]["peak"] == pytest.approx(
        np.abs(soundfile.read(tmp_path / "out/a/drums.wav")[0]).max(), rel=1e-5
    )


def test_a_killed_run_is_gone_on_with(song: Song, tmp_path: Path, separator: Separator) -> None:
    """Killed between giving two stems their names: no record yet, the hidden folder still there."""
    songs = [song("a.wav")]
    ran(songs, options(tmp_path), separator)
    undisturbed = files(tmp_path / "out")
    (job,) = planned(songs, options(tmp_path))
    held = hold(job)
    job.targets["vocals"].replace(held.folder.path / "vocals.wav")
    job.record.replace(held.folder.path / "record.json")
    digest = sha256(held.folder.path / "record.json")
    (held.folder.path / "commit.json").write_text(json.dumps({"stemsplit_commit": 1, "record": digest}))
    held.leave()
    (outcome,) = ran(songs, options(tmp_path), separator)
    assert (outcome.error, outcome.skipped) == ("", True)
    assert files(tmp_path / "out") == undisturbed


def test_what_a_run_had_not_finished_when_it_was_killed_is_no_licence(
    song: Song, tmp_path: Path, separator: Separator
) -> None:
    """To write over what someone put in its place."""
    (job,) = planned([song("a.wav")], options(tmp_path))
    held = hold(job)
    (held.folder.path / "vocals.wav").write_bytes(b"half")
    held.leave()
    job.targets["vocals"].parent.mkdir()
    job.targets["vocals"].write_bytes(b"mine")
    (outcome,) = ran([tmp_path / "a.wav"], options(tmp_path), separator)
    assert "not as stemsplit left it" in outcome.error
    assert files(tmp_path / "out") == {"a/vocals.wav": b"mine"}


def hold(job: Job) -> Claim:
    """The song's hidden folder."""
    return commit.hold(job, pytest.fail)


def test_a_song_that_another_process_works_on_comes_last(song: Song, tmp_path: Path, separator: Separator) -> None:
    songs = [song("a.wav"), song("b.wav")]
    jobs = planned(songs, options(tmp_path))
    held = hold(jobs[0])
    seen = []

    def report(outcome: Outcome) -> None:
        seen.append(outcome.job.path.name)
        held.release()

    pipeline.run(jobs, lambda: separator, ignore, report)
    assert seen == ["b.wav", "a.wav"]


def test_two_batches_at_once_share_the_work(song: Song, tmp_path: Path, separator: Separator) -> None:
    songs = [song(f"{n}.wav") for n in range(6)]
    results: list[list[Outcome]] = [[], []]

    def work(into: list[Outcome]) -> None:
        into.extend(ran(songs, options(tmp_path), separator))

    threads = [threading.Thread(target=work, args=(result,)) for result in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        assert sorted(outcome.job.path for outcome in result) == sorted(songs)
        assert not any(outcome.error for outcome in result)
    split = [outcome.job.path for result in results for outcome in result if not outcome.skipped]
    assert sorted(split) == sorted(songs)
    assert len(files(tmp_path / "out")) == 6 * 3


def test_mixes_are_sums_of_what_is_written(song: Song, tmp_path: Path, separator: Separator) -> None:
    path = song("a.wav")
    ran([path], options(tmp_path, mixes=("karaoke=mixture-vocals", "both=drums+vocals")), separator)
    read = {name: soundfile.read(tmp_path / f"out/a/{name}.wav")[0] for name in ("drums", "vocals", "karaoke", "both")}
    mixture = soundfile.read(path)[0]
    assert np.allclose(read["karaoke"], mixture - read["vocals"], atol=1e-6)
    assert np.allclose(read["both"], read["drums"] + read["vocals"], atol=1e-6)


def test_a_part_is_split_as_if_the_song_were_no_longer(song: Song, tmp_path: Path, separator: Separator) -> None:
    path = song("a.wav", frames=44_100)
    samples, rate = soundfile.read(path, dtype="float32")
    part = tmp_path / "part" / "a.wav"
    part.parent.mkdir()
    soundfile.write(part, samples[11_025:33_075], rate, subtype="FLOAT")
    soundfile.write(path, samples, rate, subtype="FLOAT")
    (outcome,) = ran([path], options(tmp_path / "one", start=0.25, duration=0.5), separator)
    (whole,) = ran([part], options(tmp_path / "two"), separator)
    for one, two in zip(outcome.paths, whole.paths, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_silent_stems_are_said_and_left_out_if_asked_for(tmp_path: Path, separator: Separator) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, 1e-4 * noise(22_050), 44_100, subtype="FLOAT")
    (outcome,) = ran([path], options(tmp_path), separator)
    assert outcome.record is not None
    assert all(facts["silent"] for facts in outcome.record.stems.values())
    assert len(outcome.paths) == 2
    (outcome,) = ran([path], options(tmp_path, drop_silent=True, force=True), separator)
    assert outcome.paths == []
    assert ran([path], options(tmp_path, drop_silent=True), separator)[0].skipped


@pytest.mark.parametrize("name", ["a.flac", "a.wav"])
def test_stems_are_like_their_source(song: Song, tmp_path: Path, separator: Separator, name: str) -> None:
    path = song(name, subtype="PCM_24")
    (outcome,) = ran([path], options(tmp_path, like_source=True), separator)
    for stem in outcome.paths:
        info, source = soundfile.info(stem), soundfile.info(path)
        assert (info.format, info.subtype, info.frames) == (source.format, source.subtype, source.frames)


def test_tags_are_copied_and_the_title_says_which_stem_it_is(tmp_path: Path, separator: Separator) -> None:
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 44_100, 2) as file:
        file.title, file.artist = "Song", "Somebody"
        file.write(noise(22_050))
    (outcome,) = ran([path], options(tmp_path, format=Format("flac")), separator)
    with soundfile.SoundFile(outcome.paths[0]) as file:
        assert (file.title, file.artist) == ("Song (drums)", "Somebody")


WAYS = ["one chunk at a time", "four together", "as on a GPU"]


def batcher(way: str, compute: Callable[[Tensor], Tensor] | None = None) -> Separator:
    """One that computes several chunks together, if the way is one of those."""
    made = copy(starter())
    made.estimator = copy(made.estimator)
    made.estimator.compute = compute or made.estimator.compute
    made.estimator.batch_size = 1 if way == WAYS[0] else 4
    if way == WAYS[2]:
        made.device = torch.device("cuda")  # of which it only looks at the kind
    return made


def short_songs(song: Song, *frames: int) -> list[Path]:
    return [song(f"{number}.wav", count) for number, count in enumerate(frames)]


class Spy:
    """A network of four equal stems that remembers how many chunks it was given at once, and fails at loud ones."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, mixtures: Tensor) -> Tensor:
        self.batches.append(len(mixtures))
        stems = (mixtures / 4)[:, None].repeat(1, 4, 1, 1)
        stems[mixtures.abs().amax((1, 2)) >= 1] = torch.nan
        return stems


@pytest.mark.parametrize("way", WAYS[1:])
def test_chunks_of_several_songs_are_computed_together(song: Song, tmp_path: Path, way: str) -> None:
    """All batches are full but the last; songs of both channel layouts that the network takes are among them."""
    songs = short_songs(song, 22_050, 9_000, 30_000, 100, 20_000)
    spy, alone = Spy(), Spy()
    assert not any(outcome.error for outcome in ran(songs, options(tmp_path), batcher(way, spy)))
    for path in songs:
        ran([path], options(tmp_path, force=True), batcher(WAYS[0], alone))
    full, rest = divmod(len(alone.batches), 4)
    assert spy.batches == [4] * full + [rest] * bool(rest)


@pytest.mark.parametrize("way", WAYS[1:])
def test_a_folder_gives_the_same_files_however_its_chunks_are_computed(
    song: Song, tmp_path: Path, separator: Separator, way: str
) -> None:
    songs = [*short_songs(song, 22_050, 9_000, 100, 30_000), song("mono.wav", 15_000, channels=1)]
    songs.append(song("other rate.wav", 20_000, rate=48_000))
    expected = ran(songs, options(tmp_path / "one"), separator)
    found = ran(songs, options(tmp_path / "other"), batcher(way))
    assert [outcome.job.path for outcome in found] == songs
    for one, other in zip(expected, found, strict=True):
        assert (one.error, other.error) == ("", "")
        for path, same in zip(one.paths, other.paths, strict=True):
            samples, rate = soundfile.read(path)
            again, same_rate = soundfile.read(same)
            assert (samples.shape, rate) == (again.shape, same_rate)
            assert np.abs(samples - again).max() <= 1e-6


@pytest.mark.parametrize("way", WAYS)
def test_a_song_that_the_model_fails_at_does_not_stop_the_others(song: Song, tmp_path: Path, way: str) -> None:
    songs = short_songs(song, 9_000, 22_050, 12_000, 15_000)
    samples, rate = soundfile.read(songs[1])
    samples[15_000] = 1
    soundfile.write(songs[1], samples, rate, subtype="FLOAT")
    songs.insert(3, tmp_path / "missing.wav")
    found = ran(songs, options(tmp_path / "all"), batcher(way, Spy()))
    assert [outcome.job.path for outcome in found] == songs
    assert ["NaN" in found[1].error, "missing.wav" in found[3].error] == [True, True]
    good = [songs[0], songs[2], songs[4]]
    assert [outcome.job.path for outcome in found if not outcome.error] == good
    ran(good, options(tmp_path / "good"), batcher(WAYS[0], Spy()))
    assert files(tmp_path / "all") == files(tmp_path / "good")


@pytest.mark.parametrize("way", WAYS)
def test_a_song_whose_stems_cannot_be_written_does_not_stop_the_others(
    song: Song, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = short_songs(song, 9_000, 600_000, 9_000)
    whole = pipeline.StemFiles.write

    def write(self: Any, *arguments: Any) -> None:
        if self.job.path == songs[1]:
            raise AudioError("is the disk full?")
        whole(self, *arguments)

    monkeypatch.setattr(pipeline.StemFiles, "write", write)
    found = ran(songs, options(tmp_path), batcher(way, spy := Spy()))
    assert [outcome.error for outcome in found] == ["", "is the disk full?", ""]
    assert not any(path.startswith(("1/", ".")) for path in files(tmp_path / "out"))
    assert sum(spy.batches) < 100  # the second song alone has 137 chunks: it was given up


def passing_threads() -> list[str]:
    """Names of the threads that run, but for those that are kept from one batch to the next."""
    kept = ("compute", "heartbeat")
    return [thread.name for thread in threading.enumerate() if not thread.name.startswith(kept)]


@pytest.mark.parametrize("way", WAYS)
def test_whoever_stops_after_a_song_finds_it_and_nothing_else(song: Song, tmp_path: Path, way: str) -> None:
    songs, before = short_songs(song, 9_000, 9_000, 9_000, 200_000, 9_000), passing_threads()

    def stop(outcome: Outcome) -> None:
        assert outcome.job.path == songs[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(planned(songs, options(tmp_path)), lambda: batcher(way, Spy()), ignore, stop)
    found = files(tmp_path / "out")
    assert {name.partition("/")[0] for name in found} <= {"0", "1", "2"}
    assert {"0/drums.wav", "0/vocals.wav", "0/stemsplit.json"} <= set(found)
    assert len(found) % 3 == 0
    assert passing_threads() == before


@pytest.mark.parametrize("error", [OSError("the terminal is gone"), AudioError("nobody listens")])
def test_an_error_in_reporting_is_not_taken_for_one_of_the_song(song: Song, tmp_path: Path, error: Exception) -> None:
    """While the second song is computed, the first is reported; that it cannot be told ends the batch."""
    songs = short_songs(song, 9_000, 200_000)
    reported: list[Outcome] = []

    def progress(job: Job, done: float, _total: float) -> None:
        if job.path == songs[1] and done > 0 and (ended := running.finishing.ended):
            ended[0].result()  # so that it is reported at once

    def report(outcome: Outcome) -> None:
        reported.append(outcome)
        raise error

    jobs, spied = deque(planned(songs, options(tmp_path))), batcher(WAYS[0], Spy())
    with (
        closing(pipeline.Pipeline(lambda: spied, progress, report, lambda _: None)) as running,
        pytest.raises(type(error), match=str(error)),
    ):
        running.run(jobs)
    assert [outcome.job.path for outcome in reported] == songs[:1]


def test_the_separator_is_loaded_once_whatever_lies_between_songs(song: Song, tmp_path: Path) -> None:
    first, last = short_songs(song, 9_000, 9_000)
    loaded: list[Separator] = []

    def load() -> Separator:
        loaded.append(batcher(WAYS[0], Spy()))
        return loaded[-1]

    jobs = planned([first, tmp_path / "missing.wav", last], options(tmp_path))
    assert [bool(outcome.error) for outcome in outcomes(jobs, load)] == [False, True, False]
    assert len(loaded) == 1


def test_a_song_s_time_is_its_own(song: Song, tmp_path: Path) -> None:
    """However songs overlap, their times together are no longer than the run."""
    started = time.monotonic()
    reported = ran(short_songs(song, 30_000, 30_000, 30_000), options(tmp_path), batcher(WAYS[-1], Spy()))
    assert all(outcome.seconds > 0 for outcome in reported)
    assert sum(outcome.seconds for outcome in reported) <= time.monotonic() - started


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_an_interrupt_leaves_whole_songs_alone(song: Song, tmp_path: Path, way: str, at: int) -> None:
    songs, told = short_songs(song, 9_000, 22_050, 22_050, 9_000), iter(range(1_000))

    def progress(job: Job, _done: float, _total: float) -> None:
        if job.path == songs[1] and next(told) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcomes(planned(songs, options(tmp_path)), lambda: batcher(way, Spy()), progress)
    assert sorted(files(tmp_path / "out")) == ["0/drums.wav", "0/stemsplit.json", "0/vocals.wav"]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_wrong_with_a_song_is_told_before_the_next_is_computed(song: Song, tmp_path: Path, way: str) -> None:
    first, last = short_songs(song, 9_000, 9_000)
    seen: list[Path] = []
    jobs = planned([first, tmp_path / "missing.wav", last], options(tmp_path))

    def report(outcome: Outcome) -> None:
        assert (outcome.job.path == last) == (last in seen)

    pipeline.run(jobs, lambda: batcher(way, Spy()), lambda job, *_: seen.append(job.path), report)
    assert last in seen


def test_a_process_that_shows_no_life_is_waited_for_no_longer(
    song: Song, tmp_path: Path, separator: Separator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is stopped, or whose machine is gone, would else be waited for without end."""
    monkeypatch.setattr(pipeline, "STALLED_SECONDS", 0.6)
    jobs = planned([song("a.wav"), song("b.wav")], options(tmp_path))
    held = hold(jobs[0])
    errors = [outcome.error for outcome in outcomes(jobs, lambda: separator)]
    assert errors[0] == ""
    assert "a.wav, and showed no life" in errors[1]
    held.release()


def test_a_song_that_cannot_be_taken_over_is_told_and_ends_the_wait(
    song: Song, tmp_path: Path, separator: Separator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried once when its process is taken for gone; an address may still refuse."""
    monkeypatch.setattr(pipeline, "STALLED_SECONDS", 0.1)
    tried = list[int | None]()

    def refuse(_job: Job, _tell: object, stale: int | None = None) -> Claim:
        tried.append(stale)
        raise BusyError("there", 7)

    monkeypatch.setattr(commit, "hold", refuse)
    (outcome,) = outcomes(planned([song("a.wav")], options(tmp_path)), lambda: separator)
    assert "a.wav, and showed no life" in outcome.error
    assert set(tried) == {None, 7}


def test_a_process_that_lives_is_waited_for(
    song: Song, tmp_path: Path, separator: Separator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "STALLED_SECONDS", 0.6)
    jobs = planned([song("a.wav")], options(tmp_path))
    held, looks = hold(jobs[0]), 0

    def wait(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks < 8:
            heartbeat.beat()
        else:
            held.release()
        time.sleep(seconds / 2)

    monkeypatch.setattr(pipeline, "sleep", wait)
    (outcome,) = outcomes(jobs, lambda: separator)
    assert (outcome.error, looks) == ("", 8)


@pytest.mark.parametrize("removed", ["hidden", "out", "song"])
def test_what_is_removed_in_mid_run_is_one_song_s_failure(
    song: Song, tmp_path: Path, separator: Separator, removed: str
) -> None:
    songs = [song("a.wav", frames=60_000), song("b.wav"), song("c.wav")]
    done: list[str] = []

    def progress(job: Job, seconds: float, _total: float) -> None:
        if job.path.name == "a.wav" and seconds > 0 and not done:
            done.append("removed")
            if removed == "song":
                songs[0].unlink()
            for path in tmp_path.glob("out" if removed == "out" else "out/.stemsplit-*"):
                shutil.rmtree(path, ignore_errors=True)  # the next song's folder may be made just now

    jobs = planned(songs, options(tmp_path))
    reported = outcomes(jobs, lambda: separator, progress)
    # The next song's folder may be removed while it is made; then that song comes last.
    errors = {outcome.job.path.name: outcome.error for outcome in reported}
    assert len(reported) == len(errors) == 3
    assert errors["a.wav"]
    assert errors["c.wav"] == ""
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert "c" in left
    assert not any(name.startswith(".stemsplit-") for name in left)


def test_what_was_put_in_a_stem_s_place_meanwhile_stays(song: Song, tmp_path: Path, separator: Separator) -> None:
    def progress(_job: Job, seconds: float, _total: float) -> None:
        if seconds:
            (tmp_path / "out/a").mkdir(exist_ok=True)
            (tmp_path / "out/a/vocals.wav").write_bytes(b"mine")

    jobs = planned([song("a.wav")], options(tmp_path))
    (outcome,) = outcomes(jobs, lambda: separator, progress)
    assert "vocals.wav is already there, and not as stemsplit left it" in outcome.error
    assert files(tmp_path / "out") == {"a/vocals.wav": b"mine"}


def test_a_song_is_given_up_while_it_is_read(song: Song, tmp_path: Path) -> None:
    """An interrupt does not wait for the next song, which may be hours long, to be looked at."""
    (job,) = planned([song("a.wav")], options(tmp_path))
    course = preparing.Course(pytest.fail)
    course.ending.set()
    found = preparing.prepare(job, course)
    assert isinstance(found, Outcome)
    assert found.error == "the batch was ended"
    assert files(tmp_path / "out") == {}


def test_what_has_the_record_s_name_is_found_before_anything_is_done(
    song: Song, tmp_path: Path, separator: Separator
) -> None:
    (tmp_path / "out/a/stemsplit.json").mkdir(parents=True)
    (outcome,) = outcomes(planned([song("a.wav")], options(tmp_path, force=True)), lambda: separator)
    assert "stemsplit.json is already there, and is not a file" in outcome.error
    assert [path.name for path in (tmp_path / "out/a").iterdir()] == ["stemsplit.json"]
