"""Reads a checkpoint's file, and puts its tensors into a network."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as save_bytes
from torch import Tensor, nn

from stemsplit.errors import WeightsError


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by key, in float32 on the CPU.

    Raises:
        WeightsError: the file cannot be read, or is no safetensors file.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read the weights in {path}: {error}") from error
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}


def load(network: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Put tensors into a network, which may be on the meta device, without copying them.

    Raises:
        WeightsError: keys are missing or left over, or a shape differs.
    """
    wanted = {key: value.shape for key, value in network.state_dict().items()}
    problems = [f"no {key}" for key in wanted if key not in tensors]
    problems += [f"unexpected {key}" for key in tensors if key not in wanted]
    problems += [
        f"{key} is {tuple(tensors[key].shape)}, not {tuple(shape)}"
        for key, shape in wanted.items()
        if key in tensors and tensors[key].shape != shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise WeightsError(
            f"the weights of {name} do not fit its network ({', '.join(problems[:3])}{more}); is its config right?"
        )
    network.load_state_dict(tensors, assign=True)
    network.requires_grad_(False)


def save(network: nn.Module, path: Path) -> None:
    """Write a network's tensors as safetensors in half precision, whole or not at all."""
    part = path.with_name(f".{path.name}.partial")
    try:
        tensors = {key: value.detach().half().cpu().contiguous() for key, value in network.state_dict().items()}
        # save_file would leave the file readable by its owner alone.
        part.write_bytes(save_bytes(tensors))
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise WeightsError(f"cannot write {path}: {error}") from error
