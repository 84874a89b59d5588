"""The networks: waveform in, waveforms out; nothing here knows of files, the registry or a terminal.

Shape letters, the same in every file: b batch, n stems, c channels, t samples, f bins, m frames, k bands, d features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, get_type_hints

from torch import Tensor, nn

from stemsplit.words import did_you_mean

ARCHITECTURES = {
    "bs_roformer": "bs_roformer",
    "mel_band_roformer": "mel_band_roformer",
    "sudormrf": "sudormrf",
    "fullsubnet_plus": "fullsubnet_plus",
    "ensemble": "ensemble",
}
"""Architecture name in the registry -> module of this package, with `Config`, `IGNORED`, `build` and `infer`, and
`adapt_keys` where published checkpoints have other keys than the network.
"""


def _module(architecture: str) -> Any:
    if architecture not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}")
    return import_module(f".{ARCHITECTURES[architecture]}", __name__)


MOST = 1_000_000
"""No hyperparameter of any network is larger; PyTorch's own errors over such values are of no use to anybody."""


def hyperparameters(architecture: str, config: Mapping[str, Any]) -> Any:
    """The architecture's `Config` of these values.

    Raises:
        ValueError: as `build`.
    """
    module = _module(architecture)
    hints = get_type_hints(module.Config)
    names = [field.name for field in fields(module.Config)]
    kept = {name: value for name, value in config.items() if name not in module.IGNORED}
    for name, value in kept.items():
        if name not in names:
            raise ValueError(f"{architecture} has no hyperparameter {name!r}{did_you_mean(name, names)}")
        if hints[name] in (bool, int, float, str) and type(value) is not hints[name]:
            raise ValueError(f"{architecture}: {name} must be {hints[name].__name__}, not {value!r}")
        if type(value) is int and abs(value) > MOST:
            raise ValueError(f"{architecture}: {name} is far too large")
    try:
        return module.Config(**kept)
    except TypeError as error:  # one without a default is missing
        raise ValueError(f"{architecture}: {error}") from error


def build(architecture: str, config: Mapping[str, Any]) -> nn.Module:
    """Make a network with fresh weights; its forward is (b, c, t) -> (b, n, c, t).

    Args:
        architecture: a key of `ARCHITECTURES`.
        config: hyperparameters, named as in the published configs. Keywords that matter only in training are ignored.

    Raises:
        ValueError: an unknown architecture or keyword, or a value that no network can be built from.
    """
    return _module(architecture).build(hyperparameters(architecture, config))


def check(architecture: str, config: Mapping[str, Any], outputs: int, channels: int) -> None:
    """See whether a config makes a network with so many outputs that can be given so many channels at once.

    Raises:
        ValueError: it does not.
    """
    made = hyperparameters(architecture, config)
    if made.outputs != outputs:
        raise ValueError(f"it gives {made.outputs} stems, but {outputs} are named")
    if channels % made.channels:
        raise ValueError(f"it takes {made.channels} channels together, not {channels}")


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
        except KeyError as error:
            raise ValueError(f"its keys are not those of a whole {architecture} network: {error} is missing") from error
        except (IndexError, ZeroDivisionError) as error:
            raise ValueError(f"its shapes are not those of a {architecture} network") from error
        if found:
            return Inferred(architecture, *found)
    some = ", ".join(list(tensors)[:3])
    raise ValueError(f"its keys are those of none of the networks here ({', '.join(ARCHITECTURES)}), such as {some}")
