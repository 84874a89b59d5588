"""Where this user's settings and downloads are kept."""

import os
from contextlib import suppress
from pathlib import Path

from stemsplit.errors import RegistryError, WeightsError


def user_folder() -> Path:
    """Where a user's own models.toml may be, which adds to the package's and overrides it: STEMSPLIT_CONFIG, or the
    system's folder for settings.

    Raises:
        RegistryError: this user has none.
    """
    if folder := os.environ.get("STEMSPLIT_CONFIG"):
        return Path(folder)
    from platformdirs import user_config_path  # only here: `list` is to start fast

    try:
        return user_config_path("stemsplit")
    except RuntimeError as error:
        raise RegistryError("there is no home folder to keep settings in; set STEMSPLIT_CONFIG") from error


def cache_folder() -> Path:
    """Where files from the web and records are kept: STEMSPLIT_CACHE, or the system's folder for caches.

    Raises:
        WeightsError: there is no home folder for that to be in.
    """
    if chosen := os.environ.get("STEMSPLIT_CACHE"):
        return Path(chosen)
    from platformdirs import user_cache_path  # only here: `list` is to start fast

    with suppress(RuntimeError):
        # Without a home folder, it raises or leaves the ~ where it is.
        if (folder := user_cache_path("stemsplit")).parts[0] != "~":
            return folder
    raise WeightsError("there is no home folder to keep downloads in; set STEMSPLIT_CACHE and HF_HOME")
