"""When a computation is recorded as a CUDA graph, and when it is computed as usual."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stemsplit.fast.cuda.graph import Captured


def double(mixture: Tensor) -> Tensor:
    return 2 * mixture


class Recorder:
    """Stands in for the recording of CUDA graphs. It fails from the given recording on."""

    def __init__(self, fails_at: int = 1_000) -> None:
        self.shapes: list[torch.Size] = []
        self.replayed = 0
        self.fails_at = fails_at

    def __call__(self, compute: Callable[[Tensor], Tensor], example: Tensor) -> Callable[[Tensor], Tensor]:
        self.shapes.append(example.shape)
        if len(self.shapes) >= self.fails_at:
            raise RuntimeError("operation not permitted when stream is capturing")

        def replay(mixture: Tensor) -> Tensor:
            self.replayed += 1
            return compute(mixture)

        return replay


@torch.inference_mode()
def test_full_chunks_are_recorded_once_and_smaller_batches_filled_up() -> None:
    record = Recorder()
    compute = Captured(double, 100, record=record)
    for batch, length in [(2, 99), (1, 100), (3, 100), (2, 100), (1, 100), (1, 1), (3, 100)]:
        mixture = torch.randn(batch, 2, length)
        assert torch.equal(compute(mixture), 2 * mixture)
    assert record.shapes == [(1, 2, 100), (3, 2, 100)]
    assert record.replayed == 5


@torch.inference_mode()
def test_running_out_of_memory_is_raised() -> None:
    """The caller may try a smaller batch, which is recorded."""

    def greedy(compute: Callable[[Tensor], Tensor], example: Tensor) -> Callable[[Tensor], Tensor]:
        if len(example) > 1:
            raise torch.OutOfMemoryError
        return compute

    compute = Captured(double, 100, record=greedy)
    with pytest.raises(torch.OutOfMemoryError):
        compute(torch.randn(2, 2, 100))
    mixture = torch.randn(1, 2, 100)
    assert torch.equal(compute(mixture), 2 * mixture)
    assert compute.replays


@torch.inference_mode()
def test_no_more_shapes_are_recorded_than_allowed() -> None:
    record = Recorder()
    compute = Captured(double, 100, max_shapes=2, record=record)
    for batch in [1, 2, 3, 4, 3, 1]:
        mixture = torch.randn(batch, 2, 100)
        assert torch.equal(compute(mixture), 2 * mixture)
    assert [shape[0] for shape in record.shapes] == [1, 2]
    assert record.replayed == 3


@torch.inference_mode()
def test_after_an_error_only_earlier_recordings_are_replayed() -> None:
    record = Recorder(fails_at=2)
    compute = Captured(double, 100, max_shapes=5, record=record)
    for batch in [1, 2, 2, 3, 1]:
        mixture = torch.randn(batch, 2, 100)
        assert torch.equal(compute(mixture), 2 * mixture)
    assert [shape[0] for shape in record.shapes] == [1, 2]
    assert record.replayed == 2
    assert "stream is capturing" in str(compute.failure)


def test_the_cpu_records_nothing() -> None:
    compute = Captured(double, 100)
    mixture = torch.randn(1, 2, 100)
    assert torch.equal(compute(mixture), 2 * mixture)
    assert not compute.replays
    assert "only CUDA devices record graphs, not cpu" in str(compute.failure)
