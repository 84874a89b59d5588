"""Reads a checkpoint file, and loads its tensors into a network."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as save_bytes
from torch import Tensor, nn

from stemsplit.checkpoints import pickled, quantised
from stemsplit.checkpoints.pickle_calls import refusal
from stemsplit.checkpoints.wrapped import Contents, contents
from stemsplit.disk import replacing
from stemsplit.errors import WeightsError
from stemsplit.fetch.checkpoint_format import is_safetensors
from stemsplit.libraries import exhausted

WHOLE = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
"""Types of counters and indices, which are not converted."""

MOST_GROWTH = 16
"""Largest number of bytes in float32 per byte of the file: 2 is usual in half precision, 8 in four bits, more if
tensors share storage.
"""


def shown(text: str) -> str:
    """Return text from a file, shortened and escaped for a terminal."""
    return (text if text.isprintable() else ascii(text))[:200]


def reason(error: Exception) -> str:
    """Return in one clause why a file cannot be read; the error itself may fill a page."""
    if isinstance(error, WeightsError):
        return shown(str(error))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "there is not enough memory for it"
    if lacking := exhausted(error):
        return lacking
    if name := re.search(r"GLOBAL (\S+)", str(error)):
        return shown(refusal(name[1]))
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    clause = re.split(r"\n|\. ", text)[0].rstrip(".") or type(error).__name__
    cut = "; is the download complete?" if isinstance(error, SafetensorError) else ""
    return f"it is damaged or not a checkpoint ({shown(clause)}){cut}"


def stored(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file's network as they are stored; see `contents_of`."""
    return contents_of(path).tensors


def contents_of(path: Path, part: str = "") -> Contents:
    """Return what is in a file, with tensors as they are stored.

    Raises:
        WeightsError: its first bytes are not those of a checkpoint.
    """
    return contents(load_file(path) if is_safetensors(path) else pickled.read(path), part)


def bare(key: str, tensor: Tensor) -> Tensor:
    """Return a tensor without gradient or attributes.

    Raises:
        WeightsError: it is sparse or quantised, or has no numbers at all.
    """
    # Not tensor.detach(): a pickle may give a tensor an attribute of that name. The result of this has none.
    plain = Tensor.detach(tensor)
    dense = type(plain) is Tensor and plain.is_cpu and plain.layout is torch.strided and not plain.is_nested
    # A pickle may give an empty tensor the shape (0, -1), and PyTorch accepts it.
    numbers = plain.is_floating_point() or plain.is_complex() or plain.dtype in WHOLE
    if not dense or min(plain.shape, default=0) < 0 or not numbers:
        raise WeightsError(f"{shown(key)} is not a dense tensor of real numbers")
    return plain


def in_single_precision(tensor: Tensor) -> Tensor:
    """Return a tensor in float32, or complex64; counters and indices as they are."""
    if tensor.is_complex():
        return tensor.to(torch.complex64)
    return tensor.float() if tensor.is_floating_point() else tensor


def kind(tensor: Tensor) -> tuple[bool, bool]:
    """Return which kind of numbers a tensor has, to compare with another's."""
    return tensor.is_floating_point(), tensor.is_complex()


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of the network in a checkpoint by key; see `read_contents`."""
    return read_contents(path).tensors


def read_contents(path: Path, part: str = "") -> Contents:
    """Read a checkpoint's network; its tensors are in float32 or complex64 on the CPU. No code in the file is run.

    In a safetensors file or one that `torch.save` wrote since PyTorch 1.6, tensors of these types stay in the file: the
    system can drop them from memory at any time.

    Args:
        path: file of the checkpoint.
        part: where in the file the network lies, if it holds several; empty for the likeliest.

    Raises:
        WeightsError: the file cannot be read, or is not a checkpoint, or holds several networks that are equally good.
    """
    try:
        found = contents_of(path, part)
        tensors = {key: bare(key, tensor) for key, tensor in found.tensors.items()}
        if not tensors:
            raise WeightsError("it holds no tensors")
        # A tensor may repeat its storage, and so be much larger.
        if sum(4 * math.prod(quantised.shape_of(tensors, key)) for key in tensors) > MOST_GROWTH * path.stat().st_size:
            raise WeightsError("its tensors are far larger than the file")
        tensors = quantised.unpacked(tensors)
        floats = {key: in_single_precision(value) for key, value in tensors.items()}
    except Exception as error:  # Damaged files make the readers raise exceptions of nearly any type.
        raise WeightsError(f"cannot read the weights in {path}: {reason(error)}") from error
    return replace(found, tensors=floats)


def likely_cause(missing: int, unexpected: int, mismatched: int, common: int) -> str:
    """Return the likely reason why weights do not fit a network.

    Args:
        missing: number of keys that only the network has.
        unexpected: number of keys that only the file has.
        mismatched: number of common keys whose tensors differ in shape or type.
        common: number of keys that both have.
    """
    if not common:
        return "the file seems to be for another network"
    if missing and not unexpected:
        return "its config seems to be for a larger network"
    if unexpected and not missing:
        return "its config seems to be for a smaller network or another variant"
    if mismatched and not missing:
        return "its config seems to give layers another size"
    return "check its config"


def load(network: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Load tensors into a network, which may be on the meta device, without copying them.

    Args:
        network: network to load them into.
        tensors: tensors by key.
        name: name of the model, for messages.

    Raises:
        WeightsError: keys are missing or unexpected, or a shape or type differs.
    """
    expected = network.state_dict()
    missing = [f"no {key}" for key in expected if key not in tensors]
    unexpected = [f"unexpected {shown(key)}" for key in tensors if key not in expected]
    common = {key: (tensors[key], value) for key, value in expected.items() if key in tensors}
    mismatched = [
        f"{key} is {tuple(given.shape)}, not {tuple(value.shape)}"
        for key, (given, value) in common.items()
        if given.shape != value.shape
    ]
    mismatched += [
        f"{key} is {given.dtype}, not {value.dtype}"
        for key, (given, value) in common.items()
        if kind(given) != kind(value)
    ]
    if problems := missing + unexpected + mismatched:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        cause = likely_cause(len(missing), len(unexpected), len(mismatched), len(common))
        raise WeightsError(f"the weights of {name} do not fit its network ({', '.join(problems[:3])}{more}); {cause}")
    network.load_state_dict(tensors, assign=True)
    network.requires_grad_(False)


def metadata(path: Path, key: str) -> str:
    """Return a safetensors file's metadata of a key; empty if there is none, or the file has another format."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get(key, "")
    except (OSError, SafetensorError):
        return ""


def save(network: nn.Module, path: Path, about: Mapping[str, str] | None = None, *, bits: int = 32) -> None:
    """Write a network's tensors to a safetensors file, whole or not at all.

    Args:
        network: network on any device.
        path: file to write.
        about: metadata of the file.
        bits: bits per number, one of those in `stemsplit.choices.WeightBits`. With 8 or fewer, only large tensors are
            quantised (see `quantised`).

    Raises:
        WeightsError: it cannot be written, or some weights are too large for so few bits.
    """
    try:
        tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
        if bits <= quantised.PLAIN:
            tensors = quantised.packed(tensors, bits)
        elif bits == 16:
            tensors = {
                key: quantised.halved(key, value) if value.is_floating_point() else value
                for key, value in tensors.items()
            }
        # Not save_file: it makes the file readable by its owner only, and refuses tensors that share storage.
        with replacing(path) as file:
            file.write(save_bytes({key: value.clone() for key, value in tensors.items()}, dict(about or {})))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
