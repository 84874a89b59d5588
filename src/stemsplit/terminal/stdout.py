"""Writes lines to stdout: whole, at once, and with any bytes that file names may have."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def _write(*lines: bytes) -> None:
    if sys.stdout is None:  # it was closed when Python started
        return
    try:
        sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
        sys.stdout.buffer.flush()
    except OSError:
        # Python flushes stdout when it exits; what is still buffered must not fail again then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def print_paths(written: Iterable[Path | str]) -> None:
    """Print paths, or addresses, a line each, as the bytes that the file system has, which need not be text.

    Raises:
        OSError: stdout is closed, or cannot be written.
    """
    _write(*map(os.fsencode, written))


def print_text(*lines: str) -> None:
    """Print lines of text.

    Raises:
        OSError: stdout is closed, or cannot be written.
    """
    _write(*(line.encode(errors="surrogateescape") for line in lines))


def print_line(data: Any) -> None:
    """Print data as one line of JSON.

    Raises:
        OSError: stdout is closed, or cannot be written.
    """
    _write(json.dumps(data, allow_nan=False).encode())


def print_json(data: Any) -> None:
    """Print data as indented JSON.

    Raises:
        OSError: stdout is closed, or cannot be written.
    """
    _write(json.dumps(data, indent=2).encode())
