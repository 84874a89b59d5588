"""Runs the goals; see the package."""

from collections.abc import Callable, Iterator

from tests.benchmarks.goals import commands, networks
from tests.benchmarks.goals.size import Size, size
from tests.benchmarks.parts import Row, main

SECONDS = 900.0
"""Limit of each part: a quarter of an hour."""

WORKS: tuple[Callable[[Size], Iterator[Row]], ...] = (
    *(
        networks.rates,
        commands.starting,
        commands.command,
        networks.starter,
        networks.mel,
        networks.bs,
        networks.sudormrf,
        networks.under_load,
    ),
    *(networks.int8, networks.ready, commands.short_songs, commands.minutes, commands.around, commands.quick),
    commands.hour,
)


def part(work: Callable[[Size], Iterator[Row]]) -> Callable[[bool], Iterator[Row]]:
    """A part that measures, or rehearses."""
    return lambda rehearse: work(size(rehearse))


PARTS = {work.__name__: (part(work), SECONDS) for work in WORKS}

if __name__ == "__main__":
    main("tests.benchmarks.goals", PARTS)
