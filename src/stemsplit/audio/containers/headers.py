"""Finds where the sound begins, and how long its header says that it is: WAV, W64, AIFF, AU, CAF and older formats."""

import re
from collections.abc import Callable
from typing import IO

from stemsplit.audio.containers.extent import Extent, Field, Order
from stemsplit.audio.source import UnreadableError

LONGEST = 1 << 24
"""Largest size in bytes of a header that is kept."""

W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


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
