"""Recorded runs of the reference implementations, and how close is close enough."""

import gzip
import hashlib
import json
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor


@dataclass
class Recording:
    """A reference run: tensors by name, facts about it, the weights it ran with."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    weights: dict[str, Tensor]

    @property
    def tolerance(self) -> float:
        """Allowed relative L2 error: ten times the reference's own distance from float64, at least 5e-6."""
        return max(5e-6, 10 * float(self.facts.get("f64_rel_l2", 0)))


def load(path: Path) -> Recording:
    with safe_open(path, "pt") as file:
        facts = {key: _parsed(value) for key, value in file.metadata().items()}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
    weights = {key[2:]: tensors.pop(key).float() for key in list(tensors) if key.startswith("w.")}
    # safetensors could not hold complex numbers once: these are pairs of real ones.
    pairs = {key[3:]: tensors.pop(key).float() for key in list(tensors) if key.startswith("wc.")}
    weights |= {key: torch.view_as_complex(value) for key, value in pairs.items()}
    return Recording(tensors, facts, weights)


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def listing(path: Path) -> dict[str, Any]:
    """What a network's tensors are, and how their numbers were made."""
    return json.loads(gzip.decompress(path.read_bytes()))


def made_by_recipe(path: Path) -> dict[str, Tensor]:
    """The weights of a recording that stores none: each number is drawn by its place in a stream named by its key."""
    facts = listing(path.with_suffix(".json.gz"))
    made: dict[str, Tensor] = {}
    for key, tensor in facts["tensors"].items():
        recipe = tensor["recipe"]
        shares = isinstance(recipe, dict)
        made[key] = made[recipe["same_as"]] if shares else _made(f"{facts['recipe_seed']}:{key}", tensor)
    return made


def _made(name: str, tensor: dict[str, Any]) -> Tensor:
    """A tensor by its entry in a listing: drawn, or the frequencies of positions if there is no recipe."""
    shape = tensor["shape"]
    if "set" in tensor or tensor["recipe"] is None:
        return 10_000 ** -(torch.arange(shape[0]) / shape[0])
    drawn = _drawn(name, shape, *tensor["recipe"])
    return torch.view_as_complex(drawn) if tensor.get("view_as_complex") else drawn


def _drawn(name: str, shape: list[int], middle: float, reach: float) -> Tensor:
    """Numbers spread evenly about a middle: a splitmix64 stream that counts from a digest of its name."""
    start = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    x = start + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    share = ((x ^ (x >> np.uint64(31))) >> np.uint64(40)) / 2.0**24
    return torch.from_numpy((middle + reach * (2 * share - 1)).astype(np.float32)).reshape(shape)


def relative_error(result: Tensor, reference: Tensor) -> float:
    """Relative L2 distance; shapes must agree."""
    assert result.shape == reference.shape
    return float((result.double() - reference.double()).norm() / reference.double().norm())


def parity_tools(shared: Path) -> ModuleType:
    """The recordings' own helpers: weights and songs that are made by a recipe instead of stored."""
    spec = spec_from_file_location("parity_tools", shared / "golden" / "parity_tools.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
