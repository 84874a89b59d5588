"""Computes the networks in `models` faster: the same results, computed in another order."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from functools import cache

import torch
from torch import Tensor, nn

from stemsplit.errors import DeviceError
from stemsplit.fast import roformers
from stemsplit.fast.cpu.ensemble import FastEnsemble
from stemsplit.fast.cpu.pool import Pool, torch_threads
from stemsplit.fast.cpu.roformer import FastRoFormer
from stemsplit.fast.cpu.sudormrf import FastSuDoRMRF, supports
from stemsplit.fast.cuda.graph import Captured
from stemsplit.fast.cuda.roformer import GpuRoFormer
from stemsplit.fast.device import PRECISIONS, dtype_of
from stemsplit.fast.plain import Plain
from stemsplit.models.ensemble import Ensemble
from stemsplit.models.sudormrf import SuDoRMRF

__all__ = ["PRECISIONS", "Pool", "accelerated", "dtype_of"]


def at_first_call(make: Callable[[], Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
    """Return what `make` returns, but call `make` only at the first call: until then, the weights need not be read."""
    made_once = cache(make)

    def compute(mixture: Tensor) -> Tensor:
        # The work between a pool's tasks is too little to share, and PyTorch's threads would compete with the pool's.
        with torch_threads(1):
            return made_once()(mixture)

    return compute


class WithFallback:
    """Calls `fast`, and after its first RuntimeError always calls `fallback`.

    Args:
        fast: an implementation that may not work on this device.
        fallback: an implementation that works.
        tell: callback for a line about the change.
    """

    def __init__(
        self, fast: Callable[[Tensor], Tensor], fallback: Callable[[Tensor], Tensor], tell: Callable[[str], object]
    ) -> None:
        self.compute, self.fallback, self.tell = fast, fallback, tell

    def __call__(self, mixture: Tensor) -> Tensor:
        """Estimate the stems, (b, c, t) -> (b, n, c, t)."""
        try:
            return self.compute(mixture)
        except torch.OutOfMemoryError:
            raise  # the fallback would not help
        except RuntimeError as error:
            if self.compute is self.fallback:
                raise
            self.compute = self.fallback
            reason = str(error).partition("\n")[0]
            self.tell(f"the fast implementation does not work on this device ({reason}); using the plain one")
        return self.compute(mixture)


def accelerated(
    network: nn.Module,
    dtype: torch.dtype,
    device: torch.device,
    pool: Pool,
    *,
    chunk: int | None = None,
    compiled: bool = False,
    tell: Callable[[str], object] = warnings.warn,
) -> Callable[[Tensor], Tensor]:
    """Return the fastest implementation of a network for a device.

    Args:
        network: the network with its weights, in float32 on the CPU.
        dtype: type of the large products, from `dtype_of`.
        device: the device to compute on.
        pool: the threads that compute on a CPU.
        chunk: length in samples of nearly all mixtures, for which work can be prepared.
        compiled: whether to compile the network with PyTorch instead, which takes minutes.
        tell: callback for a line that a user should know.

    Returns:
        A callable (b, c, t) -> (b, n, c, t), both float32 on the device, with the network's result to the precision of
        `dtype`.

    Raises:
        DeviceError: the network has no implementation with integers, and these are asked for.
    """
    if dtype == torch.int8 and (compiled or not roformers.supports_int8(network)):
        raise DeviceError(roformers.ONLY_INT8)
    if isinstance(network, Ensemble):
        members = [
            accelerated(member, dtype, device, pool, chunk=chunk, compiled=compiled, tell=tell)
            for member in network.members
        ]
        return FastEnsemble(network, members, pool)
    if device.type == "cpu" and not compiled:
        if roformers.supports(network):
            return at_first_call(lambda: FastRoFormer(network, dtype, pool))
        if isinstance(network, SuDoRMRF) and supports(network):
            return at_first_call(lambda: FastSuDoRMRF(network, dtype, pool))
    if device.type == "cuda" and not compiled and roformers.supports(network):
        compute = GpuRoFormer(network, dtype, device)
        plain = at_first_call(lambda: Plain(deepcopy(network), dtype, device, pool.threads))
        return WithFallback(Captured(compute, chunk) if chunk else compute, plain, tell)
    return Plain(network, dtype, device, pool.threads, compiled)
