"""Recognises checkpoint files by their first bytes."""

from pathlib import Path

from stemsplit.disk import open_regular
from stemsplit.errors import WeightsError

ZIP = b"PK\3\4"
"""First bytes of a file that `torch.save` wrote since PyTorch 1.6."""


def is_safetensors(path: Path) -> bool:
    """Return whether a checkpoint is a safetensors file (True) or was written by `torch.save` (False).

    Raises:
        WeightsError: it is neither.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        head = file.read(64)
    if head[8:9] == b"{":
        return True
    if head.startswith((ZIP, b"\x80")):
        return False
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise WeightsError("it is not a checkpoint but looks like a web page")
    raise WeightsError("it is neither a safetensors nor a torch.save file; is the download complete?")
