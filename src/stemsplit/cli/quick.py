"""What is asked for most, told without typer: that alone takes longer to import than all that one of these needs."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemsplit.registry import ModelEntry


def gpu() -> str:
    """Which GPU there seems to be, as far as that can be seen without PyTorch, which takes seconds."""
    import platform

    driver = Path("/proc/driver/nvidia/version")
    if driver.is_file():
        version = re.search(r"\d+\.\d+[\d.]*", driver.read_text(encoding="utf-8"))
        return f"NVIDIA, driver {version[0] if version else 'of unknown version'}"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "Apple's (mps)"
    return "none seen"


def print_versions() -> None:
    """What a report of a fault needs: versions, GPU, folders."""
    import platform

    from stemsplit.disk.folders import cache_folder, user_folder
    from stemsplit.fetch.hub_cache import folder as hub_folder
    from stemsplit.libraries import version
    from stemsplit.terminal.stdout import print_text

    print_text(f"stemsplit {version('stemsplit')}")
    print_text(f"torch {version('torch')}, torchaudio {version('torchaudio')}")
    print_text(f"Python {platform.python_version()} on {platform.platform()}")
    print_text(f"GPU: {gpu()}; {os.cpu_count()} CPU cores")
    # Without a home folder there may be none; its own message says what to set.
    print_text(f"downloads: {hub_folder()} and {cache_folder()}; settings: {user_folder()}")


def print_models(
    stems: str | None = None,
    architecture: str | None = None,
    licence: str | None = None,
    downloaded: bool = False,
    as_json: bool = False,
    registry_file: Path | None = None,
) -> None:
    """What `stemsplit list` tells; stems, architecture and licence as `registry.select` takes them.

    Raises:
        RegistryError: a registry cannot be read.
    """
    from stemsplit.registry import entries, select
    from stemsplit.terminal import models, stdout

    chosen = select(entries(registry_file).values(), stems, architecture, licence)
    if downloaded or as_json:
        from stemsplit.fetch import store

        paths = {entry.name: store.local(entry) for entry in chosen}
        chosen = [entry for entry in chosen if paths[entry.name] or not downloaded]
    if as_json:
        stdout.print_json([models.entry_as_data(entry, paths[entry.name]) for entry in chosen])
    elif chosen:
        models.print_models(chosen)
    else:
        from stemsplit.terminal import console

        console.hint("no model is like that; see them all with: stemsplit list")


def print_model(entry: "ModelEntry", as_json: bool) -> None:
    """What `stemsplit info` tells of a model of the registry."""
    from stemsplit.fetch import store
    from stemsplit.terminal import models, stdout

    path = store.local(entry)
    if as_json:
        stdout.print_json(models.entry_as_data(entry, path))
    else:
        models.print_facts(models.facts(entry, path))


def answer(arguments: list[str]) -> bool:
    """Do what the arguments ask for, if it is in here; all else, and every refusal of arguments, is typer's.

    Returns:
        Whether it was done.

    Raises:
        RegistryError: a registry cannot be read.
    """
    more = os.environ.get("STEMSPLIT_REGISTRY")
    registry_file = Path(more) if more else None
    # os.path: in a folder that may not be entered, it says no instead of raising.
    missing = registry_file is not None and not os.path.exists(registry_file)  # noqa: PTH110
    match arguments:
        case ["--version"]:
            print_versions()
        case _ if missing:
            return False
        case ["list"]:
            print_models(registry_file=registry_file)
        case ["list", "--json"]:
            print_models(as_json=True, registry_file=registry_file)
        case ["list", "--stems" | "-s", stems] if not stems.startswith("-"):
            print_models(stems, registry_file=registry_file)
        case ["info", name] | ["info", name, "--json"] if not name.startswith("-"):
            from stemsplit.registry import entries

            known = entries(registry_file)
            if name not in known:
                return False
            print_model(known[name], as_json=len(arguments) > 2)
        case _:
            return False
    return True
