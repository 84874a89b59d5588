"""Defines what is inferred from a checkpoint's keys and shapes, and counts layers by its keys, for any architecture."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]
"""Key -> shape of a checkpoint's tensor."""


def count(keys: Iterable[str], prefix: str) -> int:
    """Count the different numbers that follow the prefix. The highest would not do: a hostile file may choose it."""
    numbers = (re.match(r"(\d+)(\.|$)", key.removeprefix(prefix)) for key in keys if key.startswith(prefix))
    return len({number[1] for number in numbers if number})


@dataclass(frozen=True)
class Inferred:
    """A checkpoint's architecture and hyperparameters, as far as its tensors show them.

    Args:
        architecture: a key of `ARCHITECTURES`.
        inferred: the hyperparameters that keys and shapes determine.
        defaults: the usual values of the others.
        also: other values that fit the shapes as well as the inferred one, by hyperparameter.
        foreign: hyperparameters of the architecture without a meaning for this network.
    """

    architecture: str
    inferred: dict[str, Any]
    defaults: dict[str, Any]
    also: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
