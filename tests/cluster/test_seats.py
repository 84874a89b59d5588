"""For how many workers a cluster has room, and what each gets."""

import pytest

from stemsplit.cluster.seats import GPU_CORES, MOST_CORES, Seat, Wishes, alive, seats, settled
from stemsplit.errors import DeviceError


def node(name: str, cpus: float, gpus: float = 0, is_alive: bool = True) -> dict[str, object]:
    """A node in the form of Ray's answers."""
    resources = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    return {"NodeID": name, "Alive": is_alive, "Resources": resources}


def test_dead_nodes_have_no_seats() -> None:
    assert alive([node("a", 4), node("b", 4, is_alive=False)]) == {"a": (4, 0.0)}


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (8, 1), (12, 2), (64, 8)])
def test_a_node_without_gpus_is_divided_among_workers_of_a_few_cores(cores: int, workers: int) -> None:
    found = seats(settled(Wishes(), {"a": (cores, 0.0)}, True), {"a": (cores, 0.0)})
    assert len(found) == workers
    assert cores - MOST_CORES < sum(seat.cpus for seat in found) <= cores


def test_each_gpu_has_a_worker() -> None:
    nodes = {"a": (64, 8.0), "b": (2, 2.0)}
    found = seats(settled(Wishes(), nodes, True), nodes)
    assert [(seat.node, seat.cpus, seat.gpus) for seat in found] == [*[("a", GPU_CORES, 1)] * 8, *[("b", 1, 1)] * 2]


def test_two_workers_may_share_a_gpu() -> None:
    nodes = {"a": (8, 1.0)}
    assert len(seats(settled(Wishes(gpus=0.5), nodes, True), nodes)) == 2


def test_a_device_that_is_not_a_gpu_takes_none() -> None:
    nodes = {"a": (8, 1.0)}
    assert [seat.gpus for seat in seats(settled(Wishes(), nodes, False), nodes)] == [0]


def test_a_number_of_workers_waits_for_nodes_that_join() -> None:
    assert seats(settled(Wishes(cpus=2, workers=3), {}, True), {}) == [Seat(2, 0, "", number) for number in range(3)]


@pytest.mark.parametrize("wishes", [Wishes(gpus=1), Wishes(cpus=5)])
def test_what_no_node_has_is_refused_at_the_start(wishes: Wishes) -> None:
    with pytest.raises(DeviceError, match=r"no node of the Ray cluster has .* for a worker"):
        settled(wishes, {"a": (4, 0.0)}, True)
