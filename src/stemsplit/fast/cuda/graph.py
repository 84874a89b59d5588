"""A computation as one launch: what a GPU did for one input, done again for others."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Compute = Callable[[Tensor], Tensor]


def recorded(compute: Compute, example: Tensor) -> Compute:
    """Record what a GPU does for an input, and do it again for others of its shape with a single launch.

    Not tried on a GPU yet. The result is a copy: it stays as it is.

    Args:
        compute: reads nothing back from the device, and keeps whatever it makes there for later calls. Its weights have
            to stay where they are as long as the result is used.
        example: on a CUDA device.

    Raises:
        ValueError: it is on another device.
        RuntimeError: something in it cannot be recorded, or the device's memory is full.
    """
    if example.device.type != "cuda":
        raise ValueError(f"only CUDA devices record graphs, not {example.device}")
    given = example.clone()
    before, side = torch.cuda.current_stream(given.device), torch.cuda.Stream(given.device)
    side.wait_stream(before)
    try:
        # This context brings the stream of before back even if the inner one fails at its end.
        with torch.cuda.stream(side):
            for _ in range(2):  # libraries make their plans and buffers, networks their tables
                compute(given)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                made = compute(given)
    finally:
        before.wait_stream(side)  # for the tables, which are used there even if nothing was recorded

    def replay(x: Tensor) -> Tensor:
        given.copy_(x)
        graph.replay()
        return made.clone()

    return replay


class Captured:
    """A computation that is recorded once for every size of a batch of full chunks; else it is computed as usual.

    A batch smaller than one that was recorded is filled up with silence. For CUDA alone: elsewhere the first full chunk
    ends all recording. After an error while recording, nothing more is recorded; what was recorded before it is still
    used.

    Args:
        compute: (b, c, t) -> a tensor; see `recorded`.
        length: t of a full chunk.
        most: shapes to record; each keeps the memory of a whole run.
        record: how.
    """

    def __init__(
        self,
        compute: Compute,
        length: int,
        *,
        most: int = 2,
        record: Callable[[Compute, Tensor], Compute] = recorded,
    ) -> None:
        self.compute, self.length, self.most, self.record = compute, length, most, record
        self.replays: dict[torch.Size, Compute] = {}
        self.failure: Exception | None = None
        """Why nothing is recorded any longer."""

    @torch.inference_mode()
    def __call__(self, mixture: Tensor) -> Tensor:
        """What `compute` gives."""
        if mixture.shape[-1] != self.length:
            return self.compute(mixture)
        batch = len(mixture)
        shape = min(
            (shape for shape in self.replays if shape[0] >= batch and shape[1:] == mixture.shape[1:]), default=None
        )
        if shape is None and not self.failure and len(self.replays) < self.most:
            try:
                self.replays[mixture.shape] = self.record(self.compute, mixture)
                shape = mixture.shape
            except torch.OutOfMemoryError:
                raise  # a smaller batch may fit
            except Exception as error:  # a GPU's refusals have many types, and the usual way is always there
                self.failure = error
        if shape is None:
            return self.compute(mixture)
        filled = F.pad(mixture, (0, 0, 0, 0, 0, shape[0] - batch))
        return self.replays[shape](filled)[:batch]
