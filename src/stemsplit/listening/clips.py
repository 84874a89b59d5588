"""Opens a comparison: reads its record, and checks the clips that it lists."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from stemsplit.audio import Reader
from stemsplit.errors import AudioError
from stemsplit.listening.checks import MOST_TRACKS, Playable, check_form, checked, content_of
from stemsplit.listening.piece import Piece, Role, Track
from stemsplit.listening.shelf import Item

LONGEST_NAME = 200
"""Most characters of a model's name that are shown."""


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
            model = str(clip["model"])[:LONGEST_NAME]
            yield f"{stem} by {model}", track(clip, model, Role.candidate, stem)
        if compared["reference"]:
            yield f"the reference of {stem}", track(compared["reference"], "reference", Role.reference, stem)


def comparison(item: Item) -> Piece:
    """Return what a comparison plays.

    Raises:
        AudioError: the record cannot be read, or none of its clips can be played.
    """
    path = Path(item.path)
    raw, digest = content_of(item)
    damaged = AudioError(f"{path} is not the record of a comparison, or is damaged; compare the models again")
    try:
        content = json.loads(raw)
        listed = list(zip(range(MOST_TRACKS + 1), _clips(item, content), strict=False))
        clips, duration, start = [clip for _, clip in listed], float(content["duration"]), _number(content["start"])
        left = Playable(0, 0)
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
