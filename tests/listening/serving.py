"""Serves what lies in a folder, as `stemsplit listen` does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stemsplit.listening.answers import Answers
from stemsplit.listening.arguments import gathered
from stemsplit.listening.server import Server


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server of the stems in a folder, which is the working folder as it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = gathered([folder / "stems"], [])
        server = Server(Answers(found.shelf, found.mixtures))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.stop()
