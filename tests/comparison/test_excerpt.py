"""Where an excerpt lies in its song, the context it needs, and its reference stems."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stemsplit.audio import examine
from stemsplit.choices import WindowName
from stemsplit.comparison.excerpt import bounds, context, references, samples
from stemsplit.engine.overlap_add import overlap_add
from stemsplit.errors import AudioError
from stemsplit.registry import find
from tests.engine.test_overlap_add import ramp

Write = Callable[..., Path]
STARTER = find("starter")


@pytest.mark.parametrize(
    ("start", "duration", "expected"),
    [
        (None, 2, (3, 5)),  # a third, in whole seconds
        (None, 8, (2, 10)),  # earlier, so that the whole excerpt fits
        (None, 30, (0, 10)),
        (1, 2, (1, 3)),
        (9, 2, (9, 10)),
    ],
)
def test_an_excerpt_ends_with_the_song_at_the_latest(
    song: Write, start: float | None, duration: float, expected: tuple[int, int]
) -> None:
    found = examine(song("a.wav", frames=10_000, rate=1_000))
    assert bounds(found, start, duration) == tuple(1_000 * second for second in expected)


def test_an_excerpt_that_starts_after_the_end_is_refused(song: Write) -> None:
    found = examine(song("a.wav", frames=1_500, rate=1_000))
    with pytest.raises(AudioError, match=r"a\.wav has only 0:01\.5; nothing to compare from 0:01\.5"):
        bounds(found, 1.5, 20)


def test_samples_are_the_same_as_in_the_whole_song(song: Write) -> None:
    path = song("a.flac")
    whole, rate = soundfile.read(path, dtype="float32")
    assert np.array_equal(samples(path, rate, 12_345, 20_001), whole[12_345:20_001].T)


def test_a_context_begins_where_a_chunk_of_the_whole_song_does(song: Write) -> None:
    found = replace(examine(song("a.wav")), frames=100_000)
    entry = replace(STARTER, chunk=8_000, hop=2_000, longest=0)
    assert context(entry, found, 50_500, 60_000) == (42_000, 70_000)
    assert context(entry, found, 1_000, 99_000) == (0, 100_000)


def test_a_context_is_in_samples_at_the_song_s_rate(song: Write) -> None:
    found = replace(examine(song("a.wav", rate=88_200)), frames=200_000)
    entry = replace(STARTER, chunk=8_000, hop=2_000, longest=0)
    assert context(entry, found, 101_000, 120_000) == (84_000, 140_000)


def test_a_context_near_the_end_is_not_a_short_song(song: Write) -> None:
    """Windows may treat a short song in another way."""
    found = replace(examine(song("a.wav")), frames=100_000)
    entry = replace(STARTER, chunk=8_000, hop=2_000, longest=0)
    first, last = context(entry, found, 99_000, 100_000)
    assert last - first > 8_000
    linear = replace(entry, window="linear")
    first, last = context(linear, found, 99_000, 100_000)
    assert last - first > 2 * 6_000


@pytest.mark.parametrize("window", WindowName)
@pytest.mark.parametrize("hop", [20, 50, 75, 100])
@pytest.mark.parametrize(("begin", "end"), [(0, 10), (60, 300), (433, 434), (700, 950), (996, 997), (899, 997)])
def test_a_context_gives_an_excerpt_the_stems_of_the_whole_song(
    song: Write, window: WindowName, hop: int, begin: int, end: int
) -> None:
    found = replace(examine(song("a.wav")), frames=997)
    entry = replace(STARTER, chunk=100, hop=hop, window=window, longest=120)
    mixture = torch.rand(2, found.frames)
    first, last = context(entry, found, begin, end)
    whole = overlap_add(mixture, ramp, chunk=100, hop=hop, window=window)[..., begin:end]
    part = overlap_add(mixture[:, first:last], ramp, chunk=100, hop=hop, window=window)
    assert (part[..., begin - first : end - first] - whole).abs().max() <= 1e-6


def true_stems(folder: Path, rate: int = 44_100, channels: int = 2, frames: int = 22_050, name: str = "Vocals") -> Path:
    folder.mkdir(exist_ok=True)
    noise = 0.1 * np.random.default_rng(1).standard_normal((frames, channels))
    soundfile.write(folder / f"{name}.wav", noise, rate, subtype="FLOAT")
    return folder


def test_references_are_the_same_excerpt_of_whole_stems(song: Write, tmp_path: Path) -> None:
    whole = examine(song("a.wav"))
    folder = true_stems(tmp_path / "stems")
    (folder / "vocals.txt").touch()
    found = references(folder, ["drums", "vocals"], whole, 1_000, 3_000)
    expected, _ = soundfile.read(folder / "Vocals.wav", dtype="float32")
    assert list(found) == ["vocals"]
    assert np.array_equal(found["vocals"], expected[1_000:3_000].T)


def test_references_may_be_as_long_as_the_excerpt(song: Write, tmp_path: Path) -> None:
    folder = true_stems(tmp_path / "stems", frames=2_000)
    found = references(folder, ["vocals"], examine(song("a.wav")), 1_000, 3_000)
    expected, _ = soundfile.read(folder / "Vocals.wav", dtype="float32")
    assert np.array_equal(found["vocals"], expected.T)


@pytest.mark.parametrize("odd", [{"rate": 48_000}, {"channels": 1}, {"frames": 22_049}])
def test_a_reference_that_does_not_match_the_song_is_refused(song: Write, tmp_path: Path, odd: dict[str, int]) -> None:
    folder = true_stems(tmp_path / "stems", **odd)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match=r"Vocals\.wav has .* samples, .*a\.wav has 44100 Hz, 2 channels and 22050"):
        references(folder, ["vocals"], examine(song("a.wav")), 1_000, 3_000)


def test_a_folder_without_references_is_refused(song: Write, tmp_path: Path) -> None:
    whole = examine(song("a.wav"))
    with pytest.raises(AudioError, match="has no reference; its files must be named after stems: drums, bass"):
        references(true_stems(tmp_path / "stems"), ["drums", "bass"], whole, 0, 1_000)
    with pytest.raises(AudioError, match="cannot look into"):
        references(tmp_path / "nowhere", ["drums"], whole, 0, 1_000)


def test_two_references_of_one_stem_are_refused(song: Write, tmp_path: Path) -> None:
    folder = true_stems(tmp_path / "stems")
    (folder / "vocals.flac").write_bytes((folder / "Vocals.wav").read_bytes())
    with pytest.raises(AudioError, match="the same stem; keep one of them"):
        references(folder, ["vocals"], examine(song("a.wav")), 0, 1_000)
