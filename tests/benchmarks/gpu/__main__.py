"""Runs the benchmark of a GPU; see the package."""

from collections.abc import Callable, Iterator
from functools import partial

from tests.benchmarks.gpu import networks, songs, tested
from tests.benchmarks.gpu.scale import Scale, scale
from tests.benchmarks.parts import Row, main

SECONDS = 470.0
"""Limit of all parts together: eight minutes with what the program itself needs."""

Work = Callable[[Scale], Iterator[Row]]


def sized(work: Work) -> Callable[[bool], Iterator[Row]]:
    """A part that computes at full size, or rehearses."""
    return lambda rehearse: work(scale(rehearse))


PARTS: dict[str, tuple[Callable[[bool], Iterator[Row]], float]] = {
    "rates": (sized(networks.rates), 20.0),
    "parity": (sized(networks.parity), 60.0),
    "tests": (lambda _: tested.results(), 90.0),
    "mel": (sized(partial(networks.chunks, number=0)), 50.0),
    "bs": (sized(partial(networks.chunks, number=1)), 65.0),
    "folder": (sized(songs.folder), 65.0),
    "halving": (sized(networks.halving), 25.0),
    "memory": (sized(songs.memory), 30.0),
    "starter": (sized(songs.starter), 30.0),
    "compiled": (sized(networks.compiled), 120.0),
}
"""Part -> what it does, and its limit in seconds. The last one, which matters least, gets what is left of the total."""

if __name__ == "__main__":
    main("tests.benchmarks.gpu", PARTS, SECONDS)
