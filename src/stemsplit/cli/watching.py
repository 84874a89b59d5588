"""Serves the curves of a training run while it goes on, for `stemsplit train --watch`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemsplit.listening.server import Server


@contextmanager
def watching(csv: Path, tell: Callable[[str], object], wanted: bool) -> Iterator[Callable[[], None]]:
    """Serve a run's curves, from when the caller says so until the context ends.

    Args:
        csv: CSV file of the run, which may not exist yet.
        tell: called with the address, or with why there is none: a run goes on without its curves.
        wanted: whether to serve them at all.

    Yields:
        Function that starts the server, if it does not run yet. It starts a thread, and a process must not have one
        when it forks.
    """
    started: list[Server] = []

    def start() -> None:
        from threading import Thread

        from stemsplit.listening.runs import Curves, RunAnswers
        from stemsplit.listening.server import Server

        if started or not wanted:
            return
        try:
            server = Server(RunAnswers(Curves(csv, wait=True)))
        except OSError as error:
            tell(f"cannot show the curves ({error.strerror or error})")
            return
        started.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        tell(f"curves of the run: {server.address}")

    try:
        yield start
    finally:
        for server in started:
            server.shutdown()
            server.stop()
