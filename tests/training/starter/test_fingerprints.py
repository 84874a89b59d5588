"""Passages that songs to train on have in common with songs to measure on: there must be none."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stemsplit.audio import resampled
from stemsplit.audio.lossy import as_if_coded
from stemsplit.training.starter import fingerprints, recipe
from stemsplit.training.starter.fingerprints import ENOUGH, SAMPLE_RATE, Index, index_of, landmarks, shared
from tests.conftest import DATA, SHARED, Samples
from tests.training.conftest import put
from tests.training.starter.test_material import audio as audio

RECORDED = ("musdb", "free", "bands", "electronic", "drummers", "guitars", "singers")
"""All songs, and the single sources that people played; machines played the others, from samples."""


def music(seconds: int, seed: int) -> Samples:
    """Random chords of decaying tones with noise on every beat, (t,)."""
    chance, time = np.random.default_rng(seed), np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    beats = []
    for _ in range(2 * seconds):
        pitches = 110 * 2 ** (chance.integers(0, 40, 4) / 12)
        tones = sum(np.sin(2 * np.pi * pitch * n * time) / n for pitch in pitches for n in range(1, 6))
        beats.append((tones + chance.normal(size=len(time)) * np.exp(-40 * time)) * np.exp(-3 * time))
    return (0.05 * np.concatenate(beats)).astype(np.float32)


@pytest.fixture(scope="module")
def lithium() -> Samples:
    """The song in `tests/data`, (t,)."""
    samples, rate = soundfile.read(DATA / "lithium.flac", dtype="float32", always_2d=True)
    return np.concatenate(list(resampled([samples.T], rate, SAMPLE_RATE)), 1).mean(0)


def planted(song: Samples) -> Samples:
    """Five seconds of a song: 1 % slower, softer, coded as MP3, and with other music that is half as loud."""
    excerpt = song[3 * SAMPLE_RATE : 8 * SAMPLE_RATE]
    slower = np.concatenate(list(resampled([excerpt[None]], 44_100, 44_541)), 1)
    coded = as_if_coded(0.3 * np.repeat(slower, 2, 0), SAMPLE_RATE, "mp3", 0.8)[0]
    other = music(6, 5)[: len(coded)]
    return coded + 0.5 * other * np.sqrt(np.mean(coded**2) / np.mean(other**2))


def test_a_copy_is_found_and_different_music_is_not(lithium: Samples) -> None:
    others = {f"music {seed}": landmarks(torch.from_numpy(music(8, seed))) for seed in range(4)}
    index = Index({**others, "lithium": landmarks(torch.from_numpy(lithium))})
    common = index.common(landmarks(torch.from_numpy(planted(lithium))))
    assert common[-1] >= ENOUGH
    assert common[:-1].max() < ENOUGH
    assert index.common(landmarks(torch.from_numpy(music(8, 9)))).max() < ENOUGH


def test_silence_and_a_moment_have_nothing_in_common_with_anything(lithium: Samples) -> None:
    index = Index({"lithium": landmarks(torch.from_numpy(lithium))})
    for samples in (torch.zeros(0), torch.zeros(30_000), torch.from_numpy(lithium[:3_000])):
        assert index.common(landmarks(samples)).tolist() <= [2]


def test_the_command_names_the_songs_and_the_recipe_does_not_train_on_them(
    audio: Path,
    tmp_path: Path,
    lithium: Samples,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put(tmp_path / "others" / "some song", SAMPLE_RATE, other=lithium[:, None])
    given = [str(audio), str(tmp_path / "others")]
    assert fingerprints.main(given) == 0
    put(audio / "musdb18-7s" / "band-a", SAMPLE_RATE, other=planted(lithium)[:, None])
    capsys.readouterr()
    assert fingerprints.main(given) == 1
    assert capsys.readouterr().out.startswith("musdb18-7s/band-a has a passage of ")
    assert fingerprints.main([str(tmp_path / "nowhere"), str(tmp_path / "others")]) == 1
    monkeypatch.setattr(recipe, "STAGES", ())
    assert recipe.main([str(audio), "-o", str(tmp_path / "out"), "--validation", str(tmp_path / "others")]) == 1
    assert "musdb18-7s/band-a has a passage of " in capsys.readouterr().err


def test_no_song_to_measure_on_is_among_those_to_train_on() -> None:
    """The validation clips, and the song in `tests/data`."""
    folder = SHARED / "audio"
    if not (folder / "train").is_dir():
        pytest.skip(f"needs the developers' material in {folder}")
    index = index_of([folder / "validation" / "musdb18-7s", folder / "songs"])
    assert len(index.names) == 15 * 5
    assert list(shared(folder / "train", RECORDED, index)) == []
