"""Which audio track of a `.stem.mp4` is taken for which stem."""

import json
import subprocess
from pathlib import Path

import pytest

from stemsplit.errors import AudioError
from stemsplit.evaluation.multitracks import song_folders
from stemsplit.evaluation.stem_mp4 import track_numbers

PLACES = {"mixture": "1", "drums": "2", "bass": "3", "other": "4", "vocals": "5"}


def make(folder: Path, ffmpeg: Path, titles: list[str], listed: list[str] | None = None) -> Path:
    """A `.stem.mp4` with a tone a track; `listed` is the list of stems that Native Instruments' programs write."""
    command = [ffmpeg, "-loglevel", "error"]
    for number in range(len(titles)):
        command += ["-f", "lavfi", "-i", f"sine=frequency={500 * (number + 1)}:duration=0.2"]
    for number, title in enumerate(titles):
        command += ["-map", str(number), *((f"-metadata:s:a:{number}", f"title={title}") if title else ())]
    path = folder / "song.stem.mp4"
    subprocess.run([*command, "-c:a", "alac", "-metadata", "title=Song", path], check=True)
    if listed is not None:
        add_list(path, listed)
    return path


def add_list(path: Path, names: list[str]) -> None:
    """Put a `stem` box at the end of `moov.udta`, which is the last box of the file."""
    text = json.dumps({"version": 1, "stems": [{"name": name, "color": "#000000"} for name in names]}).encode()
    box = (len(text) + 8).to_bytes(4, "big") + b"stem" + text
    data = bytearray(path.read_bytes())
    udta, moov = data.rindex(b"udta") - 4, data.rindex(b"moov") - 4
    assert udta + int.from_bytes(data[udta : udta + 4], "big") == len(data)
    for place in (udta, moov):
        size = int.from_bytes(data[place : place + 4], "big") + len(box)
        data[place : place + 4] = size.to_bytes(4, "big")
    path.write_bytes(data + box)


@pytest.mark.parametrize(
    ("titles", "listed", "expected"),
    [
        ([""] * 5, None, PLACES),
        (
            ["Mix", "Bass", "Drums", "Vocals", "Other"],
            None,
            {"mixture": "1", "bass": "2", "drums": "3", "vocals": "4", "other": "5"},
        ),
        (
            ["", "VOX", "Drums ", "bass", "Others"],
            None,
            {"mixture": "1", "vocals": "2", "drums": "3", "bass": "4", "other": "5"},
        ),
        ([""] * 5, ["Drums", "Bass", "Other", "Vox"], PLACES),
        (
            [""] * 5,
            ["Vox", "Drums", "Bass", "Other"],
            {**PLACES, "vocals": "2", "drums": "3", "bass": "4", "other": "5"},
        ),
        (["Drums", "Vocals"], None, {"drums": "1", "vocals": "2"}),
        (["", "Guitar", "Vocals"], None, {"mixture": "1", "guitar": "2", "vocals": "3"}),
    ],
)
def test_titles_decide_and_places_where_there_are_none(
    tmp_path: Path, ffmpeg: Path, titles: list[str], listed: list[str] | None, expected: dict[str, str]
) -> None:
    assert track_numbers(make(tmp_path, ffmpeg, titles, listed)) == expected


@pytest.mark.parametrize(
    ("titles", "listed", "told"),
    [
        (["Mix", "Drums", "Drums", "Bass", "Vocals"], None, "audio tracks 2 and 3 are both titled drums"),
        (["Mix", "Drums", "", "Bass", "Vocals"], None, "audio track 3 has no title"),
        (["Mix", "Track 1", "Track 2", "Track 3", "Track 4"], None, "none of its titles is that of a stem"),
        (["Mix", "Drums", "Bass", "Other", "Vocals"], ["Bass", "Drums", "Other", "Vox"], "list of stems differ"),
        ([""] * 3, None, "3 audio tracks without titles"),
    ],
)
def test_titles_that_do_not_tell_are_refused(
    tmp_path: Path, ffmpeg: Path, titles: list[str], listed: list[str] | None, told: str
) -> None:
    path = make(tmp_path, ffmpeg, titles, listed)
    with pytest.raises(AudioError, match=told):
        song_folders(path.parent)


@pytest.mark.parametrize("size", [b"\0\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff", b"\0\0\0\x09"])
def test_boxes_that_lie_about_their_size_do_no_harm(tmp_path: Path, ffmpeg: Path, size: bytes) -> None:
    path = make(tmp_path, ffmpeg, ["Mix", "Drums", "Bass", "Other", "Vocals"])
    data = path.read_bytes()
    for name in (b"moov", b"trak", b"udta", b"mdia"):
        place = data.rindex(name) - 4
        path.write_bytes(data[:place] + size + data[place + 4 :])
        try:
            assert isinstance(track_numbers(path), dict)
        except AudioError as error:
            assert "cannot tell the stems" in str(error)  # noqa: PT017  # either will do
