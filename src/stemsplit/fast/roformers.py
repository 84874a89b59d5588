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


def supports(network: nn.Module) -> TypeGuard[RoFormer]:
    """Return whether a network has fast implementations. A subclass of one that has may compute something else."""
    return type(network) in NETWORKS
