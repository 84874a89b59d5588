"""Copies between the host and a device that go on while both work."""

from collections.abc import Callable

import torch
from torch import Tensor

Copied = Callable[[], Tensor]
"""Waits until a copy is there, and gives it."""


class Transfer:
    """Copies to a device and from it.

    On a CUDA device through page-locked memory and each way on a stream of its own, so that what the device computes
    goes on meanwhile. That has only ever run on a stand-in for such a device. Elsewhere a copy is made at once.

    Args:
        device: that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.on_cuda = device, device.type == "cuda"
        if self.on_cuda:
            # Two: an upload is not to wait for a download, which waits for what is computed.
            self.up, self.down = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def to_device(self, x: Tensor) -> Copied:
        """Begin to copy a tensor of the host, which nobody changes any more, for whichever thread computes with it."""
        if not self.on_cuda:
            there = x.to(self.device)
            return lambda: there
        with torch.cuda.stream(self.up):
            # The page-locked memory is not used again until the copy from it is done: PyTorch's allocator sees to it.
            there = x.pin_memory().to(self.device, non_blocking=True)
            arrived = self.up.record_event()

        def wait() -> Tensor:
            """For the computing stream to wait; the host goes on."""
            computing = torch.cuda.current_stream(self.device)
            computing.wait_event(arrived)
            # It is of the other stream's memory, and would be used again there when only that one is done with it.
            there.record_stream(computing)
            return there

        return wait

    def to_host(self, x: Tensor) -> Copied:
        """Begin to copy a tensor of the device, which nobody changes any more, for whichever thread wants it."""
        if not self.on_cuda:
            here = x.cpu()
            return lambda: here
        self.down.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.down):
            here = torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x, non_blocking=True)
            arrived = self.down.record_event()
        # As above, the other way round.
        x.record_stream(self.down)

        def wait() -> Tensor:
            arrived.synchronize()
            return here

        return wait
