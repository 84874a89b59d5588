"""Shared biases: a RoFormer whose attention layers all have the same two biases.

Files hold them once for the network, and again for every attention. If they are zero, as in the known file, the network
is the plain one.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from stemsplit.models.roformer import RoFormer
from stemsplit.models.roformer_config import Config, Variant
from stemsplit.models.roformer_layers import Attention

PROJECTION, OUTPUT = "linear_62_bias_0", "linear_64_bias_0"
"""Published keys of the bias of queries, keys and values, and of that of attention's output."""

ATTENTION = r"^layers\.\d+\.\d+\.layers\.\d+\.0\."
"""Pattern of the prefix of an attention's keys."""

COPIES = {
    PROJECTION: re.compile(rf"{PROJECTION}$|shared_qkv_bias$|{ATTENTION}to_qkv\.bias$"),
    OUTPUT: re.compile(rf"{OUTPUT}$|shared_out_bias$|{ATTENTION}to_out\.0\.bias$"),
}
"""Published key -> pattern of all keys of the same numbers; splifft has other names."""


def has_biases(keys: Collection[str]) -> bool:
    """Return whether a checkpoint has such biases, zero or not."""
    return any(pattern.match(key) for key in keys for pattern in COPIES.values())


def known(bias: Tensor) -> bool:
    """Return whether a tensor has numbers; those on the meta device have a shape only."""
    return not bias.is_meta


def common(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """Return the bias of which a checkpoint has one or more copies.

    Raises:
        ValueError: it has none, or copies that differ.
    """
    copies = {key: tensor for key, tensor in tensors.items() if COPIES[name].match(key)}
    if not copies:
        raise ValueError(f"it has one of a RoFormer's two shared biases, but not the other, {name}")
    first, *others = copies
    one = copies[first]
    for key in others:
        other = copies[key]
        if one.shape != other.shape or one.dtype != other.dtype or (known(one) and not torch.equal(one, other)):
            raise ValueError(f"its copies of a shared bias contradict each other ({first} and {key})")
    return one


def adapted(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint with its shared biases under all published keys, or without them if they are zero.

    Raises:
        ValueError: one of the two biases is missing, its copies differ, or one belongs to an attention without weights.
    """
    if not has_biases(tensors):
        return dict(tensors)
    for key in tensors:
        found = re.match(rf"({ATTENTION})(to_qkv|to_out\.0)\.bias$", key)
        if found and f"{found[1]}to_qkv.weight" not in tensors:
            raise ValueError(f"it has {key}, but not the weights of the same attention")
    projection, output = common(tensors, PROJECTION), common(tensors, OUTPUT)
    rest = {
        key: tensor for key, tensor in tensors.items() if not any(pattern.match(key) for pattern in COPIES.values())
    }
    if known(projection) and known(output) and not (projection.any() or output.any()):
        return rest
    filled = {**rest, PROJECTION: projection, OUTPUT: output}
    for key in rest:
        if found := re.match(rf"({ATTENTION})to_qkv\.weight$", key):
            filled[f"{found[1]}to_qkv.bias"], filled[f"{found[1]}to_out.0.bias"] = projection, output
    return filled


class SharedBiasRoFormer(RoFormer):
    """Separates mixtures as a `RoFormer` does, with two biases that all attention layers share."""

    def __init__(self, config: Config, bands: Sequence[range], hidden_layers: int, norm_output: bool) -> None:
        super().__init__(config, bands, hidden_layers, norm_output)
        self.linear_62_bias_0 = nn.Parameter(torch.zeros(3 * config.heads * config.dim_head))
        self.linear_64_bias_0 = nn.Parameter(torch.zeros(config.dim))
        for layer in self.layers.modules():
            if isinstance(layer, Attention):
                layer.to_qkv.bias, layer.to_out[0].bias = self.linear_62_bias_0, self.linear_64_bias_0


SHARED_BIAS = Variant(
    name="shared_bias",
    title="shared attention biases",
    mark=r"^linear_6[24]_bias_0$|^shared_(qkv|out)_bias$|^layers\.\d+\.\d+\.layers\.\d+\.0\.(to_qkv|to_out\.0)\.bias$",
    network=SharedBiasRoFormer,
    adapt=adapted,
    changes_attention=True,
)
