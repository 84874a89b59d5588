"""Records what a GPU does for one input as a CUDA graph, and replays it for others with a single launch."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Compute = Callable[[Tensor], Tensor]


def recorded(compute: Compute, example: Tensor) -> Compute:
    """Return a computation as a CUDA graph, which a single launch replays for inputs of the example's shape.

    It has not been tried on a GPU yet. Results are copies, so later calls do not change them.

    Args:
        compute: a computation that does not read anything back from the device, and keeps the tables that it makes
            there. Its weights must stay in place as long as the graph is used.
        example: an input on a CUDA device.

    Raises:
        ValueError: the example is on another device.
        RuntimeError: an operation cannot be recorded, or the device's memory is full.
    """
    if example.device.type != "cuda":
        raise ValueError(f"only CUDA devices record graphs, not {example.device}")
    graph_input = example.clone()
    outer, side = torch.cuda.current_stream(graph_input.device), torch.cuda.Stream(graph_input.device)
    side.wait_stream(outer)
    try:
        # This context restores the outer stream even if leaving the inner one fails.
        with torch.cuda.stream(side):
            for _ in range(2):  # libraries make their plans and buffers, networks their tables
                compute(graph_input)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                graph_output = compute(graph_input)
    finally:
        outer.wait_stream(side)  # for the tables, which the outer stream uses even if nothing was recorded

    def replay(x: Tensor) -> Tensor:
        graph_input.copy_(x)
        graph.replay()
        return graph_output.clone()

    return replay


class Captured:
    """Records a computation for each batch size of full chunks, and replays it. Other inputs are computed as usual.

    A batch that is smaller than a recorded one is filled up with silence. After an error in recording, nothing more is
    recorded, but earlier recordings are still used. So on other devices than CUDA, the first full chunk ends recording.

    Args:
        compute: the computation, (b, c, t) -> a tensor; see `recorded`.
        length: t of a full chunk.
        max_shapes: number of shapes to record; each keeps the memory of a whole run.
        record: the function that records.

    Attributes:
        failure: the error that ended recording, or None.
    """

    def __init__(
        self,
        compute: Compute,
        length: int,
        *,
        max_shapes: int = 2,
        record: Callable[[Compute, Tensor], Compute] = recorded,
    ) -> None:
        self.compute, self.length, self.max_shapes, self.record = compute, length, max_shapes, record
        self.replays: dict[torch.Size, Compute] = {}
        self.failure: Exception | None = None

    @torch.inference_mode()
    def __call__(self, mixture: Tensor) -> Tensor:
        """Return the result of `compute`."""
        if mixture.shape[-1] != self.length:
            return self.compute(mixture)
        batch = len(mixture)
        shape = min(
            (shape for shape in self.replays if shape[0] >= batch and shape[1:] == mixture.shape[1:]), default=None
        )
        if shape is None and not self.failure and len(self.replays) < self.max_shapes:
            try:
                self.replays[mixture.shape] = self.record(self.compute, mixture)
                shape = mixture.shape
            except torch.OutOfMemoryError:
                raise  # a smaller batch may fit
            except Exception as error:  # CUDA raises many types, and `compute` always works
                self.failure = error
        if shape is None:
            return self.compute(mixture)
        filled = F.pad(mixture, (0, 0, 0, 0, 0, shape[0] - batch))
        return self.replays[shape](filled)[:batch]
