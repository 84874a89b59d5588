"""One file with a song and its stems: what goes into it, its name, its record, and runs that were killed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stemsplit import Separator
from stemsplit.audio import Format, Reader, Writer
from stemsplit.audio.tags import Tags, read_all
from stemsplit.evaluation.multitracks import song_folders
from stemsplit.songs import plan
from stemsplit.songs.find import Search, find
from stemsplit.songs.found import Found
from stemsplit.songs.job import Job, Options
from stemsplit.songs.naming import Template
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.whole import check_choices, remarks, whole_outputs
from tests.conftest import noise, snapshot
from tests.songs.test_commit import killed, record, resumed
from tests.songs.test_pipeline import outcomes, starter
from tests.songs.test_plan import STARTER

Song = Callable[..., Path]
STEM_MP4, FOUR = Format("stem.mp4"), ("drums", "bass", "other", "vocals")
ART = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20


def chosen(folder: Path, bits: str | None = None) -> Options:
    form = Format("stem.mp4", bits)
    outputs = whole_outputs(form, STARTER.outputs, {}, True)
    return Options(folder / "out", outputs, STARTER.identity("digest"), adds_up=True, format=form)


def planned(songs: list[Path], options: Options, template: str = "{track}/{stem}") -> list[Job]:
    return plan.plan([Found(song) for song in songs], options, Template(template, needs_stem=False), "starter")


def ran(songs: list[Path], options: Options, template: str = "{track}/{stem}") -> list[Outcome]:
    def load() -> Separator:
        return starter()

    return outcomes(planned(songs, options, template), load)


def sums_of(stems: tuple[str, ...], sums: dict[str, tuple[str, ...]], adds_up: bool) -> dict[str, list[str]]:
    """What each track but the song is the sum of."""
    song, *others = whole_outputs(STEM_MP4, stems, sums, adds_up)
    assert (song.name, song.gains[0], any(song.gains[1:])) == ("mixture", 1, False)
    return {each.name: [stem for stem, gain in zip(stems, each.gains[1:], strict=True) if gain] for each in others}


@pytest.mark.parametrize("adds_up", [True, False])
@pytest.mark.parametrize(
    ("stems", "sums", "other"),
    [
        (("vocals", "other", "bass", "drums"), {}, ["other"]),
        (("Drums", "Bass", "Other", "Vocals"), {}, ["Other"]),
        ((*FOUR, "guitar", "piano"), {}, ["other", "guitar", "piano"]),
        (("drums", "bass", "vocals", "guitar", "piano"), {}, ["guitar", "piano"]),
        (
            ("drums", "bass", "other", "vocals-dry", "vocals-reverb"),
            {"vocals": ("vocals-dry", "vocals-reverb")},
            ["other"],
        ),
    ],
)
def test_the_tracks_are_the_song_and_the_four_stems(
    stems: tuple[str, ...], sums: dict[str, tuple[str, ...]], other: list[str], adds_up: bool
) -> None:
    found = sums_of(stems, sums, adds_up)
    assert list(found) == list(FOUR)
    assert found["other"] == other
    assert sorted(stem for each in found.values() for stem in each) == sorted(stems)


def test_what_is_left_of_a_song_is_part_of_other_and_that_is_said() -> None:
    stems = ("drums", "bass", "vocals", "strings", "other")
    outputs = whole_outputs(STEM_MP4, stems, {}, True)
    assert remarks(STEM_MP4, outputs, stems, {}) == ["stem.mp4 has four stems: strings become part of other"]
    with pytest.raises(
        ValueError, match="needs drums, bass, other and vocals; this model has drums, bass, vocals, str"
    ):
        whole_outputs(STEM_MP4, stems, {}, False)
    (told,) = remarks(Format("stem.mp4", "24"), whole_outputs(STEM_MP4, FOUR, {}, True), FOUR, {})
    assert "Traktor on Windows does not load Apple Lossless" in told


@pytest.mark.parametrize("stems", [("vocals", "instrumental"), ("drums", "bass", "vocals"), ("vocals",)])
def test_models_of_other_stems_are_refused(stems: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"this model has {', '.join(stems)}; see stemsplit list --stems drums,bass"):
        whole_outputs(STEM_MP4, stems, {}, True)


def test_options_that_such_a_file_cannot_have_are_refused() -> None:
    check_choices(STEM_MP4, stems=None, mix=[], drop_silent=False)
    with pytest.raises(ValueError, match="its four stems; leave out --two-stems and --drop-silent, or choose another"):
        check_choices(STEM_MP4, two_stems="vocals", drop_silent=True, stems=None)


@pytest.mark.usefixtures("ffmpeg")
def test_a_song_becomes_one_file_that_is_evaluated_and_not_split_again(tmp_path: Path) -> None:
    """Lossless, so that the tracks can be compared: the first is the song, and the sum of the others too."""
    path, samples = tmp_path / "a.flac", noise(20_001).T
    told = {"title": ("Song",), "artist": ("A", "B")}
    writer = Writer(path, Format("flac", "16"), 44_100, 2, samples.shape[1], told, picture=ART)
    samples = writer.write(samples)
    writer.close()
    options = chosen(tmp_path, "24")
    (outcome,) = ran([path], options)
    (made,) = outcome.paths
    assert (outcome.error, made) == ("", tmp_path / "out/a/a.stem.mp4")
    assert sorted(snapshot(tmp_path / "out")) == ["a", "a/a.stem.mp4", "a/stemsplit.json"]
    assert read_all(made) == Tags(told, ART)
    tracks = []
    for number in range(1, 6):
        with Reader(made, track=str(number)) as reader:
            tracks.append(np.concatenate(list(reader), 1))
    assert np.abs(tracks[0] - samples).max() < 2**-22
    assert np.abs(sum(tracks[1:]) - samples).max() < 2**-20
    assert outcome.record is not None
    assert list(outcome.record.stems) == ["mixture", *FOUR]
    assert outcome.record.figures["sum_error"] < -100
    assert outcome.record.files == {"a.stem.mp4": made.stat().st_size}
    (song,) = song_folders(tmp_path / "out")
    assert (song.tracks["vocals"], song.mixture) == ("5", made)
    assert ran([path], options)[0].skipped
    first = made.read_bytes()
    assert not ran([path], replace(options, force=True))[0].skipped
    assert made.read_bytes() == first
    made.write_bytes(b"edited")
    assert "not as stemsplit left it" in ran([path], options)[0].error
    assert made.read_bytes() == b"edited"


@pytest.mark.usefixtures("ffmpeg")
def test_figures_are_those_of_the_file(song: Song, tmp_path: Path) -> None:
    path = song("a.wav", frames=9_601, channels=1, rate=96_000)
    (job,) = planned([path], chosen(tmp_path))
    told = "stem.mp4 is resampled from 96000 to 48000 Hz and made stereo from mono"
    assert (job.conversion, job.size) == (told, 5 * 2 * 4_801)
    (outcome,) = ran([path], chosen(tmp_path))
    assert outcome.notes == (told,)
    assert outcome.record is not None
    figures = outcome.record.figures
    assert [figures[name] for name in ("sample_rate", "channels", "frames")] == [48_000, 2, 4_801]
    assert figures["duration"] == pytest.approx(0.1, abs=1e-3)
    shares = {name: facts["energy_share"] for name, facts in outcome.record.stems.items()}
    assert shares["mixture"] == pytest.approx(0.5, rel=0.1), "half of the noise lies above 24 kHz"


@pytest.mark.usefixtures("ffmpeg")
def test_stem_files_of_many_songs_may_lie_in_one_folder_and_are_not_songs(
    song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    songs = [song("a.wav", frames=3_000), song("b.wav", frames=3_000), song("stemsplit.wav", frames=3_000)]
    made = [each.paths[0].name for each in ran(songs, chosen(Path()), "{track}")]
    assert made == ["a.stem.mp4", "b.stem.mp4", "stemsplit.stem.mp4"]
    (tmp_path / "out/c.stem.mp4").write_bytes((tmp_path / "out/a.stem.mp4").read_bytes())
    assert find(["out"], Path("nowhere")) == Search((Found(Path("out/c.stem.mp4")),), 0, stems=3)
    assert all(each.skipped for each in ran(songs, chosen(Path()), "{track}"))


@pytest.mark.usefixtures("ffmpeg")
def test_songs_of_one_name_and_of_long_names_have_files_of_their_own(song: Song, tmp_path: Path) -> None:
    songs = [song("a.wav"), song("a.flac"), song(f"{'x' * 240}.wav")]
    jobs = planned(songs, chosen(tmp_path))
    names = [job.targets["drums"].name for job in jobs]
    assert names[:2] == ["a.wav.stem.mp4", "a.flac.stem.mp4"]
    assert [job.problem for job in jobs] == ["", "", ""]
    assert len(names[2]) <= 255
    both = planned([songs[0], song("b.wav")], chosen(tmp_path), "{stem}")
    assert all(job.problem.endswith('tell them apart, with --name "{track}"') for job in both)


@pytest.mark.usefixtures("ffmpeg")
def test_a_finished_file_of_a_killed_run_is_moved_to_its_name(song: Song, tmp_path: Path) -> None:
    (job,) = planned([song("a.wav")], chosen(tmp_path))
    made = record(job)
    hidden = killed(replace(job, options=replace(job.options, outputs=job.options.outputs[:1])), made)
    assert sorted(json.loads((hidden / "files.json").read_text()))[-1] == "song.stem.mp4"
    assert resumed(job) == []
    assert snapshot(tmp_path / "out/a") == {"a.stem.mp4": b"stem", "stemsplit.json": made.text().encode()}


@pytest.mark.usefixtures("ffmpeg")
def test_a_record_of_a_stranger_moves_nothing_elsewhere(song: Song, tmp_path: Path) -> None:
    """Each stem has to be in the one file, also those after the first."""
    (job,) = planned([song("a.wav")], chosen(tmp_path))
    made = record(job)
    stems = {**made.stems, "vocals": {**made.stems["vocals"], "file": "../b.stem.mp4"}}
    killed(replace(job, options=replace(job.options, outputs=job.options.outputs[:1])), replace(made, stems=stems))
    (told,) = resumed(job)
    assert "its vocals belongs in another place" in told
    assert not (tmp_path / "out/a").exists()
