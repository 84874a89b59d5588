"""Who may import whom: the picture in CONTRIBUTING, held; and what must not cost a user's time."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "stemsplit"

OURS = {
    "errors": set(),
    "libraries": {"errors"},
    "metrics": set(),
    "multitracks": {"audio", "disk", "errors", "songs"},
    "in_step": {"audio", "errors"},
    "evaluation": {"in_step", "metrics", "multitracks", "separator", "errors"},
    "clips": {"audio", "libraries", "metrics", "sidecar", "stem_files"},
    "clip_files": {"audio", "clips", "disk", "errors", "job"},
    "excerpts": {"audio", "errors", "multitracks", "registry", "songs"},
    "comparison_plan": {"audio", "clip_files", "errors", "excerpts", "fast", "job", "naming", "registry", "separator"},
    "comparison": {"audio", "clip_files", "clips", "comparison_plan", "excerpts", "separator"},
    "ahead": set(),
    "overlap_add": set(),
    "models": {"models"},
    "registry": {"disk", "errors"},
    "audio": {"audio", "errors"},
    "weights": {"disk", "weights", "registry", "errors"},
    "fast": {"fast", "models", "errors"},
    "gathering": {"ahead", "overlap_add", "fast"},
    "streaming": {"fast", "gathering"},
    "passage": {"audio"},
    "separator": {
        "gathering",
        "streaming",
        "passage",
        "weights",
        "registry",
        "audio",
        "overlap_add",
        "models",
        "fast",
        "errors",
    },
    "chain": {"audio", "registry", "separator", "weights"},
    "songs": {"errors"},
    "naming": set(),
    "recipes": set(),
    "disk": {"disk"},
    "sidecar": {"disk", "weights"},
    "speeds": {"disk", "weights", "errors"},
    "job": {"disk", "errors", "naming", "recipes", "sidecar"},
    "commit": {"audio", "disk", "errors", "job", "naming", "sidecar"},
    "stem_files": {"audio", "commit", "disk", "errors", "job", "recipes", "sidecar"},
    "batch": {"job", "sidecar", "songs", "naming", "audio", "errors"},
    "preparing": {"audio", "batch", "commit", "disk", "errors", "job", "stem_files", "weights"},
    "pipeline": {
        "ahead",
        "audio",
        "batch",
        "chain",
        "commit",
        "disk",
        "errors",
        "job",
        "preparing",
        "separator",
        "stem_files",
    },
    "own_checkpoint": {"disk", "models", "weights", "registry", "errors"},
    "bench": {"separator", "registry", "models", "fast", "errors"},
    "listing": {"listing", "registry", "batch", "bench", "clips", "comparison", "evaluation", "job"},
    "console": {"batch", "job", "listing", "sidecar", "training"},
    "training": {
        "training",
        "audio",
        "disk",
        "fast",
        "libraries",
        "metrics",
        "models",
        "multitracks",
        "overlap_add",
        "own_checkpoint",
        "registry",
        "separator",
        "weights",
        "errors",
    },
    "cli": {
        "songs",
        "naming",
        "recipes",
        "speeds",
        "chain",
        "cli",
        "batch",
        "bench",
        "comparison",
        "comparison_plan",
        "evaluation",
        "fast",
        "libraries",
        "multitracks",
        "pipeline",
        "job",
        "console",
        "registry",
        "separator",
        "models",
        "training",
        "listing",
        "own_checkpoint",
        "weights",
        "errors",
    },
    "__main__": {"cli"},
    "__init__": {"chain", "errors", "libraries", "separator"},
}
"""Module of ours -> the modules of ours that it may import."""

THEIRS = {
    "typer": {"cli"},
    "rich": {"console", "listing"},
    "tomllib": {"registry"},
    "safetensors": {"weights"},
    "hashlib": {"clip_files", "commit", "training", "weights"},
    "pickle": {"weights"},
    "huggingface_hub": {"weights"},
    "filelock": {"weights"},
    "yaml": {"own_checkpoint"},
    "platformdirs": {"registry", "weights"},
    "soundfile": {"audio"},
    "soxr": {"audio"},
    "subprocess": {"audio", "training"},
    "mido": {"training"},
    "torchaudio": {"libraries"},
    "torch": {
        "models",
        "fast",
        "overlap_add",
        "chain",
        "gathering",
        "streaming",
        "passage",
        "weights",
        "separator",
        "bench",
        "metrics",
        "clips",
        "evaluation",
        "training",
        "cli",
    },
}
"""Module of others -> the only modules of ours that may import it."""


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: say what you import from the top"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    """The top-level module that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_to_the_picture(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "stemsplit":
            assert parts[1] in OURS[room(path)], f"{room(path)} may not import {name}"
        elif parts[0] in THEIRS:
            assert room(path) in THEIRS[parts[0]], f"only {THEIRS[parts[0]]} may import {parts[0]}"


def test_the_picture_has_every_room() -> None:
    assert {room(path) for path in FILES} == set(OURS)


COMMANDS = {
    "import": "import stemsplit",
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
    ["list", "list --json", "list --stems vocals", "info mel-roformer", "info mel-roformer --json", "--version"],
)
def test_what_is_asked_for_most_needs_neither_typer_nor_rich(command: str) -> None:
    """They take longer to import than the registry takes to read."""
    code = f"import sys; sys.argv = ['stemsplit', *{command.split()}]; from stemsplit.cli import main; main()"
    ask = f"{code}; sys.exit(len([name for name in ('typer', 'rich') if name in sys.modules]))"
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, check=False).returncode == 0
