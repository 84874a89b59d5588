"""How lines get onto stdout: whole, at once, whatever bytes a file's name has."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def _write(*lines: bytes) -> None:
    if sys.stdout is None:  # closed from the start
        return
    try:
        sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
        sys.stdout.buffer.flush()
    except OSError:
        # What is still buffered must not fail again when Python leaves.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def print_paths(written: Iterable[Path]) -> None:
    """Files, a line each, at once; in the system's own bytes, which need not be text.

    Raises:
        OSError: stdout takes nothing, now or ever.
    """
    _write(*map(os.fsencode, written))


def print_text(*lines: str) -> None:
    """Lines as they are, at once.

    Raises:
        OSError: stdout takes nothing, now or ever.
    """
    _write(*(line.encode(errors="surrogateescape") for line in lines))


def print_line(data: Any) -> None:
    """One line of JSON for a script, at once.

    Raises:
        OSError: stdout takes nothing, now or ever.
    """
    _write(json.dumps(data, allow_nan=False).encode())


def print_json(data: Any) -> None:
    """Data for a script.

    Raises:
        OSError: stdout takes nothing, now or ever.
    """
    _write(json.dumps(data, indent=2).encode())
