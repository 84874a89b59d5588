"""Which worker holds which songs: every song ends exactly once, whoever dies, and no song kills for ever."""

import random

import pytest

from stemsplit.cluster.ledger import AHEAD, DEATHS, NODES, Ledger


def test_a_worker_is_handed_a_few_songs_ahead_in_their_order() -> None:
    ledger = Ledger(range(100))
    assert ledger.take("a", 2) == [*range(1 + AHEAD)]
    assert ledger.take("a", 2) == []
    assert ledger.take("b", 2)[0] == 1 + AHEAD


def test_the_last_songs_are_handed_out_one_by_one() -> None:
    """None waits behind another while a worker is idle."""
    ledger = Ledger(range(3))
    assert [len(ledger.take(worker, 4)) for worker in "abcd"] == [1, 1, 1, 0]


def test_no_song_waits_behind_a_long_one_while_another_worker_could_take_it() -> None:
    """Handed out by number alone, the first of two workers would get three of four long songs."""
    ledger = Ledger(range(104), [3_600.0] * 4 + [60.0] * 100)
    assert [ledger.take(worker, 4) for worker in "abcd"] == [[0], [1], [2], [3]]
    assert ledger.ended("a", 0)
    assert ledger.take("a", 4) == [4, 5, 6, 7]


def test_a_song_that_ends_makes_room_for_the_next() -> None:
    ledger = Ledger(range(100))
    ledger.take("a", 2)
    assert ledger.ended("a", 0)
    assert ledger.take("a", 2) == [1 + AHEAD]


def test_a_song_ends_only_for_the_worker_that_holds_it() -> None:
    """What a worker that was taken for dead says later does not count twice."""
    ledger = Ledger(range(2))
    first = ledger.take("a", 1)
    ledger.lost("a", node=True)
    assert not ledger.ended("a", first[0])


def test_the_songs_of_a_dead_worker_are_tried_again_each_alone() -> None:
    ledger = Ledger(range(9))
    held = ledger.take("a", 1)
    assert ledger.lost("a", node=False) == []
    alone = []
    for worker in range(len(held)):
        alone += ledger.take(worker, 1)
        assert ledger.take(worker, 1) == []
    assert sorted(alone) == held


def test_a_busy_worker_is_not_handed_a_suspect() -> None:
    ledger = Ledger(range(30))
    ledger.take("a", 2)
    suspects = ledger.take("b", 2)
    ledger.lost("b", node=False)
    ledger.ended("a", 0)
    assert not {*ledger.take("a", 2)} & {*suspects}


@pytest.mark.parametrize(("node", "deaths"), [(False, DEATHS), (True, NODES)])
def test_a_song_at_which_workers_die_again_and_again_fails(node: bool, deaths: int) -> None:
    """Alone, so that no other song is blamed."""
    ledger = Ledger([7])
    failed = []
    for worker in range(deaths):
        assert ledger.take(worker, 1) == [7]
        failed.append(ledger.lost(worker, node))
    assert failed == [*([[]] * (deaths - 1)), [7]]
    assert ledger.is_over


def test_songs_of_a_worker_that_stops_for_its_own_reason_go_back_in_their_order() -> None:
    ledger = Ledger(range(9))
    held = ledger.take("a", 1)
    ledger.returned("a")
    assert ledger.take("b", 1) == held


@pytest.mark.parametrize("node", [True, False])
def test_nothing_is_handed_out_any_more_once_enough_songs_have_failed(node: bool) -> None:
    """Not even a song that a dead worker held."""
    ledger = Ledger(range(9))
    for worker in "ab":
        ledger.take(worker, 2)
    ledger.close()
    assert (ledger.take("c", 2), ledger.unheld, ledger.is_over) == ([], 0, False)
    ledger.lost("a", node)
    ledger.returned("b")
    assert (ledger.take("c", 2), ledger.is_over) == ([], True)


@pytest.mark.parametrize("seed", range(20))
def test_every_song_ends_exactly_once_however_workers_die(seed: int) -> None:
    """Song 5 kills every worker that begins it; nodes and processes die at random besides."""
    chance, ledger, ended, names = random.Random(seed), Ledger(range(40)), list[int](), iter(range(10**6))
    workers = [next(names) for _ in range(4)]
    while not ledger.is_over:
        worker = chance.choice(workers)
        ledger.take(worker, len(workers))
        held = ledger.held.get(worker, [])
        kills = bool(held) and held[0] == 5
        if kills or chance.random() < 0.05:
            ended += ledger.lost(worker, node=not kills and chance.random() < 0.5)
            workers[workers.index(worker)] = next(names)
        elif held:
            ended.append(held[0])
            assert ledger.ended(worker, held[0])
    assert sorted(ended) == [*range(40)]
