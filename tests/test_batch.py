"""Plans and runs of a batch; what the command makes of them is in tests/cli."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stemsplit import Separator, WeightsError, batch, recipes, registry, sidecar
from stemsplit.batch import Outcome
from stemsplit.claim import Claim
from stemsplit.errors import StemsplitError
from stemsplit.job import Job, Options
from stemsplit.naming import Template
from stemsplit.songs import Found
from stemsplit.stem_files import claim
from tests.conftest import noise

Song = Callable[..., Path]
STARTER = registry.find("starter").with_chunks(0.2)


@pytest.fixture(scope="module")
def separator() -> Separator:
    return Separator(STARTER, "cpu")


def options(folder: Path, stems: str = "drums,vocals", mixes: tuple[str, ...] = (), **changes: Any) -> Options:
    outputs = recipes.chosen(STARTER.outputs, stems.split(","), mixes)
    return Options(folder / "out", outputs, STARTER.identity("digest"), adds_up=True, **changes)


def planned(songs: list[Path], chosen: Options, template: str = "{track}/{stem}") -> list[Job]:
    return batch.plan([Found(path) for path in songs], chosen, Template(template), "starter")


def ignore(_job: Job, _done: float, _total: float) -> None:
    pass


def ran(songs: list[Path], chosen: Options, separator: Separator) -> list[Outcome]:
    return list(batch.run(planned(songs, chosen), lambda: separator, ignore))


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, by its path from there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_plan_says_what_goes_where_and_how_large_it_is(song: Song, tmp_path: Path) -> None:
    (job,) = planned([song("a.flac", frames=1_000)], options(tmp_path, format="flac", bit_depth="16"))
    assert job.targets["drums"] == tmp_path / "out" / "a" / "drums.flac"
    assert (job.problem, job.size, job.done) == ("", 1_000 * 2 * 2 * 2, False)


def test_a_plan_touches_nothing(song: Song, tmp_path: Path) -> None:
    path = song("a.wav")
    planned([path, tmp_path / "missing.wav"], options(tmp_path))
    assert list(tmp_path.iterdir()) == [path]


def test_the_tree_is_kept_and_names_follow_the_template(song: Song, tmp_path: Path) -> None:
    found = Found(song("a.wav"), Path("album/cd 1"))
    (job,) = batch.plan([found], options(tmp_path), Template("{stem}/{model} {track}"), "starter")
    assert job.targets["drums"] == tmp_path / "out/album/cd 1/drums/starter a.wav"
    assert job.record == tmp_path / "out/album/cd 1/stemsplit/starter a.json"


def test_songs_for_the_same_files_are_both_refused_and_the_others_are_not(song: Song, tmp_path: Path) -> None:
    jobs = planned([song("a.wav"), song("b.wav"), song("A.flac")], options(tmp_path))
    assert [("same files" in job.problem, bool(job.problem)) for job in jobs] == [
        (True, True),
        (False, False),
        (True, True),
    ]
    apart = planned([tmp_path / "a.wav", tmp_path / "A.flac"], options(tmp_path), "{track}.{ext}/{stem}")
    assert not any(job.problem for job in apart)


def test_the_model_is_not_loaded_for_songs_that_cannot_be_split(song: Song, tmp_path: Path) -> None:
    """Not even for one whose fault shows only when it is decoded to its end."""
    whole = song("a.flac", frames=300_000)
    half = tmp_path / "half.flac"
    half.write_bytes(whole.read_bytes()[:100_000])

    def load() -> Separator:
        pytest.fail("the model was loaded")

    jobs = planned([half, tmp_path / "missing.flac"], options(tmp_path))
    assert [bool(outcome.error) for outcome in batch.run(jobs, load, ignore)] == [True, True]
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_loaded_ends_the_batch_and_leaves_nothing(song: Song, tmp_path: Path) -> None:
    def load() -> Separator:
        raise WeightsError("gone")

    jobs = planned([song("a.wav"), song("b.wav")], options(tmp_path))
    with pytest.raises(WeightsError, match="gone"):
        list(batch.run(jobs, load, ignore))
    assert not (tmp_path / "out").exists()


def test_progress_ends_at_the_songs_end(song: Song, tmp_path: Path, separator: Separator) -> None:
    seen: list[tuple[float, float]] = []
    jobs = planned([song("a.wav", frames=44_100)], options(tmp_path))
    list(batch.run(jobs, lambda: separator, lambda _, done, total: seen.append((done, total))))
    assert seen[0] == (0, 1)
    assert seen[-1] == (1, 1)
    assert seen == sorted(seen)


def test_outcomes_come_in_the_order_of_the_songs(song: Song, tmp_path: Path, separator: Separator) -> None:
    songs = [song("a.wav"), tmp_path / "missing.wav", song("b.wav"), song("c.wav")]
    outcomes = ran(songs, options(tmp_path), separator)
    assert [outcome.job.path for outcome in outcomes] == songs
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, False, False]


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
        {"format": "flac"},
        {"bit_depth": "16"},
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

    (outcome,) = batch.run(planned(songs, options(tmp_path)), load, ignore)
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
    record = sidecar.read(tmp_path / "out/a/stemsplit.json")
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
    held = claim(job)
    job.targets["vocals"].replace(held.folder / "vocals.wav")
    job.record.replace(held.folder / "record.json")
    commit = {"record": "a/stemsplit.json", "files": {"drums.wav": "drums.wav", "vocals.wav": "vocals.wav"}}
    (held.folder / "commit.json").write_text(json.dumps(commit))
    forget(held)
    (outcome,) = ran(songs, options(tmp_path), separator)
    assert (outcome.error, outcome.skipped) == ("", True)
    assert files(tmp_path / "out") == undisturbed


def test_what_a_run_had_not_finished_when_it_was_killed_is_no_licence(
    song: Song, tmp_path: Path, separator: Separator
) -> None:
    """To write over what someone put in its place."""
    (job,) = planned([song("a.wav")], options(tmp_path))
    held = claim(job)
    (held.folder / "vocals.wav").write_bytes(b"half")
    forget(held)
    job.targets["vocals"].parent.mkdir()
    job.targets["vocals"].write_bytes(b"mine")
    (outcome,) = ran([tmp_path / "a.wav"], options(tmp_path), separator)
    assert "not as stemsplit left it" in outcome.error
    assert files(tmp_path / "out") == {"a/vocals.wav": b"mine"}


def forget(held: Claim) -> None:
    """Let go of a claim as a killed process does."""
    import os

    os.close(held._descriptor)


def test_a_song_that_another_process_works_on_comes_last(song: Song, tmp_path: Path, separator: Separator) -> None:
    songs = [song("a.wav"), song("b.wav")]
    jobs = planned(songs, options(tmp_path))
    held = claim(jobs[0])
    seen = []
    for outcome in batch.run(jobs, lambda: separator, ignore):
        seen.append(outcome.job.path.name)
        held.release()
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


def test_a_model_that_fails_at_one_song_does_not_stop_the_others(
    song: Song, tmp_path: Path, separator: Separator, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = [song("a.wav"), song("b.wav")]
    whole, calls = separator.stream, iter([True, False])

    def stream(*arguments: Any) -> Any:
        if next(calls):
            raise StemsplitError("starter gave NaN")
        return whole(*arguments)

    monkeypatch.setattr(separator, "stream", stream)
    outcomes = ran(songs, options(tmp_path), separator)
    assert [outcome.error for outcome in outcomes] == ["starter gave NaN", ""]
    assert sorted(files(tmp_path / "out")) == ["b/drums.wav", "b/stemsplit.json", "b/vocals.wav"]


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
    (outcome,) = ran([path], options(tmp_path, format="flac"), separator)
    with soundfile.SoundFile(outcome.paths[0]) as file:
        assert (file.title, file.artist) == ("Song (drums)", "Somebody")
