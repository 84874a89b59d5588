"""The networks of `models`, computed faster: the same answer from the same weights, in another order of work."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from functools import cache

import torch
from torch import Tensor, nn

from stemsplit.fast.cpu.pool import Pool, torch_threads
from stemsplit.fast.cpu.roformer import FastRoFormer
from stemsplit.fast.cpu.sudormrf import FastSuDoRMRF, supports
from stemsplit.fast.cuda.graph import Captured
from stemsplit.fast.cuda.roformer import GpuRoFormer
from stemsplit.fast.device import PRECISIONS, chosen
from stemsplit.fast.plain import Plain
from stemsplit.models.ensemble import Ensemble
from stemsplit.models.roformer import RoFormer
from stemsplit.models.sudormrf import SuDoRMRF

__all__ = ["PRECISIONS", "Pool", "accelerated", "chosen"]


def at_first_call(make: Callable[[], Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
    """What `make` gives, made when it is first called: until then, weights need not be read from their file."""
    made = cache(make)

    def compute(mixture: Tensor) -> Tensor:
        # What lies between the tasks of a pool is too little to share, and would wait for their threads.
        with torch_threads(1):
            return made()(mixture)

    return compute


class OrElse:
    """What one way computes, until it fails; from then on, what the other does.

    Args:
        way: may be one that no machine like this has ever tried.
        other: to be trusted.
        tell: is told of the change.
    """

    def __init__(
        self, way: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor], tell: Callable[[str], object]
    ) -> None:
        self.way, self.other, self.tell = way, other, tell

    def __call__(self, mixture: Tensor) -> Tensor:
        """(b, c, t) -> (b, n, c, t)."""
        try:
            return self.way(mixture)
        except torch.OutOfMemoryError:
            raise  # which the other would not get around
        except RuntimeError as error:
            if self.way is self.other:
                raise
            self.way = self.other
            self.tell(
                f"the fast way does not work on this device ({str(error).partition(chr(10))[0]}); taking the plain one"
            )
        return self.way(mixture)


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
    """The fastest way there is to compute a network.

    Args:
        network: with its weights, in float32 on the CPU.
        dtype: of its large products, from `chosen`.
        device: that computes.
        pool: threads that compute, where the device is a CPU.
        chunk: samples of nearly all mixtures to come, for which work can be laid out beforehand.
        compiled: the network as it is, but compiled by PyTorch, which takes minutes.
        tell: is told what a user should know of.

    Returns:
        (b, c, t) -> (b, n, c, t), both float32 on the device: what the network gives, to the precision of the type.
    """
    if isinstance(network, Ensemble):
        ways = [
            accelerated(member, dtype, device, pool, chunk=chunk, compiled=compiled, tell=tell)
            for member in network.members
        ]

        def mean(mixture: Tensor) -> Tensor:
            with torch_threads(pool.threads):
                return network.averaged(mixture, ways)

        return mean
    if device.type == "cpu" and not compiled:
        if isinstance(network, RoFormer):
            return at_first_call(lambda: FastRoFormer(network, dtype, pool))
        if isinstance(network, SuDoRMRF) and supports(network):
            return at_first_call(lambda: FastSuDoRMRF(network, dtype, pool))
    if device.type == "cuda" and not compiled and isinstance(network, RoFormer):
        compute = GpuRoFormer(network, dtype, device)
        plain = at_first_call(lambda: Plain(deepcopy(network), dtype, device, pool.threads))
        return OrElse(Captured(compute, chunk) if chunk else compute, plain, tell)
    return Plain(network, dtype, device, pool.threads, compiled)
