"""The processes that train together; two of them at work are in tests/cli/test_train.py."""

import pytest
import torch
from torch import nn

from stemsplit.errors import DeviceError
from stemsplit.training.workers import Workers, join

CPU = torch.device("cpu")
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def _started_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_most_often_there_is_one() -> None:
    alone = join(CPU)
    assert (alone, alone.first) == (Workers(CPU, 0, 1), True)
    network = nn.Linear(1, 1)
    assert alone.share(network) is network
    alone.close()


def test_one_that_the_launcher_started_is_alone_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert join(CPU) == Workers(CPU)


def test_only_the_first_reports_and_writes() -> None:
    assert [Workers(CPU, rank, 3).first for rank in range(3)] == [True, False, False]


def test_others_that_cannot_be_met_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where variables are left of a launcher that is not there any more."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DeviceError, match="the processes that train together cannot connect"):
        join(CPU)


def test_each_process_needs_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="process 2 has no CUDA device of its own; there are 1"):
        join(torch.device("cuda"))
