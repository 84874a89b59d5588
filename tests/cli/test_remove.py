"""`stemsplit remove` from outside."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit.fetch import hub_cache
from tests.cli.conftest import Result
from tests.cli.test_download import table
from tests.conftest import unix
from tests.fetch.conftest import CONTENT
from tests.fetch.hub import Hub

Command = Callable[..., Result]


@pytest.fixture
def two(stemsplit: Command, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models, downloaded."""
    tables = []
    for name, content in (("one", CONTENT), ("two", CONTENT[::-1])):
        hub.put(f"some/repo/{name}.ckpt", content)
        tables.append(table(name, f"hf://some/repo/{name}.ckpt", hashlib.sha256(content).hexdigest()))
    (tmp_path / "more.toml").write_text("".join(tables))
    monkeypatch.setenv("STEMSPLIT_REGISTRY", str(tmp_path / "more.toml"))
    assert stemsplit("download", "one", "two").status == 0


@pytest.mark.usefixtures("two")
def test_a_model_is_removed_and_the_others_stay(stemsplit: Command) -> None:
    result = stemsplit("remove", "one")
    assert (result.status, result.out, result.err) == (0, "", "one was removed; 0.3 MB freed\n")
    assert stemsplit("download", "two").err == "two is already on this machine\n"
    assert stemsplit("remove", "one").err == "one is not downloaded\n"
    assert "one: 0.3 MB downloaded" in stemsplit("download", "one").err


@pytest.mark.usefixtures("two")
def test_a_slip_is_told_before_anything_is_removed(stemsplit: Command) -> None:
    result = stemsplit("remove", "one", "tow")
    assert result.status == 3
    assert "no model named 'tow'; did you mean 'two'?" in result.err
    assert stemsplit("download", "one").err == "one is already on this machine\n"


@pytest.mark.usefixtures("two")
def test_what_cannot_be_removed_does_not_keep_the_others(stemsplit: Command) -> None:
    result = stemsplit("remove", "starter", "one")
    assert result.status == 3
    assert "error: cannot remove 'starter': it is part of stemsplit, not a download" in result.err
    assert "one was removed" in result.err


@unix
@pytest.mark.usefixtures("two")
def test_what_a_cache_was_made_to_lead_to_stays(stemsplit: Command, tmp_path: Path) -> None:
    """And the other models are removed."""
    precious = tmp_path / "precious"
    precious.write_text("what took a year to write")
    (pointer,) = hub_cache.folder().glob("*/snapshots/*/one.ckpt")
    pointer.unlink()
    pointer.symlink_to(precious)
    result = stemsplit("remove", "one", "two")
    assert result.status == 3
    assert f"error: cannot remove {pointer}: it leads to {precious}, outside of the hub's cache" in result.err
    assert "two was removed" in result.err
    assert precious.read_text() == "what took a year to write"
    assert pointer.is_symlink()
