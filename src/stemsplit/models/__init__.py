"""Builds networks, and infers a checkpoint's architecture and hyperparameters. Networks map waveforms to waveforms.

Nothing here depends on files, the registry or a terminal.

Shape letters, the same in every file: b batch, n stems, c channels, t samples, f bins, m frames, k bands, d features.
"""

import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import fields
from importlib import import_module
from types import ModuleType
from typing import Any, get_type_hints

from torch import Tensor

from stemsplit.models.keys import Inferred
from stemsplit.models.network import Network
from stemsplit.words import counted, did_you_mean

ARCHITECTURES = {
    "bs_roformer": "bs_roformer",
    "mel_band_roformer": "mel_band_roformer",
    "sudormrf": "sudormrf",
    "fullsubnet_plus": "fullsubnet_plus",
    "ensemble": "ensemble",
}
"""Architecture name in the registry -> module of this package. Each module has `Config`, `IGNORED`, `build` and
`infer`, also `MARKS`, keys of which every such network has one, `adapt_keys` if the keys of published checkpoints
differ from the network's, `completed` if shapes alone do not tell everything that `Inferred` holds, and `beside` if
usual values depend on values that a user gives.
"""


def canonical(architecture: str) -> str:
    """Return the key of `ARCHITECTURES` for a name that may have hyphens and capitals, such as BS-RoFormer.

    Raises:
        ValueError: there is no such architecture.
    """
    name = str(architecture).lower().replace("-", "_")
    if name not in ARCHITECTURES:
        hint = did_you_mean(name, ARCHITECTURES) or f"; choose from {', '.join(ARCHITECTURES)}"
        raise ValueError(f"unknown architecture {architecture!r}{hint}")
    return name


def _module(architecture: str) -> Any:
    return import_module(f".{ARCHITECTURES[canonical(architecture)]}", __name__)


MAX_HYPERPARAMETER = 1_000_000
"""Upper limit of every integer hyperparameter. PyTorch's own errors about larger values would not help anybody."""


def hyperparameters(architecture: str, config: Mapping[str, Any]) -> Any:
    """Make the architecture's `Config` from these values.

    Raises:
        ValueError: as `build`.
    """
    module = _module(architecture)
    hints = get_type_hints(module.Config)
    names = [field.name for field in fields(module.Config)]
    kept = {name: value for name, value in config.items() if name not in module.IGNORED}
    for name, value in kept.items():
        if name not in names:
            hint, advice = did_you_mean(name, names), "if only training needs it, it may be deleted"
            remedy = f"{hint} ({advice})" if hint else f"; {advice}"
            raise ValueError(f"{architecture} has no hyperparameter {name!r}{remedy}")
        if hints[name] in (bool, int, float, str) and type(value) is not hints[name]:
            raise ValueError(f"{architecture}: {name} must be {hints[name].__name__}, not {value!r}")
        if type(value) is int and abs(value) > MAX_HYPERPARAMETER:
            raise ValueError(f"{architecture}: {name} is too large; the limit is {MAX_HYPERPARAMETER}")
    try:
        return module.Config(**kept)
    except TypeError as error:  # a hyperparameter without a default is missing
        raise ValueError(f"{architecture}: {error}") from error


def build(architecture: str, config: Mapping[str, Any]) -> Network:
    """Make a network with fresh weights; its forward is (b, c, t) -> (b, n, c, t).

    Args:
        architecture: a key of `ARCHITECTURES`, also with hyphens: "bs-roformer".
        config: hyperparameters, named as in the published configs. Keywords that matter only for training are
            ignored.

    Raises:
        ValueError: an unknown architecture or keyword, or a value that no network can be built from.
    """
    return _module(architecture).build(hyperparameters(architecture, config))


def check(architecture: str, config: Mapping[str, Any], outputs: int, channels: int) -> None:
    """Check that a config describes a network for the given numbers of stems and channels.

    Args:
        architecture: a key of `ARCHITECTURES`.
        config: hyperparameters, as for `build`.
        outputs: number of stems that are named.
        channels: number of channels of a mixture.

    Raises:
        ValueError: no network can be built from the config, or it has another number of outputs, or it takes channels
            in groups into which these do not divide.
    """
    checked = hyperparameters(architecture, config)
    if checked.outputs != outputs:
        stems = counted(checked.outputs, "stem")
        raise ValueError(f"the network estimates {stems}, but the number of stem names is {outputs}")
    if channels % checked.channels:
        raise ValueError(f"the number of channels must be a multiple of {checked.channels}, not {channels}")


def adapt_keys(architecture: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a published checkpoint's tensors under the keys of the network here.

    Raises:
        ValueError: the architecture is unknown, or the checkpoint is of a variant that is not supported.
    """
    return getattr(_module(architecture), "adapt_keys", dict)(tensors)


def prefixes(keys: Collection[str]) -> list[str]:
    """Return the prefixes of keys under which networks lie; "" for a network whose keys have none.

    They are recognised by keys that every network of an architecture has.

    Args:
        keys: keys of tensors, of networks and of anything else.
    """
    marks = tuple(mark for name in ARCHITECTURES for mark in getattr(_module(name), "MARKS", ()))
    found = {}
    for key in keys:
        if key.endswith(marks):
            mark = next(mark for mark in marks if key.endswith(mark))
            prefix = key.removesuffix(mark)
            if not prefix or prefix.endswith("."):
                # An ensemble's members are parts of one network.
                found[re.sub(r"(^|(?<=\.))members\.\d+\.$", "", prefix)] = True
    return list(found)


def infer(tensors: Mapping[str, Tensor]) -> Inferred:
    """Infer the architecture and hyperparameters of a checkpoint.

    Raises:
        ValueError: the checkpoint is of an unknown architecture, or of a variant that is not supported.
    """
    for architecture in ARCHITECTURES:
        adapted = adapt_keys(architecture, tensors)
        shapes = {key: tuple(value.shape) for key, value in adapted.items()}
        try:
            inferred = _module(architecture).infer(shapes)
        except KeyError as error:
            raise ValueError(f"its {architecture} network is incomplete: {error} is missing") from error
        except (IndexError, ZeroDivisionError) as error:
            raise ValueError(f"its tensors do not have the shapes of a {architecture} network") from error
        if inferred:
            found = Inferred(architecture, *inferred)
            completed = getattr(_module(architecture), "completed", None)
            return completed(found, tensors.keys()) if completed else found
    examples = ", ".join(list(tensors)[:3])
    known = ", ".join(ARCHITECTURES)
    raise ValueError(f"its keys, such as {examples}, are not those of any supported architecture ({known})")


def usual(found: Inferred, tensors: Mapping[str, Tensor], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the usual values of hyperparameters that `infer` could not find, to go with those that a user gave.

    Raises:
        ValueError: what the user gave does not go with the tensors.
    """
    beside = getattr(_module(found.architecture), "beside", None)
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    return {**found.defaults, **(beside(given, shapes) if beside else {})}


class _Package(ModuleType):
    """Makes this package callable: `stemsplit.models()` is `stemsplit.list_models()`, as this folder has its name."""

    def __call__(self, registry: Any = None) -> Any:
        return sys.modules["stemsplit"].list_models(registry)


sys.modules[__name__].__class__ = _Package
