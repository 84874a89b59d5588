"""Opens an item of the shelf: reads its record, checks every file that the record names, and returns what to play."""

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from stemsplit.audio import Reader
from stemsplit.disk import Folder
from stemsplit.errors import AudioError
from stemsplit.listening.mixtures import Mixtures, not_found
from stemsplit.listening.piece import Piece, Role, Track
from stemsplit.listening.shelf import Item, Kind
from stemsplit.songs import record
from stemsplit.songs.outputs import Output
from stemsplit.songs.record import Record
from stemsplit.words import counted

MOST_TRACKS = 100
"""Most tracks of a piece."""

MOST_CHANNELS = 64
"""Most channels of a track."""

LONGEST = 48 * 3_600
"""Longest piece, in seconds."""


def checked(root: Path, folder: Path, name: str, size: int | None) -> Path:
    """Return the path of a file that a record names, if it may be played.

    Args:
        root: folder that people named: the file must lie below it, and no link may lead to it.
        folder: folder of the record, below `root`.
        name: the file's path relative to the record.
        size: size in bytes that the record says; None if it does not say one.

    Raises:
        AudioError: it may not; the message goes on from "is left out: ".
    """
    # Not resolve: links are not followed.
    path = Path(os.path.normpath(folder / name))
    try:
        below = PurePath(path.relative_to(root))
    except ValueError:
        raise AudioError(f"its file lies outside of {root}; name the folder above") from None
    try:
        with Folder(root) as top, top.descend(below.parent) as inner:
            found = inner.stat(below.name)
    except FileNotFoundError:
        raise AudioError(f"there is no file {below}") from None
    except OSError as error:
        raise AudioError(f"{below} cannot be read ({error.strerror or error})") from error
    if not stat.S_ISREG(found.st_mode):
        raise AudioError(f"{below} is not a regular file")
    if size is not None and found.st_size != size:
        raise AudioError(f"{below} has changed since the song was split; split it again")
    return path


def check_sound(track: Track, sample_rate: int, frames: int) -> None:
    """Check by a file's header that it holds what the record says.

    Raises:
        AudioError: it does not, or cannot be read.
    """
    with Reader(track.path, track.start, track.duration, track.stream) as reader:
        there = reader.frames
        # A lossy file's header may be off by its encoder's delay.
        slack = 0 if reader.jumps else sample_rate // 10
        if reader.sample_rate != sample_rate or reader.channels != track.channels:
            what = f"{reader.sample_rate} Hz and {counted(reader.channels, 'channel')}"
            raise AudioError(f"{track.path.name} has {what}, not what the record says")
        if there is not None and abs(there - frames) > slack:
            raise AudioError(f"{track.path.name} is not as long as the record says")


def content_of(item: Item) -> tuple[bytes, str]:
    """Return the content of an item's record, and its digest.

    Raises:
        AudioError: it cannot be read.
    """
    root, path = Path(item.root), Path(item.path)
    try:
        with Folder(root) as top, top.descend(PurePath(path.parent.relative_to(root))) as folder:
            content = folder.read(path.name, record.LIMIT)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise AudioError(f"cannot read {path} ({why or error})") from error
    return content, hashlib.sha256(content).hexdigest()


def check_form(sample_rate: int, channels: int, frames: int, path: Path) -> None:
    """Raise AudioError if no recording has these figures."""
    if not (1_000 <= sample_rate <= 3_000_000 and 1 <= channels <= MOST_CHANNELS and frames > 0):
        raise AudioError(f"{path} is damaged: no song has its figures; split the song again")
    if frames > LONGEST * sample_rate:
        raise AudioError(f"{path} is of a song longer than {LONGEST // 3600} hours")


class _Playable:
    """Collects the tracks that can be played, and why others are left out."""

    def __init__(self, sample_rate: int, frames: int) -> None:
        self.sample_rate, self.frames = sample_rate, frames
        self.tracks: list[Track] = []
        self.notes: list[str] = []

    def add(self, name: str, track: Iterator[Track]) -> bool:
        """Add a track, and return whether it can be played."""
        try:
            for each in track:
                check_sound(each, self.sample_rate, self.frames)
                self.tracks.append(each)
        except (AudioError, ValueError) as error:
            self.notes.append(f"{name} is left out: {error}")
            return False
        return True


def _stem(item: Item, found: Record, name: str) -> Iterator[Track]:
    """Yield the track of one of a record's stems."""
    facts = found.stems[name]
    path = checked(Path(item.root), Path(item.path).parent, facts["file"], facts["size"])
    gains = tuple(facts["weights"])
    is_stem = len(gains) > 1 and Output(name, gains).stem is not None
    yield Track(
        name,
        path,
        Role.stem if is_stem else Role.sum,
        found.figures["channels"],
        stem=name if is_stem else "",
        peak=facts["peak"],
        clipped=facts["clipped"],
        energy_share=facts["energy_share"],
        silent=facts["silent"],
    )


def _mixture(path: Path, found: Record) -> Iterator[Track]:
    """Yield the track of the song itself, or of the excerpt that was split."""
    options = found.options
    start, duration, stream = options.get("start", 0.0), options.get("duration"), options.get("track", "")
    if (
        not isinstance(start, int | float)
        or not isinstance(duration, int | float | None)
        or not isinstance(stream, str)
    ):
        raise AudioError("the record does not say which part of it was split")
    yield Track(path.name, path, Role.song, found.figures["channels"], start=start, duration=duration, stream=stream)


def _of_song(item: Item, mixtures: Mixtures) -> Piece:
    path, root = Path(item.path), Path(item.root)
    content, digest = content_of(item)
    found = record.parsed(content)
    if found is None:
        raise AudioError(f"{path} is not a record of stems, or is damaged; split the song again")
    rate, channels, frames = (found.figures[name] for name in ("sample_rate", "channels", "frames"))
    check_form(rate, channels, frames, path)
    left = _Playable(rate, frames)
    no_song, song = "", mixtures.find(found.song, path.parent, root)
    if song is None:
        no_song = not_found(found.song)
    elif not left.add("the song", _mixture(song, found)):
        no_song = left.notes.pop()
    written = [name for name, facts in found.stems.items() if facts["file"] is not None]
    complete = len(written) <= MOST_TRACKS
    for name in written[:MOST_TRACKS]:
        complete &= left.add(name, _stem(item, found, name))
    if len(written) > MOST_TRACKS:
        left.notes.append(f"only the first {MOST_TRACKS} of {len(written)} stems are shown")
    if not left.tracks:
        raise AudioError("; ".join([no_song, *left.notes]))
    adds_up = complete and found.figures["sum_error"] is not None
    notes = tuple(left.notes)
    return Piece(item.title, "song", rate, frames, tuple(left.tracks), path, digest, adds_up, no_song, 0.0, notes)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _clips(item: Item, content: Mapping[str, Any]) -> Iterator[tuple[str, Iterator[Track]]]:
    """Yield the clips of a comparison: what people call each, and its track."""
    folder, listed = Path(item.path).parent, {name for name in content["files"] if isinstance(name, str)}

    def track(clip: Mapping[str, Any], name: str, role: Role, stem: str = "") -> Iterator[Track]:
        file = PurePath(str(clip["path"]).replace("\\", "/")).name
        if file not in listed:
            raise AudioError("the record does not list its file")
        path = checked(Path(item.root), folder, file, None)
        with Reader(path) as reader:
            channels = reader.channels
        model = name if role == Role.candidate else ""
        yield Track(name, path, role, channels, stem, model, _number(clip["gain"]))

    song = PurePath(str(content["song"]).replace("\\", "/")).name
    yield "the song", track(content["mixture"], song, Role.song)
    for stem, compared in content["stems"].items():
        for clip in compared["clips"]:
            model = str(clip["model"])
            yield f"{stem} by {model}", track(clip, model, Role.candidate, stem)
        if compared["reference"]:
            yield f"the reference of {stem}", track(compared["reference"], "reference", Role.reference, stem)


def _of_comparison(item: Item) -> Piece:
    path = Path(item.path)
    raw, digest = content_of(item)
    damaged = AudioError(f"{path} is not the record of a comparison, or is damaged; compare the models again")
    try:
        content = json.loads(raw)
        listed = list(zip(range(MOST_TRACKS + 1), _clips(item, content), strict=False))
        clips, duration, start = [clip for _, clip in listed], float(content["duration"]), _number(content["start"])
        left = _Playable(0, 0)
        for name, track in clips[:MOST_TRACKS]:
            if not left.sample_rate:
                left.sample_rate, left.frames = _form(item, content)
            left.add(name, track)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise damaged from error
    if not left.tracks:
        raise AudioError("; ".join(left.notes) or str(damaged))
    if not math.isclose(duration, left.frames / left.sample_rate, abs_tol=0.01):
        left.notes.append("the clips are not as long as the record says")
    if len(clips) > MOST_TRACKS:
        left.notes.append(f"only the first {MOST_TRACKS} clips are shown")
    no_song = "" if left.tracks[0].role == Role.song else left.notes.pop(0)
    form = (left.sample_rate, left.frames, tuple(left.tracks), path, digest)
    return Piece(item.title, "comparison", *form, False, no_song, start, tuple(left.notes))


def _form(item: Item, content: Mapping[str, Any]) -> tuple[int, int]:
    """Return sample rate and length of a comparison's clips: those of the first that can be read."""
    for _, track in _clips(item, content):
        try:
            for each in track:
                with Reader(each.path) as reader:
                    frames = reader.frames or 0
                    check_form(reader.sample_rate, reader.channels, frames, Path(item.path))
                    return reader.sample_rate, frames
        except AudioError:
            continue
    raise AudioError(f"none of the clips of {item.path} can be read; compare the models again")


def _alone(item: Item) -> Piece:
    path = Path(item.path)
    with Reader(path) as reader:
        frames = reader.frames
        rate, channels = reader.sample_rate, reader.channels
        if frames is None or not reader.jumps:  # by its header alone, the length would be a guess
            frames = sum(block.shape[1] for block in reader)
    check_form(rate, channels, frames, path)
    track = Track(path.name, path, Role.song, channels)
    found = path.stat()
    digest = hashlib.sha256(f"{path} {found.st_size} {found.st_mtime_ns}".encode(errors="surrogateescape")).hexdigest()
    return Piece(item.title, "song", rate, frames, (track,), path, digest)


def opened(item: Item, mixtures: Mixtures) -> Piece:
    """Return what an item plays. A track whose file is not as the record says is left out, and the piece says why.

    Args:
        item: item of the shelf.
        mixtures: finds the songs.

    Raises:
        AudioError: the record cannot be read, or nothing that it names can be played.
    """
    if item.is_alone:
        try:
            return _alone(item)
        except OSError as error:
            raise AudioError(f"cannot read {item.path} ({error.strerror})") from error
    return _of_comparison(item) if item.kind == Kind.comparison else _of_song(item, mixtures)
