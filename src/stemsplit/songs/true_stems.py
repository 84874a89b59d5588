"""Tells the true stems of a multitrack, in a folder as MUSDB18-HQ has it, from songs."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from stemsplit.evaluation.stems import joined

MIXTURE = "mixture"
"""Name of the file with all stems of a multitrack together, without its suffix."""

NAMES = frozenset(["vocals", "drums", "bass", "other", "guitar", "piano", "no_vocals", "instrumental", "accompaniment"])
"""Names of the files that are stems beside a mixture, or several of these joined, as in `bass+other`; files of other
names are songs."""


def true_stems(songs: Mapping[str, Path], named: Iterable[str]) -> tuple[set[str], list[Path], list[Path]]:
    """Find multitracks among songs.

    Args:
        songs: file of each song by its real path.
        named: real paths of songs that the user named one by one, which are always songs.

    Returns:
        Real paths of true stems beside their mixture; folders of these; and folders of nothing but true stems, two or
        more, without a mixture.
    """
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    plain: set[str] = set()
    named = set(named)
    for real, path in songs.items():
        folder, name = os.path.split(path)
        name = os.path.splitext(name)[0].lower()  # noqa: PTH122  # of 200,000
        if real not in named and (name == MIXTURE or NAMES.issuperset(joined(name))):
            folders[folder][name] = real
        else:
            plain.add(folder)
    beside: set[str] = set()
    multitracks, only_stems = [], []
    for folder, names in folders.items():
        if MIXTURE in names and len(names) > 1:
            beside |= {real for name, real in names.items() if name != MIXTURE}
            multitracks.append(Path(folder))
        elif len(names) > 1 and folder not in plain:
            only_stems.append(Path(folder))
    return beside, multitracks, only_stems
