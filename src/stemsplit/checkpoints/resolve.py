"""Finds the entry that a model's name, or the path of a checkpoint of the user's own, stands for."""

import os
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from stemsplit import registry
from stemsplit.registry import ModelEntry

Model = str | os.PathLike[str] | ModelEntry
"""A model in Python: its name in the registry, the path of a checkpoint, or an entry."""

Tell = Callable[[str], object]

SUFFIXES = (".ckpt", ".pt", ".pth", ".th", ".bin", ".safetensors")
"""What a checkpoint's name ends with; a name that ends so is taken for a path, whether there is a file or not."""


def is_path(model: str | os.PathLike[str], known: Collection[str]) -> bool:
    """Return whether a model is given by the path of its checkpoint.

    Args:
        model: a name or a path; a name of the registry wins over a file that is called so.
        known: all names of the registry.
    """
    if not isinstance(model, str):
        return True
    # os.path returns False for a name that no file can have; pathlib raises.
    return model not in known and (Path(model).suffix in SUFFIXES or os.path.isfile(model))  # noqa: PTH113


def find(
    model: Model,
    registry_file: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    tell: Tell = warnings.warn,
) -> ModelEntry:
    """Return the entry of a model, or make one for a checkpoint.

    Args:
        model: a name, a path or an entry.
        registry_file: a registry with more models.
        config: the YAML file that a checkpoint was published with.
        settings: what a checkpoint does not contain, by name, such as {"stft_hop_length": 512, "stems": ["vocals"]}.
        tell: gets what was assumed about a checkpoint, in a sentence.

    Raises:
        RegistryError: there is no model of that name, or the config is not valid.
        WeightsError: the checkpoint cannot be read, or holds no network of a known architecture.
        ValueError: a setting contradicts the weights, or config or settings are given for no checkpoint.
    """
    more = None if registry_file is None else Path(registry_file)
    name = model.name if isinstance(model, ModelEntry) else os.fspath(model)
    if isinstance(model, ModelEntry) or not is_path(model, registry.entries(more)):
        if config is not None or settings:
            raise ValueError(f"config and settings are for a checkpoint's file, which {name!r} is not")
        return model if isinstance(model, ModelEntry) else registry.find(name, more)
    from stemsplit.checkpoints.describe import describe  # only for a checkpoint: it imports PyTorch

    path = Path(name)
    described = describe(path, None if config is None else Path(config), _as_texts(settings or {}))
    for name, (written, held) in described.overruled.items():
        tell(f"the config of {path} says {name}={written}, but the weights have {name}={held}; using {held}")
    if described.defaults:
        usual = ", ".join(f"{name}={value}" for name, value in described.defaults.items())
        tell(f"{path} does not say these, which are taken as usual; settings and config change them: {usual}")
    return described.entry


def _as_texts(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as the command line has them, each NAME=VALUE."""
    import yaml  # only for these: who names a model of the registry does not need it

    texts = []
    for name, value in settings.items():
        if name == "stems":
            text = value if isinstance(value, str) else ",".join(value)
        else:
            text = yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("...\n").strip()
        texts.append(f"{name}={text}")
    return texts
