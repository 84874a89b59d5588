"""Counts the floating-point operations of networks, as their definitions have them."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from stemsplit.checkpoints.loading import fresh_network
from stemsplit.registry import ModelEntry


class _ShapesOfInverses(TorchFunctionMode):
    """Gives only the shape of an inverse STFT, which has no products: on the meta device, PyTorch needs seconds."""

    def __torch_function__(
        self, function: Callable[..., Any], _: object, values: Sequence[Any] = (), named: dict[str, Any] | None = None
    ) -> Any:
        if function is torch.istft and named and "length" in named:
            return torch.empty(*values[0].shape[:-2], named["length"], device="meta")
        return function(*values, **(named or {}))


@torch.inference_mode()
def flops_of(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Count the operations of a network on the meta device for a mixture of a shape (b, c, t); see `count_flops`."""
    with FlopCounterMode(display=False) as counter, _ShapesOfInverses():
        network(torch.empty(shape, device="meta"))
    return counter.get_total_flops()


def linear_flops(entry: ModelEntry) -> dict[tuple[int, int], int]:
    """Count a chunk's floating-point operations in linear layers, and in convolutions of one sample, by their shapes.

    Returns:
        (inputs, outputs) -> operations of all layers of this shape, most first.

    Raises:
        RegistryError: no network can be built from the entry's config.
    """
    with torch.device("meta"):
        network = fresh_network(entry).to("meta")
    found: Counter[tuple[int, int]] = Counter()

    def count(layer: nn.Module, _: object, result: torch.Tensor) -> None:
        outputs, inputs = cast(torch.Tensor, layer.weight).shape[:2]
        found[inputs, outputs] += 2 * inputs * result.numel()

    for layer in network.modules():
        if isinstance(layer, nn.Linear) or (
            isinstance(layer, nn.Conv1d) and layer.kernel_size == (1,) and layer.groups == 1
        ):
            layer.register_forward_hook(count)
    with torch.inference_mode(), _ShapesOfInverses():
        network(torch.empty(1, entry.channels, entry.chunk, device="meta"))
    return dict(found.most_common())


def count_flops(entry: ModelEntry) -> int:
    """Count a chunk's floating-point operations: two for each multiply-add of products, convolutions and attention.

    They are counted in the plain network, even if a faster implementation saves or adds some.

    Raises:
        RegistryError: no network can be built from the entry's config.
    """
    with torch.device("meta"):
        network = fresh_network(entry).to("meta")  # buffers too, so that nothing is computed
    return flops_of(network, (1, entry.channels, entry.chunk))
