"""`stemsplit list`, `info`, `--help`, `--version`: what a person reads."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from stemsplit import registry
from stemsplit.cli import quick
from stemsplit.cli.app import COMMANDS, app, with_command
from stemsplit.models import build
from tests.cli.conftest import Result
from tests.cli.test_download import table
from tests.conftest import unix

Command = Callable[..., Result]


def test_list_names_every_model_its_stems_and_its_licence(stemsplit: Command) -> None:
    result = stemsplit("list")
    assert result.status == 0
    for entry in registry.entries().values():
        line = next(line for line in result.out.splitlines() if line.startswith(entry.name))
        assert (", ".join(entry.outputs) if len(entry.outputs) < 9 else "53 stems") in line
        assert entry.license in line


def test_list_shows_what_is_asked_for(stemsplit: Command) -> None:
    result = stemsplit("list", "--stems", "speech", "--arch", "sudormrf", "--license", "mit", "--json")
    names = [model["name"] for model in json.loads(result.out)]
    assert names
    assert all(name.startswith("sudormrf-speech") for name in names)


def test_stems_need_no_option(stemsplit: Command) -> None:
    assert stemsplit("list", "vocals") == stemsplit("list", "--stems", "vocals")
    wanted = stemsplit("list", "--stems", "vocals,drums")
    assert wanted.out.count("\n") > 2
    for words in ("vocals drums", "vocals,drums", "vocals --stems drums", "--all drums vocals"):
        assert stemsplit("list", *words.split()) == wanted


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed goes to a terminal of a hundred columns."""
    monkeypatch.setattr("stemsplit.terminal.tables.is_terminal", lambda: True)
    monkeypatch.setattr("stemsplit.terminal.models.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.usefixtures("terminal")
def test_a_person_is_shown_recommendations_first(stemsplit: Command) -> None:
    known = registry.entries().values()
    short, whole, some = (stemsplit(*line.split()).out for line in ("list", "list --all", "list guitar"))
    for entry in known:
        assert (f" {entry.name} " in short) == bool(entry.recommended)
        assert f" {entry.name} " in whole
        assert (f" {entry.name} " in some) == ("guitar" in entry.outputs)
    assert "stemsplit list --all" in short


def test_elsewhere_all_models_are_listed(stemsplit: Command) -> None:
    assert stemsplit("list") == stemsplit("list", "--all")


def test_only_what_is_here_is_listed_as_downloaded(stemsplit: Command) -> None:
    result = stemsplit("list", "--downloaded")
    assert [line.split()[0] for line in result.out.splitlines()] == ["model", "starter"]


def test_a_list_of_nothing_says_so(stemsplit: Command) -> None:
    result = stemsplit("list", "--stems", "theremin")
    assert (result.status, result.out) == (0, "")
    assert "no model matches" in result.err
    assert "did you mean 'vocals'?" in stemsplit("list", "vocls").err


@pytest.mark.parametrize(
    "line",
    [
        "list",
        "list --json",
        "list --stems drums,VOCALS",
        "list vocals",
        "list VOCALS drums",
        "list --all",
        "info starter --verbose",
        "list -s theremin",
        "info starter",
        "info starter --json",
        "info stater",
        "--version",
    ],
)
@pytest.mark.parametrize("more", ["", "models.toml"])
def test_the_quick_way_tells_what_typer_s_way_tells(
    stemsplit: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, more: str
) -> None:
    text = registry.packaged_path().read_text(encoding="utf-8").replace("[starter", "[mine")
    (tmp_path / "models.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("STEMSPLIT_REGISTRY", more)
    answered = stemsplit(*line.split())
    monkeypatch.setattr(quick, "answer", lambda _: False)
    assert stemsplit(*line.split()) == answered


@pytest.mark.parametrize("line", ["list", "list --json", "list --stems vocals", "info starter"])
def test_a_registry_that_is_not_there_is_a_usage_error(
    stemsplit: Command, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("STEMSPLIT_REGISTRY", "missing.toml")
    result = stemsplit(*line.split())
    assert result.status == 2
    assert "missing.toml" in result.err


@pytest.mark.parametrize("line", ["list --stems", "list vocals --jsn", "info", "info starter --jsn"])
def test_arguments_that_mean_nothing_are_a_usage_error(stemsplit: Command, line: str) -> None:
    result = stemsplit(*line.split())
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: ")


def test_info_says_where_the_weights_are(stemsplit: Command) -> None:
    assert "starter.safetensors (10.2 MB)" in stemsplit("info", "starter").out
    facts = json.loads(stemsplit("info", "mel-roformer", "--json").out)
    assert facts["path"] is None
    assert facts["outputs"] == ["drums", "bass", "other", "vocals"]


def test_info_of_a_file_tells_what_it_tells_and_what_is_only_usual(stemsplit: Command, tmp_path: Path) -> None:
    network = build("bs_roformer", {"dim": 8, "depth": 3, "dim_head": 4, "heads": 2, "mlp_expansion_factor": 1})
    torch.save(network.state_dict(), tmp_path / "mine.ckpt")
    result = stemsplit("info", "mine.ckpt", "--set", "stft_hop_length=441")
    told = next(line for line in result.out.splitlines() if line.startswith("config"))
    assert "dim 8, depth 3, num_stems 1" in told
    assert "stft_hop_length 441" in told
    assert "skip_connection" not in told
    assert "skip_connection=false" in result.err
    assert "to change them, use --set NAME=VALUE" in result.err


def test_a_config_belongs_to_a_file(stemsplit: Command) -> None:
    result = stemsplit("info", "starter", "--set", "stft_hop_length=441")
    assert result.status == 2
    assert "need a checkpoint file" in result.err


def test_a_file_that_is_not_there_is_a_model_that_is_not_there(stemsplit: Command) -> None:
    result = stemsplit("info", "mine.ckpt")
    assert result.status == 3
    assert "cannot read the weights in mine.ckpt: No such file" in result.err


def test_info_tells_everything(stemsplit: Command) -> None:
    result = stemsplit("info", "starter")
    entry = registry.find("starter")
    assert result.status == 0
    for fact in (entry.sha256, entry.license_url, entry.training_data, "44100 Hz", "drums, bass, other, vocals"):
        assert fact in result.out
    assert "num_stems 4" not in result.out
    assert "num_stems 4" in stemsplit("info", "starter", "--verbose").out


def test_info_of_an_unknown_model(stemsplit: Command) -> None:
    result = stemsplit("info", "stater")
    assert (result.status, result.out) == (3, "")
    assert "did you mean 'starter'?" in result.err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["split", "--help"], ["list", "--help"]])
def test_pages_fit_eighty_columns(stemsplit: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = stemsplit(*arguments)
    assert result.status == 0
    assert result.out
    assert max(map(len, result.out.splitlines())) <= 80


def test_version_tells_what_a_report_of_a_fault_needs(stemsplit: Command, home: Path) -> None:
    result = stemsplit("--version")
    assert result.status == 0
    first, *more = result.out.splitlines()
    assert first == f"stemsplit {version('stemsplit')}"
    assert more[0] == f"torch {version('torch')}, torchaudio {version('torchaudio')}"
    assert "Python 3." in more[1]
    assert "GPU: " in more[2]
    assert str(home / "cache") in more[3]


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


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("stemsplit song.flac --model mel-roformer-gu", ["mel-roformer-guitar", "mel-roformer-guitar-chencfd"]),
        ("stemsplit --model mel-roformer-gu", ["mel-roformer-guitar", "mel-roformer-guitar-chencfd"]),
        ("stemsplit song.flac --stems drums,v", ["drums,vocals"]),
        ("stemsplit song.flac -m mel-roformer-guitar --stems n", ["no_guitar"]),
        ("stemsplit song.flac --device c", ["cpu", "cuda"]),
        ("stemsplit info bs-roformer-53", ["bs-roformer-53stem"]),
        ("stemsplit download sudormrf-speech-remixit-v", ["sudormrf-speech-remixit-vad"]),
        ("stemsplit dow", ["download"]),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_completes_names(
    stemsplit: Command, monkeypatch: pytest.MonkeyPatch, shell: str, line: str, wanted: list[str]
) -> None:
    monkeypatch.setenv("_STEMSPLIT_COMPLETE", f"complete_{shell}")
    if shell == "bash":
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    else:
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    found = stemsplit().out
    assert all(name in found for name in wanted)
    assert "starter" not in found


@pytest.mark.parametrize("arguments", ["list", "list --json", "info starter"])
def test_whoever_reads_may_stop_early(arguments: str) -> None:
    """As `head -1` does: no word about it."""
    command = f"{shlex.quote(sys.executable)} -m stemsplit {arguments} | head -c 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (len(result.stdout), result.stderr) == (1, "")


def test_a_registry_from_the_environment_is_listed_too(
    stemsplit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = registry.packaged_path().read_text(encoding="utf-8")
    entry = text[text.index("[starter]") : text.index("[mel-roformer]")].replace("[starter", "[mine")
    (tmp_path / "more.toml").write_text(entry.replace("Small model", "\\u001b[2J evil"), encoding="utf-8")
    monkeypatch.setenv("STEMSPLIT_REGISTRY", str(tmp_path / "more.toml"))
    result = stemsplit("list")
    assert "mine" in result.out
    assert "\x1b" not in result.out


@pytest.mark.parametrize("command", ["list", "info starter", "list --json"])
def test_nobody_needs_to_listen_to_a_list(command: str) -> None:
    line = f"exec {shlex.quote(sys.executable)} -m stemsplit {command} >&-"
    assert subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False).stderr == ""


@pytest.mark.parametrize("command", ["list", "list --json", "list --downloaded", "info starter", "--version"])
def test_a_user_without_a_home_has_the_package_s_models(command: str) -> None:
    unset = ("HOME", "STEMSPLIT_CONFIG", "STEMSPLIT_CACHE", "HF_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    nobody = {key: value for key, value in os.environ.items() if key not in unset}
    code = (
        "import os, pathlib, platformdirs, sys\n"
        "def homeless(*_, **__): raise RuntimeError('no home')\n"
        "platformdirs.user_config_path = platformdirs.user_cache_path = homeless\n"
        f"sys.argv = ['stemsplit', *{command.split()!r}]; from stemsplit.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], env=nobody, capture_output=True, text=True, check=True)
    if command == "--version":
        assert "(there is no home folder to keep settings in; set STEMSPLIT_CONFIG)" in result.stdout
    else:
        assert "starter" in result.stdout


@pytest.mark.parametrize("line", ["info mine", "info mine --json", "list --json"])
def test_passwords_in_a_registry_are_not_shown(
    stemsplit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    text = registry.packaged_path().read_text(encoding="utf-8")
    entry = text[text.index("[starter]") : text.index("[mel-roformer]")].replace("[starter", "[mine")
    entry = entry.replace("package:starter.safetensors", "https://user:s3cr3t@host.org/w.ckpt?token=s3cr3t")
    (tmp_path / "more.toml").write_text(entry, encoding="utf-8")
    monkeypatch.setenv("STEMSPLIT_REGISTRY", str(tmp_path / "more.toml"))
    result = stemsplit(*line.split())
    assert result.status == 0
    assert "https://***@host.org/w.ckpt?***" in result.out
    assert "s3cr3t" not in result.out + result.err


@unix
@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("list", "device"),
        ("list --json", "pipe"),
        ("info tiny", "pipe"),
        ("info tiny", "device"),
        ("download tiny", "pipe"),
        ("remove tiny", "pipe"),
        ("song.wav -m tiny", "device"),
    ],
)
def test_a_registry_that_never_ends_is_not_read(tmp_path: Path, command: str, kind: str) -> None:
    """Nor are weights that are such a thing."""
    never = tmp_path / "never"
    os.mkfifo(never) if kind == "pipe" else never.symlink_to("/dev/zero")
    (tmp_path / "song.wav").touch()
    (tmp_path / "good.toml").write_text(table("tiny", f"file:{never}"))
    for path in (never, tmp_path / "good.toml"):
        result = subprocess.run(
            [sys.executable, "-m", "stemsplit", *command.split()],
            env={**os.environ, "STEMSPLIT_REGISTRY": str(path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in result.stderr
        if path == never:
            assert (result.returncode, result.stdout) == (3, "")
            assert result.stderr == f"error: cannot read the registry {never}: not a regular file\n"
        elif command == "info tiny":
            assert re.search("on this machine +no$", result.stdout, re.MULTILINE)
        elif not command.startswith("list"):
            assert result.returncode != 0
