"""Opens an item of the shelf: reads its record, checks every file that the record names, and returns what to play."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from stemsplit.audio import Reader
from stemsplit.errors import AudioError
from stemsplit.listening.checks import MOST_TRACKS, Playable, check_form, checked, content_of
from stemsplit.listening.clips import comparison
from stemsplit.listening.mixtures import Mixtures, not_found
from stemsplit.listening.piece import Piece, Role, Track
from stemsplit.listening.shelf import Item, Kind
from stemsplit.songs import record
from stemsplit.songs.outputs import Output
from stemsplit.songs.record import Record


def _streams(found: Record) -> dict[str, str]:
    """Return the number of each stem's track in its file, if the file holds several, which are in the stems' order."""
    files = Counter(facts["file"] for facts in found.stems.values())
    numbers: dict[str, int] = {}
    streams = {}
    for name, facts in found.stems.items():
        file = facts["file"]
        numbers[file] = numbers.get(file, 0) + 1
        streams[name] = str(numbers[file]) if files[file] > 1 else ""
    return streams


def _role(weights: Sequence[float]) -> Role:
    """Return what an output is, by the gains of the song and of the stems in it."""
    if len(weights) > 1 and Output("", tuple(weights)).stem is not None:
        return Role.stem
    return Role.song if weights and weights[0] == 1 and not any(weights[1:]) else Role.sum


def _stem(item: Item, found: Record, name: str, role: Role, stream: str) -> Iterator[Track]:
    """Yield the track of one of a record's stems."""
    facts = found.stems[name]
    path = checked(Path(item.root), Path(item.path).parent, facts["file"], facts["size"])
    yield Track(
        name,
        path,
        role,
        found.figures["channels"],
        stem=name if role == Role.stem else "",
        peak=facts["peak"],
        clipped=facts["clipped"],
        energy_share=facts["energy_share"],
        silent=facts["silent"],
        stream=stream,
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
        raise AudioError("the record does not say which excerpt of it was split")
    yield Track(path.name, path, Role.song, found.figures["channels"], start=start, duration=duration, stream=stream)


def _of_song(item: Item, mixtures: Mixtures) -> Piece:
    path, root = Path(item.path), Path(item.root)
    content, digest = content_of(item)
    found = record.parsed(content)
    if found is None:
        raise AudioError(f"{path} is not a record of stems, or is damaged; split the song again")
    rate, channels, frames = (found.figures[name] for name in ("sample_rate", "channels", "frames"))
    check_form(rate, channels, frames, path)
    left, no_song = Playable(rate, frames), ""
    written = [name for name, facts in found.stems.items() if facts["file"] is not None]
    streams = _streams(found)
    # A file of several tracks holds the song too, in step with its stems.
    inside = [name for name in written if streams[name] and _role(found.stems[name]["weights"]) == Role.song]
    if not inside:
        song = mixtures.find(found.song, path.parent, root)
        no_song = "" if song else not_found(found.song)
        if song and not left.add("the song", _mixture(song, found)):
            no_song = left.notes.pop()
    complete = len(written) <= MOST_TRACKS
    for name in written[:MOST_TRACKS]:
        role = _role(found.stems[name]["weights"])
        role = Role.sum if role == Role.song and name not in inside[:1] else role
        complete &= left.add(name, _stem(item, found, name, role, streams[name]))
    if len(written) > MOST_TRACKS:
        left.notes.append(f"only the first {MOST_TRACKS} of {len(written)} stems are shown")
    if not left.tracks:
        raise AudioError("; ".join(filter(None, [no_song, *left.notes])) or f"{path} names no files")
    left.tracks.sort(key=lambda track: track.role != Role.song)
    adds_up = complete and found.figures["sum_error"] is not None
    notes = tuple(left.notes)
    return Piece(item.title, "song", rate, frames, tuple(left.tracks), path, digest, adds_up, no_song, 0.0, notes)


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
    return comparison(item) if item.kind == Kind.comparison else _of_song(item, mixtures)
