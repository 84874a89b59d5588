"""Counts layers by a checkpoint's keys, for inferring the hyperparameters of any architecture."""

import re
from collections.abc import Iterable, Mapping

Shapes = Mapping[str, tuple[int, ...]]
"""Key -> shape of a checkpoint's tensor."""


def count(keys: Iterable[str], prefix: str) -> int:
    """Count the different numbers that follow the prefix. The highest would not do: a hostile file may choose it."""
    numbers = (re.match(r"(\d+)(\.|$)", key.removeprefix(prefix)) for key in keys if key.startswith(prefix))
    return len({number[1] for number in numbers if number})
