"""Finds the folders of the user's settings and downloads."""

import os
from contextlib import suppress
from pathlib import Path

from stemsplit.errors import RegistryError, WeightsError


def expanded(text: str) -> Path:
    """Return a path with its `~` replaced by the home folder, as shells do, unless a file here is called so."""
    first = Path(text).parts[:1]
    if not text.startswith("~") or os.path.lexists(first[0]):
        return Path(text)
    return Path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser raises if there is no such user


def user_folder() -> Path:
    """Return the folder of the user's settings: STEMSPLIT_CONFIG, or the system's folder for settings.

    The user's own models.toml may be there, which adds to the package's and overrides it.

    Raises:
        RegistryError: the user has no home folder.
    """
    if folder := os.environ.get("STEMSPLIT_CONFIG"):
        return expanded(folder)
    from platformdirs import user_config_path  # imported late: `list` should start fast

    try:
        return user_config_path("stemsplit")
    except RuntimeError as error:
        raise RegistryError("there is no home folder to keep settings in; set STEMSPLIT_CONFIG") from error


def cache_folder() -> Path:
    """Return the folder of files from the web and of records: STEMSPLIT_CACHE, or the system's folder for caches.

    Raises:
        WeightsError: the user has no home folder.
    """
    if chosen := os.environ.get("STEMSPLIT_CACHE"):
        return expanded(chosen)
    from platformdirs import user_cache_path  # imported late: `list` should start fast

    with suppress(RuntimeError):
        # Without a home folder, this raises or returns a path with the ~.
        if (folder := user_cache_path("stemsplit")).parts[0] != "~":
            return folder
    raise WeightsError("there is no home folder to keep downloads in; set STEMSPLIT_CACHE and HF_HOME")
