"""Walks through the frames of MPEG audio files (MP1, MP2, MP3): whether all are there, and of one kind."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Bits of the version (MPEG 1, 2, 2.5) -> sample rates in Hz."""

BITRATES = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""(bits of the version, bits of the layer) -> kbit/s, by ISO 11172-3 and 13818-3. MPEG 2.5 has those of MPEG 2."""

MUCH = 1 << 14
"""Bytes after the last frame that are more than padding."""

SEARCHED = 1 << 16
"""Bytes after a tag in which the first frame is looked for."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame's header says.

    Args:
        length: bytes of the frame.
        samples: samples per channel.
        rate: sample rate in Hz.
        channels: number of channels.
        side: bytes between the header and the main data (layer III), where a first frame holds `Xing` or `Info`.
    """

    length: int
    samples: int
    rate: int
    channels: int
    side: int


def parsed(header: bytes) -> Frame | None:
    """Return what the 4 bytes of a frame's header say; None if they are not one."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bits, rate_bits, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 0 or bits in (0, 15) or rate_bits == 3:
        return None
    rate = RATES[version][rate_bits]
    bitrate = BITRATES[3 if version == 3 else 2, layer][bits - 1] * 1_000
    mono = header[3] >> 6 == 3
    if layer == 3:
        return Frame((12 * bitrate // rate + padding) * 4, 384, rate, 2 - mono, 0)
    samples = 576 if layer == 1 and version != 3 else 1_152
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return Frame(samples // 8 * bitrate // rate + padding, samples, rate, 2 - mono, side)


@dataclass
class Frames:
    """What the frames of a file are like.

    Attributes:
        count: number of whole frames with sound.
        promised: number of them by the first frame, which may hold it; None if it does not.
        kinds: sample rates and channels, in order of appearance.
        heads: number of frames that hold a length instead of sound.
        stray: bytes between frames that are not frames; libmpg123 takes no tags there either.
        partial: whether the last frame is incomplete.
        end: offset of the end of the last whole frame.
        trailing: bytes that follow it and are neither frames nor tags.
    """

    count: int = 0
    promised: int | None = None
    kinds: dict[tuple[int, int], None] = field(default_factory=dict)
    heads: int = 0
    stray: int = 0
    partial: bool = False
    end: int = 0
    trailing: int = 0

    @property
    def cut(self) -> str:
        """How much of the file is missing; empty if nothing is."""
        # Some programs count the first frame too.
        if self.promised is not None and self.heads == 1 and self.count < self.promised - 1:
            return f"{self.count} of {self.promised} frames are there"
        return ""

    @property
    def is_plain(self) -> bool:
        """Whether it is one recording of one kind from its first whole frame to its last."""
        return not (self._is_longer or self.stray or self.heads > 1 or len(self.kinds) > 1)

    @property
    def _is_longer(self) -> bool:
        """Whether there are more frames than the first one says."""
        return self.promised is not None and self.count > self.promised + 1

    @property
    def warning(self) -> str:
        """What people should know of the file; empty if there is nothing."""
        if self.heads > 1 or self._is_longer:
            return "several recordings are joined in it; all of them are split"
        if self.trailing > MUCH:
            return "what follows its last frame is not sound; it may be an unfinished download"
        if self.stray or self.partial:
            return "it begins or ends in mid-frame, or is damaged; what can be decoded is split"
        return "its sample rate or number of channels changes; all of it is split" if len(self.kinds) > 1 else ""


def tag_size(head: bytes, left: int) -> int:
    """Return the bytes of a tag that begins with some bytes; 0 if none does.

    Args:
        head: first 32 bytes of the place.
        left: bytes from there to the end of the file.
    """
    if head[:3] == b"ID3" and len(head) >= 10:
        return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    if head[:8] == b"APETAGEX" and len(head) >= 24:
        size = int.from_bytes(head[12:16], "little")
        return size + 32 if head[23] & 0x20 else 32  # the header says how much follows; a footer ends it
    if head[:3] == b"TAG" and left <= 128 + 227:
        return left
    return left if head[:11] == b"LYRICSBEGIN" else 0


def first_frame(file: IO[bytes]) -> Frame | None:
    """Move a file from its beginning to its first frame, after tags.

    Returns:
        The frame; None if there is none, that is, none that another one of the same kind follows.
    """
    end = file.seek(0, os.SEEK_END)
    place = 0
    while True:
        file.seek(place)
        size = tag_size(file.read(32), end - place)
        if not size:
            break
        place += size
    found, frame = pair(file, place, end)
    file.seek(found)
    return frame


def pair(file: IO[bytes], place: int, end: int) -> tuple[int, Frame | None]:
    """Look for a frame that another one of its kind, or the end of the file, follows.

    Args:
        file: file.
        place: offset from which to look, for as many bytes as `SEARCHED`.
        end: size of the file.

    Returns:
        The frame's offset, and the frame; None if there is none.
    """
    file.seek(place)
    data = file.read(SEARCHED)
    offset = data.find(b"\xff")
    while 0 <= offset < len(data) - 3:
        if frame := parsed(data[offset : offset + 4]):
            file.seek(place + offset + frame.length)
            after = parsed(file.read(4))
            if (after and after.rate == frame.rate) or place + offset + frame.length == end:
                return place + offset, frame
        offset = data.find(b"\xff", offset + 1)
    return place, None


def is_mpeg(path: Path) -> bool:
    """Return whether a file is MPEG audio: a tag or a frame begins it, and frames follow.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(4)
        return (start[:3] == b"ID3" or parsed(start) is not None) and first_frame(file) is not None


def resumed(file: IO[bytes], place: int, end: int) -> int:
    """Return where frames go on, from an offset on; `end` if nowhere."""
    while place < end:
        found, frame = pair(file, place, end)
        if frame:
            return found
        place += SEARCHED - 3
    return end


def look_through(path: Path) -> Frames | None:
    """Read the headers of all frames of a file; None if it is not MPEG audio.

    Raises:
        OSError: the file cannot be read.
    """
    found = Frames()
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        if first_frame(file) is None:
            return None
        place, tags = file.tell(), 0
        while place < end:
            file.seek(place)
            head = file.read(4)
            frame = parsed(head)
            if frame is None:
                file.seek(place)
                if size := tag_size(file.read(32), end - place):
                    tags, place = tags + size, place + size
                    continue
                # What follows the last frame is not always a tag that is known.
                begin, place = place, resumed(file, place + 1, end)
                if place < end:
                    found.stray += place - begin
                else:
                    found.trailing = end - begin
                continue
            if place + frame.length > end:
                found.partial = True
                break
            found.stray, tags = found.stray + tags, 0
            found.kinds.setdefault((frame.rate, frame.channels))
            data = file.read(frame.side + 12)
            if data[frame.side : frame.side + 4] in (b"Xing", b"Info") or data[32:36] == b"VBRI":
                found.heads += 1
                if found.count == 0 and data[frame.side + 7 : frame.side + 8] and data[frame.side + 7] & 1:
                    found.promised = int.from_bytes(data[frame.side + 8 : frame.side + 12], "big")
            else:
                found.count += 1
            place += frame.length
            found.end = place
    return found
