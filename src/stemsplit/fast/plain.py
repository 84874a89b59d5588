"""A network as its definition says: on devices, and of kinds, that have no faster way here."""

import torch
from torch import Tensor, nn

from stemsplit.fast.cpu.pool import torch_threads


class Plain:
    """Calls a network.

    Args:
        network: with its weights; moved to the device.
        dtype: of large products; PyTorch's autocast decides which.
        device: that computes.
        threads: of PyTorch's own, on a CPU.
        compiled: have PyTorch compile the network at its first call, which takes minutes.
    """

    def __init__(
        self, network: nn.Module, dtype: torch.dtype, device: torch.device, threads: int, compiled: bool = False
    ) -> None:
        moved = network.to(device)
        self.network = torch.compile(moved, dynamic=False) if compiled else moved
        self.dtype, self.device, self.threads = dtype, device, threads

    def __call__(self, mixture: Tensor) -> Tensor:
        """(b, c, t) -> float32 (b, n, c, t)."""
        half = self.dtype != torch.float32
        with torch_threads(self.threads), torch.autocast(self.device.type, self.dtype, enabled=half):
            return self.network(mixture).float()
