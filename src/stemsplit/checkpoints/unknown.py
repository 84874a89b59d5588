"""Finds tensors in a checkpoint of an unknown architecture: where training programs usually store weights."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from stemsplit.checkpoints.pickled import CONTAINERS, Inert

PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "network.", "state_dict.")
"""Prefixes that wrappers (data parallelism, Lightning, compilation) add to every key."""

MOST_WRAPPERS = 10
"""Largest number of nested wrappers whose prefixes are removed."""


def candidates(content: object, depth: int = 3) -> Iterator[object]:
    """Yield objects in a file that may be the weights, up to `depth` containers deep. The likeliest comes first."""
    if isinstance(content, dict) and depth:
        for container in CONTAINERS:
            yield from candidates(dict.get(content, container), depth - 1)
    yield content


def weights(content: object, whole: Mapping[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the dict of tensors in the content of a file; empty if there is none. For `whole`, see `unknown`."""
    # Each candidate once: containers can contain each other many times.
    for candidate in {id(candidate): candidate for candidate in candidates(content)}.values():
        tensors: dict[str, Tensor] = {}
        if isinstance(candidate, Inert):
            tensors = whole.get(id(candidate), {})
        elif isinstance(candidate, dict):
            items = dict.items(candidate)
            tensors = {key: value for key, value in items if isinstance(key, str) and isinstance(value, Tensor)}
        if tensors:
            return tensors
    return {}


def without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes that wrappers add to all keys."""
    for _ in range(MOST_WRAPPERS):
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in tensors)), None)
        if prefix is None:
            break
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def unknown(content: object, whole: Mapping[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors that are likely to be weights, without the prefixes that all their keys have.

    Args:
        content: content of a file.
        whole: identities of networks in it that were saved whole -> their tensors by key.
    """
    return without_prefix(weights(content, whole))
