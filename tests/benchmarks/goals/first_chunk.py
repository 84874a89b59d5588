"""Runs the command and tells when its first chunk is computed: `python first_chunk.py STARTED ARGUMENTS`.

It is started as a file and imports nothing but small parts of Python, so that all else is what the command imports. The
last line of stderr is the seconds from STARTED, the time at which the process was started, to the start of that chunk,
and to its end.
"""

import importlib.abc
import importlib.util
import runpy
import sys
import time
from typing import Any

MODULE, CLASS = "stemsplit.engine.estimator", "Estimator"


class Watch(importlib.abc.MetaPathFinder):
    """Waits for the estimator's module, and then for an estimator's first call."""

    def find_spec(self, name: str, *_: Any) -> Any:
        """Find the module as usual."""
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec: Any = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def executed(module: Any) -> None:
            execute(module)
            watch(getattr(module, CLASS))

        spec.loader.exec_module = executed
        return spec


def watch(estimator: Any) -> None:
    """Tell when the first call of an estimator begins and ends."""
    call = estimator.__call__

    def first(self: Any, *mixtures: Any) -> Any:
        begun = time.time() - STARTED
        result = call(self, *mixtures)
        estimator.__call__ = call
        print(f"{begun:.3f} {time.time() - STARTED:.3f}", file=sys.stderr, flush=True)
        return result

    estimator.__call__ = first


if __name__ == "__main__":
    STARTED = float(sys.argv.pop(1))
    sys.meta_path.insert(0, Watch())
    runpy.run_module("stemsplit", run_name="__main__", alter_sys=True)
