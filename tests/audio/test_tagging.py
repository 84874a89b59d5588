"""Tags of several values, further tags and cover art: read from each kind of file, and written into each format."""

import base64
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import Format, Writer
from stemsplit.audio.containers.ogg import renumber
from stemsplit.audio.ffmpeg import metadata
from stemsplit.audio.tagging.values import KEYS, LARGEST_PICTURE
from stemsplit.audio.tagging.writing import write_tags
from stemsplit.audio.tags import Tags, read_all
from stemsplit.choices import FormatName
from tests.conftest import noise

Song = Callable[..., Path]

SAID = {
    "title": ("Дует ☃",),
    "artist": ("First", "AC/DC", "Đệ tam; & 3"),
    "album": ("Al",),
    "albumartist": ("Various", "Others"),
    "tracknumber": ("3/12",),
    "discnumber": ("1/2",),
    "date": ("1999-12-31",),
    "genre": ("Rock", "Jazz"),
}


def png(size: int = 0) -> bytes:
    """A picture of one red pixel, and bytes that no viewer looks at."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head, pixel = struct.pack(">2I5B", 1, 1, 8, 2, 0, 0, 0), zlib.compress(b"\0\xff\0\0")
    filling = noise(size // 4 + 1, 1).tobytes()[:size]
    parts = [chunk(b"IHDR", head), chunk(b"teST", filling), chunk(b"IDAT", pixel), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


FORMATS = (FormatName.wav, FormatName.flac, FormatName.ogg, FormatName.mp3)
"""The formats that libsndfile reads, so that samples can be compared."""

FRONT = png(100)
BACK = png(50)


def write(
    path: Path, format_: str, tags: dict[str, tuple[str, ...]], picture: bytes = b"", bits: str | None = None
) -> None:
    samples = noise(50_001).T
    writer = Writer(path, Format(format_, bits), 44_100, 2, samples.shape[1], tags, picture=picture)
    writer.write(samples)
    writer.close()
    assert writer.size == path.stat().st_size


def shown(ffmpeg: Path, path: Path) -> bytes:
    """The picture that ffmpeg finds in a file."""
    command = [ffmpeg, "-loglevel", "error", "-i", path, "-map", "0:v", "-c", "copy", "-f", "image2pipe", "-"]
    found = subprocess.run(command, capture_output=True, check=True)
    assert found.stderr == b""
    return found.stdout


ALL = [*((name, None) for name in FORMATS), ("wav", "24"), ("wav", "16"), ("flac", "16")]


@pytest.mark.parametrize("size", [0, 1, 300_000, LARGEST_PICTURE - 200])
@pytest.mark.parametrize(("format_", "bits"), ALL)
def test_all_that_is_written_is_read(ffmpeg: Path, tmp_path: Path, format_: str, bits: str | None, size: int) -> None:
    """By this program and by ffmpeg; the sound is what it is without tags, and the bytes are the same each time."""
    path, picture = tmp_path / f"bass.{format_}", png(size)
    write(path, format_, {}, b"", bits)
    plain = soundfile.read(path)[0]
    write(path, format_, SAID, picture, bits)
    first = path.read_bytes()
    assert read_all(path) == Tags(SAID, picture)
    assert shown(ffmpeg, path) == picture
    assert np.array_equal(soundfile.read(path)[0], plain)
    write(path, format_, SAID, picture, bits)
    assert path.read_bytes() == first


@pytest.mark.parametrize("format_", FORMATS)
def test_programs_that_know_one_value_still_find_one(ffmpeg: Path, tmp_path: Path, format_: str) -> None:
    path = tmp_path / f"bass.{format_}"
    write(path, format_, SAID)
    found = metadata(path, str(ffmpeg))
    assert found["title"].decode() == "Дует ☃"
    assert found["artist"].decode().startswith("First")
    if format_ == "wav":  # which has a place of its own for one text
        with soundfile.SoundFile(path) as file:
            assert file.artist == "First, AC/DC, Đệ tam; & 3"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("format_", FORMATS)
def test_each_tag_can_stand_alone(tmp_path: Path, format_: str, key: str) -> None:
    path, told = tmp_path / "bass", {key: ("A", "B")}
    write(path, format_, told)
    # A total without a number is something that only comments can say.
    only_comments = key.endswith("total") and format_ in ("wav", "mp3")
    assert read_all(path).texts == ({} if only_comments else told)


@pytest.mark.parametrize("format_", ["flac", "ogg"])
def test_a_total_of_its_own_stays_one(tmp_path: Path, format_: str) -> None:
    told = {"tracknumber": ("3",), "tracktotal": ("12",), "discnumber": ("1",), "disctotal": ("2",)}
    write(tmp_path / "bass", format_, told)
    assert read_all(tmp_path / "bass").texts == told


@pytest.mark.parametrize("format_", ["flac", "ogg"])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 6, 30, 31, 255, 256, 990])
def test_tags_that_become_shorter_leave_a_whole_file(ffmpeg: Path, tmp_path: Path, format_: str, size: int) -> None:
    path = tmp_path / f"bass.{format_}"
    write(path, format_, {"title": ("x" * size,), "artist": ("A",)})
    plain = soundfile.read(path)[0]
    with path.open("r+b") as file:
        write_tags(file, format_, {"artist": ("A", "B")})
        if format_ == "ogg":
            renumber(file, 7)
    assert np.array_equal(soundfile.read(path)[0], plain)
    assert {"artist": ("A", "B")}.items() <= read_all(path).texts.items()
    command = [ffmpeg, "-loglevel", "warning", "-i", path, "-f", "null", "-"]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""


@pytest.mark.parametrize("format_", ["wav", "mp3"])
def test_a_total_is_written_behind_its_number_elsewhere(tmp_path: Path, format_: str) -> None:
    write(tmp_path / "bass", format_, {"tracknumber": ("3",), "tracktotal": ("12",), "disctotal": ("2",)})
    assert read_all(tmp_path / "bass").texts == {"tracknumber": ("3/12",)}


def test_a_number_with_its_total_tells_the_total_apart_too(tmp_path: Path) -> None:
    """For players that look for it where comments usually have it."""
    write(tmp_path / "bass", "flac", {"tracknumber": ("3/12",)})
    data = (tmp_path / "bass").read_bytes()
    assert b"TRACKNUMBER=3/12" in data
    assert b"TRACKTOTAL=12" in data


def test_tags_go_into_large_files(tmp_path: Path) -> None:
    """Those that count in 64 bits."""
    writer = Writer(tmp_path / "a.wav", Format("wav"), 44_100, 2, 600_000_000, SAID, picture=FRONT)
    writer.write(noise(10).T)
    writer.close()
    assert soundfile.info(tmp_path / "a.wav").format == "RF64"
    assert read_all(tmp_path / "a.wav") == Tags(SAID, FRONT)


@pytest.mark.parametrize(
    "options", [[], ["-metadata", "title=old", "-metadata", "comment=x"], ["-metadata", f"comment={'x' * 9_000}"]]
)
def test_tags_go_into_m4a(song: Song, ffmpeg: Path, options: list[str]) -> None:
    path = song("a.wav").with_name("a.m4a")
    subprocess.run([ffmpeg, "-loglevel", "error", "-i", song("a.wav"), *options, path], check=True)
    decode = [ffmpeg, "-loglevel", "error", "-i", path, "-map", "0:a", "-f", "f32le", "-"]
    before = subprocess.run(decode, capture_output=True, check=True).stdout
    with path.open("r+b") as file:
        write_tags(file, "m4a", SAID, FRONT)
    assert read_all(path) == Tags(SAID, FRONT)
    assert shown(ffmpeg, path) == FRONT
    assert subprocess.run(decode, capture_output=True, check=True).stdout == before
    assert metadata(path, str(ffmpeg))["track"] == b"3/12"


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"BM", b"", b"ID3\4OggSfLaC\xff\xfb"]
)
@pytest.mark.parametrize("format_", FORMATS)
def test_a_picture_is_only_bytes(tmp_path: Path, format_: str, start: bytes) -> None:
    picture = start + bytes(range(256)) * 10
    write(tmp_path / "bass", format_, {}, picture)
    assert read_all(tmp_path / "bass") == Tags({}, picture)


def numbers(number: int) -> bytes:
    """A size in an ID3 tag."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def frame4(name: bytes, content: bytes, flags: int = 0) -> bytes:
    return name + numbers(len(content)) + bytes([0, flags]) + content


def frame3(name: bytes, content: bytes, flags: int = 0) -> bytes:
    return name + len(content).to_bytes(4) + bytes([0, flags]) + content


def frame2(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(3) + content


def id3(version: int, body: bytes, flags: int = 0) -> bytes:
    return b"ID3" + bytes([version, 0, flags]) + numbers(len(body)) + body


def apic(picture: bytes, kind: int = 3, mime: bytes = b"image/png") -> bytes:
    return b"\1" + mime + b"\0" + bytes([kind]) + "Bild ☃".encode("utf-16") + b"\0\0" + picture


def ape(items: dict[str, str | bytes], *, head: bool = True) -> bytes:
    """An APE tag; bytes are binary items."""
    body = b""
    for name, value in items.items():
        raw = value if isinstance(value, bytes) else value.encode()
        body += struct.pack("<2I", len(raw), 2 * isinstance(value, bytes)) + name.encode() + b"\0" + raw

    def mark(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<4I", 2_000, len(body) + 32, len(items), flags) + bytes(8)

    return mark(0xA000_0000) * head + body + mark(0x8000_0000 * head)


APE = {
    "TITLE": SAID["title"][0],
    "Artist": "\0".join(SAID["artist"]),
    "Album": "Al",
    "Album Artist": "Various\0Others",
    "Track": "3/12",
    "Disc": "1/2",
    "Year": "1999-12-31",
    "Genre": "Rock\0Jazz",
    "Cover Art (Back)": b"back.png\0" + BACK,
    "Cover Art (Front)": b"front.png\0" + FRONT,
    "Other": b"\0\1\2",
}
OLDEST = b"TAG" + b"Old".ljust(30, b"\0") + b"Nobody".ljust(30, b"\0") + bytes(30) + b"1980" + bytes(30) + b"\x08"


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("after", [b"", OLDEST, b"LYRICSBEGIN" + bytes(20) + b"000031LYRICS200" + OLDEST])
def test_ape_tags_are_read(song: Song, tmp_path: Path, head: bool, after: bytes) -> None:
    """At the end of an MP3, also with the oldest kind of tag and the words of the song behind them."""
    path = tmp_path / "b.mp3"
    path.write_bytes(song("a.mp3").read_bytes() + ape(APE, head=head) + after)
    assert read_all(path) == Tags(SAID, FRONT)


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("name", ["a.ape", "a.wv", "a.mpc", "a.tta", "a.tak", "a.aac"])
def test_ape_tags_need_no_decoder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(noise(1_000).tobytes() + ape(APE))
    assert read_all(tmp_path / name) == Tags(SAID, FRONT)


@pytest.mark.usefixtures("no_ffmpeg")
def test_of_several_tags_each_says_what_those_before_do_not(song: Song, tmp_path: Path) -> None:
    """ID3 before APE before the oldest kind, which cuts what is long."""
    path = tmp_path / "b.mp3"
    first = id3(4, frame4(b"TIT2", b"\3New") + frame4(b"TPE1", b"\3 "))
    tags = ape({"Title": "Middle", "Artist": "A\0B", "Cover Art (Front)": b"\0" + FRONT})
    path.write_bytes(first + song("a.mp3").read_bytes() + tags + OLDEST)
    told = {"title": ("New",), "artist": ("A", "B"), "date": ("1980",), "genre": ("Jazz",)}
    assert read_all(path) == Tags(told, FRONT)


def utf16(values: tuple[str, ...]) -> bytes:
    """Several values in UTF-16; each has its mark, as some programs write it."""
    return b"\1" + b"\0\0".join(value.encode("utf-16") for value in values)


FRAMES = ["TIT2", "TPE1", "TALB", "TPE2", "TRCK", "TPOS", "TDRC", "TCON"]
FRAMES_2 = ["TT2", "TP1", "TAL", "TP2", "TRK", "TPA"]


def id3_of(version: int, flags: int = 0) -> bytes:
    """A tag that says all of `SAID`, with a cover that is behind another picture."""
    texts = list(SAID.values())
    if version == 4:
        body = b"".join(
            frame4(name.encode(), b"\3" + "\0".join(values).encode())
            for name, values in zip(FRAMES, texts, strict=True)
        )
        return id3(4, body + frame4(b"APIC", apic(BACK, 4)) + frame4(b"APIC", apic(FRONT)))
    dates = {3: (b"TYER", b"TDAT"), 2: (b"TYE", b"TDA")}[version]
    names = {3: FRAMES, 2: FRAMES_2}[version][:6]
    frame = {3: frame3, 2: frame2}[version]
    body = b"".join(frame(name.encode(), utf16(values)) for name, values in zip(names, texts, strict=False))
    body += frame(dates[0], b"\x001999") + frame(dates[1], b"\x003112")
    body += frame({3: b"TCON", 2: b"TCO"}[version], b"\0(17)(8)")
    for picture, kind in ((BACK, 4), (FRONT, 3)):
        old = b"\0PNG" + bytes([kind]) + b"\0" + picture
        body += frame3(b"APIC", apic(picture, kind)) if version == 3 else frame2(b"PIC", old)
    return id3(version, body.replace(b"\xff", b"\xff\0") if flags else body, flags)


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize(("version", "flags"), [(2, 0), (2, 0x80), (3, 0), (3, 0x80), (4, 0)])
@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.aiff", "a.flac", "a.dsf", "a.tta"])
def test_id3_of_every_version_is_read(song: Song, tmp_path: Path, name: str, version: int, flags: int) -> None:
    """Wherever it lies in a file."""
    tag, path = id3_of(version, flags), tmp_path / f"b{name}"
    tag += bytes(len(tag) % 2)
    if name == "a.dsf":
        data = b"DSD " + struct.pack("<3Q", 28, 1_028 + len(tag), 1_028) + bytes(1_000) + tag
    elif name == "a.tta":
        data = tag + b"TTA1" + bytes(1_000)
    else:
        data = song(name).read_bytes()
        if data[:4] in (b"RIFF", b"FORM"):
            order = ">I" if data[:4] == b"FORM" else "<I"
            data = (
                data[:4]
                + struct.pack(order, len(data) + len(tag))
                + data[8:]
                + b"ID3 "
                + struct.pack(order, len(tag))
                + tag
            )
        else:
            data = tag + data
    path.write_bytes(data)
    assert read_all(path) == Tags(SAID, FRONT)


@pytest.mark.usefixtures("no_ffmpeg")
def test_id3_frames_may_be_packed(song: Song, tmp_path: Path) -> None:
    """Compressed, in a group, kept from looking like audio, with a head that says more; encrypted ones are not read."""
    picture = apic(FRONT)
    frames = [
        frame4(b"TIT2", numbers(5) + "\3ÿþ".encode().replace(b"\xff", b"\xff\0"), 0x03),
        frame4(b"TPE1", numbers(9) + zlib.compress(b"\3A\0B"), 0x09),
        frame4(b"TALB", b"\7\3Al", 0x40),
        frame4(b"TPE2", b"\7\3secret", 0x04),
        frame4(b"APIC", numbers(len(picture)) + picture.replace(b"\xff", b"\xff\0"), 0x03),
    ]
    path = tmp_path / "b.mp3"
    path.write_bytes(id3(4, numbers(6) + b"\1\0" + b"".join(frames), 0x40) + song("a.mp3").read_bytes())
    assert read_all(path) == Tags({"title": ("ÿþ",), "artist": ("A", "B"), "album": ("Al",)}, FRONT)
    old = [frame3(b"TPE1", struct.pack(">I", 4) + zlib.compress(b"\0A\0B"), 0x80), frame3(b"TALB", b"\7\0Al", 0x20)]
    path.write_bytes(id3(3, struct.pack(">I", 6) + bytes(6) + b"".join(old), 0x40) + song("a.mp3").read_bytes())
    assert read_all(path).texts == {"artist": ("A", "B"), "album": ("Al",)}


@pytest.mark.usefixtures("no_ffmpeg")
def test_sizes_of_an_older_version_are_understood(song: Song, tmp_path: Path) -> None:
    """A well-known player wrote frames of version 2.4 with sizes of version 2.3."""
    path, picture = tmp_path / "b.mp3", apic(png(200))
    path.write_bytes(id3(4, frame3(b"APIC", picture) + frame3(b"TIT2", b"\3T")) + song("a.mp3").read_bytes())
    assert read_all(path) == Tags({"title": ("T",)}, png(200))


@pytest.mark.usefixtures("no_ffmpeg")
def test_a_frame_that_swells_is_not_followed(song: Song, tmp_path: Path) -> None:
    """A few kilobytes may unpack to gigabytes."""
    path, bomb = tmp_path / "b.mp3", zlib.compress(apic(bytes(100_000_000)))
    frames = frame4(b"APIC", numbers(0) + bomb, 0x09) + frame4(b"TIT2", b"\3T")
    path.write_bytes(id3(4, frames) + song("a.mp3").read_bytes())
    found = read_all(path)
    assert (found.texts, found.picture) == ({"title": ("T",)}, b"")
    assert found.oversized < LARGEST_PICTURE + 100_000


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg"])
def test_cover_art_that_is_too_large_is_left_out_with_a_note(song: Song, tmp_path: Path, name: str) -> None:
    path, picture = tmp_path / f"b{name}", bytes(LARGEST_PICTURE + 1)
    if name == "a.mp3":
        path.write_bytes(id3(4, frame4(b"APIC", apic(picture))) + song(name).read_bytes())
    else:
        write(path, Path(name).suffix[1:], {}, picture)
    found = read_all(path)
    assert found.picture == b""
    assert "16.0 MB" in found.note


def comments(values: list[str]) -> bytes:
    """A list of comments, behind the name of its maker."""
    maker, *parts = (struct.pack("<I", len(part)) + part for part in (b"maker", *map(str.encode, values)))
    return maker + struct.pack("<I", len(values)) + b"".join(parts)


def ogg(*packets: bytes) -> bytes:
    """An Ogg file, cut into pages of 1,000 segments' worth."""
    made, number = b"", 0
    for packet in packets:
        sizes = b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255])
        for start in range(0, len(sizes), 200):
            part = sizes[start : start + 200]
            content = packet[255 * start :][: sum(part)]
            made += b"OggS" + struct.pack("<BBQIIIB", 0, bool(start), 0, 7, number, 0, len(part)) + part + content
            number += 1
    return made


COMMENTS = [
    "TITLE=Дует ☃",
    "artist=First",
    "ARTIST=AC/DC",
    "Artist=Đệ tam; & 3",
    "ALBUM=Al",
    "ALBUM ARTIST=Various",
    "ALBUM ARTIST=Others",
    "TRACKNUMBER=3/12",
    "DISCNUMBER=1/2",
    "DATE=1999-12-31",
    "GENRE=Rock",
    "GENRE=Jazz",
    "COMMENT=none of ours",
    "=",
    "novalue",
]


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize(
    ("first", "head"),
    [
        (b"\1vorbis", b"\3vorbis"),
        (b"OpusHead", b"OpusTags"),
        (b"Speex   ", b""),
        (b"\x7fFLAC\1\0\0\1fLaC", b"\x84\0\0\0"),
    ],
)
def test_comments_of_every_ogg_are_read(tmp_path: Path, first: bytes, head: bytes) -> None:
    block = (
        struct.pack(">2I", 3, 9)
        + b"image/png"
        + struct.pack(">I", 2)
        + b"xy"
        + bytes(16)
        + struct.pack(">I", len(FRONT))
        + FRONT
    )
    art = [f"METADATA_BLOCK_PICTURE={base64.b64encode(block).decode()}", "METADATA_BLOCK_PICTURE=?", "COVERART=AAAA"]
    path = tmp_path / "a.oga"
    path.write_bytes(ogg(first, head + comments([*COMMENTS, *art, "PAD=" + "x" * 100_000]), bytes(1_000)))
    assert read_all(path) == Tags(SAID, FRONT)


def asf_object(kind: str, content: bytes) -> bytes:
    return bytes.fromhex(kind) + struct.pack("<Q", len(content) + 24) + content


def wide(text: str) -> bytes:
    return (text + "\0").encode("utf-16-le")


@pytest.mark.usefixtures("no_ffmpeg")
def test_attributes_of_wma_are_read(tmp_path: Path) -> None:
    plain = [wide(SAID["title"][0]), wide("First"), b"", b"", b""]
    content = struct.pack("<5H", *map(len, plain)) + b"".join(plain)
    few = {"WM/AlbumTitle": "Al", "WM/AlbumArtist": "Various", "WM/TrackNumber": "3/12", "WM/PartOfSet": "1/2"}
    few |= {"WM/Year": "1999-12-31", "WM/Genre": "Rock"}
    extended = struct.pack("<H", len(few))
    for name, value in few.items():
        extended += (
            struct.pack("<H", len(wide(name))) + wide(name) + struct.pack("<2H", 0, len(wide(value))) + wide(value)
        )
    art = [
        bytes([kind]) + struct.pack("<I", len(art)) + wide("image/png") + wide("") + art
        for kind, art in ((4, BACK), (3, FRONT))
    ]
    many = [("Author", 0, wide("AC/DC")), ("Author", 0, wide("Đệ tam; & 3")), ("WM/AlbumArtist", 0, wide("Others"))]
    many += [("WM/Genre", 0, wide("Jazz")), *(("WM/Picture", 1, each) for each in art)]
    library = struct.pack("<H", len(many))
    for name, type_, value in many:
        library += struct.pack("<4HI", 0, 0, len(wide(name)), type_, len(value)) + wide(name) + value
    further = asf_object("941c23449894d149a1411d134e457054", library)
    objects = [
        asf_object("b503bf5f2ea9cf118ee300c00c205365", bytes(22) + further),
        asf_object("3326b2758e66cf11a6d900aa0062ce6c", content),
        asf_object("40a4d0d207e3d21197f000a0c95ea850", extended),
    ]
    head = asf_object("3026b2758e66cf11a6d900aa0062ce6c", struct.pack("<I", 3) + b"\1\2" + b"".join(objects))
    (tmp_path / "a.wma").write_bytes(head + bytes(1_000))
    assert read_all(tmp_path / "a.wma") == Tags(SAID, FRONT)


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.ogg", "a.wav", "ape.mp3"])
def test_damaged_tags_are_no_reason_to_fail(song: Song, tmp_path: Path, name: str) -> None:
    """Cut anywhere, or with numbers changed anywhere."""
    path = tmp_path / f"b{name}"
    if name == "ape.mp3":
        path.write_bytes(song("a.mp3").read_bytes() + ape(APE))
    else:
        write(path, Path(name).suffix[1:], SAID, FRONT)
    data = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(data)
        for place in random.integers(0, 1_500, 8):
            side = place if random.random() < 0.5 else len(data) - 1 - place
            damaged[side : side + 4] = [b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\1"][place % 4]
        path.write_bytes(damaged[: random.integers(20, len(data))] if random.random() < 0.3 else damaged)
        assert set(read_all(path).texts) <= set(KEYS)
