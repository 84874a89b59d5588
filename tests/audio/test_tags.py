"""What files say of their songs: read from all that say it, written into all that are written."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import TAGS, WAV, Format, Reader, Writer, examine, read_tags
from stemsplit.audio.ffmpeg import metadata
from stemsplit.audio.formats import BY_FFMPEG
from stemsplit.choices import FormatName
from tests.conftest import noise

Song = Callable[..., Path]

SAID = {
    "title": "Дует ñ 音 ☃😀",
    "artist": "Motörhead; AC/DC",
    "album": "An=album #1\\x [live]",
    "tracknumber": "3/12",
    "date": "1999-12-31",
    "genre": "Rock",
}


def texts(path: Path) -> dict[str, str]:
    """The tags of a file, several values of one with a bar between them."""
    return {key: "|".join(values) for key, values in read_tags(path).items()}


def by_ffmpeg(ffmpeg: Path, source: Path, name: str, *options: str) -> Path:
    """The song again, in another format, saying what `SAID` says."""
    target = source.with_name(name)
    said = [f"{'track' if key == 'tracknumber' else key}={text}" for key, text in SAID.items()]
    tags = [part for text in said for part in ("-metadata", text)]
    command = [ffmpeg, "-loglevel", "error", "-i", source, *tags, *options, target]
    subprocess.run(command, check=True)
    return target


@pytest.mark.parametrize(
    ("name", "options", "lacks"),
    [
        ("a.flac", [], ""),
        ("a.ogg", ["-c:a", "libvorbis"], ""),
        ("a.opus", ["-c:a", "libopus"], ""),
        ("a.mp3", ["-id3v2_version", "4"], ""),
        ("a.wav", [], ""),
        ("rf64.wav", ["-rf64", "always"], ""),
        ("id3.aiff", ["-write_id3v2", "1"], ""),
        ("a.caf", [], "tracknumber"),
        ("a.w64", [], " ".join(TAGS)),
        ("a.m4a", [], ""),
        ("alac.m4a", ["-c:a", "alac"], ""),
        ("a.mp4", [], ""),
        ("a.wma", [], ""),
        ("a.mka", [], ""),
        ("a.wv", [], ""),
        ("a.tta", [], ""),
        ("flac.ogg", ["-c:a", "flac"], ""),
    ],
)
def test_tags_are_read(song: Song, ffmpeg: Path, name: str, options: list[str], lacks: str) -> None:
    path = by_ffmpeg(ffmpeg, song("src.wav", rate=48_000), name, *options)
    found = texts(path)
    assert found == {key: text for key, text in SAID.items() if key not in lacks.split()}
    assert list(found) == [key for key in TAGS if key in found]
    assert examine(path).tags.texts == read_tags(path)


def numbers(number: int) -> bytes:
    """A size in an ID3 tag."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(version: int, texts: list[bytes]) -> bytes:
    """A tag of title, artist, album, date, track number, genre, written by hand."""
    names = {
        2: [b"TT2", b"TP1", b"TAL", b"TYE", b"TRK", b"TCO"],
        3: [b"TIT2", b"TPE1", b"TALB", b"TYER", b"TRCK", b"TCON"],
        4: [b"TIT2", b"TPE1", b"TALB", b"TDRC", b"TRCK", b"TCON"],
    }[version]
    size = {2: lambda n: n.to_bytes(3), 3: lambda n: n.to_bytes(4) + bytes(2), 4: lambda n: numbers(n) + bytes(2)}
    body = b"".join(name + size[version](len(text)) + text for name, text in zip(names, texts, strict=True))
    return b"ID3" + bytes([version, 0, 0]) + numbers(len(body)) + body


def oldest(texts: list[bytes], genre: int) -> bytes:
    """The tag at the end of old MP3s."""
    title, artist, album, year, track = texts
    return (
        b"TAG" + b"".join(part.ljust(30, b"\0") for part in (title, artist, album)) + year + bytes(29) + track
    ) + bytes([genre])


def encoded(code: int, name: str, texts: list[str]) -> list[bytes]:
    return [bytes([code]) + text.encode(name) for text in texts]


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("genre", ["Rock", "17", "(17)", "(17)Rock"])
@pytest.mark.parametrize(
    ("version", "code", "name", "title"),
    [
        (2, 0, "latin-1", "Tïtle"),
        (2, 1, "utf-16", "Дует"),
        (3, 0, "latin-1", "Tïtle"),
        (3, 1, "utf-16", "Дует ☃😀"),
        (4, 2, "utf-16-be", "Дует ☃😀"),
        (4, 3, "utf-8", "Дует ☃😀"),
    ],
)
def test_every_kind_of_id3_is_read_without_ffmpeg(
    song: Song, tmp_path: Path, version: int, code: int, name: str, title: str, genre: str
) -> None:
    said = [title, "Björk", "Al", "1995", "7/9", genre]
    path = tmp_path / "b.mp3"
    path.write_bytes(id3(version, encoded(code, name, said)) + song("a.mp3").read_bytes())
    assert list(texts(path).values()) == [title, "Björk", "Al", "7/9", "1995", "Rock"]


@pytest.mark.usefixtures("no_ffmpeg")
def test_the_oldest_tags_are_read(song: Song, tmp_path: Path) -> None:
    path = tmp_path / "b.mp3"
    tag = oldest([b"T\xeftle", b"Bj\xf6rk", b"Al", b"1995", b"\7"], genre=8)
    assert len(tag) == 128
    path.write_bytes(song("a.mp3").read_bytes() + tag)
    assert list(texts(path).values()) == ["Tïtle", "Björk", "Al", "7", "1995", "Jazz"]


@pytest.mark.parametrize("genre", ["80s", "2 Step", "(RX)", "(What) Ever", "999", "(300)"])
def test_a_genre_with_a_number_in_it_keeps_it(song: Song, tmp_path: Path, genre: str) -> None:
    path = tmp_path / "b.mp3"
    said = encoded(3, "utf-8", ["T", "", "", "", "", genre])
    path.write_bytes(id3(4, said) + song("a.mp3").read_bytes())
    assert texts(path) == {"title": "T", "genre": genre}


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize(("name", "order"), [("a.wav", "little"), ("a.aiff", "big")])
def test_id3_inside_other_files_is_read_without_ffmpeg(song: Song, name: str, order: str) -> None:
    """With a large picture and an odd size, as DJs' programs leave it there."""
    path = song(name)
    data = path.read_bytes()
    tag = id3(4, encoded(3, "utf-8", list(SAID.values())))
    picture = b"\0image/png\0\3\0" + b"\xff\xfb\x90\x64" * 100_000
    body = tag[10:] + b"APIC" + numbers(len(picture)) + bytes(2) + picture
    tag = tag[:6] + numbers(len(body)) + body
    tag = b"ID3 " + len(tag).to_bytes(4, order) + tag + bytes(len(tag) % 2)  # type: ignore[arg-type]
    path.write_bytes(data[:4] + (len(data) + len(tag) - 8).to_bytes(4, order) + data[8:] + tag)  # type: ignore[arg-type]
    assert sorted(texts(path).values()) == sorted(SAID.values())
    assert examine(path).frames == 22_050


def with_info(path: Path, texts: dict[bytes, bytes]) -> None:
    """Add a list of texts to a WAV."""
    data = path.read_bytes()
    body = b"INFO" + b"".join(
        name + len(text).to_bytes(4, "little") + text + bytes(len(text) % 2) for name, text in texts.items()
    )
    data += b"LIST" + len(body).to_bytes(4, "little") + body
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])


def test_a_wav_of_old_windows_programs_keeps_its_accents(song: Song) -> None:
    path = song("a.wav")
    with_info(path, {b"INAM": "Tïtlé €".encode("cp1252") + b"\0", b"ITRK": b"7\0", b"IPRD": "Дует\0".encode()})
    assert texts(path) == {"title": "Tïtlé €", "album": "Дует", "tracknumber": "7"}


def test_tags_are_one_line_each(song: Song, tmp_path: Path) -> None:
    """Control characters, empty tags and the length of a novel stay out; other scripts' spaces and joiners do not."""
    path = tmp_path / "b.mp3"
    said = ["a\nb\tc\x1b[31m", " \u200d👩\u200d🎤\u3000x ", "x" * 5_000, "\r\n", "\x7f\x85", "one\u2028two"]
    path.write_bytes(id3(4, encoded(3, "utf-8", said)) + song("a.mp3").read_bytes())
    found = texts(path)
    assert found.pop("album") == "x" * 1_000
    assert found == {"title": "a b c [31m", "artist": "\u200d👩\u200d🎤\u3000x", "genre": "one two"}


def test_what_ffmpeg_writes_on_several_lines_is_read(song: Song, ffmpeg: Path, tmp_path: Path) -> None:
    """Its format hides line ends, equal signs and the like; titles of chapters are none of the song's."""
    chapters = ";FFMETADATA1\nartist=A\\\ntitle\\=no\\\n[CHAPTER]\n[CHAPTER]\nSTART=0\nEND=1000\ntitle=Chapter\n"
    (tmp_path / "chapters").write_text(chapters)
    target = tmp_path / "a.m4a"
    command = [ffmpeg, "-loglevel", "error", "-i", song("a.wav"), "-i", tmp_path / "chapters", "-map_metadata", "1"]
    subprocess.run([*command, target], check=True)
    assert texts(target) == {"artist": "A title=no [CHAPTER]"}


@pytest.mark.parametrize("with_ffmpeg", [True, False])
@pytest.mark.parametrize("name", ["missing.flac", "folder.flac", "empty.mp3", "text.m4a", "photo.raw", "cut.wav"])
def test_what_says_nothing_has_no_tags(
    song: Song, tmp_path: Path, name: str, request: pytest.FixtureRequest, with_ffmpeg: bool
) -> None:
    request.getfixturevalue("ffmpeg" if with_ffmpeg else "no_ffmpeg")
    (tmp_path / "folder.flac").mkdir()
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "text.m4a").write_text("la la la " * 100)
    (tmp_path / "photo.raw").write_bytes(b"\xff\xd8\xff\xe0" + bytes(5_000))
    (tmp_path / "cut.wav").write_bytes(song("a.wav").read_bytes()[:3_000] + b"LIST\xf0\0\0\0INFO")
    assert texts(tmp_path / name) == {}


@pytest.mark.usefixtures("no_ffmpeg")
def test_without_ffmpeg_an_m4a_has_no_tags(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    assert texts(path) == {}


def test_an_ffmpeg_that_does_not_run_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _: str(broken))
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    assert texts(tmp_path / "a.m4a") == {}


def write(path: Path, format_: str, tags: dict[str, str] | None, bit_depth: str | None = None) -> np.ndarray:
    samples = noise(100_000).T
    writer = Writer(path, Format(format_, bit_depth), 44_100, 2, samples.shape[1], tags)
    writer.write(samples)
    writer.close()
    if format_ in BY_FFMPEG:  # which libsndfile does not read
        with Reader(path) as reader:
            return np.concatenate(list(reader), 1)
    return soundfile.read(path)[0]


WITHOUT_DEPTH = [(format_, None) for format_ in FormatName]


@pytest.mark.parametrize(("format_", "bit_depth"), [*WITHOUT_DEPTH, ("wav", "16"), ("wav", "24"), ("flac", "16")])
def test_tags_are_written(ffmpeg: Path, tmp_path: Path, format_: str, bit_depth: str | None) -> None:
    """In any script, for libsndfile and ffmpeg alike; the sound stays the same."""
    path = tmp_path / f"bass.{format_}"
    plain = write(path, format_, None, bit_depth)
    assert texts(path) == {}
    assert np.array_equal(write(path, format_, SAID, bit_depth), plain)
    assert texts(path) == SAID
    found = metadata(path, str(ffmpeg))
    assert {key: found["track" if key == "tracknumber" else key].decode() for key in SAID} == SAID


def test_tags_go_into_rf64(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a.wav", WAV, 44_100, 2, 600_000_000, SAID)
    writer.write(noise(10).T)
    writer.close()
    assert soundfile.info(tmp_path / "a.wav").format == "RF64"
    assert texts(tmp_path / "a.wav") == SAID


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("format_", FormatName)
@pytest.mark.parametrize("title", ["PEAK data RIFF", "data", "OggS\0", "ID3", "\udcff file name", "x" * 9_000])
def test_no_title_breaks_a_file(tmp_path: Path, format_: str, title: str) -> None:
    path = tmp_path / "bass"
    plain = write(path, format_, None)
    # In an m4a, numbers of tracks and discs are numbers.
    numbers = ("total", "number") if format_ in BY_FFMPEG else ("total",)
    tags = dict.fromkeys((key for key in TAGS if not key.endswith(numbers)), title)
    assert np.array_equal(write(path, format_, tags), plain)
    assert set(texts(path)) == set(tags)


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("format_", FormatName)
def test_empty_tags_are_not_written(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "bass"
    write(path, format_, None)
    plain = path.read_bytes()
    write(path, format_, {"title": "", "album": "\n"})
    assert path.read_bytes() == plain


def test_a_tag_that_there_is_not_is_a_slip(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'track'"):
        write(tmp_path / "a.wav", "wav", {"track": "1"})
