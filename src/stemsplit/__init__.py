"""Splits songs into stems: `split` takes a file, `Separator` what is in memory.

>>> import numpy as np
>>> import stemsplit
>>> mixture = np.zeros((2, 22_050), np.float32)  # (channels, samples)
>>> stems = stemsplit.Separator("starter").separate(mixture, sample_rate=44_100)
>>> {name: tuple(stem.shape) for name, stem in stems.items()}
{'drums': (2, 22050), 'bass': (2, 22050), 'other': (2, 22050), 'vocals': (2, 22050)}
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemsplit.api import list_models, load_network, split
    from stemsplit.engine.chain import Chain
    from stemsplit.engine.choosing import load_splitter
    from stemsplit.engine.separator import Separator
    from stemsplit.errors import AudioError, DeviceError, LibraryError, RegistryError, StemsplitError, WeightsError
    from stemsplit.registry import ModelEntry

_HOMES = {
    **dict.fromkeys(("list_models", "load_network", "split"), "stemsplit.api"),
    "Chain": "stemsplit.engine.chain",
    "ModelEntry": "stemsplit.registry",
    "load_splitter": "stemsplit.engine.choosing",
    "Separator": "stemsplit.engine.separator",
    **dict.fromkeys(
        ("AudioError", "DeviceError", "LibraryError", "RegistryError", "StemsplitError", "WeightsError"),
        "stemsplit.errors",
    ),
}

__all__ = [
    "AudioError",
    "Chain",
    "DeviceError",
    "LibraryError",
    "ModelEntry",
    "RegistryError",
    "Separator",
    "StemsplitError",
    "WeightsError",
    "list_models",
    "load_network",
    "load_splitter",
    "split",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `import stemsplit` must not take the seconds that torch takes."""
    if name not in (*_HOMES, "models"):
        raise AttributeError(f"module 'stemsplit' has no attribute {name!r}")
    try:
        if name == "models":
            return import_module("stemsplit.models")  # a folder that can be called: its networks need torch
        home = import_module(_HOMES[name])
    except Exception as error:
        from stemsplit.libraries import failure

        if told := failure(error):
            raise told from error
        raise
    return getattr(home, name)


def __dir__() -> list[str]:
    """Return the public names only."""
    return __all__
