"""Lists the RoFormers that have fast implementations."""

from typing import TypeGuard

from torch import nn

from stemsplit.models.roformer import RoFormer
from stemsplit.models.roformer_fno import FourierRoFormer
from stemsplit.models.roformer_hyperace import HyperAceRoFormer
from stemsplit.models.roformer_large_inst import LargeInstRoFormer
from stemsplit.models.roformer_shared_bias import SharedBiasRoFormer
from stemsplit.models.roformer_value_residual import ValueResidualRoFormer
from stemsplit.models.roformer_windowed import WindowedRoFormer

NETWORKS = (
    RoFormer,
    FourierRoFormer,
    HyperAceRoFormer,
    LargeInstRoFormer,
    SharedBiasRoFormer,
    ValueResidualRoFormer,
    WindowedRoFormer,
)
"""The classes of networks that both the CPU's and the GPU's implementation compute."""


WIDE = 384
"""Features of a token from which products with integers save time; the built-in model's 88 are too few."""

ONLY_INT8 = (
    f"int8 is for RoFormers with at least {WIDE} features and without HyperACE: this model would not be faster, or too "
    "inexact; try fp32"
)
"""Says why a model is not computed with integers."""


def supports(network: nn.Module) -> TypeGuard[RoFormer]:
    """Return whether a network has fast implementations. A subclass of one that has may compute something else."""
    return type(network) in NETWORKS


def supports_int8(network: nn.Module) -> bool:
    """Return whether a network's products are also computed with integers on CPUs."""
    # HyperACE's images make much larger errors of small ones in the tokens.
    return supports(network) and type(network) is not HyperAceRoFormer and network.config.dim >= WIDE
