"""Defines what a page plays: a song with its stems, or the clips of a comparison; and how the page is told of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

BIN = 1_024
"""Samples that one pair of peaks, the lowest and the highest sample, stands for in a waveform."""


class Role(StrEnum):
    """What a track is.

    song: the song itself.
    stem: a stem of a model; all stems of a song may add up to it.
    sum: a sum of the song and its stems, such as karaoke; it is heard alone.
    candidate: a model's clip of a stem, in a comparison.
    reference: the true stem, in a comparison.
    """

    song = "song"
    stem = "stem"
    sum = "sum"
    candidate = "candidate"
    reference = "reference"


@dataclass(frozen=True)
class Track:
    """One file that a page plays.

    Args:
        name: name that people see.
        path: audio file, checked to be the one that a record names.
        role: what the track is.
        channels: number of channels.
        stem: stem that a candidate or a reference is a clip of; the name of the stem for stems; empty otherwise.
        model: model that made a candidate, as the comparison labels it; empty otherwise.
        gain: gain in dB that was applied when the file was written, so that all clips are equally loud.
        peak: largest absolute sample, from the record; None if no record says it.
        clipped: number of clipped samples, from the record; None if no record says it.
        energy_share: energy of the track relative to the song's, from the record; None if no record says it.
        silent: whether the record calls the track silent.
        start: where in the file the track begins, in seconds: a song may be split in part.
        duration: length of the track in the file, in seconds; None for the rest of the file.
        stream: number, language or title of the audio track in a file that holds several, as `audio.Reader` takes it.
    """

    name: str
    path: Path
    role: Role
    channels: int
    stem: str = ""
    model: str = ""
    gain: float = 0.0
    peak: float | None = None
    clipped: int | None = None
    energy_share: float | None = None
    silent: bool = False
    start: float = 0.0
    duration: float | None = None
    stream: str = ""


@dataclass(frozen=True)
class Piece:
    """A song with its stems, or a comparison. All tracks have the same sample rate and length.

    Args:
        title: what people see: the song's name, or its path below the folder that was named.
        kind: "song" or "comparison".
        sample_rate: Hz.
        frames: length, in samples per channel.
        tracks: the tracks, the song first if it was found.
        record: file of the record that names the tracks.
        digest: sha256 of the record's content: peaks and pages made from another content are out of date.
        adds_up: whether the song, minus all tracks whose role is stem, should be silent.
        no_song: why the song itself is not among the tracks; empty if it is.
        start: where in the song the excerpt of a comparison begins, in seconds.
        notes: what people should know of the piece, such as a stem that is left out because its file has changed.
    """

    title: str
    kind: str
    sample_rate: int
    frames: int
    tracks: tuple[Track, ...]
    record: Path
    digest: str
    adds_up: bool = False
    no_song: str = ""
    start: float = 0.0
    notes: tuple[str, ...] = ()


def as_data(piece: Piece, identity: int = 0) -> Mapping[str, Any]:
    """Return what the page is told of a piece, ready for JSON. Paths are not among it.

    Args:
        piece: the piece.
        identity: number by which the page asks for the piece.
    """
    tracks = [
        {
            "index": index,
            "name": track.name,
            "role": track.role.value,
            "channels": track.channels,
            "stem": track.stem,
            "model": track.model,
            "gain": track.gain,
            "peak": track.peak,
            "clipped": track.clipped,
            "energy_share": track.energy_share,
            "silent": track.silent,
        }
        for index, track in enumerate(piece.tracks)
    ]
    return {
        "id": identity,
        "title": piece.title,
        "kind": piece.kind,
        "sample_rate": piece.sample_rate,
        "frames": piece.frames,
        "bin": BIN,
        "adds_up": piece.adds_up,
        "no_song": piece.no_song,
        "start": piece.start,
        "notes": list(piece.notes),
        "tracks": tracks,
    }
