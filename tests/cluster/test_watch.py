"""Whether the cluster's head is there: a silent one ends the run, a stopped command does not."""

import time
from typing import Any, ClassVar

import pytest

from stemsplit.cluster.connecting import HEAD_SECONDS, HeadError, Watch


class Connection:
    """A cluster without nodes."""

    nodes: ClassVar[dict[str, tuple[int, float]]] = {}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which only the test moves on."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def watch() -> Watch:
    """A watch over a cluster that answered once, when the watch began, and is not asked again meanwhile."""
    connection: Any = Connection()
    watching = Watch(connection)
    watching.ending.set()
    return watching


def test_a_head_that_is_silent_for_long_ends_the_run(clock: list[float], watch: Watch) -> None:
    def wait() -> None:
        for _ in range(60):
            clock[0] += 3
            watch.check()

    watch.check()
    with pytest.raises(HeadError, match="has not answered"):
        wait()
    assert HEAD_SECONDS < clock[0] < 2 * HEAD_SECONDS


def test_the_time_in_which_the_command_was_stopped_does_not_count(clock: list[float], watch: Watch) -> None:
    for _ in range(3):
        clock[0] += 10_000
        watch.check()


def test_a_head_that_answers_in_time_ends_nothing(clock: list[float], watch: Watch) -> None:
    for _ in range(60):
        clock[0] += 3
        watch.has_answered = True
        watch.check()
