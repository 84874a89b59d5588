"""Chooses what a `.stem.mp4` holds, one file with a song and its stems, and says what people should know of it."""

from collections.abc import Sequence

from stemsplit.audio import Format
from stemsplit.audio.stem_file import TRACKS
from stemsplit.songs.outputs import MIXTURE, Output, Sums

STEMS = TRACKS[1:]
"""The stems that such a file holds."""

REST = "other"
"""The stem that holds whatever is none of the others."""

PARTS_OF_REST = ("guitar", "piano")
"""Stems of models with more than four that are parts of what models with four call other."""


def whole_outputs(file_format: Format, stems: Sequence[str], sums: Sums, adds_up: bool) -> tuple[Output, ...]:
    """Return the tracks of a file that holds a song and its stems: the song, drums, bass, other and vocals.

    The model's stems besides these four become part of other.

    Args:
        file_format: format of the file.
        stems: names of the model's stems, in its order.
        sums: sums of the stems.
        adds_up: whether all of the model's stems together are the song.

    Raises:
        ValueError: the four stems cannot be made of the model's.
    """
    parts: dict[str, set[str]] = {}
    for wanted in STEMS:
        own = next((name for name in (*stems, *sums) if name.casefold() == wanted), None)
        parts[wanted] = set() if own is None else set(sums.get(own, (own,)))
    left = set(stems).difference(*parts.values())
    # If the stems add up to the song, those that are left are other, whatever they are called.
    if adds_up or all(stem.casefold() in PARTS_OF_REST for stem in left):
        parts[REST] |= left
        left = set()
    if left or not all(parts.values()):
        what = f"{file_format.name} needs drums, bass, other and vocals; this model has {', '.join(stems)}"
        raise ValueError(f"{what}; see stemsplit list --stems drums,bass,other,vocals, or choose another --format")
    song = Output(MIXTURE, (1.0, *(0.0 for _ in stems)))
    return song, *(Output(name, (0.0, *(float(stem in parts[name]) for stem in stems))) for name in STEMS)


def remarks(file_format: Format, outputs: Sequence[Output], stems: Sequence[str], sums: Sums) -> list[str]:
    """Return what people should know of the files that hold a song and its stems.

    Args:
        file_format: format of the files.
        outputs: what they hold, from `whole_outputs`.
        stems: names of the model's stems, in its order.
        sums: sums of the stems.
    """
    rest = next(output for output in outputs if output.name == REST)
    own = {part for name in sums if name.casefold() == REST for part in sums[name]}
    added = [
        stem
        for stem, gain in zip(stems, rest.gains[1:], strict=True)
        if gain and stem.casefold() != REST and stem not in own
    ]
    found = [f"{file_format.name} has four stems: {' and '.join(added)} become part of other"] if added else []
    if file_format.depth:
        found.append("Traktor on Windows does not load Apple Lossless (ALAC); leave out --bit-depth for AAC")
    return found


def check_choices(file_format: Format, **given: object) -> None:
    """Check that no option contradicts a file with a song and its stems.

    Args:
        file_format: format of the file.
        given: name of an option, with underscores -> its value; None, False or nothing if it was not given.

    Raises:
        ValueError: such an option was given.
    """
    used = [f"--{name.replace('_', '-')}" for name, value in given.items() if value or value == ""]
    if used:
        what = f"{file_format.name} always holds the song and its four stems"
        raise ValueError(f"{what}; leave out {' and '.join(used)}, or choose another --format")
