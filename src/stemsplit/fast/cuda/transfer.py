"""Copies tensors between the host and a device while both go on working."""

from collections.abc import Callable

import torch
from torch import Tensor

Copied = Callable[[], Tensor]
"""A function that waits until a copy is complete, and returns it."""


class Transfer:
    """Copies tensors to a device and from it.

    On a CUDA device, copies use page-locked memory and a stream for each direction, so that the device goes on
    computing. This has only run on a stand-in for such a device so far. On other devices, copies are made at once.

    Args:
        device: the device that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.on_cuda = device, device.type == "cuda"
        if self.on_cuda:
            # Two streams, so that an upload does not wait for a download, which waits for its result to be computed.
            self.up, self.down = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def to_device(self, x: Tensor) -> Copied:
        """Start to copy a tensor, which must no longer change, to the device. Any thread may take the copy."""
        if not self.on_cuda:
            copy = x.to(self.device)
            return lambda: copy
        with torch.cuda.stream(self.up):
            # PyTorch's allocator does not reuse the page-locked memory until the copy from it is complete.
            copy = x.pin_memory().to(self.device, non_blocking=True)
            arrived = self.up.record_event()

        def wait() -> Tensor:
            """Make the computing stream wait, but not the host."""
            computing = torch.cuda.current_stream(self.device)
            computing.wait_event(arrived)
            # The copy's memory belongs to the other stream, which would otherwise reuse it before this one is done with
            # it.
            copy.record_stream(computing)
            return copy

        return wait

    def to_host(self, x: Tensor) -> Copied:
        """Start to copy a tensor, which must no longer change, to the host. Any thread may take the copy."""
        if not self.on_cuda:
            copy = x.cpu()
            return lambda: copy
        self.down.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.down):
            copy = torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x, non_blocking=True)
            arrived = self.down.record_event()
        # Keeps the memory of `x` from being reused before it is copied.
        x.record_stream(self.down)

        def wait() -> Tensor:
            arrived.synchronize()
            return copy

        return wait
