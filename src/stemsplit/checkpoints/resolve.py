"""Finds the registry entry for a model's name, or makes one for the path of a user's own checkpoint.

It imports PyTorch only for a checkpoint.
"""

import os
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemsplit import registry
from stemsplit.errors import RegistryError, WeightsError
from stemsplit.fetch import store
from stemsplit.registry import ModelEntry
from stemsplit.registry.presets import presets
from stemsplit.words import did_you_mean

if TYPE_CHECKING:
    from stemsplit.checkpoints.describe import Described

Model = str | os.PathLike[str] | ModelEntry
"""A model in Python: its name in the registry, the path of a checkpoint, or an entry."""

Tell = Callable[[str], object]

SUFFIXES = (".ckpt", ".pt", ".pth", ".th", ".bin", ".safetensors")
"""Suffixes of checkpoints. A name with one is taken for a path, whether or not the file exists."""


def is_path(model: str | os.PathLike[str], known: Collection[str]) -> bool:
    """Return whether a model is given by the path of its checkpoint.

    Args:
        model: name or path of a model; a name in the registry takes precedence over a file of that name.
        known: all names in the registry.
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
        model: name, path or entry of a model.
        registry_file: registry with more models.
        config: YAML file that the checkpoint was published with.
        settings: values that the checkpoint does not contain, such as {"stft_hop_length": 512, "stems": ["vocals"]}.
        tell: called with a message about what was assumed about a checkpoint.

    Raises:
        RegistryError: no model has that name, or the config is invalid.
        WeightsError: the checkpoint cannot be read, or is not of a known architecture.
        ValueError: a setting contradicts the weights, or config or settings are given without a checkpoint.
    """
    entry, described = look_up(model, registry_file, config, _as_texts(settings or {}))
    if described:
        for name, (written, held) in described.overruled.items():
            tell(f"the config of {model} says {name}={written}, but the weights have {name}={held}; using {held}")
        if described.remarks:
            tell(f"{model}: {'; '.join(described.remarks)}")
        if described.defaults:
            usual = ", ".join(f"{name}={value}" for name, value in described.defaults.items())
            tell(f"{model} does not say, so usual values are assumed: {usual}; to change them, use settings or config")
    return entry


def look_up(
    model: Model,
    registry_file: str | os.PathLike[str] | None,
    config: str | os.PathLike[str] | None,
    settings: Sequence[str] | None,
) -> "tuple[ModelEntry, Described | None]":
    """Return the entry of a model, and for a checkpoint also how well it is known; see `find`.

    Args:
        model: name, path or entry of a model.
        registry_file: registry with more models.
        config: YAML file that the checkpoint was published with.
        settings: values that the checkpoint does not contain, each NAME=VALUE.

    Raises:
        RegistryError, WeightsError, ValueError: see `find`.
    """
    more = None if registry_file is None else Path(registry_file)
    name = model.name if isinstance(model, ModelEntry) else os.fspath(model)
    if isinstance(model, ModelEntry) or not is_path(model, registry.entries(more)):
        if config is not None or settings:
            raise ValueError(f"config and settings (--config, --set) need a checkpoint file, and {name!r} is not one")
        if not isinstance(model, ModelEntry) and name not in registry.entries(more) and os.path.isdir(name):  # noqa: PTH112
            raise WeightsError(f"{name} is a folder, not a model; name the checkpoint file in it")
        return (model if isinstance(model, ModelEntry) else registered(name, more)), None
    from stemsplit.checkpoints.describe import Described, describe  # only for a checkpoint: it imports PyTorch

    if config is None and not settings and (known := _published(Path(name), registry.entries(more))):
        own = _own(known, Path(name))
        return own, Described(own, {}, {}, (f"this is the published file of {known.name}, and used as that model is",))
    described = describe(Path(name), None if config is None else Path(config), settings or ())
    return described.entry, described


def registered(name: str, more: Path | None) -> ModelEntry:
    """Return the entry of this name in the registry.

    Args:
        name: name of a model.
        more: registry file with more models.

    Raises:
        RegistryError: there is none; if it is the name of several models, the message says so.
    """
    try:
        return registry.find(name, more)
    except RegistryError as error:
        if str(error).startswith("no model named"):
            known = presets(more)
            if name in known:
                what = f"{name} is a preset of several models, and this needs one; see them with: stemsplit info {name}"
                raise RegistryError(what) from error
            if "+" in name and any(part.partition(":")[0] in registry.entries(more) for part in name.split("+")):
                raise RegistryError(f"{name!r} is several models, and this needs one; name one of them") from error
            if "did you mean" not in str(error) and (hint := did_you_mean(name, known)):
                raise RegistryError(f"no model named {name!r}{hint}") from error
        raise


def _own(entry: ModelEntry, path: Path) -> ModelEntry:
    """Return a published model's entry as that of a user's own file of it."""
    return replace(entry, name=path.stem, sources=(f"file:{path.absolute()}",))


def _published(path: Path, entries: Mapping[str, ModelEntry]) -> ModelEntry | None:
    """Return the entry whose published weights a file is, by its digest; None if there is none.

    It says what the weights do not show, such as the hop of the STFT. Only a file of the published size is read.
    """
    try:
        length = path.stat().st_size
    except OSError:
        return None  # an error is reported when the file is read
    fitting = [entry for entry in entries.values() if entry.sha256 and entry.size == length]
    return next((entry for entry in fitting if store.local(_own(entry, path))), None)


def _as_texts(settings: Mapping[str, Any]) -> list[str]:
    """Return settings in the command line's form, NAME=VALUE."""
    import yaml  # only for a checkpoint with settings

    texts = []
    for name, value in settings.items():
        if name == "stems":
            text = value if isinstance(value, str) else ",".join(value)
        else:
            text = yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("...\n").strip()
        texts.append(f"{name}={text}")
    return texts
