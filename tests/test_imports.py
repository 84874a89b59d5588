"""Who may import whom: the floors of the house, held; and what must not cost a user's time."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "stemsplit"

FLOORS = """
    __main__ __init__
    cli
    listening cluster
    api terminal
    comparison cloud
    songs
    training
    evaluation bench
    engine
    checkpoints
    fetch fast
    registry models
    audio
    disk
    failures pictures
    libraries words choices
    errors
"""
"""The rooms, from the top of the house down: a room imports only what lies on a lower floor, and itself."""

THEIRS = {
    "typer": {"cli"},
    "rich": {"terminal"},
    "tomllib": {"registry"},
    "tomli_w": {"registry"},
    "safetensors": {"checkpoints"},
    "hashlib": {"cloud", "comparison", "disk", "fetch", "listening", "pictures", "songs", "training"},
    "pickle": {"checkpoints"},
    "huggingface_hub": {"fetch"},
    "filelock": {"fetch"},
    "yaml": {"checkpoints"},
    "platformdirs": {"disk", "fetch"},
    "soundfile": {"audio"},
    "soxr": {"audio"},
    "subprocess": {"audio", "training"},
    "http": {"fetch", "listening"},
    "mido": {"training"},
    "obstore": {"cloud"},
    "torchaudio": {"libraries"},
    "ray": {"cluster"},
    "torch": {"api", "bench", "checkpoints", "cli", "comparison", "engine", "evaluation", "fast", "models", "training"},
}
"""Package of others -> the only rooms that may import it: `fetch` has no torch, and so on."""

FILES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
"""Module -> its file."""


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: say what you import from the top"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    """The folder, or the file beside the folders, that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def floors() -> dict[str, int]:
    """How high each room lies."""
    return {name: height for height, names in enumerate(reversed(FLOORS.split("\n"))) for name in names.split()}


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in FILES.values()} <= floors().keys()


@pytest.mark.parametrize("path", FILES.values(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    heights, here = floors(), room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "stemsplit":
            assert parts[1] == here or heights[parts[1]] < heights[here], f"{here} may not import {name}"
        elif parts[0] in THEIRS:
            assert here in THEIRS[parts[0]], f"only {THEIRS[parts[0]]} may import {parts[0]}"


def test_no_file_imports_itself_by_way_of_others() -> None:
    arrows: dict[str, set[str]] = {}
    for module, path in FILES.items():
        names = [name for name in imports(path) if name.startswith("stemsplit.")]
        arrows[module] = {name if name in FILES else name.rpartition(".")[0] for name in names} - {module}
    TopologicalSorter(arrows).prepare()


COMMANDS = {
    "import": "import stemsplit",
    "models in Python": "import stemsplit; stemsplit.list_models(); dir(stemsplit); stemsplit.split",
    "all that listens": "import stemsplit.listening.server, stemsplit.listening.arguments, stemsplit.listening.opening",
    "help": "--help",
    "list": "list",
    "list of some": "list --stems vocals --json",
    "list of what is here": "list --downloaded",
    "info": "info mel-roformer",
    "a model that is here": "download starter",
    "version": "--version",
    "missing song": "no-such-song.flac",
    "help on training": "train --help",
    "help on evaluation": "eval --help",
    "help on comparison": "compare --help",
    "help on listening": "listen --help",
    "status of a folder": "status tests",
    "nothing to listen to": "listen no-such-folder",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_needs_no_network_imports_none(name: str) -> None:
    """Asked of a fresh interpreter: torch takes seconds to import, the hub's library half a second."""
    command = COMMANDS[name]
    run = f"from stemsplit.cli import main; sys.argv = ['stemsplit', *{command.split()}]; main()"
    code = command if command.startswith("import") else run
    heavy = "str([name for name in ('torch', 'huggingface_hub') if name in sys.modules])"
    ask = f"import sys, atexit; atexit.register(lambda: sys.stderr.write('heavy:' + {heavy})); {code}"
    found = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
    assert "Traceback" not in found.stderr
    assert found.stderr.endswith("heavy:[]")


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "list --all",
        "list --json",
        "list --stems vocals",
        "list vocals",
        "info mel-roformer",
        "info mel-roformer --json",
        "--version",
    ],
)
def test_what_is_asked_for_most_needs_neither_typer_nor_rich(command: str) -> None:
    """They take longer to import than the registry takes to read."""
    code = f"import sys; sys.argv = ['stemsplit', *{command.split()}]; from stemsplit.cli import main; main()"
    ask = f"{code}; sys.exit(len([name for name in ('typer', 'rich', 'tomli_w') if name in sys.modules]))"
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, check=False).returncode == 0
