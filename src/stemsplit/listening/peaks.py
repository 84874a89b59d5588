"""Computes the peaks that a page draws waveforms from, and keeps them in a hidden file beside the record."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from stemsplit.disk import Folder
from stemsplit.errors import AudioError
from stemsplit.listening.blocks import Sound
from stemsplit.listening.decoding import Decoding
from stemsplit.listening.piece import BIN, Piece
from stemsplit.listening.turns import Turns
from stemsplit.songs import beside

MARK = b'{"stemsplit_peaks": 1, '
"""Stands at the beginning of every file of peaks."""

LIMIT = 300_000_000
"""Largest size of a file of peaks that is read, in bytes."""

HEAD = 1 << 20
"""Largest size of its first line, in bytes."""

KEPT_BYTES = 64_000_000
"""Peaks that are kept in memory, in bytes: those of four songs of five hours."""

FULL_SCALE = 32_767

Peaks = npt.NDArray[np.int16]


def size_of(sound: Sound) -> int:
    """Return the size of a track's peaks, in bytes."""
    return -(-sound.frames // BIN) * 4


def computed(sound: Sound) -> bytes:
    """Return the peaks of a track: the lowest and the highest of every `BIN` samples, over all channels, as int16.

    Raises:
        AudioError: the file cannot be read, or was changed.
    """
    sound.check()
    rest = np.empty((sound.track.channels, 0), np.float32)
    parts: list[Peaks] = []
    with Decoding(sound.track, sound.sample_rate) as decoding:
        for block in decoding:
            joined = np.concatenate((rest, block), 1)
            whole = joined.shape[1] // BIN * BIN
            parts.append(_extremes(joined[:, :whole]))
            rest = joined[:, whole:]
    if rest.shape[1]:
        parts.append(_extremes(np.pad(rest, ((0, 0), (0, BIN - rest.shape[1])), mode="edge")))
    found = np.concatenate(parts) if parts else np.empty((0, 2), np.int16)
    pairs = size_of(sound) // 4
    return np.pad(found[:pairs], ((0, max(pairs - len(found), 0)), (0, 0))).astype("<i2").tobytes()


def _extremes(samples: npt.NDArray[np.float32]) -> Peaks:
    """Return the lowest and the highest sample of each bin of (c, t), as (bins, 2)."""
    bins = samples.reshape(len(samples), -1, BIN)
    pairs = np.stack((bins.min((0, 2)), bins.max((0, 2))), 1) if bins.size else np.empty((0, 2))
    return np.clip(np.rint(pairs * FULL_SCALE), -FULL_SCALE, FULL_SCALE).astype(np.int16)


def place(piece: Piece) -> Path:
    """Return the file of a piece's peaks."""
    return piece.record.with_name(f".{piece.record.name}.peaks")


def _described(sounds: Sequence[Sound]) -> list[dict[str, Any]]:
    """Return what tells whether the peaks of these tracks are up to date."""
    return [
        {
            "name": sound.track.name,
            "role": sound.track.role.value,
            "size": sound.state[0],
            "modified": sound.state[1],
            "start": sound.track.start,
            "duration": sound.track.duration,
            "stream": sound.track.stream,
            "bytes": size_of(sound),
        }
        for sound in sounds
    ]


def _head(piece: Piece, sounds: Sequence[Sound], body: bytes) -> bytes:
    content = {"record": piece.digest, "bin": BIN, "frames": piece.frames, "tracks": _described(sounds)}
    content["sha256"] = hashlib.sha256(body).hexdigest()
    return MARK + json.dumps(content)[1:].encode() + b"\n"


def stored(piece: Piece, sounds: Sequence[Sound]) -> list[bytes] | None:
    """Return the peaks of all tracks from the file beside the record; None if there is none, or it is out of date."""
    path = place(piece)
    total = sum(map(size_of, sounds))
    try:
        with Folder(path.parent) as folder:
            if not beside.is_ours(folder, path.name, MARK):
                return None
            content = folder.read(path.name, min(total + HEAD, LIMIT))
    except OSError:
        return None
    end = content.find(b"\n") + 1
    body = content[end:]
    if len(body) != total or content[:end] != _head(piece, sounds, body):
        return None
    found, begin = [], 0
    for sound in sounds:
        found.append(body[begin : begin + size_of(sound)])
        begin += size_of(sound)
    return found


def store(piece: Piece, sounds: Sequence[Sound], peaks: Sequence[bytes]) -> None:
    """Write the peaks of all tracks beside the record. Where that cannot be done, nothing is written."""
    body = b"".join(peaks)
    with suppress(AudioError), beside.writing(place(piece), MARK) as file:
        file.write(_head(piece, sounds, body))
        file.write(body)


class Waveforms:
    """Gives the peaks of tracks, from memory, from the disk or computed: one track of a piece at a time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Sound, bytes] = OrderedDict()
        self._lock, self._turns = Lock(), Turns()

    def peaks(self, piece: Piece, sounds: Sequence[Sound], index: int) -> bytes:
        """Return the peaks of one track of a piece.

        Args:
            piece: the piece.
            sounds: its tracks.
            index: the track's place among them.

        Raises:
            AudioError: the file cannot be read.
        """
        sound = sounds[index]
        with self._turns.on(piece.record):
            if peaks := self._remembered(sound):
                return peaks
            # A song without stems has no record, and nothing is written beside people's songs.
            has_record = piece.record != sound.track.path
            if has_record and (found := stored(piece, sounds)):
                self._keep(sounds, found)
                return found[index]
            peaks = computed(sound)
            self._keep([sound], [peaks])
            together = [self._remembered(each) for each in sounds]
            if has_record and all(together):
                store(piece, sounds, [each for each in together if each])
            return peaks

    def _remembered(self, sound: Sound) -> bytes | None:
        with self._lock:
            if sound in self._kept:
                self._kept.move_to_end(sound)
            return self._kept.get(sound)

    def _keep(self, sounds: Sequence[Sound], peaks: Sequence[bytes]) -> None:
        with self._lock:
            self._kept.update(zip(sounds, peaks, strict=True))
            while sum(map(len, self._kept.values())) > KEPT_BYTES:
                self._kept.popitem(last=False)
