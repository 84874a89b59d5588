"""Answers the most frequent commands without typer, whose import would take longer than the commands."""

import os
from collections.abc import Callable
from pathlib import Path

from stemsplit.cli.machine import gpu
from stemsplit.cli.showing import print_model, print_models
from stemsplit.errors import StemsplitError


def _place(folder: Callable[[], Path]) -> str:
    """Return where a folder is; or, without a home folder, which variable to set."""
    try:
        return str(folder())
    except StemsplitError as error:
        return f"({error})"


def print_versions() -> None:
    """Print what a bug report needs: versions, GPU, folders."""
    import platform

    from stemsplit.disk.folders import cache_folder, user_folder
    from stemsplit.fetch.hub_cache import folder as hub_folder
    from stemsplit.libraries import version
    from stemsplit.terminal.stdout import print_text

    print_text(f"stemsplit {version('stemsplit')}")
    print_text(f"torch {version('torch')}, torchaudio {version('torchaudio')}")
    print_text(f"Python {platform.python_version()} on {platform.platform()}")
    print_text(f"GPU: {gpu()}; {os.cpu_count()} CPU cores")
    print_text(f"downloads: {hub_folder()} and {_place(cache_folder)}; settings: {_place(user_folder)}")


def answer(arguments: list[str]) -> bool:
    """Run the command if it can be run without typer. All errors about arguments are left to typer.

    Returns:
        Whether the command was run.

    Raises:
        RegistryError: a registry cannot be read.
    """
    more = os.environ.get("STEMSPLIT_REGISTRY")
    registry_file = Path(more) if more else None
    # os.path returns False in a folder that may not be entered; pathlib raises.
    missing = registry_file is not None and not os.path.exists(registry_file)  # noqa: PTH110
    match arguments:
        case ["--version"]:
            print_versions()
        case _ if missing:
            return False
        case ["list", "--all"]:
            print_models(whole=True, registry_file=registry_file)
        case ["list", "--json"]:
            print_models(as_json=True, registry_file=registry_file)
        case ["list", "--stems" | "-s", stems] if not stems.startswith("-"):
            print_models(stems, registry_file=registry_file)
        case ["list", *stems] if not any(word.startswith("-") for word in stems):
            print_models(",".join(stems), registry_file=registry_file)
        case ["info", name, *options] if not name.startswith("-") and options in ([], ["--json"], ["--verbose"]):
            from stemsplit.registry import entries

            known = entries(registry_file)
            if name not in known:
                return False
            print_model(known[name], as_json="--json" in options, verbose="--verbose" in options)
        case _:
            return False
    return True
