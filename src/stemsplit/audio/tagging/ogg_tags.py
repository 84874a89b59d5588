"""Reads and writes the tags of Ogg files: Vorbis comments in the second packet."""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import IO

from stemsplit.audio.containers.ogg import checksum
from stemsplit.audio.tagging.comments import read_comments, with_comments
from stemsplit.audio.tagging.moving import replace_head
from stemsplit.audio.tagging.values import LARGEST, MANY, Found, Texts

HEADS = {b"\x03vorbis": 7, b"OpusTags": 8, b"\x81theora": 7}
"""How the packet with the comments begins, for each codec -> the length of that beginning."""

FLAC_COMMENTS = 4
CONTINUED = 1
NO_END = (1 << 64) - 1
"""Stands for the position in the sound on a page on which no packet ends."""


def pages(file: IO[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield the head, the lengths of segments and the content of each page."""
    while len(head := file.read(27)) == 27 and head[:4] == b"OggS":
        sizes = file.read(head[26])
        content = file.read(sum(sizes))
        if len(content) < sum(sizes):
            return
        yield head, sizes, content


def packets(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the number of the stream and the content of each packet, up to a limit of bytes in all."""
    open_: dict[bytes, bytearray] = {}
    left = LARGEST
    for head, sizes, content in islice(pages(file), 5 * MANY):
        left -= len(head) + len(sizes) + len(content)
        if left < 0:
            return
        stream, place = head[14:18], 0
        packet = open_.setdefault(stream, bytearray())
        for size in sizes:
            packet += content[place : place + size]
            place += size
            if size < 255:
                yield stream, bytes(packet)
                packet.clear()


def comments_of(packet: bytes, first: bytes) -> bytes | None:
    """Return the comments in a packet; None if it holds none.

    Args:
        packet: second packet of a stream, or a later one.
        first: first packet of the stream.
    """
    if first.startswith(b"\x7fFLAC"):
        return packet[4:] if packet[0] & 0x7F == FLAC_COMMENTS else None
    if first.startswith(b"Speex   "):
        return packet
    return next((packet[size:] for start, size in HEADS.items() if packet.startswith(start)), None)


def read_ogg(file: IO[bytes]) -> Found:
    """Return what the tags of an Ogg file say, those of sound before those of pictures."""
    firsts: dict[bytes, bytes] = {}
    seen: dict[bytes, int] = {}
    found, video = Found(), Found()
    for stream, packet in packets(file):
        if stream not in firsts:
            firsts[stream], seen[stream] = packet, 0
            continue
        seen[stream] += 1
        comments = comments_of(packet, firsts[stream]) if packet else None
        if comments is not None:
            is_video = firsts[stream].startswith(b"\x80theora")
            read_comments(comments, video if is_video else found)
            if not is_video:
                break
        if all(count >= 2 for count in seen.values()) or sum(seen.values()) > 8:
            break
    found.fill(video)
    return found


def paged(packets: list[bytes], serial: bytes, first: int) -> bytes:
    """Return pages that hold whole packets, none of which holds sound.

    Args:
        packets: packets.
        serial: number of the stream, 4 bytes.
        first: number of the first page.
    """
    sizes = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    content, made, place, continued = b"".join(packets), [], 0, 0
    for number, start in enumerate(range(0, len(sizes), 255), first):
        part = sizes[start : start + 255]
        position = 0 if any(size < 255 for size in part) else NO_END
        head = struct.pack("<4sBBQ4sIIB", b"OggS", 0, continued, position, serial, number, 0, len(part))
        page = bytearray(head + part + content[place : place + sum(part)])
        page[22:26] = checksum(page).to_bytes(4, "little")
        made.append(bytes(page))
        place += sum(part)
        continued = CONTINUED if part[-1] == 255 else 0
    return b"".join(made)


def write_ogg(file: IO[bytes], tags: Texts, picture: bytes) -> None:
    """Write tags into an Ogg file with one stream of Vorbis or Opus. Its pages have to be numbered anew afterwards."""
    file.seek(0)
    head, sizes, content = next(pages(file))
    first = head + sizes + content
    # Before the sound, Opus has a packet of comments, and Vorbis one more.
    is_opus = content.startswith(b"OpusHead")
    parts: list[bytes] = []
    packet = b""
    while len(parts) < (1 if is_opus else 2):
        _, sizes, content = next(pages(file))
        place = 0
        for size in sizes:
            packet += content[place : place + size]
            place += size
            if size < 255:
                parts.append(packet)
                packet = b""
    replaced = file.tell()
    marker = parts[0][: 8 if is_opus else 7]
    # A last bit that is set ends the comments of Vorbis.
    ended = with_comments(parts[0][len(marker) :], tags, picture) + (b"" if is_opus else b"\1")
    parts[0] = marker + ended
    made = first + paged(parts, head[14:18], 1)
    if len(made) < replaced:  # what follows the end of the comments is not read
        parts[0] += bytes(replaced - len(made))
        made = first + paged(parts, head[14:18], 1)
    replace_head(file, made, replaced)
