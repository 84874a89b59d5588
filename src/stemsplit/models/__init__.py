"""The networks: waveform in, waveforms out; nothing here knows of files, the registry or a terminal.

Shape letters, the same in every file: b batch, n stems, c channels, t samples, f bins, m frames, k bands, d features.
"""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from importlib import import_module
from typing import Any, get_type_hints

from torch import nn

ARCHITECTURES = {"sudormrf": "sudormrf"}
"""Architecture name in the registry -> module of this package, with `Config`, `IGNORED` and `build`."""


def build(architecture: str, config: Mapping[str, Any]) -> nn.Module:
    """Make a network with fresh weights; its forward is (b, c, t) -> (b, n, c, t).

    Args:
        architecture: a key of `ARCHITECTURES`.
        config: hyperparameters, named as in the published configs. Keywords that matter only in training are ignored.

    Raises:
        ValueError: an unknown architecture or keyword, or a value that no network can be built from.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}")
    module = import_module(f".{ARCHITECTURES[architecture]}", __name__)
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
    return module.build(module.Config(**kept))
