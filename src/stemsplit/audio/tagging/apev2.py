"""Reads APE tags, which Monkey's Audio, WavPack and Musepack files end with, and some MP3s."""

from typing import IO

from stemsplit.audio.tagging.values import FRONT, LARGEST, LARGEST_TEXT, MOST, Found, text

NAMES = {
    b"title": "title",
    b"artist": "artist",
    b"album": "album",
    b"album artist": "albumartist",
    b"albumartist": "albumartist",
    b"track": "tracknumber",
    b"tracknumber": "tracknumber",
    b"disc": "discnumber",
    b"discnumber": "discnumber",
    b"year": "date",
    b"date": "date",
    b"genre": "genre",
}
"""Name of an item in lower case -> the tag."""

COVER = b"cover art ("
FOOTER = 32


def footer(file: IO[bytes]) -> int:
    """Return where the last 32 bytes of a file's APE tag begin; -1 if it has none.

    The oldest kind of ID3 tag may follow, with or without the words of the song before it.
    """
    end = file.seek(0, 2)
    ends = [end]
    file.seek(max(end - 128, 0))
    if file.read(3) == b"TAG":
        ends.append(end - 128)
        file.seek(max(end - 128 - 15, 0))
        words = file.read(15)
        if words[6:] == b"LYRICS200" and words[:6].isdigit():
            ends.append(end - 128 - 15 - int(words[:6]))
    for place in ends:
        if place >= FOOTER:
            file.seek(place - FOOTER)
            if file.read(8) == b"APETAGEX":
                return place - FOOTER
    return -1


def read_apev2(file: IO[bytes]) -> Found:
    """Return what a file's APE tag says."""
    found = Found()
    end = footer(file)
    if end < 0:
        return found
    file.seek(end + 8)
    _, size, count, _ = (int.from_bytes(file.read(4), "little") for _ in range(4))
    if not FOOTER <= size <= min(LARGEST, end + FOOTER):
        return found
    place = end + FOOTER - size
    for _ in range(min(count, size // 11)):
        file.seek(place)
        head = file.read(8 + 256)
        length, flags = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:8], "little")
        name, ended, _ = head[8:].partition(b"\0")
        start = place + 8 + len(name) + 1
        if not ended or start + length > end:
            break
        file.seek(start)
        name = name.lower()
        if name.startswith(COVER) and flags >> 1 & 3 == 1:
            # A file name stands before the picture.
            before = len(file.read(min(length, 1_024)).partition(b"\0")[0]) + 1
            file.seek(start + before)
            here = length - before
            found.offer(FRONT if b"front" in name else 255, here, lambda here=here: file.read(here))  # type: ignore[misc]
        elif (key := NAMES.get(name)) and not flags >> 1 & 3 and length <= LARGEST_TEXT:
            for value in file.read(length).split(b"\0", MOST)[:MOST]:
                found.add(key, text(value))
        place = start + length
    return found
