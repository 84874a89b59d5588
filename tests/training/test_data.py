"""What a run is trained on: the same examples for the same seed, mixed as they are said to be."""

import pickle
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from stemsplit.errors import AudioError
from stemsplit.evaluation.multitracks import song_folders
from stemsplit.evaluation.stem_mp4 import PLACES
from stemsplit.registry import ModelEntry
from stemsplit.training.data import Collection, Recording, collections_of, hold, read_song
from stemsplit.training.examples import Examples
from stemsplit.training.plan import AUGMENTATION_NAMES, Mixing
from tests.conftest import noise
from tests.training.conftest import RATE, TINY, gathered, put, tone

FOUR = replace(TINY, stems=("drums", "bass", "other", "vocals"))
VOCALS = replace(TINY, stems=("vocals",), mixture_consistency=False, residual="instrumental")
PLAIN = Mixing(100, gain=0, source_dropout=0, remix=1)


def examples(*collections: Collection, mixing: Mixing = PLAIN, seed: int = 0) -> Examples:
    """From memory."""
    hold(collections, 10**9)
    return Examples(collections, mixing, RATE, seed)


def recordings(folder: Path, entry: ModelEntry = TINY) -> list[Recording]:
    """Of the songs there, in order."""
    return [
        Recording(song, stem, entry.sample_rate) for song in song_folders(folder) for stem, path in song.stems.items()
    ]


@pytest.fixture
def ramps(tmp_path: Path) -> Path:
    """Two songs whose stems are alike, and unlike themselves at any other place."""
    for seed in range(2):
        samples = noise(3_000, seed=seed)
        put(tmp_path / "ramps" / f"song {seed}", low=samples, high=samples)
    return tmp_path / "ramps"


# Which example it is


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more processes than a small machine has cores
def test_the_number_and_the_seed_say_which_example_it_is(album: Path) -> None:
    """In any order, read from disk or held in memory, in this process or in others."""
    mixing = Mixing(1_000, augmentations=AUGMENTATION_NAMES)
    from_disk = Examples([gathered(album)], mixing, RATE, 5)
    expected = [from_disk[index].sources for index in range(12)]
    assert all(torch.equal(from_disk[index].sources, expected[index]) for index in reversed(range(12)))
    in_memory = examples(gathered(album), mixing=mixing, seed=5)
    assert all(torch.equal(in_memory[index].sources, expected[index]) for index in range(12))
    batches = DataLoader(in_memory, batch_sampler=[[0, 1], [2, 3], [4, 5]], num_workers=2)
    assert torch.equal(torch.cat([batch.sources for batch in batches]), torch.stack(expected[:6]))


def test_another_number_or_seed_is_another_example(album: Path) -> None:
    one, other = (examples(gathered(album), mixing=Mixing(1_000), seed=seed) for seed in (0, 1))
    found = [made[index].sources for made in (one, other) for index in range(10)]
    assert not any(torch.equal(found[a], found[b]) for a in range(20) for b in range(a) if found[a].any())


def test_examples_can_be_sent_to_a_process_that_knows_nothing(album: Path) -> None:
    """As on systems that cannot fork."""
    made = examples(gathered(album))
    assert torch.equal(pickle.loads(pickle.dumps(made))[3].sources, made[3].sources)


def test_memory_is_not_taken_beyond_what_is_allowed(album: Path) -> None:
    collection = gathered(album)
    bytes_needed = 3 * 2 * 8 * RATE
    assert not hold([collection], bytes_needed - 1)
    assert all(recording.held is None for recording in collection.recordings)
    assert hold([collection, collection], bytes_needed)
    assert all(recording.held is not None for recording in collection.recordings)


# What it is made of


def test_each_example_has_the_length_asked_for_and_a_source_an_output(album: Path) -> None:
    made = examples(gathered(album), mixing=Mixing(1_234, augmentations=AUGMENTATION_NAMES))
    assert all(
        made[index].sources.shape == (2, 2, 1_234) and made[index].sources.isfinite().all() for index in range(20)
    )


def test_an_example_longer_than_its_songs_ends_in_silence(album: Path) -> None:
    for index in range(4):
        example = examples(gathered(album), mixing=replace(PLAIN, length=9_000))[index].sources
        assert example[..., :8_000].any()
        assert not example[..., 8_000:].any()


@pytest.mark.parametrize("remix", [0.0, 0.5, 1.0])
def test_so_many_examples_are_of_different_songs_or_places(ramps: Path, remix: float) -> None:
    made = examples(gathered(ramps), mixing=replace(PLAIN, remix=remix))
    apart = sum(not torch.equal(*made[index].sources) for index in range(400))
    assert abs(apart - 400 * remix) < (40 if 0 < remix < 1 else 1)


@pytest.mark.parametrize(("remix", "expected"), [(0.0, 0), (1.0, 120)])
def test_so_many_sources_of_remixes_are_two_at_once(tmp_path: Path, remix: float, expected: int) -> None:
    put(tmp_path / "ones" / "song", low=np.full((3_000, 2), 0.25), high=np.full((3_000, 2), 0.25))
    made = examples(gathered(tmp_path / "ones"), mixing=replace(PLAIN, remix=remix, mixup=0.3))
    heights = torch.stack([made[index].sources for index in range(200)]).amax((2, 3))
    assert set(heights.flatten().tolist()) <= {0.25, 0.5}
    assert abs(int((heights == 0.5).sum()) - expected) <= (30 if expected else 0)


def test_so_many_sources_are_left_out(ramps: Path) -> None:
    made = examples(gathered(ramps), mixing=replace(PLAIN, source_dropout=0.1))
    silent = torch.stack([made[index].sources for index in range(1_000)]).flatten(2).abs().amax(-1) == 0
    assert 160 < int(silent.sum()) < 240
    # One source's silence is no other's: of both there is as much as chance has it.
    assert int(silent.all(1).sum()) < 30


def test_each_source_is_made_louder_or_softer_by_itself(ramps: Path) -> None:
    made = examples(gathered(ramps), mixing=replace(PLAIN, gain=3.0, remix=0))
    ratios = [
        float(20 * (low.norm() / high.norm()).log10()) for low, high in (made[index].sources for index in range(300))
    ]
    assert -6 <= min(ratios) < -4
    assert 4 < max(ratios) <= 6


def test_sources_are_taken_from_where_they_are_heard(tmp_path: Path) -> None:
    """The last third is 60 dB softer."""
    for seed in range(2):
        stems = {stem: noise(6_000, seed=seed + 10 * n) for n, stem in enumerate(("low", "high"))}
        for samples in stems.values():
            samples[4_000:] *= 1e-3
        put(tmp_path / "data" / f"{seed}", **stems)
    for remix in (0.0, 1.0):
        made = examples(gathered(tmp_path / "data"), mixing=replace(PLAIN, remix=remix))
        assert all(made[index].sources.square().mean() > 1e-5 for index in range(200))


def test_what_is_nowhere_louder_is_taken_as_it_is(tmp_path: Path) -> None:
    put(tmp_path / "data" / "song", low=0.02 * noise(3_000), high=0.02 * noise(3_000, seed=1))
    made = examples(gathered(tmp_path / "data"), mixing=replace(PLAIN, loudness=0.0))
    assert made[0].sources.any()


@pytest.mark.parametrize("ways", [(name,) for name in AUGMENTATION_NAMES])
def test_ways_to_vary_are_used_where_they_are_asked_for(album: Path, ways: tuple[str, ...]) -> None:
    plain = examples(gathered(album), mixing=PLAIN)
    varied = examples(gathered(album), mixing=replace(PLAIN, augmentations=ways))
    pairs = [(plain[index], varied[index]) for index in range(60)]
    assert any(not torch.equal(one.mixture, other.mixture) for one, other in pairs)


def test_sources_add_up_to_the_mixture_unless_that_is_coded(album: Path) -> None:
    for augmentations in (AUGMENTATION_NAMES[:-1], AUGMENTATION_NAMES):
        made = examples(gathered(album), mixing=Mixing(1_000, augmentations=augmentations))
        apart = [not torch.allclose(made[index].sources.sum(0), made[index].mixture, atol=1e-5) for index in range(60)]
        assert any(apart) == ("codec" in augmentations)


def test_remixed_stems_have_the_levels_of_a_song(tmp_path: Path) -> None:
    """Both stems of one song, however loud the recordings that are mixed."""
    for number, (low, high) in enumerate([(0.4, 0.2), (0.1, 0.05)]):
        levels = {"low": low, "high": high}
        put(tmp_path / "songs" / f"{number}", **{stem: np.full((9_000, 2), level) for stem, level in levels.items()})
    put(tmp_path / "solo" / "loud", low=np.full((9_000, 2), 0.9))
    made = examples(
        gathered(tmp_path / "songs"), gathered(tmp_path / "solo"), mixing=replace(PLAIN, augmentations=("levels",))
    )
    pairs = [made[index].sources[:, 0, 0] for index in range(40)]
    assert all(float(low / high) == pytest.approx(2, rel=1e-2) for low, high in pairs)
    assert {round(float(low), 1) for low, _ in pairs} == {0.1, 0.4}


def test_the_power_of_a_recording_is_that_of_where_it_is_heard(tmp_path: Path) -> None:
    samples = np.full((2 * RATE, 2), 0.5, np.float32)
    samples[: RATE + RATE // 2] *= 0.01
    put(tmp_path / "data" / "song", low=samples, high=np.zeros((0, 2), np.float32))
    high, low = recordings(tmp_path / "data")
    assert low.power == pytest.approx(0.25, rel=1e-3)
    assert high.power == 0


def test_a_folder_that_is_named_twice_is_drawn_from_twice_as_often(tmp_path: Path) -> None:
    for name, level in (("many", 0.2), ("few", 0.4)):
        for song in range(5 if name == "many" else 1):
            steady = np.full((500, 2), level, np.float32)
            put(tmp_path / name / f"{song}", low=steady, high=steady)
    many, few = gathered(tmp_path / "many"), gathered(tmp_path / "few")
    for collections, share in (((many, few), 1 / 2), ((many, few, few), 2 / 3)):
        for remix in (0.0, 1.0):
            made = examples(*collections, mixing=replace(PLAIN, remix=remix))
            levels = torch.stack([made[index].sources[:, 0, 0] for index in range(600)])
            assert abs(float((levels > 0.3).float().mean()) - share) < 0.06


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"augmentations": ("swap", "wah")}, "no augmentation 'wah'; there are swap, polarity, equalise, speed"),
        ({"source_dropout": 1.1}, "source_dropout, remix and mixup must be between 0 and 1"),
        ({"remix": -0.1}, "source_dropout, remix and mixup must be between 0 and 1"),
        ({"remix": float("nan")}, "source_dropout, remix and mixup must be between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixing(100, **wrong)  # type: ignore[arg-type]


def test_examples_are_those_of_earlier_versions(ramps: Path) -> None:
    """So that a run that one of these began goes on as it would have."""
    mixing = Mixing(100, source_dropout=0.1, remix=0.5, mixup=0.2, augmentations=("swap", "polarity"))
    made = examples(gathered(ramps), mixing=mixing, seed=7)
    firsts = torch.stack([made[index].sources[:, 0, 0] for index in range(6)])
    lows = [-0.088737, -0.112234, 0.106884, -0.160788, 0.295789, -0.064166]
    highs = [-0.00952, 0.062618, -0.143063, 0.00503, -0.01001, 0.018351]
    assert torch.allclose(firsts, torch.tensor([lows, highs]).T, atol=1e-6)


# Which stems there are


def stems_of(sources: Sequence[Sequence[Recording]]) -> list[list[str]]:
    return [sorted(recording.stem for recording in source) for source in sources]


def test_a_stem_without_a_file_is_not_in_the_song(tmp_path: Path) -> None:
    """So it is silent there, and everything else is pure."""
    put(tmp_path / "data" / "song", drums=noise(2_000), other=noise(2_000, seed=1), vocals=noise(2_000, seed=2))
    collection = gathered(tmp_path / "data", FOUR)
    assert [len(part) for part in collection.songs[0].parts] == [1, 0, 1, 1]
    assert [len(sources) for sources in collection.sources] == [1, 0, 1, 1]
    for remix in (0.0, 1.0):
        example = examples(collection, mixing=replace(PLAIN, remix=remix))[0].sources
        assert example.flatten(1).any(1).tolist() == [True, False, True, True]


def test_a_silent_file_may_be_inside_another(tmp_path: Path) -> None:
    """Such a song gives neither an aligned example nor anything for the rest, but its other stems."""
    stems = {stem: noise(2_000, seed=seed) for seed, stem in enumerate(FOUR.stems)}
    put(tmp_path / "data" / "mixed", **{**stems, "bass": np.zeros((2_000, 2), np.float32)})
    put(tmp_path / "data" / "whole", **stems)
    collection = gathered(tmp_path / "data", FOUR)
    assert [song.parts[0][0].song.name for song in collection.songs] == ["whole"]
    assert [len(sources) for sources in collection.sources] == [2, 1, 1, 2]


def test_stems_in_one_file_are_known_as_their_sum(tmp_path: Path) -> None:
    """The song is used as a whole; on their own, only the stems that have a file each."""
    bass_and_other = noise(2_000, seed=1)
    put(tmp_path / "data" / "song", drums=noise(2_000), vocals=noise(2_000, seed=2), **{"bass+other": bass_and_other})
    collection = gathered(tmp_path / "data", FOUR)
    assert [len(sources) for sources in collection.sources] == [1, 0, 0, 1]
    made = examples(collection, mixing=replace(PLAIN, length=2_000, remix=0))[0]
    assert made.together.tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    # The file has 16 bits.
    assert torch.allclose(made.sources[1] + made.sources[2], torch.from_numpy(bass_and_other.T), atol=1e-4)
    remixed = examples(collection, mixing=PLAIN)[0]
    assert torch.equal(remixed.together, torch.eye(4, dtype=torch.bool))
    assert remixed.sources.flatten(1).any(1).tolist() == [True, False, False, True]


def test_a_stem_that_is_only_known_in_sums_is_asked_for(tmp_path: Path) -> None:
    stems = dict.fromkeys(("drums", "other", "bass+other", "vocals"), noise(2_000))
    put(tmp_path / "data" / "song", **stems)
    with pytest.raises(AudioError, match="no recording of bass by itself in"):
        collections_of([tmp_path / "data"], FOUR)


def test_files_that_share_a_stem_are_known_as_one_sum(tmp_path: Path) -> None:
    stems = {"bass+other": noise(2_000), "drums + bass": noise(2_000, seed=1), "piano": noise(2_000, seed=2)}
    put(tmp_path / "data" / "song", vocals=noise(2_000, seed=3), **stems)
    (song,) = gathered(tmp_path / "data", FOUR).songs
    assert song.together == [{0, 1, 2}]
    assert [song.knows(output) for output in range(4)] == [False, False, False, True]


def test_stems_in_one_file_that_one_output_collects_are_that_output(tmp_path: Path) -> None:
    put(tmp_path / "data" / "song", **{"piano+strings": noise(2_000), "bass+other": noise(2_000, seed=1)})
    (song,) = gathered(tmp_path / "data", replace(FOUR, stems=("other", "vocals"))).songs
    assert (stems_of(song.parts), song.together) == ([["bass+other", "piano+strings"], []], [])


def test_a_sum_is_a_part_of_the_mixture_that_gets_no_score(tmp_path: Path) -> None:
    put(tmp_path / "data" / "song", drums=noise(2_000), **{"bass+other": noise(1_500, seed=1)})
    (song,) = song_folders(tmp_path / "data")
    sources = read_song(song, FOUR)
    assert sources.flatten(1).any(1).tolist() == [True, False, False, False, True]


def test_single_sources_are_mixed_with_others_and_not_heard_alone(tmp_path: Path) -> None:
    put(tmp_path / "solo" / "song", low=np.full((500, 2), 0.5, np.float32))
    put(tmp_path / "both" / "song", **dict.fromkeys(("low", "high"), np.full((500, 2), 0.25, np.float32)))
    solo, both = gathered(tmp_path / "solo"), gathered(tmp_path / "both")
    for remix, share in ((0.0, 0.0), (1.0, 0.5)):
        made = examples(solo, both, mixing=replace(PLAIN, remix=remix))
        heights = torch.stack([made[index].sources[:, 0, 0] for index in range(200)])
        assert (heights[:, 1] == 0.25).all()
        assert abs(float((heights[:, 0] == 0.5).float().mean()) - share) < 0.1


@pytest.mark.parametrize("quiet", [1e-4, 1e-9])
def test_what_nobody_hears_is_silence(tmp_path: Path, quiet: float) -> None:
    put(tmp_path / "data" / "song", low=quiet * noise(2_000), high=noise(2_000))
    assert [recording.silent for recording in recordings(tmp_path / "data")] == [False, True]


def test_a_file_without_samples_is_silence(tmp_path: Path) -> None:
    put(tmp_path / "data" / "song", low=np.zeros((0, 2), np.float32), high=noise(2_000))
    assert gathered(tmp_path / "data").songs == []


def test_silence_at_the_beginning_is_no_silent_file(tmp_path: Path) -> None:
    late = np.concatenate([np.zeros((85_000, 2), np.float32), noise(1_000)])
    put(tmp_path / "data" / "song", low=late, high=noise(2_000))
    assert not any(recording.silent for recording in recordings(tmp_path / "data"))


def test_stems_that_no_output_is_named_after_go_into_the_rest(tmp_path: Path) -> None:
    put(tmp_path / "data" / "song", **{s: noise(2_000) for s in ("drums", "bass", "piano", "strings", "vocals")})
    four = gathered(tmp_path / "data", FOUR)
    assert [stems_of(sources) for sources in four.sources] == [
        [["drums"]],
        [["bass"]],
        [["piano", "strings"]],
        [["vocals"]],
    ]
    vocals = gathered(tmp_path / "data", VOCALS)
    assert [stems_of(sources) for sources in vocals.sources] == [[["vocals"]], [["bass", "drums", "piano", "strings"]]]
    (song,) = song_folders(tmp_path / "data")
    sources = read_song(song, VOCALS)
    assert torch.allclose(sources[1], 4 * sources[0])


def test_a_model_without_a_rest_has_no_place_for_other_stems(tmp_path: Path) -> None:
    put(tmp_path / "data" / "song", low=noise(2_000), piano=noise(2_000))
    with pytest.raises(AudioError, match=r"piano\.wav is of a stem that tiny has no place for$"):
        gathered(tmp_path / "data")


def test_a_song_is_read_in_the_order_of_the_outputs(tmp_path: Path) -> None:
    """What it lacks is silent, what is shorter ends in silence."""
    put(tmp_path / "data" / "song", vocals=noise(2_000), drums=noise(1_500, seed=1))
    (song,) = song_folders(tmp_path / "data")
    sources = read_song(song, FOUR)
    assert sources.shape == (4, 2, 2_000)
    assert sources.flatten(1).any(1).tolist() == [True, False, False, True]
    assert not sources[0, :, 1_500:].any()


def test_a_stem_that_ends_before_the_others_is_silent_there_at_any_speed(tmp_path: Path) -> None:
    put(tmp_path / "data" / "song", low=noise(500), high=noise(8_000))
    mixing = replace(PLAIN, remix=0, augmentations=("speed",))
    made = examples(gathered(tmp_path / "data"), mixing=mixing)
    assert any(not made[index].sources[0].any() and made[index].sources[1].any() for index in range(40))


# How they are read


@pytest.mark.parametrize("rate", [RATE, 48_000, 44_100, 11_025, 7_999])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_any_recording_comes_in_stereo_at_the_networks_rate(tmp_path: Path, rate: int, channels: int) -> None:
    samples = np.concatenate([tone(440, rate, rate, 1), *[tone(600, rate, rate, 1)] * (channels - 1)], 1)
    put(tmp_path / "data" / "song", rate=rate, low=samples)
    (recording,) = recordings(tmp_path / "data")
    whole = recording.read()
    assert whole.shape == (2, recording.length)
    assert recording.length == RATE
    peaks = torch.fft.rfft(whole).abs().argmax(-1)
    assert peaks.tolist() == [440, 440 if channels == 1 else 600]


@pytest.mark.parametrize(("rate", "tolerance"), [(RATE, 0.0), (48_000, 1e-6), (44_100, 1e-6), (11_025, 1e-6)])
def test_a_part_is_the_same_as_in_the_whole(tmp_path: Path, rate: int, tolerance: float) -> None:
    """Read from disk or held in memory, beginning or ending anywhere."""
    put(tmp_path / "data" / "song", rate=rate, low=noise(2 * rate))
    (recording,) = recordings(tmp_path / "data")
    length = recording.length
    parts = [(0, 100), (1, 100), (777, 5_000), (9_001, 123), (length - 50, 100), (length, 10), (length + 99, 10)]
    from_disk = [recording.read(*part) for part in parts]
    recording.hold()
    assert recording.length == length
    for part, found in zip(parts, from_disk, strict=True):
        held = recording.read(*part)
        assert held.shape == found.shape == (2, max(min(part[1], length - part[0]), 0))
        assert torch.allclose(held, found, rtol=0, atol=tolerance)


def test_files_that_do_not_say_how_long_they_are_are_counted(tmp_path: Path) -> None:
    put(tmp_path / "data" / "song", rate=16_000, suffix="mp3", low=noise(16_000))
    (recording,) = recordings(tmp_path / "data")
    assert abs(recording.length - RATE) < 0.2 * RATE
    assert recording.read().shape == (2, recording.length)
    assert torch.equal(recording.read(4_000, 100), recording.read()[:, 4_000:4_100])


def test_a_stem_mp4_is_a_song_to_train_on(tmp_path: Path, ffmpeg: Path) -> None:
    inputs, maps = [], []
    for number in range(len(PLACES)):
        inputs += ["-f", "lavfi", "-i", f"sine={500 * (number + 1)}:duration=1:sample_rate={RATE}"]
        maps += ["-map", str(number)]
    file = tmp_path / "A - B.stem.mp4"
    subprocess.run([ffmpeg, "-loglevel", "error", *inputs, *maps, file], check=True)
    example = examples(gathered(tmp_path, FOUR), mixing=replace(PLAIN, length=4_000))[0].sources
    pitches = torch.fft.rfft(example[:, 0]).abs().argmax(-1) * RATE / 4_000
    assert pitches.tolist() == [500 * (PLACES.index(stem) + 1) for stem in FOUR.stems]


def broken(folder: Path, suffix: str) -> Path:
    """A stem of thirty seconds, of which the last are missing."""
    put(folder / "song", low=tone(300, 30 * RATE), high=tone(900, 30 * RATE), suffix=suffix)
    path = folder / "song" / f"high.{suffix}"
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 4])
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("memory", [0, 10**9])
def test_a_file_that_is_cut_off_is_known_before_the_work(tmp_path: Path, suffix: str, memory: int) -> None:
    path = broken(tmp_path / "data", suffix)
    with pytest.raises(AudioError, match=f"^cannot read {path} \\("):
        hold([gathered(tmp_path / "data")], memory)


def test_a_file_that_is_no_audio_is_told_by_name(tmp_path: Path) -> None:
    folder = put(tmp_path / "data" / "song", low=noise(100))
    (folder / "high.wav").write_text("no audio")
    with pytest.raises(AudioError, match=r"cannot read .*song/high\.wav"):
        gathered(tmp_path / "data")


def test_a_number_that_is_none_is_told_by_name(tmp_path: Path) -> None:
    folder = put(tmp_path / "data" / "song", low=noise(100))
    soundfile.write(folder / "high.wav", np.full((100, 2), np.nan, np.float32), RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"cannot read .*song/high\.wav \(a sample at 0\.000 s is not a number"):
        gathered(tmp_path / "data")


def test_examples_add_up_to_a_mixture_in_stereo(tmp_path: Path) -> None:
    """Sides stay sides: nothing is summed to mono on the way."""
    left = np.stack([noise(2_000, 1)[:, 0], np.zeros(2_000, np.float32)], 1)
    put(tmp_path / "data" / "song", low=left, high=left[:, ::-1])
    example: Tensor = examples(gathered(tmp_path / "data"))[0].sources
    assert example.flatten(0, 1).any(1).tolist() == [True, False, False, True]
