"""Connects to a Ray cluster, quietly, and turns what Ray raises into one line."""

import logging
import os
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from stemsplit.cluster.seats import alive
from stemsplit.errors import DeviceError, StemsplitError
from stemsplit.libraries import version

LOCAL, AUTO, CLIENT = "local", "auto", "ray://"
"""Address of a cluster for this run alone, that of this machine's cluster, and the beginning of those of Ray's clients.
The last kind is refused: such a connection only passes calls on to a program on the cluster.
"""

STORE = 80_000_000
"""Bytes of shared memory of a cluster for this run alone. Only paths and outcomes pass through it."""

START = "start one with `ray start --head`, name one with --ray HOST:PORT, or try --ray local"
"""What to try where there is no cluster."""

REACHED_SECONDS = 10.0
"""Longest time in seconds for the cluster's head to answer at all."""

LOOK_SECONDS = 3.0
"""Seconds between two looks at which nodes the cluster has."""

HEAD_SECONDS = 30.0
"""Seconds for which the cluster's head may be silent. After 60, Ray ends the process without any clean-up."""

LONGEST = 300
"""Characters of Ray's own message that are shown."""


class LostError(StemsplitError):
    """The cluster is lost, and the run with it, although nothing was wrong with the command."""


class HeadError(LostError):
    """The head of the cluster is gone."""


def one_line(error: BaseException) -> str:
    """Return what Ray says of an error, without colours and line breaks, cut to a length that fits a message."""
    text = " ".join("".join(char if char.isprintable() else " " for char in str(error)).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


@contextmanager
def exact_exit() -> Iterator[None]:
    """Let SystemExit keep its status. Ray raises another with status 1, whose text has the first one's status."""
    try:
        yield
    except SystemExit as error:
        told = re.search(r"Exit code: (\d+)", str(getattr(error, "ray_terminate_msg", "")))
        raise SystemExit(int(told[1]) if told else error.code) from None


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


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a client of HTTP/2 says first: its name, and settings of which it has none."""

SETTINGS = 4
"""Kind of the frame that a server of HTTP/2 answers with."""


def _reached(address: str) -> None:
    """Raise DeviceError if nothing like the head of a cluster answers at an address.

    Ray would try for minutes, and say so many times. The head speaks gRPC, and so HTTP/2.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise DeviceError(f"'{address}' is not the address of a Ray cluster; write auto, local, or HOST:PORT")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), REACHED_SECONDS) as head:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return
            head.sendall(PREFACE)
            answer = head.recv(4)
    except OSError as error:
        why = error.strerror or str(error)
        raise DeviceError(f"no Ray cluster answers at {address} ({why})") from error
    if len(answer) < 4 or answer[3] != SETTINGS:
        raise DeviceError(f"what answers at {address} is not the head of a Ray cluster, which is often at port 6379")


def _quiet() -> None:
    """Keep Ray's own messages off stdout and stderr, and turn its reports of use off; call it before Ray is imported.

    What happens to workers is told in our words. Ray would print that to stdout, where only results belong.
    """
    os.environ.update(RAY_DEDUP_LOGS="1", RAY_DEDUP_LOGS_SKIP_REGEX="^")
    os.environ.pop("RAY_DEDUP_LOGS_ALLOW_REGEX", None)
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")  # times to ask a head that does not answer, by half minutes
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")


def _job(ray: Any) -> Any:
    """Return the settings of a job whose workers import nothing from the folder that the command runs in.

    Ray puts that folder first on their path. Songs may lie there, and beside them a `numpy.py` of a stranger.
    """

    class Job(ray.job_config.JobConfig):  # type: ignore[misc]  # not annotated
        def _runtime_env_has_working_dir(self) -> bool:
            return True  # what Ray asks before it adds the folder

    return Job()


def _last_started() -> str:
    """Return the address of the cluster that `ray start` joined here last, as Ray remembers it; empty if unknown."""
    with suppress(Exception):  # a part of Ray that is not public
        from ray._private.services import find_bootstrap_address

        return find_bootstrap_address(None) or ""
    return ""


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
        elif address == AUTO and (last := _last_started()):
            try:
                _reached(last)
            except DeviceError as error:
                raise DeviceError(f"{error}; {START}") from error
        more: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE} if self.is_local else {}
        self.close()  # of an earlier run of this process
        try:
            with _own_signals(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                more |= {"log_to_driver": False, "logging_level": logging.FATAL, "job_config": _job(ray)}
                ray.init(address=address, **more)
        except Exception as error:  # ConnectionError, RuntimeError, ValueError and others
            raise DeviceError(self._why(address, error)) from error

    def _why(self, address: str, error: Exception) -> str:
        """Return why there is no connection, and what to try."""
        told = one_line(error)
        if "ersion mismatch" in told:
            return f"the Ray cluster has other versions than this machine, which has Ray {version('ray')}: {told}"
        if address == AUTO and isinstance(error, ConnectionError):
            return f"this machine belongs to no running Ray cluster; {START}"
        token = "; if it asks for a token, set RAY_AUTH_MODE=token" if isinstance(error, ConnectionError) else ""
        return f"cannot connect to the Ray cluster '{address}': {told}{token}"

    @property
    def nodes(self) -> dict[str, tuple[int, float]]:
        """The nodes that are alive, and the cores and GPUs of each."""
        return alive(self.ray.nodes())

    def close(self) -> None:
        """Leave the cluster; end it, if it is of this run alone."""
        with suppress(Exception), _own_signals():
            self.ray.shutdown()


class Watch:
    """Looks in a thread, again and again, which nodes a cluster has, as its head may not answer for a while.

    Args:
        connection: connection to the cluster.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection, self.nodes = connection, connection.nodes
        self.has_answered, self.silent, self.checked_at = True, 0.0, time.monotonic()
        self.ending = threading.Event()
        threading.Thread(target=self._look, name="watching", daemon=True).start()

    def _look(self) -> None:
        while not self.ending.wait(LOOK_SECONDS):
            with suppress(Exception):
                self.nodes = self.connection.nodes
                self.has_answered = True

    def check(self) -> None:
        """Raise HeadError if the head has not answered for long. Ray would end this process some time later.

        Call this again and again. Time in which this process, too, was stopped does not count.
        """
        before, self.checked_at = self.checked_at, time.monotonic()
        self.silent += min(self.checked_at - before, 2 * LOOK_SECONDS)
        if self.has_answered:
            self.has_answered, self.silent = False, 0.0
        if self.silent > HEAD_SECONDS:
            told = f"the head of the Ray cluster has not answered for {self.silent:.0f} s"
            raise HeadError(f"{told}; once it runs again, run the same command again to continue")
