"""Recorded runs of the reference implementations, and how close is close enough."""

import json
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

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
    return Recording(tensors, facts, weights)


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


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
