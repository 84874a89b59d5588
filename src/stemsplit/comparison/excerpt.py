"""Finds the excerpt of a song that is compared, the context a model needs around it, and its reference stems."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from stemsplit.audio import Block, Reader, Song, examine
from stemsplit.audio.kinds import EXTENSIONS
from stemsplit.choices import WindowName
from stemsplit.errors import AudioError
from stemsplit.evaluation.multitracks import folders
from stemsplit.registry import ModelEntry
from stemsplit.registry.entry import margin
from stemsplit.words import clock, counted


def bounds(song: Song, start: float | None, duration: float) -> tuple[int, int]:
    """Find where an excerpt of a song begins and ends.

    Args:
        song: the whole song.
        start: start of the excerpt in seconds; None for a third into the song, or earlier in a short one.
        duration: length of the excerpt in seconds; the song may end before.

    Returns:
        Index of the excerpt's first sample, and of the one after its last.

    Raises:
        AudioError: the song ends before `start`.
    """
    rate, length = song.sample_rate, min(max(round(duration * song.sample_rate), 1), song.frames)
    if start is None:
        third = int(song.seconds / 3) * rate
        begin = min(third, song.frames - length)
    else:
        begin = round(start * rate)
        if begin >= song.frames:
            total, wanted = clock(song.seconds, 3), clock(start, 3)
            raise AudioError(f"{song.path} has only {total}; nothing to compare from {wanted}")
    return begin, min(begin + length, song.frames)


def samples(path: Path, sample_rate: int, begin: int, end: int) -> Block:
    """Read the samples of a song from index `begin` to before `end`, (c, end - begin)."""
    with Reader(path, begin / sample_rate, (end - begin) / sample_rate) as reader:
        return np.concatenate(list(reader), -1)


def _shape(song: Song) -> str:
    return f"{song.sample_rate} Hz, {counted(song.channels, 'channel')} and {song.frames} samples"


def references(folder: Path, stems: Sequence[str], song: Song, begin: int, end: int) -> dict[str, Block]:
    """Read the true stems of an excerpt, as far as there are files of them.

    Args:
        folder: folder of files named after stems, each as long as the song or as the excerpt.
        stems: names of the stems.
        song: the whole song.
        begin: index of the excerpt's first sample.
        end: index of the sample after its last.

    Returns:
        Samples (c, t) of each stem that has a file, by its name.

    Raises:
        AudioError: the folder does not exist, or has no file of any stem, or two of one; or a file does not match the
            song.
    """
    names, paths = {stem.casefold(): stem for stem in stems}, dict[str, Path]()
    _, files = next(folders(folder))
    for path in files:
        if (stem := names.get(path.stem.casefold())) and path.suffix[1:].lower() in EXTENSIONS:
            if stem in paths:
                raise AudioError(f"{paths[stem]} and {path.name} are the same stem; keep one of them")
            paths[stem] = path
    if not paths:
        raise AudioError(f"{folder} has no reference; its files must be named after stems: {', '.join(stems)}")
    true = {}
    for stem, path in paths.items():
        reference, length = examine(path), end - begin
        alike = (reference.sample_rate, reference.channels) == (song.sample_rate, song.channels)
        if not alike or reference.frames not in (song.frames, length):
            wrong = f"{path} has {_shape(reference)}, {song.path} has {_shape(song)}"
            raise AudioError(f"{wrong}; a reference must match the song, and be as long as it or as the excerpt")
        first = begin if reference.frames == song.frames else 0
        true[stem] = samples(path, song.sample_rate, first, first + length)
    return true


def context(entry: ModelEntry, song: Song, begin: int, end: int) -> tuple[int, int]:
    """Find the stretch of a song that a model needs, so that an excerpt gets the same stems as in the whole song.

    Chunks begin where they do in the whole song, and a chunk that reaches into the excerpt is padded only at the song's
    own ends. Between sample rates of a complicated ratio, chunks are off by a fraction of a sample.

    Args:
        entry: the model.
        song: the whole song.
        begin: index of the excerpt's first sample.
        end: index of the sample after its last.

    Returns:
        Index of the first sample that the model needs, and of the one after the last.
    """
    from stemsplit.engine.passes import offsets  # imported here: it imports PyTorch, and cheaper checks come first

    scale = Fraction(entry.sample_rate, song.sample_rate)
    closely, overlap = entry.window == WindowName.hann, entry.chunk - entry.hop
    border = margin(entry.chunk) if closely else overlap
    # Every pass has its chunks at other places; only those that begin in what is read have all their samples.
    shifted = offsets(entry.hop, entry.shifts)
    reach = entry.chunk - min((border + offset - 1) % entry.hop + 1 for offset in shifted)
    # What fits into a chunk, or into an overlap at both ends, is cut in a way of its own.
    short = entry.ends[1] if closely else 2 * overlap
    first = min(begin * scale - reach, song.frames * scale - short - 1)
    hops = max(math.floor(first / entry.hop), 0)
    # The last two chunks of what is read are not those of the song.
    last: Fraction = max(end * scale + entry.chunk + closely * entry.hop, Fraction(hops * entry.hop + short + 1))
    return round(hops * entry.hop / scale), min(math.ceil(last / scale), song.frames)
