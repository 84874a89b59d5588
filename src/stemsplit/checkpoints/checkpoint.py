"""Reads a checkpoint's file, and puts its tensors into a network."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as save_bytes
from torch import Tensor, nn

from stemsplit.checkpoints import pickled, quantised
from stemsplit.disk import replacing
from stemsplit.errors import WeightsError
from stemsplit.fetch import digests

PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers (data parallelism, Lightning, compilation) put before every key."""

MOST_WRAPPERS = 10
"""That are taken off, one around the other."""

WHOLE = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
"""Types of counters and indices, which stay as they are."""

MOST_GROWTH = 16
"""Bytes in float32 for a byte in the file: 2 if stored in half precision, 8 in four bits, more if tensors share what
is stored.
"""


def shown(text: str) -> str:
    """Text from a file, fit for a terminal."""
    return (text if text.isprintable() else ascii(text))[:200]


def reason(error: Exception) -> str:
    """Why a file cannot be read, in a clause, from an error that may span a page."""
    if isinstance(error, WeightsError):
        return shown(str(error))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "there is not enough memory for it"
    if asked := re.search(r"GLOBAL (\S+)", str(error)):
        return shown(pickled.refusal(asked[1]))
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    clause = re.split(r"\n|\. ", text)[0].rstrip(".") or type(error).__name__
    return f"it is damaged, or not a checkpoint ({shown(clause)})"


def stored(path: Path) -> dict[str, Tensor]:
    """The tensors of a file as they are stored.

    Raises:
        WeightsError: by its first bytes, it is not a checkpoint.
    """
    return load_file(path) if digests.is_safetensors(path) else pickled.read(path)


def without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop what wrappers put before all keys."""
    for _ in range(MOST_WRAPPERS):
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in tensors)), None)
        if prefix is None:
            break
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def bare(key: str, tensor: Tensor) -> Tensor:
    """A tensor with nothing but its numbers.

    Raises:
        WeightsError: it is sparse, quantised, complex, or has no numbers at all.
    """
    # Not tensor.detach(): a pickle may hang an attribute of that name on a tensor. What this returns has none.
    alone = Tensor.detach(tensor)
    dense = type(alone) is Tensor and alone.is_cpu and alone.layout is torch.strided and not alone.is_nested
    # A pickle may say that an empty tensor is (0, -1), and PyTorch believes it.
    if not dense or min(alone.shape, default=0) < 0 or not (alone.is_floating_point() or alone.dtype in WHOLE):
        raise WeightsError(f"{key} is not a dense tensor of real numbers")
    return alone


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by key, in float32 on the CPU. No code in the file is run.

    Tensors in float32 stay in the file, and take memory that the system can drop, when it is safetensors or of
    `torch.save` since PyTorch 1.6.

    Raises:
        WeightsError: the file cannot be read, or is not a checkpoint.
    """
    try:
        tensors = {key: bare(key, tensor) for key, tensor in stored(path).items()}
        if not tensors:
            raise WeightsError("it holds no tensors")
        # A tensor may be larger than what is stored of it.
        if sum(4 * math.prod(quantised.shape_of(tensors, key)) for key in tensors) > MOST_GROWTH * path.stat().st_size:
            raise WeightsError("its tensors are far larger than the file")
        tensors = quantised.unpacked(tensors)
        floats = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    except Exception as error:  # Over damaged files, the readers raise nearly every kind there is.
        raise WeightsError(f"cannot read the weights in {path}: {reason(error)}") from error
    return without_prefix(floats)


def likely_cause(missing: int, left_over: int, other: int, in_common: int) -> str:
    """What numbers of missing and left over keys, of other misfits and of keys in common speak for."""
    if not in_common:
        return "the file seems to be of another network"
    if missing and not left_over:
        return "its config seems to be of a larger network"
    if left_over and not missing:
        return "its config seems to be of a smaller network, or of another variant"
    if other and not missing:
        return "its config seems to give layers another size"
    return "is its config right?"


def load(network: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Put tensors into a network, which may be on the meta device, without copying them.

    Raises:
        WeightsError: keys are missing or left over, or a shape or type differs.
    """
    wanted = network.state_dict()
    missing = [f"no {key}" for key in wanted if key not in tensors]
    left_over = [f"unexpected {shown(key)}" for key in tensors if key not in wanted]
    common = {key: (tensors[key], value) for key, value in wanted.items() if key in tensors}
    other = [
        f"{key} is {tuple(given.shape)}, not {tuple(value.shape)}"
        for key, (given, value) in common.items()
        if given.shape != value.shape
    ]
    other += [
        f"{key} is {given.dtype}, not {value.dtype}"
        for key, (given, value) in common.items()
        if given.is_floating_point() != value.is_floating_point()
    ]
    if problems := missing + left_over + other:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        cause = likely_cause(len(missing), len(left_over), len(other), len(common))
        raise WeightsError(f"the weights of {name} do not fit its network ({', '.join(problems[:3])}{more}); {cause}")
    network.load_state_dict(tensors, assign=True)
    network.requires_grad_(False)


def told(path: Path, key: str) -> str:
    """What a safetensors file says about itself under that key; empty if nothing, or if it is no such file."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get(key, "")
    except (OSError, SafetensorError):
        return ""


def save(network: nn.Module, path: Path, about: Mapping[str, str] | None = None, *, bits: int = 32) -> None:
    """Write a network's tensors as safetensors, whole or not at all.

    Args:
        network: on any device.
        path: of the file.
        about: what the file is to say about itself.
        bits: of each number that is written, one of those in `stemsplit.choices.WeightBits`; of 8 and fewer (see
            `quantised`), large tensors alone.

    Raises:
        WeightsError: it cannot be written, or not in so few bits.
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
        # save_file would leave the file readable by its owner alone, and refuses tensors that share their numbers.
        with replacing(path) as file:
            file.write(save_bytes({key: value.clone() for key, value in tensors.items()}, dict(about or {})))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
