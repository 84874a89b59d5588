"""Waveforms: computed once, kept beside the record, and never those of another file."""

import os
from pathlib import Path

import numpy as np
import pytest

from stemsplit.listening import peaks
from stemsplit.listening.blocks import sounds
from stemsplit.listening.mixtures import Mixtures
from stemsplit.listening.peaks import Waveforms
from stemsplit.listening.piece import BIN, Piece
from stemsplit.listening.pieces import opened
from stemsplit.listening.shelf import found_below
from tests.conftest import snapshot, unix
from tests.listening.making import RATE, split_song, write

FRAMES = 5_000


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return split_song(tmp_path / "stems/a", tmp_path / "a.flac", frames=FRAMES)


def piece(record: Path) -> Piece:
    (item,) = found_below(str(record.parent))
    return opened(item, Mixtures())


def all_of(found: Piece) -> list[bytes]:
    waveforms, tracks = Waveforms(), sounds(found)
    return [waveforms.peaks(found, tracks, index) for index in range(len(tracks))]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tracks whose peaks were computed so far."""
    real, names = peaks.computed, list[str]()

    def noting(sound: peaks.Sound) -> bytes:
        names.append(sound.track.name)
        return real(sound)

    monkeypatch.setattr(peaks, "computed", noting)
    return names


def test_peaks_are_the_lowest_and_highest_sample_of_each_bin(record: Path) -> None:
    samples = np.zeros((FRAMES, 2), np.float32)
    samples[BIN, 1], samples[BIN + 1, 0], samples[-1, 0] = 0.5, -0.25, 3.0
    write(record.parent / "drums.wav", samples)
    pairs = np.frombuffer(all_of(piece(record))[1], "<i2").reshape(-1, 2)
    assert pairs.tolist() == [[0, 0], [-8192, 16384], [0, 0], [0, 0], [0, 32767]]


def test_peaks_are_kept_beside_the_record_and_taken_from_there(record: Path, computed: list[str]) -> None:
    first = all_of(piece(record))
    assert computed == ["a.flac", "drums", "vocals"]
    assert (record.parent / ".stemsplit.json.peaks").is_file()
    assert all_of(piece(record)) == first
    assert len(computed) == 3


@pytest.mark.parametrize("spoil", ["stem", "record", "cut", "bytes", "head"])
def test_peaks_that_are_out_of_date_or_damaged_are_computed_again(
    record: Path, computed: list[str], spoil: str
) -> None:
    first, path = all_of(piece(record)), record.parent / ".stemsplit.json.peaks"
    content = path.read_bytes()
    if spoil == "stem":
        os.utime(record.parent / "drums.wav", (1, 1))
    elif spoil == "record":
        record.write_text(record.read_text() + " ")
    else:
        end = content.index(b"\n")
        path.write_bytes(
            {
                "cut": content[:-1],
                "bytes": content[:-1] + bytes([content[-1] ^ 1]),
                "head": content[:end].replace(b'"bin": 1024', b'"bin": 2048') + content[end:],
            }[spoil]
        )
    assert all_of(piece(record)) == first
    assert len(computed) == 6
    assert all_of(piece(record)) == first
    assert len(computed) == 6


@unix
@pytest.mark.parametrize("planted", ["link", "file", "folder", "hard link"])
def test_what_others_put_in_their_place_is_left_alone(record: Path, tmp_path: Path, planted: str) -> None:
    path, target = record.parent / ".stemsplit.json.peaks", tmp_path / "target"
    target.write_bytes(b"a stranger's")
    if planted == "link":
        path.symlink_to(target)
    elif planted == "file":
        path.write_bytes(b"a stranger's")
    elif planted == "folder":
        path.mkdir()
    else:
        path.hardlink_to(target)
    before = snapshot(tmp_path)
    assert len(all_of(piece(record))) == 3
    assert snapshot(tmp_path) == before


@unix
def test_where_nothing_can_be_written_peaks_are_still_drawn(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("stemsplit.disk.folder.Folder.create", refuse)
    assert len(all_of(piece(record))) == 3
    assert not (record.parent / ".stemsplit.json.peaks").exists()


def test_nothing_is_written_beside_a_song_without_stems(tmp_path: Path) -> None:
    from stemsplit.listening.arguments import gathered

    write(tmp_path / "own/b.wav", np.zeros((RATE, 1), np.float32))
    found = gathered([], [tmp_path / "own/b.wav"])
    assert len(all_of(opened(found.shelf.items[0], found.mixtures))[0]) == 44 * 4
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["b.wav"]
