"""The processes that train together, as PyTorch's own launcher starts them; most often there is one."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from stemsplit.errors import DeviceError

LONGEST_WAIT = timedelta(days=1)
"""For another process: the first one may be measuring validation songs. When one dies, the launcher ends all."""


@dataclass(frozen=True)
class Workers:
    """One process among all that train together.

    Args:
        device: that it computes on.
        rank: its number.
        count: how many there are.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this one reports and writes files."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """The network, such that its gradients are the mean over all processes."""
        if self.count == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        # Some networks have weights that nothing is computed with: the same in every step.
        return DistributedDataParallel(network, devices, static_graph=True)

    def close(self) -> None:
        """Part from the others."""
        if self.count > 1:
            dist.destroy_process_group()


def join(device: torch.device) -> Workers:
    """Meet the other processes that were started with this one, if any were.

    Args:
        device: that was asked for; of several CUDA devices each process takes its own.

    Raises:
        DeviceError: the others cannot be met, or there are fewer devices than processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        return Workers(device)
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise DeviceError(f"{torch.cuda.device_count()} CUDA devices are too few for process {local + 1}")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"the processes that train together cannot meet: {error}") from error
    return Workers(device, rank, count)
