"""Named sums and differences of a song and its stems: karaoke = mixture - vocals."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Block = npt.NDArray[np.float32]

MIXTURE = "mixture"
"""What a recipe calls the song itself."""

Sums = Mapping[str, Sequence[str]]
"""Names for several stems together."""

NO_SUMS: Sums = MappingProxyType({})


@dataclass(frozen=True)
class Output:
    """A file to write for each song.

    Args:
        name: what it is called.
        weights: how much of the mixture, and of each of the model's stems in turn, it is.
    """

    name: str
    weights: tuple[float, ...]

    @property
    def stem(self) -> int | None:
        """Which of the model's stems it is, if it is one of them and nothing else."""
        parts = [place for place, weight in enumerate(self.weights) if weight]
        return parts[0] - 1 if len(parts) == 1 and parts[0] and self.weights[parts[0]] == 1 else None

    def of(self, mixture: Block, stems: Block) -> Block:
        """(c, t) out of a mixture (c, t) and its stems (n, c, t)."""
        if self.stem is not None:
            return stems[self.stem]
        total = np.zeros_like(mixture)
        for weight, part in zip(self.weights, (mixture, *stems), strict=True):
            total += np.float32(weight) * part
        return total


def stem(name: str, stems: Sequence[str], sums: Sums = NO_SUMS) -> Output:
    """The output that is one of the model's stems, or several together."""
    parts = sums.get(name, (name,))
    return Output(name, (0.0, *(float(other in parts) for other in stems)))


def parse(recipe: str, stems: Sequence[str], sums: Sums = NO_SUMS) -> Output:
    """A recipe as people write it.

    Args:
        recipe: NAME=PART+PART-PART, each part the mixture, one of the stems or one of the sums.
        stems: of the model, in its order.
        sums: of the stems.

    Raises:
        ValueError: it is none, or names a stem that the model does not give.
    """
    name, equals, formula = recipe.partition("=")
    name = name.strip()
    # Stems may have signs in their names; the longest name that fits is meant.
    known = sorted([MIXTURE, *stems, *sums], key=len, reverse=True)
    part = rf"\s*(?P<sign>[+-]?)\s*(?P<part>{'|'.join(map(re.escape, known))})\s*"
    if not equals or not re.fullmatch(r"\w[\w .+-]*", name):
        raise ValueError(f"a recipe is NAME=PART+PART-PART, such as karaoke=mixture-vocals, not {recipe!r}")
    weights, rest, first = dict.fromkeys([MIXTURE, *stems], 0.0), formula, True
    while rest.strip() or first:
        found = re.match(part + r"(?=[+-]|$)", rest)
        if not found or not (first or found["sign"]):
            raise ValueError(f"cannot understand {rest.strip()!r} in {recipe!r}; its parts can be {', '.join(known)}")
        for each in sums.get(found["part"], (found["part"],)):
            weights[each] += -1.0 if found["sign"] == "-" else 1.0
        rest, first = rest[found.end() :], False
    return Output(name, tuple(weights.values()))


def chosen(
    stems: Sequence[str],
    wanted: Sequence[str] | None,
    recipes: Sequence[str],
    two_stems: str | None = None,
    sums: Sums = NO_SUMS,
) -> tuple[Output, ...]:
    """The files to write for each song.

    Args:
        stems: of the model, in its order.
        wanted: names of stems to write, in any letter case; "none" for none, None for all.
        recipes: more files, as `parse` reads them.
        two_stems: write this stem, and the song without it as `no_` and its name.
        sums: of the stems, which can be named in their place.

    Raises:
        ValueError: a stem that the model does not give, a recipe that is none, two files of one name, or no file.
    """
    all_ = (*stems, *sums)
    if two_stems is not None:
        if wanted is not None:
            raise ValueError("--two-stems says all that --stems could")
        known = _known(two_stems, all_)
        wanted, recipes = [known], [f"no_{known}={MIXTURE}-{known}", *recipes]
    names = stems if wanted is None else [_known(name, all_) for name in wanted if name.casefold() != "none"]
    outputs = [stem(name, stems, sums) for name in all_ if name in names]
    outputs += [parse(recipe, stems, sums) for recipe in recipes]
    if not outputs:
        raise ValueError("there is nothing to write; name at least one stem")
    called = [output.name.casefold() for output in outputs]
    if twice := [name for name in called if called.count(name) > 1]:
        raise ValueError(f"two files would be called {twice[0]!r}")
    return tuple(outputs)


def _known(name: str, stems: Sequence[str]) -> str:
    """The stem of that name, in whatever letter case."""
    for known in stems:
        if known.casefold() == name.strip().casefold():
            return known
    raise ValueError(f"there is no stem {name!r}; this model gives {', '.join(stems)}")
