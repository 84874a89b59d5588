"""Joins the processes that train together, as PyTorch's own launcher starts them; usually there is only one."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from stemsplit.errors import DeviceError

LONGEST_WAIT = timedelta(days=1)
"""How long a process waits for others; the first may be validating. If one dies, the launcher ends them."""


@dataclass(frozen=True)
class Workers:
    """One of the processes that train together.

    Args:
        device: device that this process computes on.
        rank: index of this process.
        count: number of processes.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process reports and writes files."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """Return the network, wrapped so that its gradients are the mean over all processes."""
        if self.count == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        # Some networks have unused weights. static_graph allows that, because they are the same in every step.
        return DistributedDataParallel(network, devices, static_graph=True)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process; all have to ask at the same point."""
        if self.count == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(flags)
        return bool(flags > 0)

    def close(self) -> None:
        """Leave the group of processes."""
        if self.count > 1:
            dist.destroy_process_group()


def join(device: torch.device) -> Workers:
    """Connect to the other processes that were started with this one, if there are any.

    Args:
        device: device that was asked for; with several CUDA devices, each process takes its own.

    Raises:
        DeviceError: the others cannot be reached, or there are fewer devices than processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        return Workers(device)
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise DeviceError(
                f"process {local + 1} has no CUDA device of its own; there are {torch.cuda.device_count()}"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"the processes that train together cannot connect: {error}") from error
    return Workers(device, rank, count)
