"""What a checkpoint's keys and shapes tell of a network, for all architectures alike."""

import re
from collections.abc import Iterable, Mapping

Shapes = Mapping[str, tuple[int, ...]]


def count(keys: Iterable[str], prefix: str) -> int:
    """How many different numbers follow the prefix: not the highest, which a hostile file may choose."""
    numbers = (re.match(r"(\d+)(\.|$)", key.removeprefix(prefix)) for key in keys if key.startswith(prefix))
    return len({number[1] for number in numbers if number})
