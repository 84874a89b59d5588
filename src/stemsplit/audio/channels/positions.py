"""Reads which speakers the channels of a file are for, and writes that into the files of stems."""

import re
from itertools import islice
from pathlib import Path
from typing import IO

from stemsplit.audio.channels import speakers
from stemsplit.audio.channels.layouts import ALAC, APPLE, LABELS, LAYOUTS
from stemsplit.audio.containers.riff import Order, append_chunk, chunks, walk
from stemsplit.audio.source import Source, UnreadableError
from stemsplit.choices import FormatName

Speakers = tuple[str, ...]

MOST_CHUNKS = 1_000
"""Chunks that are looked at in a file; a header has far fewer."""

LARGEST = 1 << 48
"""Size in bytes that no chunk has."""

COMMENT = b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x%05X"
"""Comment of a FLAC file, always of the same length: masks have 18 bits."""

BY_BITS = (1 << 16).to_bytes(4, "big")
"""Core Audio's layout of channels that the bits of a mask name, which are those of WAV files."""

PLACE = "to be replaced by the mask".ljust(len(COMMENT % 0) - len("LICENSE="), "_")
"""Text that libsndfile stores, as a FLAC file's licence, where the comment with the channel mask goes."""


def of_layout(name: str) -> Speakers:
    """Return the speakers of a layout that ffmpeg names, such as "5.1(side)" or "3 channels (FL+LFE+FR)"."""
    listed = re.fullmatch(r"\d+ channels \((.*)\)", name)
    return tuple(listed[1].split("+") if listed else LAYOUTS.get(name, "").split())


def of_wav(file: IO[bytes]) -> Speakers:
    """Return the speakers of a WAV, RF64 or W64 file; none if it has no channel mask, or one of other channels."""
    head, content = file.read(40), b""
    order: Order = "big" if head.startswith(b"RIFX") else "little"
    if head.startswith(b"riff"):  # W64: names of 16 bytes and sizes of 8, which count both
        for _ in range(MOST_CHUNKS):
            name, size = file.read(16), int.from_bytes(file.read(8), "little")
            if name.startswith(b"fmt ") or not 24 <= size < LARGEST:
                content = file.read(40)
                break
            file.seek((size - 24 + 7) & ~7, 1)
    else:
        file.seek(12)
        for name, _ in islice(walk(file, order), MOST_CHUNKS):
            if name == b"fmt ":
                content = file.read(40)
                break
    extensible = len(content) == 40 and int.from_bytes(content[:2], order) == 0xFFFE
    return speakers.masked(int.from_bytes(content[20:24], order)) if extensible else ()


def of_apple(layout: bytes) -> Speakers:
    """Return the speakers of a Core Audio channel layout, the content of AIFF's `CHAN` and CAF's `chan`."""
    tag, bits, count = (int.from_bytes(layout[place : place + 4], "big") for place in (0, 4, 8))
    if tag == 0:
        labels = [int.from_bytes(layout[12 + 20 * item : 16 + 20 * item], "big") for item in range(min(count, 64))]
        known = {**LABELS, 5: "SL", 6: "SR"} if {33, 34} & set(labels) else LABELS
        return tuple(known.get(label, "") for label in labels)
    if layout[:4] == BY_BITS:
        return speakers.masked(bits)
    return tuple(APPLE.get(tag >> 16, "").split())


def of_aiff(file: IO[bytes]) -> Speakers:
    """Return the speakers of an AIFF file; none if it does not say."""
    for name, size in islice(chunks(file), MOST_CHUNKS):
        if name == b"CHAN":
            return of_apple(file.read(min(size, 2_000)))
    return ()


def of_caf(file: IO[bytes]) -> Speakers:
    """Return the speakers of a CAF file; none if it does not say."""
    file.seek(8)
    for _ in range(MOST_CHUNKS):
        name, size = file.read(4), int.from_bytes(file.read(8), "big", signed=True)
        if name == b"chan":
            return of_apple(file.read(min(max(size, 0), 2_000)))
        if not 0 <= size < LARGEST:
            break
        file.seek(size, 1)
    return ()


def comments(file: IO[bytes]) -> list[tuple[int, bytes]]:
    """Return the comments of a FLAC file, and where in the file each of them begins."""
    found: list[tuple[int, bytes]] = []
    file.seek(0)
    head = file.read(10)
    if head[:3] == b"ID3":
        file.seek(10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=False)))
        head = file.read(4)
    file.seek(4 + file.tell() - len(head))
    while head[:4] == b"fLaC" and len(block := file.read(4)) == 4:
        size, begin = int.from_bytes(block[1:], "big"), file.tell()
        if block[0] & 0x7F == 4:
            content = file.read(size)
            place = 4 + int.from_bytes(content[:4], "little") + 4
            while place + 4 <= len(content) and len(found) < MOST_CHUNKS:
                length = int.from_bytes(content[place : place + 4], "little")
                found.append((begin + place + 4, content[place + 4 : place + 4 + length]))
                place += 4 + length
        if block[0] & 0x80 or found:
            break
        file.seek(begin + size)
    return found


def of_flac(file: IO[bytes], channels: int) -> Speakers:
    """Return the speakers of a FLAC file."""
    for _, comment in comments(file):
        if found := re.fullmatch(rb"(?i)waveformatextensible_channel_mask=(0x[0-9a-f]{1,8}|\d{1,10})", comment):
            named = speakers.masked(int(found[1], 16 if found[1][1:2] in b"xX" else 10))
            if len(named) == channels:
                return named
    return speakers.FLAC.get(channels, ())


def of_ogg(file: IO[bytes], coding: str, channels: int) -> Speakers:
    """Return the speakers of an Ogg file with Vorbis or Opus; none if its channels have no meaning."""
    if coding == "OPUS":
        head, found = re.compile(rb"OpusHead.{10}(.)", re.S), file.read(1 << 16)
        family = head.search(found)
        if not family or family[1] != b"\1":
            return ()
    return speakers.VORBIS.get(channels, ())


def of_header(file: IO[bytes], container: str, coding: str, channels: int) -> Speakers:
    """Return the speakers that a file's header names, in the order in which libsndfile decodes its channels."""
    if container in ("WAV", "WAVEX", "RF64", "W64"):
        return of_wav(file)
    if container == "AIFF":
        return of_aiff(file)
    if container == "CAF":
        return tuple(ALAC.get(channels, "").split()) if coding.startswith("ALAC") else of_caf(file)
    if container == "FLAC":
        return of_flac(file, channels)
    return of_ogg(file, coding, channels) if coding in ("VORBIS", "OPUS") else ()


def stated(path: Path, source: Source) -> Speakers:
    """Return the speakers of an open file's channels, in the order in which its decoder gives them.

    Returns:
        One name, of `speakers.ORDER`, for each channel; none if the file does not say all of them, and for mono and
        stereo.

    Raises:
        UnreadableError: the file cannot be read.
    """
    channels = source.channels
    if not source.container:
        found = of_layout(source.layout)
    else:
        try:
            with path.open("rb") as file:
                found = of_header(file, source.container, source.coding, channels)
        except OSError as error:
            raise UnreadableError((error.strerror or "the system refuses").lower()) from error
    known = len(found) == len(set(found)) == channels and set(found) <= set(speakers.ORDER)
    return found if known and channels > 1 and found not in speakers.ORDINARY else ()


def place_for_mask(file_format: str, channels: int, named: Speakers) -> str:
    """Return the text that a file needs as its licence, so that `write_mask` finds room; empty if it needs none."""
    needed = file_format == FormatName.flac and named and named != speakers.FLAC.get(channels)
    return PLACE if needed else ""


def write_mask(file: IO[bytes], file_format: str, channels: int, named: Speakers) -> None:
    """Write the channel mask into a finished file: into WAVEX, RF64 and AIFF, and into FLAC where it needs one.

    Args:
        file: the file, made with `place_for_mask`.
        file_format: one of `FormatName`.
        channels: number of channels.
        named: their speakers; empty if unknown.

    Raises:
        OSError: the file has no room for it.
    """
    file.seek(0)
    if file_format == FormatName.wav and channels > 2:
        for name, size in islice(chunks(file), MOST_CHUNKS):
            if name == b"fmt ":
                if size == 40 and file.read(2) == b"\xfe\xff":
                    file.seek(18, 1)
                    file.write(speakers.mask(named).to_bytes(4, "little"))
                elif named:
                    raise OSError("its header has no channel mask")
                return
    elif file_format == FormatName.aiff and named:
        append_chunk(file, b"CHAN", BY_BITS + speakers.mask(named).to_bytes(4, "big") + bytes(4))
    elif place_for_mask(file_format, channels, named):
        wanted = b"LICENSE=" + PLACE.encode()
        places = [place for place, comment in comments(file) if comment.upper() == wanted.upper()]
        if not places:
            raise OSError("its header has no channel mask")
        file.seek(places[0])
        file.write(COMMENT % speakers.mask(named))
