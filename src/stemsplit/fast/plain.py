"""Computes a network by its definition, on devices and for architectures without a faster implementation."""

import torch
from torch import Tensor, nn

from stemsplit.fast.cpu.pool import torch_threads
from stemsplit.fast.cuda.exact import exact


class Plain:
    """Computes a network by its definition.

    Args:
        network: the network with its weights; it is moved to the device.
        dtype: type of the large products; PyTorch's autocast decides which these are.
        device: the device to compute on.
        threads: number of PyTorch's own threads, on a CPU.
        compiled: whether PyTorch compiles the network at its first call, which takes minutes.
    """

    def __init__(
        self, network: nn.Module, dtype: torch.dtype, device: torch.device, threads: int, compiled: bool = False
    ) -> None:
        moved = network.to(device)
        self.network = torch.compile(moved, dynamic=False) if compiled else moved
        self.dtype, self.device, self.threads = dtype, device, threads
        self.exact = dtype == torch.float32 and device.type == "cuda" and not compiled

    def __call__(self, mixture: Tensor) -> Tensor:
        """Estimate the stems, (b, c, t) -> float32 (b, n, c, t)."""
        half = self.dtype != torch.float32
        autocast = torch.autocast(self.device.type, self.dtype, enabled=half)
        with torch_threads(self.threads), exact(self.exact), autocast:
            return self.network(mixture).float()
