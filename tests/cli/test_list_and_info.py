"""`stemsplit list`, `info`, `--help`, `--version`: what a person reads."""

from collections.abc import Callable
from importlib.metadata import version

import pytest

from stemsplit import registry
from stemsplit.cli import COMMANDS, app, with_command
from tests.cli.conftest import Result

Command = Callable[..., Result]


def test_list_names_every_model_its_stems_and_its_licence(stemsplit: Command) -> None:
    result = stemsplit("list")
    assert result.status == 0
    for entry in registry.entries().values():
        line = next(line for line in result.out.splitlines() if line.startswith(entry.name))
        assert ", ".join(entry.outputs) in line
        assert entry.license in line


def test_info_tells_everything(stemsplit: Command) -> None:
    result = stemsplit("info", "starter")
    entry = registry.find("starter")
    assert result.status == 0
    for fact in (entry.sha256, entry.license_url, entry.training_data, "44100 Hz", "drums, bass, other, vocals"):
        assert fact in result.out


def test_info_of_an_unknown_model(stemsplit: Command) -> None:
    result = stemsplit("info", "stater")
    assert (result.status, result.out) == (3, "")
    assert "did you mean 'starter'?" in result.err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["split", "--help"], ["list"], ["info", "starter"]])
def test_pages_fit_eighty_columns(stemsplit: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = stemsplit(*arguments)
    assert result.status == 0
    assert result.out
    assert max(map(len, result.out.splitlines())) <= 80


def test_version(stemsplit: Command) -> None:
    result = stemsplit("--version")
    assert (result.status, result.out) == (0, f"stemsplit {version('stemsplit')}\n")


def test_without_arguments_it_helps(stemsplit: Command) -> None:
    result = stemsplit()
    assert "Usage: stemsplit" in result.out + result.err


def test_the_first_word_decides() -> None:
    assert with_command(["list"]) == ["list"]
    assert with_command(["song.flac", "--quiet"]) == ["split", "song.flac", "--quiet"]
    assert with_command(["--quiet", "list.flac"]) == ["split", "--quiet", "list.flac"]
    assert with_command(["--help"]) == ["--help"]


def test_every_command_is_known_to_be_one() -> None:
    """Or it would be taken for a song."""
    assert {command.name for command in app.registered_commands} == set(COMMANDS)


def test_choices_are_those_that_the_library_knows() -> None:
    """They stand twice, so that help needs no import of the library."""
    from stemsplit.audio import BIT_DEPTHS, FORMATS
    from stemsplit.cli.split import BitDepth, Format, WindowName
    from stemsplit.overlap_add import WINDOWS

    assert [str(choice) for choice in Format] == list(FORMATS)
    assert [str(choice) for choice in BitDepth] == list(BIT_DEPTHS)
    assert [str(choice) for choice in WindowName] == list(WINDOWS)
