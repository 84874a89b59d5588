"""Finds where the sound lies in files that hold it as one block, with its size before it, and whether all is there.

libsndfile and ffmpeg correct a wrong size silently, each in its own way; so it is looked up here before they read.
"""

import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from stemsplit.audio.source import UnreadableError
from stemsplit.audio.spliced import Spliced

Order = Literal["little", "big"]

LONGEST = 1 << 24
"""Largest size in bytes of a header that is kept."""

W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"

MAGIC = re.compile(
    rb"(?s)\0*((RIFF|RIFX|RF64|BW64)....WAVE|FORM....(AIFF|AIFC|8SVX|16SV)|riff\x2e\x91|caff\0|\.snd\0|fLaC\0|"
    rb"NIST_1A|Creative V)"
)
"""Matches the beginning of another recording."""

TAG = re.compile(rb"TAG|APETAGEX|ID3|LYRICSBEGIN")
"""Matches the beginning of tags that some programs append to any file."""

CHUNKS = re.compile(
    rb"LIST|id3 |ID3 |bext|iXML|cue |smpl|fact|PEAK|JUNK|junk|PAD |FLLR|afsp|inst|acid|cart|axml|chna|DISP|levl|COMM|"
    rb"MARK|INST|APPL|NAME|AUTH|ANNO|\(c\) |COMT|CHAN|FVER|_PMX|minf|elm1|regn|umid|SAUR|free|info|strg|peak|midi"
)
"""Matches the names of chunks that are known to follow the sound."""


NO_LENGTH = "its header does not say how long it is (it was written to a pipe, or never finished); all of it is split"


@dataclass(frozen=True, slots=True)
class Field:
    """A number in a header that depends on the size of the sound: `size // per + plus`.

    Args:
        offset: offset of the number in the header.
        width: bytes of the number, which become all ones if they are too few.
        order: their order.
        plus: what is added to the size.
        per: what the size is divided by.
    """

    offset: int
    width: int
    order: Order
    plus: int = 0
    per: int = 1

    def put(self, header: bytearray, size: int) -> None:
        """Put the number into a header."""
        value = min(size // self.per + self.plus, (1 << 8 * self.width) - 1)
        header[self.offset : self.offset + self.width] = value.to_bytes(self.width, self.order)


@dataclass
class Extent:
    """Where the sound lies in a file.

    Args:
        begin: offset of its first byte.
        promised: its size in bytes by the header; None if the header leaves it open.
        header: bytes to read before the sound instead of the file's own; empty to keep those.
        fields: where that header holds the size.
        size: its size in bytes as it should be read.
        cut: how much of it is missing; empty if all is there.
        warning: what people should know of its end; empty if that is as it should be.
        mended: whether the file has to be read with that header, and to the end of the sound only.
    """

    begin: int
    promised: int | None
    header: bytes = b""
    fields: tuple[Field, ...] = ()
    size: int = 0
    cut: str = ""
    warning: str = ""
    mended: bool = False

    def open(self, path: Path) -> IO[bytes]:
        """Return the file as one whose header is right and that ends with its sound."""
        header = bytearray(self.header)
        for field in self.fields:
            field.put(header, self.size)
        before = bytes(header) if header else (0, self.begin)
        return io.BufferedReader(Spliced(path, [before, (self.begin, self.begin + self.size)]), 1 << 17)


def number(data: bytes, order: Order) -> int:
    """Return the number in some bytes."""
    return int.from_bytes(data, order)


def beginning(file: IO[bytes], size: int) -> bytes:
    """Return the first bytes of a file; none if that would be too much for a header."""
    file.seek(0)
    return file.read(size) if size <= LONGEST else b""


def promise(size: int) -> int | None:
    """Return a size of 32 bits; None for those that programs leave which write to a pipe: as much as is possible."""
    return None if 0x7FFF_0000 <= size <= 0x7FFF_FFFF or size >= 0xFFFF_0000 else size


def wave(file: IO[bytes], start: bytes) -> Extent | None:
    """Find the sound of a WAV, RF64 or BW64."""
    order: Order = "big" if start[:4] == b"RIFX" else "little"
    wide, form = None, b""
    while len(head := file.read(8)) == 8:
        name, size, content = head[:4], number(head[4:], order), file.tell()
        if name == b"ds64":
            wide = number(file.read(16)[8:], "little")
        elif name == b"fmt ":
            form = head + file.read(min(size, 1 << 10))
            if len(form) >= 16 and not (number(form[10:12], order) and number(form[12:16], order)):
                raise UnreadableError("its header says 0 channels or 0 Hz")
        elif name == b"data":
            promised = promise(size)
            if wide is not None and size == 0xFFFF_FFFF:
                promised = None if wide >> 62 else wide
            if order == "big":
                return Extent(content, promised)
            # As an RF64, which can hold any size. libsndfile does not know BW64, which is the same by another name.
            header = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + bytes(28) + form + b"data\xff\xff\xff\xff"
            sizes = Field(20, 8, order, plus=72 + len(form)), Field(28, 8, order)
            return Extent(content, promised, header, sizes, mended=start[:4] == b"BW64")
        file.seek(content + size + size % 2)
    return None


def wave64(file: IO[bytes], _: bytes) -> Extent | None:
    """Find the sound of a W64 file."""
    file.seek(40)
    while len(head := file.read(24)) == 24:
        size, content = number(head[16:], "little"), file.tell()
        if head[:16] == W64_DATA:
            sizes = Field(16, 8, "little", plus=content), Field(content - 8, 8, "little", plus=24)
            promised = None if size >> 62 or size < 24 else size - 24
            return Extent(content, promised, beginning(file, content), sizes)
        if size < 24 or size >> 62:
            return None
        file.seek(content - 24 + -(-size // 8) * 8)
    return None


PLAIN = (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64")
"""AIFC's names of codings in which every sample takes as many bytes."""


def aiff(file: IO[bytes], start: bytes) -> Extent | None:
    """Find the sound of an AIFF, AIFC, 8SVX or 16SV file."""
    common, frame = 0, 0
    while len(head := file.read(8)) == 8:
        name, size, content = head[:4], number(head[4:], "big"), file.tell()
        if name == b"COMM":
            common, data = content, file.read(22)
            if start[8:12] == b"AIFF" or data[18:22] in PLAIN:
                frame = number(data[:2], "big") * -(-number(data[6:8], "big") // 8)
        elif name == b"BODY":
            return Extent(content, promise(size))
        elif name == b"SSND":
            gap = 8 + number(file.read(4), "big")
            begin, promised = content + gap, promise(size)
            promised = None if promised is None or size < gap else size - gap
            if not frame:
                return Extent(begin, promised)
            sizes = Field(4, 4, "big", plus=begin - 8), Field(content - 4, 4, "big", plus=gap)
            return Extent(begin, promised, beginning(file, begin), (*sizes, Field(common + 2, 4, "big", per=frame)))
        file.seek(content + size + size % 2)
    return None


def au(file: IO[bytes], start: bytes) -> Extent | None:
    """Find the sound of an AU file."""
    order: Order = "big" if start[:4] == b".snd" else "little"
    begin, size = number(start[4:8], order), number(start[8:12], order)
    return Extent(begin, promise(size), beginning(file, begin), (Field(8, 4, order),)) if begin >= 24 else None


def caf(file: IO[bytes], _: bytes) -> Extent | None:
    """Find the sound of a CAF file."""
    file.seek(8)
    plain = False
    while len(head := file.read(12)) == 12:
        size, content = int.from_bytes(head[4:], "big", signed=True), file.tell()
        if head[:4] == b"desc":
            plain = file.read(12)[8:] == b"lpcm"
        elif head[:4] == b"data":
            begin, promised = content + 4, size - 4 if size >= 4 else None  # an edit count comes first
            if not plain:
                return Extent(begin, promised)
            return Extent(begin, promised, beginning(file, begin), (Field(content - 8, 8, "big", plus=4),))
        if size < 0:
            return None
        file.seek(content + size)
    return None


def sphere(file: IO[bytes], _: bytes) -> Extent | None:
    """Find the sound of a NIST SPHERE file."""
    text = beginning(file, 1_024)
    begin = re.match(rb"NIST_1A\n *(\d+)\n", text)
    found = re.findall(rb"^(?:sample_count|channel_count|sample_n_bytes) -i (\d{1,12})$", text, re.M)
    if not begin or len(found) != 3:
        return None
    return Extent(int(begin[1]), int(found[0]) * int(found[1]) * int(found[2]))


def voc(file: IO[bytes], start: bytes) -> Extent | None:
    """Find the sound of a Creative VOC file that has one block of it."""
    file.seek(number(start[20:22], "little"))
    while len(head := file.read(4)) == 4:
        kind, size, content = head[0], number(head[1:], "little"), file.tell()
        file.seek(content + size)
        if kind in (1, 9):
            gap = 2 if kind == 1 else 12
            return Extent(content + gap, size - gap) if file.read(1) in (b"", b"\0") else None
    return None


KINDS: dict[bytes, Callable[[IO[bytes], bytes], Extent | None]] = {
    **dict.fromkeys((b"RIFF", b"RIFX", b"RF64", b"BW64"), wave),
    b"riff": wave64,
    b"FORM": aiff,
    **dict.fromkeys((b".snd", b"dns."), au),
    b"caff": caf,
    b"NIST": sphere,
    b"Crea": voc,
}


def follows(rest: bytes, left: int, order: Order, known_only: bool) -> bool:
    """Return whether chunks follow the sound, which hold tags, markers and the like.

    Args:
        rest: first bytes after the sound.
        left: number of bytes after the sound.
        order: byte order of sizes.
        known_only: whether a chunk with an unknown name counts only if it ends where the file does.
    """
    if CHUNKS.match(rest):
        return True
    if len(rest) < 8 or not all(0x20 <= byte < 0x7F for byte in rest[:4]):
        return False
    return (left - 10 if known_only else 0) <= number(rest[4:8], order) <= left - 8


def is_blank(file: IO[bytes], begin: int) -> bool:
    """Return whether a file has only zeros from an offset on."""
    file.seek(begin)
    while block := file.read(1 << 20):
        if block.strip(b"\0"):
            return False
    return True


def judge(extent: Extent, file: IO[bytes], end: int, start: bytes) -> None:
    """Compare the sound's size by the header with what the file has, and note what follows of it."""
    there = max(end - extent.begin, 0)
    if extent.promised is None:
        extent.size, extent.mended = there, True
        extent.warning = NO_LENGTH
        return
    extent.size = min(extent.promised, there)
    if extent.promised > there:
        extent.cut = f"{there} of {extent.promised} bytes of its sound are there"
        extent.mended = extent.mended or start[:4] == b"caff"  # which libsndfile refuses then
        return
    left = there - extent.promised
    file.seek(extent.begin + extent.promised)
    rest = file.read(64)
    if extent.promised % 2 and rest[:1] == b"\0":  # chunks begin at even offsets
        rest = rest[1:]
    order: Order = "big" if start[:4] in (b"FORM", b"RIFX", b"caff") else "little"
    # Of these, libsndfile takes all that follows for sound.
    greedy = start[:4] in (b"riff", b"NIST", b"Crea") or start[8:12] in (b"8SVX", b"16SV")
    if start[:4] == b"riff":
        chunks = rest[4:16] in (W64_DATA[4:], W64_RIFF[4:])
    else:
        chunks = follows(rest, left, order, not extent.promised)
    if MAGIC.match(rest):
        extent.warning = "another recording is joined to it, which players do not play; only the first one is split"
        extent.mended = True
    elif left <= 3 or TAG.match(rest) or chunks or not extent.header:
        extent.mended = extent.mended or (greedy and left > 3)
    elif is_blank(file, extent.begin + extent.promised):
        extent.mended = extent.mended or greedy
    else:
        extent.size, extent.mended = there, True
        said = f"{extent.promised} bytes" if extent.promised else "nothing"
        extent.warning = f"its header says {said} of sound, but {there} bytes are there; all of it is split"


def extent_of(path: Path) -> Extent | None:
    """Find where the sound lies in a file.

    Returns:
        The sound's place; None for files that hold it in another way, or whose structure cannot be followed.

    Raises:
        OSError: the file cannot be read.
        UnreadableError: its header is impossible.
    """
    with path.open("rb") as file:
        start = file.read(26)
        find = KINDS.get(start[:4])
        if find is None:
            return None
        file.seek(12)
        extent = find(file, start)
        if extent is not None:
            judge(extent, file, file.seek(0, os.SEEK_END), start)
        return extent
