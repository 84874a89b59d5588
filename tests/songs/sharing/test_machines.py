"""Many machines share songs: estimates of time and cost, and the simulation in tests/benchmarks."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemsplit.songs.sharing.machines import scheduled
from tests.benchmarks.machines import WAYS, Costs, Simulation, bound, lengths

FREE = Costs(song=0, minute=60, start=0, plan=0, look=0, lease=4, replaced=2, noticed=1)


def test_workers_that_take_the_longest_song_first_are_done_as_one_counts_by_hand() -> None:
    found = scheduled([1, 5, 2, 3, 4], 2, start_up=10)
    assert (found.makespan, found.bound, found.longest, found.paid) == (18, 17.5, 5, 35)


def test_a_worker_without_a_song_is_not_paid() -> None:
    assert scheduled([3], 100, start_up=1).paid == 4
    assert scheduled([], 100).makespan == 0


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=30), st.integers(1, 12))
def test_no_schedule_is_better_than_its_bound_nor_worse_than_one_song_more(times: list[float], workers: int) -> None:
    found = scheduled(times, workers)
    assert found.bound * (1 - 1e-9) <= found.makespan <= sum(times) / workers + max(times) + 1e-6
    assert found.paid == pytest.approx(sum(times))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("preempted", [None, 300.0])
def test_every_simulated_song_is_done_once_and_no_sooner_than_possible(way: str, preempted: float | None) -> None:
    times = [length / 10 for length in lengths(300)]
    simulation = Simulation(times, 7, way, preempted, FREE)
    found = simulation.run()
    assert simulation.done == [1] * 300
    assert found.makespan >= bound(times, 7, FREE) * (1 - 1e-9)
    assert (found.twice > 0) == (preempted is not None)
    assert 0 <= found.idle < 1


def test_simulated_workers_take_the_longest_song_first() -> None:
    assert Simulation([3, 2, 1, 2], 2, "longest", None, FREE).run().makespan == 4


@pytest.mark.parametrize(("way", "makespan"), [("ray", 5 + 1 + 10), ("claims", 5 + 4 + 10), ("shards", 5 + 2 + 10)])
def test_the_song_of_a_dead_worker_begins_anew_when_others_may_know(way: str, makespan: float) -> None:
    simulation = Simulation([10.0], 2, way, None, FREE)
    holder = next((w for w in range(2) if way == "shards" and simulation.way.own[w]), 0)
    simulation.dies = [math.inf, math.inf]
    simulation.dies[holder] = 5.0
    found = simulation.run()
    assert (found.makespan, found.twice) == (makespan, pytest.approx(5 / 15))
