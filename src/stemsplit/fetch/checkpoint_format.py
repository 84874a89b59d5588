"""Recognises checkpoint files by their first bytes."""

import re
from pathlib import Path

from stemsplit.disk import open_regular
from stemsplit.errors import WeightsError

ZIP = b"PK\3\4"
"""First bytes of a file that `torch.save` wrote since PyTorch 1.6."""


USELESS = "which stemsplit cannot use; take the model's .ckpt, .pth or .safetensors"

OTHERS = {
    rb"version https://git-lfs": "it is a git-lfs pointer, not the file itself; run git lfs pull, or download the file",
    rb"GGUF|ggml|lmgg": f"it is a model for llama.cpp (GGUF), {USELESS}",
    rb"\x89HDF\r\n": f"it is a Keras or HDF5 file, {USELESS}",
    rb"\x08[\x01-\x0d](\x12|:|\x1a|B)": f"it is an ONNX model, {USELESS}",
    rb".{4}TFL3": f"it is a TensorFlow Lite model, {USELESS}",
    rb"RIFF|fLaC|ID3|OggS|FORM": "it is audio, not a checkpoint; songs are named without --model",
    rb"\x1f\x8b|Rar!|7z\xbc\xaf": "it is an archive; unpack it, and name the checkpoint in it",
    rb"%PDF|\x89PNG|\xff\xd8\xff": "it is a document or a picture, not a checkpoint",
    rb"\0{64}": "it begins with zeros; is the download complete?",
}
"""First bytes of other files, as regular expressions -> what to say of them."""


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
    if not head:
        raise WeightsError("it is empty; download it again")
    for start, told in OTHERS.items():
        if re.match(start, head, re.DOTALL):
            raise WeightsError(told)
    if path.suffix in (".yaml", ".yml"):
        raise WeightsError("it is a config, not a checkpoint; give it with --config, and the checkpoint with --model")
    raise WeightsError("it is neither a safetensors nor a torch.save file; is the download complete?")
