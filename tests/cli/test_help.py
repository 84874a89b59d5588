"""`stemsplit help`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit.cli.app import COMMANDS
from stemsplit.terminal import topics
from tests.cli.conftest import Result
from tests.cli.test_scripts import on_terminal

Command = Callable[..., Result]

DOCS = Path(topics.FOLDER)


def test_the_topics_are_listed_with_a_line_each(stemsplit: Command) -> None:
    result = stemsplit("help")
    assert (result.status, result.err) == (0, "")
    known = topics.topics()
    lines = [line.split(maxsplit=1) for line in result.out.splitlines()[: len(known)]]
    assert lines == [[name, description] for name, description in known.items()]
    assert {*known} == {path.stem for path in DOCS.glob("*.md")}
    assert all(known.values())


@pytest.mark.parametrize("name", [path.stem for path in DOCS.glob("*.md")])
def test_a_topic_is_printed_as_it_is_written(stemsplit: Command, name: str) -> None:
    """On anything but a terminal: a pager or a file gets plain text."""
    result = stemsplit("help", name)
    assert (result.status, result.err) == (0, "")
    assert result.out == (DOCS / f"{name}.md").read_text(encoding="utf-8")


def test_a_terminal_gets_it_drawn(tmp_path: Path) -> None:
    """Tables in columns with whole names, code without fences, and nothing that waits for a key."""
    status, shown = on_terminal("help", "models", cwd=tmp_path, COLUMNS="80")
    assert status == 0
    assert "stemsplit list --stems guitar" in shown
    assert "bs-roformer-vocals-resurrection" in shown
    assert "```" not in shown
    assert "|---" not in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_explained_as_by_its_own_help(stemsplit: Command, name: str) -> None:
    asked = stemsplit("help", name)
    assert asked.status == 0
    assert asked.out == stemsplit(name, "--help").out
    assert f"stemsplit {name} " in asked.out


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("modles", "did you mean 'models'?"),
        ("spilt", "did you mean 'split'?"),
        ("kazoo", "see all topics with: stemsplit help"),
    ],
)
def test_an_unknown_topic_is_a_usage_error(stemsplit: Command, name: str, hint: str) -> None:
    result = stemsplit("help", name)
    assert (result.status, result.out) == (2, "")
    assert f"there is no topic or command '{name}'" in result.err
    assert hint in result.err


@pytest.mark.parametrize("arguments", [["help"], ["help", "models"], ["help", "split"]])
def test_it_does_not_wait_for_pytorch(arguments: list[str]) -> None:
    """Asked of a fresh interpreter: torch takes seconds to import, the hub's library half a second."""
    heavy = "[name for name in ('torch', 'huggingface_hub', 'rich.markdown') if name in sys.modules]"
    ask = f"print({heavy}, file=sys.stderr)"
    code = f"import atexit, sys; atexit.register(lambda: {ask}); sys.argv = ['stemsplit', *{arguments}]"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; from stemsplit.cli import main; main()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")
