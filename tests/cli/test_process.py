"""How the process of a command begins and ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

FAKED = "import sys, types; sys.modules['torch'] = types.ModuleType('torch'); from stemsplit.cli import process\n"
"""Leaving depends on whether PyTorch was imported, not on what it is."""


def ended(code: str, stdout: int | object = subprocess.PIPE) -> "subprocess.CompletedProcess[str]":
    """A fresh process that ran the code."""
    return subprocess.run(
        [sys.executable, "-c", FAKED + code],
        stdout=stdout,  # type: ignore[call-overload]
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("status", [0, 3])
def test_leaving_prints_all_and_waits_for_threads_and_handlers(status: int) -> None:
    late = (
        "import atexit, threading, time\n"
        "atexit.register(print, 'handler')\n"
        "def work():\n    time.sleep(0.1)\n    print('thread')\n"
        "threading.Thread(target=work).start()\n"
        f"print('first')\nprocess.leave({status})\n"
    )
    found = ended(late)
    assert (found.returncode, found.stdout.split(), found.stderr) == (status, ["first", "thread", "handler"], "")


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system cannot signal a thread")
def test_an_interrupt_while_leaving_is_told_by_the_status_alone() -> None:
    late = (
        "import signal, threading, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "main = threading.main_thread().ident\n"
        "def work():\n    time.sleep(0.1)\n    signal.pthread_kill(main, signal.SIGINT)\n    time.sleep(0.1)\n"
        "threading.Thread(target=work).start()\n"
        "print('a result')\nprocess.leave(0)\n"
    )
    found = ended(late)
    assert (found.returncode, found.stdout, found.stderr) == (130, "a result\n", "")


def test_leaving_skips_only_the_freeing_of_objects() -> None:
    """An object that Python frees at its end is not freed."""
    assert ended("class Heavy:\n    def __del__(self): print('freed')\nheavy = Heavy()\nprocess.leave(0)").stdout == ""


def test_a_full_stdout_is_not_lost_on_leaving() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    with Path("/dev/full").open("w") as full:
        found = ended("print('a result')\nprocess.leave(0)", full)
    assert found.returncode != 0
    assert "No space left" in found.stderr


def test_a_profiler_gets_its_turn_on_leaving() -> None:
    code = "import cProfile\nwatch = cProfile.Profile()\nwatch.enable()\nprocess.leave(0)"
    freed = "class Heavy:\n    def __del__(self): print('freed')\nheavy = Heavy()\n"
    assert ended(freed + code).stdout == "freed\n"


def test_the_collector_works_as_usual_once_pytorch_is_there() -> None:
    code = "import gc\nusual = gc.get_threshold()\nprocess.hurry()\nassert gc.get_threshold() != usual\n"
    assert ended(code + "process.settle()\nassert gc.get_threshold() == usual and gc.isenabled()").returncode == 0
