"""Runs requests to object stores in one thread, so that whoever waits for one can give it up."""

import asyncio
import atexit
import os
import random
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as NotYetError
from contextlib import suppress
from functools import cache
from time import monotonic, sleep
from typing import Any, TypeVar

T = TypeVar("T")

Pulse = Callable[[], object]
"""Called again and again during a wait; raises an error if the work is to end."""

TICK = 0.25
"""Seconds between two calls of a pulse."""

TRIES = 8
"""Largest number of failures in a row."""

FIRST_TRIES = 3
"""The same, as long as a store has not answered at all: its address may be wrong."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 15.0
"""Seconds before the second try, and before any later one at most. Each pause is twice as long as the one before."""

LAST_SECONDS, LAST_PAUSE = 2.0, 0.05
"""Longest time for requests to end when Python ends, and time for obstore's own threads after that."""


class PanicError(Exception):
    """A request met a defect of the library that sends it."""


def go_on() -> None:
    """Let the work go on: the pulse of work that nobody wants to end."""


@cache
def _loop(process: int) -> asyncio.AbstractEventLoop:
    """Return the loop that all requests of this process run in."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="requests", daemon=True)
    thread.start()
    atexit.register(_end, loop, thread, process)
    return loop


async def _cancel() -> None:
    """Cancel all requests, and wait until they have ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, process: int) -> None:
    """End the loop before Python ends. A thread of obstore that still had something of Python's would abort it."""
    if os.getpid() != process:
        return  # forked: the thread stayed in the other process
    with suppress(Exception):
        asyncio.run_coroutine_threadsafe(_cancel(), loop).result(LAST_SECONDS)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LAST_SECONDS)
    sleep(LAST_PAUSE)


def waited(work: Coroutine[Any, Any, T], pulse: Pulse, seconds: float) -> T:
    """Run a request to its end.

    Args:
        work: the request.
        pulse: called every TICK seconds; an error that it raises ends the request.
        seconds: time after which the request is given up.

    Raises:
        TimeoutError: it took longer.
        PanicError: the library failed.
    """
    future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), _loop(os.getpid()))
    try:
        while True:
            try:
                return future.result(TICK)
            except NotYetError:
                if future.done():
                    return future.result()
            pulse()
    except Exception as error:
        if type(error).__name__ == "RustPanic":  # which cannot be imported
            raise PanicError from None
        raise
    finally:
        future.cancel()


def pause(number: int, pulse: Pulse) -> None:
    """Wait before another try, for a time that is partly left to chance, so that many machines do not come at once.

    Args:
        number: failures so far; at least 1.
        pulse: called every TICK seconds.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (number - 1))
    until = monotonic() + random.uniform(longest / 2, longest)
    while (left := until - monotonic()) > 0:
        pulse()
        sleep(min(TICK, left))
