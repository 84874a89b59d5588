"""Words what people should know of files that were found: stems of earlier runs, true stems, and other kinds."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from stemsplit.songs.earlier import RECORD, Earlier, Stem
from stemsplit.songs.found import Found
from stemsplit.words import counted

FEW = 3
"""Largest number of files that a note names."""


def few(paths: Iterable[Path | str]) -> str:
    """Name files in a message: a few, and how many more there are."""
    names = [str(path) for path in paths]
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")


def told_of_expanded(stems: Sequence[str]) -> Iterator[str]:
    """Yield a message about stems that are named together with their songs."""
    if stems:
        what = f"{counted(len(stems), 'stem')} of earlier runs named together with their songs: {few(stems)}"
        yield f"{what}; passed over, as a pattern may have named them; to split a stem further, leave out its song"


def told_of_other(path: Path, kind: str) -> str:
    """Return why a file that is plainly not audio cannot be split, and what to do."""
    more = f", or if it is a list of songs, write @{path}" if kind == "a text" else ""
    return f"cannot read {path} (it is {kind}); name a song{more}"


def told_of_others(paths: Mapping[str, Path]) -> Iterator[str]:
    """Yield a message about files of other kinds that are named beside songs."""
    if paths:
        what = "is not a song" if len(paths) == 1 else "are not songs"
        yield f"{few(paths.values())} {what} by extension, and passed over"


def told_of_stems(stems: Mapping[str, Stem], songs: Mapping[str, Found], earlier: Earlier) -> Iterator[str]:
    """Yield messages about stems of earlier runs that are split further, that were changed, or may be songs.

    Args:
        stems: stems by their real paths.
        songs: songs by their real paths; stems are among them if the user named them.
        earlier: what is known of earlier runs.
    """
    if taken := [songs[real].path for real in stems if real in songs]:
        what = "is a stem of an earlier run, and is" if len(taken) == 1 else "are stems of earlier runs, and are"
        yield f"{few(taken)} {what} split further, as named; to pass stems over, name their folder"
    left = [stem for real, stem in stems.items() if real not in songs]
    if changed := [stem.path for stem in left if stem.is_changed]:
        what = f"stems of earlier runs are passed over even if they were changed since: {few(changed)}"
        yield f"{what}; to split them, name them"
    if unreadable := sorted({os.path.dirname(stem.path) for stem in left} & earlier.unreadable):  # noqa: PTH120
        what = (
            f"{RECORD} cannot be read in {few(unreadable)}, so the audio beside it is taken for stems and passed over"
        )
        yield f"{what}; if these are songs, remove that file"


def told_of_true_stems(multitracks: Sequence[Path], only_stems: Sequence[Path]) -> Iterator[str]:
    """Yield messages about folders that hold true stems beside a mixture, and without one."""
    if multitracks:
        what = "holds a multitrack" if len(multitracks) == 1 else "hold multitracks"
        yield f"{few(multitracks)} {what}: only the mixture is split, not the true stems beside it"
    if only_stems:
        what = f"{few(only_stems)}: stems such as vocals and drums, but no mixture; each is split as a song"
        yield f"{what}; to split a song, name its mixture"
