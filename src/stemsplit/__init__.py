"""Takes songs apart into stems: `Separator("starter").separate(mixture, sample_rate)`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemsplit.engine.chain import Chain
    from stemsplit.engine.separator import Separator
    from stemsplit.errors import AudioError, DeviceError, LibraryError, RegistryError, StemsplitError, WeightsError

_HOMES = {
    "Chain": "stemsplit.engine.chain",
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
    "RegistryError",
    "Separator",
    "StemsplitError",
    "WeightsError",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import stemsplit` must not take the seconds that torch takes."""
    if name not in _HOMES:
        raise AttributeError(f"module 'stemsplit' has no attribute {name!r}")
    try:
        home = import_module(_HOMES[name])
    except Exception as error:
        from stemsplit.libraries import failure

        if told := failure(error):
            raise told from error
        raise
    return getattr(home, name)
