"""The networks: waveform in, waveforms out; nothing here knows of files, the registry or a terminal.

Shape letters, the same in every file: b batch, n stems, c channels, t samples, f bins, m frames, k bands, d features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from importlib import import_module
from typing import Any, get_type_hints

from torch import Tensor, nn

ARCHITECTURES = {
    "bs_roformer": "bs_roformer",
    "mel_band_roformer": "mel_band_roformer",
    "sudormrf": "sudormrf",
}
"""Architecture name in the registry -> module of this package, with `Config`, `IGNORED`, `build` and `infer`, and
`adapt_keys` where published checkpoints have other keys than the network.
"""


def _module(architecture: str) -> Any:
    if architecture not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}")
    return import_module(f".{ARCHITECTURES[architecture]}", __name__)


def build(architecture: str, config: Mapping[str, Any]) -> nn.Module:
    """Make a network with fresh weights; its forward is (b, c, t) -> (b, n, c, t).

    Args:
        architecture: a key of `ARCHITECTURES`.
        config: hyperparameters, named as in the published configs. Keywords that matter only in training are ignored.

    Raises:
        ValueError: an unknown architecture or keyword, or a value that no network can be built from.
    """
    module = _module(architecture)
    hints = get_type_hints(module.Config)
    names = [field.name for field in fields(module.Config)]
    kept = {name: value for name, value in config.items() if name not in module.IGNORED}
    for name, value in kept.items():
        if name not in names:
            close = get_close_matches(name, names, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{architecture} has no hyperparameter {name!r}{hint}")
        if hints[name] in (bool, int, float, str) and type(value) is not hints[name]:
            raise ValueError(f"{architecture}: {name} must be {hints[name].__name__}, not {value!r}")
    try:
        hyperparameters = module.Config(**kept)
    except TypeError as error:  # one without a default is missing
        raise ValueError(f"{architecture}: {error}") from error
    return module.build(hyperparameters)


def adapt_keys(architecture: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published checkpoint's tensors under the keys of the network here.

    Raises:
        ValueError: an unknown architecture, or a variant of it that cannot be computed here.
    """
    return getattr(_module(architecture), "adapt_keys", dict)(tensors)


@dataclass(frozen=True)
class Inferred:
    """What a checkpoint's tensors tell of its network.

    Args:
        architecture: a key of `ARCHITECTURES`.
        told: hyperparameters that keys and shapes determine.
        assumed: the usual values of those that they cannot tell.
    """

    architecture: str
    told: dict[str, Any]
    assumed: dict[str, Any]


def infer(tensors: Mapping[str, Tensor]) -> Inferred:
    """Find out the architecture and hyperparameters of a checkpoint.

    Raises:
        ValueError: it is of no architecture here, or of a variant that cannot be computed here.
    """
    for architecture in ARCHITECTURES:
        adapted = adapt_keys(architecture, tensors)
        shapes = {key: tuple(value.shape) for key, value in adapted.items()}
        try:
            found = _module(architecture).infer(shapes)
        except (KeyError, IndexError, ZeroDivisionError, TypeError) as error:
            raise ValueError(f"its keys are not those of a whole {architecture} network: {error} is missing") from error
        if found:
            return Inferred(architecture, *found)
    raise ValueError(f"its keys are those of none of the networks here ({', '.join(ARCHITECTURES)})")
