"""Reads how long a Windows Media file says that it is."""

import os
from pathlib import Path

PROPERTIES = b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65"
"""Identifies the object with the file's properties (ASF specification, section 3.2)."""


def cut_off(path: Path) -> str:
    """Return how much of a file is there, where its header says that there is more; empty if all is.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(1 << 16)
        there = file.seek(0, os.SEEK_END)
    place = header.find(PROPERTIES)
    if place < 0:
        return ""
    said, flags = (int.from_bytes(header[place + begin : place + end], "little") for begin, end in ((40, 48), (88, 92)))
    is_live = flags & 1  # then the size is not valid
    return f"{there} of {said} bytes are there" if there < said < 1 << 48 and not is_live else ""
