"""Defines the files to write for a song: stems, and sums of the song and its stems such as karaoke=mixture-vocals."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Block = npt.NDArray[np.float32]

MIXTURE = "mixture"
"""Name of the song itself in a recipe."""

Sums = Mapping[str, Sequence[str]]
"""Names for sums of stems: name -> the stems."""

NO_SUMS: Sums = MappingProxyType({})


class StemError(ValueError):
    """The model does not give a stem.

    Attributes:
        stem: name of that stem.
    """

    def __init__(self, stem: str, message: str) -> None:
        super().__init__(message)
        self.stem = stem


@dataclass(frozen=True)
class Output:
    """A file to write for each song: a sum of the mixture and the model's stems.

    Args:
        name: name of the output.
        gains: gain of the mixture, then of each of the model's stems, in their sum.
    """

    name: str
    gains: tuple[float, ...]

    @property
    def stem(self) -> int | None:
        """Index of the model's stem that the output is; None if it is anything else."""
        used = [index for index, gain in enumerate(self.gains[1:]) if gain]
        return used[0] if len(used) == 1 and self.gains[0] == 0 and self.gains[1 + used[0]] == 1 else None

    def of(self, mixture: Block, stems: Block) -> Block:
        """Return the samples (c, t) of the output, from a mixture (c, t) and its stems (n, c, t)."""
        if self.stem is not None:
            return stems[self.stem]
        total = np.zeros_like(mixture)
        for gain, signal in zip(self.gains, (mixture, *stems), strict=True):
            total += np.float32(gain) * signal
        return total


def stem_output(name: str, stems: Sequence[str], sums: Sums = NO_SUMS) -> Output:
    """Return the output that is one of the model's stems, or one of the sums."""
    summed = sums.get(name, (name,))
    return Output(name, (0.0, *(float(other in summed) for other in stems)))


def parse(recipe: str, stems: Sequence[str], sums: Sums = NO_SUMS) -> Output:
    """Parse a recipe as people write it.

    Args:
        recipe: NAME=STEM+STEM-STEM, where each STEM is the mixture, one of the stems or one of the sums.
        stems: names of the model's stems, in its order.
        sums: sums of the stems.

    Raises:
        ValueError: the text is not a recipe, or names a stem that the model does not have.
    """
    name, equals, formula = recipe.partition("=")
    name = name.strip()
    # Stems may have signs in their names; the longest name that fits is meant.
    known = sorted([MIXTURE, *stems, *sums], key=len, reverse=True)
    term = rf"\s*(?P<sign>[+-]?)\s*(?P<stem>{'|'.join(map(re.escape, known))})\s*"
    if not equals or not re.fullmatch(r"\w[\w .+-]*", name):
        raise ValueError(f"a recipe is NAME=STEM+STEM-STEM, such as karaoke=mixture-vocals, not {recipe!r}")
    gains, rest, first = dict.fromkeys([MIXTURE, *stems], 0.0), formula, True
    while rest.strip() or first:
        match = re.match(term + r"(?=[+-]|$)", rest)
        if not match or not (first or match["sign"]):
            raise ValueError(f"cannot understand {rest.strip()!r} in {recipe!r}; it can add up {', '.join(known)}")
        for each in sums.get(match["stem"], (match["stem"],)):
            gains[each] += -1.0 if match["sign"] == "-" else 1.0
        rest, first = rest[match.end() :], False
    return Output(name, tuple(gains.values()))


def chosen(
    stems: Sequence[str],
    wanted: Sequence[str] | None,
    recipes: Sequence[str],
    two_stems: str | None = None,
    sums: Sums = NO_SUMS,
) -> tuple[Output, ...]:
    """Return the files to write for each song.

    Args:
        stems: names of the model's stems, in its order.
        wanted: names of the stems to write, in any letter case; "none" for no stem, None for all.
        recipes: recipes of more files, as `parse` takes them.
        two_stems: name of a stem to write, together with the song without it as `no_` and its name.
        sums: sums of the stems, which may be named like stems.

    Raises:
        ValueError: the model does not have a stem, a recipe is not one, two files have the same name, or there is no
            file to write.
    """
    all_ = (*stems, *sums)
    if two_stems is not None:
        if wanted is not None:
            raise ValueError("--two-stems already chooses the stems; leave out --stems")
        stem = _find_stem(two_stems, all_)
        wanted, recipes = [stem], [f"no_{stem}={MIXTURE}-{stem}", *recipes]
    names = stems if wanted is None else [_find_stem(name, all_) for name in wanted if name.casefold() != "none"]
    outputs = [stem_output(name, stems, sums) for name in all_ if name in names]
    outputs += [parse(recipe, stems, sums) for recipe in recipes]
    if not outputs:
        raise ValueError("nothing to write; name at least one stem")
    used = [output.name.casefold() for output in outputs]
    if twice := [name for name in used if used.count(name) > 1]:
        raise ValueError(f"two files would have the name {twice[0]!r}")
    return tuple(outputs)


def _find_stem(name: str, stems: Sequence[str]) -> str:
    """Return the stem of this name, in any letter case."""
    for stem in stems:
        if stem.casefold() == name.strip().casefold():
            return stem
    raise StemError(name.strip(), f"there is no stem {name!r}; this model has {', '.join(stems)}")
