"""Usage errors and types in help texts."""

from collections.abc import Callable

import pytest

from stemsplit.cli.app import COMMANDS
from tests.cli.conftest import Result

Command = Callable[..., Result]

WRONG = {
    "an unknown choice": ("a.wav --format m4b", "'m4b' is not one of "),
    "not a number": ("a.wav --overlap much", "'much' is not a number"),
    "not a whole number": ("a.wav --threads 1.5", "'1.5' is not a whole number"),
    "too little": ("a.wav --threads 0", "at least 1"),
    "too much": ("a.wav --overlap 3", "at most 0.99"),
    "a mistyped option": ("a.wav --formt flac", "--format?"),
    "an unknown option": ("list --nonsense", "no such option: --nonsense; "),
    "an option left out": ("compare a.wav", "missing option '--models'"),
    "a value left out": ("bench --threads", "'--threads' requires an argument"),
    "an argument left out": ("info", "missing argument 'NAME'; see all options with: stemsplit info --help"),
    "one argument more": ("info a b", "unexpected extra argument"),
    "a topic that does not exist": ("help trian", "did you mean 'train'?"),
    "a time that is none": ("a.wav --start soon", "'soon' is not a time"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_usage_error_is_one_line_like_all_other_errors(stemsplit: Command, name: str) -> None:
    line, said = WRONG[name]
    result = stemsplit(*line.split())
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert said in result.err
    assert not any(word in result.err for word in ("Error", "Value error", "Input should", "Usage"))


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_help_shows_no_type_of_a_programming_language(stemsplit: Command, command: str) -> None:
    shown = stemsplit(*command.split(), "--help").out
    options = shown.partition("Options")[2]
    assert "--help" in options
    assert not any(word in options for word in ("<bool>", "<str>", "<list", "<int", "<float", "BOOLEAN"))
