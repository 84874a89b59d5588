"""Connects to a Ray cluster, quietly, and turns what Ray raises into one line."""

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from stemsplit.cluster.seats import alive
from stemsplit.errors import DeviceError
from stemsplit.libraries import version

LOCAL, AUTO, CLIENT = "local", "auto", "ray://"
"""The address of a cluster for this run alone, that of the cluster of this machine, and what others begin with that
only pass on what a program says.
"""

STORE = 80_000_000
"""Bytes of shared memory of a cluster for this run alone. Only paths and outcomes pass through it."""

REACHED_SECONDS = 10.0
"""Longest time in seconds for the cluster's head to answer at all."""

LONGEST = 300
"""Characters of Ray's own message that are shown."""


def one_line(error: BaseException) -> str:
    """Return what Ray says of an error, without colours and line breaks, cut to a length that fits a message."""
    text = " ".join("".join(char if char.isprintable() else " " for char in str(error)).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals: Ray puts its own in the place of SIGTERM's, which would skip all clean-up."""
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reached(address: str) -> None:
    """Raise DeviceError if nothing answers at an address: Ray would try for a minute, and end this process."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise DeviceError(f"'{address}' is not the address of a Ray cluster; write auto, local, or HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHED_SECONDS).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise DeviceError(f"no Ray cluster answers at {address} ({why}); see `ray status` on its head") from error


def _quiet() -> None:
    """Keep Ray's own messages off the terminal, and reports of use at home. What the user has set stays."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")


class Connection:
    """A connection to a Ray cluster, until `close`.

    Args:
        address: "auto" for the cluster that this machine belongs to, "local" for one of this run alone, or HOST:PORT.

    Raises:
        DeviceError: there is no such cluster, or it has other versions of Ray or Python.
    """

    def __init__(self, address: str) -> None:
        _quiet()
        import ray

        self.ray: Any = ray  # parts of it are not annotated
        self.is_local = address == LOCAL
        asked = os.environ.get("RAY_ADDRESS", "") if address == AUTO else address
        if asked.startswith(CLIENT):
            raise DeviceError(f"'{asked}' is Ray's address for clients; run the command on a machine of the cluster")
        if asked not in (LOCAL, AUTO, ""):
            _reached(asked)
        more: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE} if self.is_local else {}
        self.close()  # of an earlier run of this process
        try:
            with _own_signals(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ray.init(address=address, log_to_driver=False, logging_level=logging.FATAL, **more)
        except Exception as error:  # ConnectionError, RuntimeError, ValueError and others
            raise DeviceError(self._why(address, error)) from error

    def _why(self, address: str, error: Exception) -> str:
        """Return why there is no connection, and what to try."""
        told = one_line(error)
        if "ersion mismatch" in told:
            return f"the Ray cluster has other versions than this machine, which has Ray {version('ray')}: {told}"
        if address == AUTO and isinstance(error, ConnectionError):
            start = "start one with `ray start --head`, name one with --ray HOST:PORT, or try --ray local"
            return f"this machine belongs to no running Ray cluster; {start}"
        return f"cannot connect to the Ray cluster '{address}': {told}"

    @property
    def nodes(self) -> dict[str, tuple[int, float]]:
        """The nodes that are alive, and the cores and GPUs of each."""
        return alive(self.ray.nodes())

    def close(self) -> None:
        """Leave the cluster; end it, if it is of this run alone."""
        with suppress(Exception), _own_signals():
            self.ray.shutdown()
