"""Parts of a song that are compared: where they lie, what has to be around them, what is truly in them."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from stemsplit.audio import Block, Reader, Song, examine
from stemsplit.audio.kinds import EXTENSIONS
from stemsplit.errors import AudioError
from stemsplit.evaluation.multitracks import folders
from stemsplit.registry import ModelEntry
from stemsplit.words import stamp


def part(song: Song, start: float | None, duration: float) -> tuple[int, int]:
    """The first sample of a part of a song, and the one after its last.

    Args:
        song: whole.
        start: seconds; None for a third of the song, or earlier in one that is too short for that.
        duration: seconds, of which fewer may be left.

    Raises:
        AudioError: the song ends before.
    """
    rate, length = song.sample_rate, min(max(round(duration * song.sample_rate), 1), song.frames)
    if start is None:
        third = int(song.seconds / 3) * rate
        begin = min(third, song.frames - length)
    else:
        begin = round(start * rate)
        if begin >= song.frames:
            raise AudioError(f"{song.path} has only {stamp(song.seconds)}; nothing to compare from {stamp(start)}")
    return begin, min(begin + length, song.frames)


def samples(path: Path, sample_rate: int, begin: int, end: int) -> Block:
    """Some samples of a song, (c, end - begin)."""
    with Reader(path, begin / sample_rate, (end - begin) / sample_rate) as reader:
        return np.concatenate(list(reader), -1)


def _shape(song: Song) -> str:
    channels = f"{song.channels} channel{'s' * (song.channels != 1)}"
    return f"{song.sample_rate} Hz, {channels} and {song.frames} samples"


def references(folder: Path, stems: Sequence[str], song: Song, begin: int, end: int) -> dict[str, Block]:
    """What stems truly are in a part of a song, (c, t) each, as far as there are files of them.

    Args:
        folder: holds files called after stems, as long as the song, or as the part.
        stems: names.
        song: whole.
        begin: the part's first sample.
        end: the one after its last.

    Raises:
        AudioError: there is no such folder, no file of any stem, two of one stem, or one that does not fit the song.
    """
    names, found = {stem.casefold(): stem for stem in stems}, dict[str, Path]()
    _, files = next(folders(folder))
    for path in files:
        if (stem := names.get(path.stem.casefold())) and path.suffix[1:].lower() in EXTENSIONS:
            if stem in found:
                raise AudioError(f"{found[stem]} and {path.name} are the same stem; keep one of them")
            found[stem] = path
    if not found:
        raise AudioError(f"{folder} has no reference; files in it have to be called {', '.join(stems)}")
    true = {}
    for stem, path in found.items():
        seen, length = examine(path), end - begin
        alike = (seen.sample_rate, seen.channels) == (song.sample_rate, song.channels)
        if not alike or seen.frames not in (song.frames, length):
            wrong = f"{path} has {_shape(seen)}, {song.path} has {_shape(song)}"
            raise AudioError(f"{wrong}; references are like the song, and as long as it or as the part")
        first = begin if seen.frames == song.frames else 0
        true[stem] = samples(path, song.sample_rate, first, first + length)
    return true


def context(entry: ModelEntry, song: Song, begin: int, end: int) -> tuple[int, int]:
    """What a model has to be given for a part to come out as it does when the whole song is split.

    Chunks lie as they do in the whole song, and all that cover the part see nothing but song. The song's own ends are
    ends here, too. Between sample rates with large periods, chunks lie some fraction of a sample away.

    Args:
        entry: the model.
        song: whole.
        begin: the part's first sample.
        end: the one after its last.

    Returns:
        The first sample of the song that is needed, and the one after the last.
    """
    scale = Fraction(entry.sample_rate, song.sample_rate)
    overlap = entry.chunk - entry.hop
    # What is no longer than twice the overlap, overlap_add treats as a short song.
    first = min(begin * scale - overlap, song.frames * scale - 2 * overlap - 1)
    hops = max(math.floor(first / entry.hop), 0)
    return round(hops * entry.hop / scale), min(math.ceil(end + entry.chunk / scale), song.frames)
