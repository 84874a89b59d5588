"""Tracks as files of raw samples, any part of which can be read."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stemsplit.errors import AudioError
from stemsplit.listening import blocks, pieces
from stemsplit.listening.blocks import Blocks, Sound, state_of
from stemsplit.listening.decoding import Decoding
from stemsplit.listening.mixtures import Mixtures
from stemsplit.listening.piece import Role, Track
from stemsplit.listening.shelf import found_below
from tests.conftest import Samples, noise
from tests.listening.making import RATE, changed, facts, split_song, write

FRAMES = 30_000


def sound(path: Path, frames: int = FRAMES, channels: int = 2, rate: int = RATE, role: Role = Role.stem) -> Sound:
    track = Track("a", path, role, channels)
    return Sound(track, rate, frames, state_of(track))


def part(pool: Blocks, of: Sound, first: int, last: int) -> bytes:
    return b"".join(pool.part(of, first, last))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The positions at which files were opened so far."""
    found: list[int] = []
    real = Decoding.__init__

    def noting(self: Decoding, track: Track, rate: int, first: int = 0) -> None:
        found.append(first)
        real(self, track, rate, first)

    monkeypatch.setattr(Decoding, "__init__", noting)
    return found


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "SAMPLES_PER_BLOCK", 2_000)


@pytest.fixture
def samples() -> Samples:
    return noise(FRAMES)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "aiff"])
def test_any_part_of_any_format_is_what_a_reader_gives(tmp_path: Path, samples: Samples, suffix: str) -> None:
    of = sound(write(tmp_path / f"a.{suffix}", samples))
    with Decoding(of.track, RATE) as decoding:
        expected = np.concatenate([*decoding], 1).T[:FRAMES].astype("<f4").tobytes()
    pool = Blocks()
    assert len(expected) == of.size
    for first, last in [(0, of.size - 1), (1, 1), (160_001, 199_998), (7_999, 8_000), (of.size - 1, of.size - 1)]:
        assert part(pool, of, first, last) == expected[first : last + 1]
    pool.close()


def test_who_reads_on_decodes_nothing_twice(tmp_path: Path, samples: Samples, opened: list[int]) -> None:
    of, pool = sound(write(tmp_path / "a.mp3", samples)), Blocks(kept_bytes=0)
    for first in range(0, of.size, 16_000):
        part(pool, of, first, first + 15_999)
    assert opened == [0]


def test_a_loop_is_decoded_once(tmp_path: Path, samples: Samples, opened: list[int]) -> None:
    of, pool = sound(write(tmp_path / "a.mp3", samples)), Blocks()
    for _ in range(5):
        part(pool, of, 80_000, 159_999)
    assert opened == [10_000]


def test_a_jump_in_a_file_that_allows_it_opens_it_there(tmp_path: Path, samples: Samples, opened: list[int]) -> None:
    of, pool = sound(write(tmp_path / "a.wav", samples)), Blocks()
    part(pool, of, 0, 100)
    part(pool, of, of.size - 8_000, of.size - 1)
    assert opened == [0, 29_000]


def test_few_files_stay_open(tmp_path: Path, samples: Samples) -> None:
    pool = Blocks()
    path = write(tmp_path / "a.wav", samples)
    for number in range(40):
        copy = tmp_path / f"{number}.wav"
        copy.write_bytes(path.read_bytes())
        of = sound(copy)
        for first in (0, 200_000, 120_000, 60_000):
            part(pool, of, first, first + 9)
    assert len(pool._waiting) <= blocks.OPEN_READERS
    pool.close()
    assert not pool._waiting


def test_decoded_blocks_that_are_kept_have_a_limit(tmp_path: Path, samples: Samples) -> None:
    of, pool = sound(write(tmp_path / "a.wav", samples)), Blocks(kept_bytes=50_000)
    part(pool, of, 0, of.size - 1)
    assert sum(map(len, pool._kept.values())) <= 50_000


def test_a_file_that_was_changed_is_not_played(tmp_path: Path, samples: Samples) -> None:
    of, pool = sound(write(tmp_path / "a.wav", samples)), Blocks()
    write(tmp_path / "a.wav", samples[:-1])
    with pytest.raises(AudioError, match="changed; reload"):
        part(pool, of, 0, 9)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(AudioError, match=r"a\.wav"):
        part(pool, of, 0, 9)


def test_a_file_that_ends_too_early_is_not_filled_with_silence(tmp_path: Path, samples: Samples) -> None:
    of = sound(write(tmp_path / "a.wav", samples), frames=FRAMES + 1)
    with pytest.raises(AudioError, match="too early"):
        part(Blocks(), of, of.size - 10, of.size - 1)


def test_a_part_of_a_song_starts_at_its_sample(tmp_path: Path, samples: Samples) -> None:
    path = write(tmp_path / "a.wav", samples)
    track = Track("a", path, Role.song, 2, start=0.1, duration=0.2)
    of = Sound(track, RATE, 8_820, state_of(track))
    assert part(Blocks(), of, 0, of.size - 1) == samples[4_410:13_230].tobytes()
    assert part(Blocks(), of, of.size - 8, of.size - 1) == samples[13_229].tobytes()


def test_a_mono_song_at_another_rate_is_converted_in_step(tmp_path: Path) -> None:
    wave = np.sin(np.arange(44_100, dtype=np.float32) * 0.05)[:, None]
    of = sound(write(tmp_path / "a.wav", wave), 48_000, 2, 48_000, Role.song)
    whole = np.frombuffer(part(Blocks(), of, 0, of.size - 1), np.float32).reshape(-1, 2)
    expected = np.sin(np.arange(48_000) * 0.05 * 44_100 / 48_000)
    assert np.abs(whole[500:-500] - expected[500:-500, None]).max() < 1e-3
    assert part(Blocks(), of, 240_000, 240_007) == whole[30_000].tobytes()


def test_many_threads_read_the_same_samples(tmp_path: Path, samples: Samples) -> None:
    of, pool = sound(write(tmp_path / "a.flac", samples)), Blocks(kept_bytes=20_000)
    expected = part(Blocks(), of, 0, of.size - 1)
    starts = [number * 7_919 % (of.size - 5_000) for number in range(60)]
    with ThreadPoolExecutor(8) as threads:
        for start, found in zip(
            starts, threads.map(lambda first: part(pool, of, first, first + 4_999), starts), strict=True
        ):
            assert found == expected[start : start + 5_000]


def test_several_tracks_of_one_file_play_in_step_with_the_song_among_them(tmp_path: Path, ffmpeg: Path) -> None:
    """As a .stem.mp4 holds them: the song first, then its stems."""
    record = split_song(tmp_path / "stems/a", tmp_path / "a.wav")
    files = [tmp_path / "a.wav", *sorted(record.parent.glob("*.wav"))]
    joined = record.parent / "a.mp4"
    inputs = [word for file in files for word in ("-i", str(file))]
    maps = [word for number in range(3) for word in ("-map", f"{number}:a")]
    subprocess.run([ffmpeg, "-v", "error", *inputs, *maps, "-c:a", "alac", str(joined)], check=True)
    weights = {"mixture": [1.0, 0.0, 0.0], "drums": [0.0, 1.0, 0.0], "vocals": [0.0, 0.0, 1.0]}
    changed(record, stems={name: facts(joined, "a.mp4", gains) for name, gains in weights.items()})
    (item,) = found_below(str(tmp_path / "stems"))
    piece = pieces.opened(item, Mixtures())
    assert [(track.name, track.role) for track in piece.tracks] == [
        ("mixture", Role.song),
        ("drums", Role.stem),
        ("vocals", Role.stem),
    ]
    pool, size = Blocks(), 5_000 * 8
    song, drums, vocals = (np.frombuffer(part(pool, of, 8_000, size - 1), np.float32) for of in blocks.sounds(piece))
    assert np.abs(drums).max() > 0.1
    assert np.abs(song - drums - vocals).max() < 1e-3
    pool.close()
