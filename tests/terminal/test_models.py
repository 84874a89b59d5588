"""What `list` and `info` print."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stemsplit import registry
from stemsplit.terminal import models
from stemsplit.terminal.stdout import print_json

STARTER = registry.find("starter")


def test_a_pipe_gets_one_whole_line_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    long = replace(STARTER, description="what it is for, " * 30)
    models.print_models([STARTER, long])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["model", "starter", "starter"]
    assert long.description.strip() in lines[2]


def test_many_stems_are_counted_instead_of_named() -> None:
    entry = replace(STARTER, stems=tuple(f"stem{n}" for n in range(53)))
    assert models.row(entry)[1] == "53 stems"


def test_what_is_unknown_is_said(tmp_path: Path) -> None:
    unknown = replace(STARTER, sha256="", size=0, license="")
    facts = models.facts(unknown, None)
    assert facts["license"] == "not stated"
    assert "none was published" in facts["sha256"]
    assert facts["on this machine"] == "no"
    assert "size" not in facts
    (tmp_path / "weights").write_bytes(bytes(1_000_000))
    assert models.facts(unknown, tmp_path / "weights")["on this machine"].endswith("weights (1.0 MB)")


def test_json_has_every_field_of_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    everything = list(registry.entries().values())
    print_json([models.entry_as_data(entry, None) for entry in everything])
    read = json.loads(capsys.readouterr().out)
    assert [data["name"] for data in read] == [entry.name for entry in everything]
    assert read[0]["config"] == dict(STARTER.config)
    assert read[0]["outputs"] == list(STARTER.outputs)


def test_passwords_in_sources_are_not_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secret = replace(STARTER, sources=("https://user:s3cr3t@host.org/w.ckpt?token=s3cr3t", "hf://a/b@main/w.ckpt"))
    for path in (None, tmp_path / "w.ckpt"):
        models.print_facts(models.facts(secret, path))
        print_json(models.entry_as_data(secret, path))
    shown = capsys.readouterr().out
    assert "s3cr3t" not in shown
    assert shown.count("https://***@host.org/w.ckpt?***") == 4
    assert shown.count("hf://a/b@main/w.ckpt") == 4


def test_weights_that_are_removed_meanwhile_are_no_trouble(tmp_path: Path) -> None:
    assert models.facts(STARTER, tmp_path / "gone")["on this machine"] == str(tmp_path / "gone")
