"""Runs the command as a user does."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer

from stemsplit import cli
from stemsplit.cli import signals
from tests.fetch.conftest import here as here
from tests.fetch.conftest import hub as hub

built = cache(typer.main.get_command)
"""Builds the parser of the command line once in a process: that takes as long as all else that a short command does."""


@dataclass
class Result:
    """What a command left: exit status, what it said."""

    status: int
    out: str
    err: str

    @property
    def paths(self) -> list[Path]:
        """Lines of stdout, as paths."""
        return [Path(line) for line in self.out.splitlines()]


@pytest.fixture
def stemsplit(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Result]:
    """Call the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    # Wide, so that no message is broken across lines.
    monkeypatch.setenv("COLUMNS", "400")

    def call(*arguments: str | Path) -> Result:
        monkeypatch.setattr(signals, "SIGNALS", [])  # pytest keeps its own handlers
        monkeypatch.setattr(sys, "argv", ["stemsplit", *map(str, arguments)])
        monkeypatch.setattr(typer.main, "get_command", built)
        capfd.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 0
        captured = capfd.readouterr()
        return Result(status, captured.out, captured.err)

    return call
