"""What of `--ray` can be refused before any cluster is looked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit.cli import split_ray
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--workers 3", "--workers needs --ray"),
        ("--gpus-per-worker 1", "--gpus-per-worker needs --ray"),
        ("--ray auto --device cuda:1", "the cluster gives each worker its GPU"),
        ("--ray auto --device cpu --gpus-per-worker 1", "--device cpu needs no GPU"),
        ("--ray auto --device cuda --gpus-per-worker 0", "--device cuda needs a GPU"),
        ("--ray auto --workers 0", "--workers"),
        ("--ray auto --gpus-per-worker 2", "--gpus-per-worker"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    stemsplit: Callable[..., Result], song: Callable[..., Path], options: str, said: str
) -> None:
    result = stemsplit(song("a.wav"), *options.split())
    assert (result.status, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert said in result.err


def test_without_ray_the_package_to_install_is_named(
    stemsplit: Callable[..., Result], song: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_ray, "find_spec", lambda _: None)
    result = stemsplit(song("a.wav"), "--ray", "auto")
    assert (result.status, "pip install 'stemsplit[ray]'" in result.err) == (2, True)


def test_a_dry_run_looks_for_no_cluster(stemsplit: Callable[..., Result], song: Callable[..., Path]) -> None:
    assert stemsplit(song("a.wav"), "--ray", "127.0.0.1:1", "--dry-run").status == 0
