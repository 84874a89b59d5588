"""Copies to a device and back are not read before they are complete, and memory is not reused before it is read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stemsplit.fast.cuda.transfer import Transfer


def test_on_other_devices_copies_are_made_at_once() -> None:
    transfer, x = Transfer(torch.device("cpu")), torch.rand(3)
    assert transfer.to_device(x)() is x
    assert transfer.to_host(x)() is x
    assert Transfer(torch.device("meta")).to_device(x)().is_meta


class Stream:
    """A device's queue that does everything as late as possible: when somebody waits for it."""

    def __init__(self, _device: Any = None) -> None:
        self.queue: list[Callable[[], object]] = []

    def run(self, until: int | None = None) -> None:
        while self.queue and until != 0:
            self.queue.pop(0)()
            until = None if until is None else until - 1

    def record_event(self) -> "Event":
        return Event(self)

    def wait_event(self, event: "Event") -> None:
        self.queue.append(event.synchronize)

    def wait_stream(self, other: "Stream") -> None:
        self.wait_event(other.record_event())


class Event:
    def __init__(self, stream: Stream) -> None:
        self.stream, self.passed = stream, False
        stream.queue.append(self.happen)

    def happen(self) -> None:
        self.passed = True

    def synchronize(self) -> None:
        while not self.passed:
            self.stream.run(1)


class Device(TorchFunctionMode):
    """Stands in for PyTorch's CUDA device, with memory of the host.

    A copy that does not block is made only when its stream runs, from what is then in the memory. Until then its target
    is NaN.
    """

    def __init__(self) -> None:
        super().__init__()
        self.computing = Stream()
        self.current = self.computing
        self.locked: list[int] = []
        self.used: list[tuple[int, Stream]] = []

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def later(self, into: Tensor, source: Tensor) -> Tensor:
        into.fill_(torch.nan)
        self.current.queue.append(lambda: into.copy_(source))
        return into

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.pin_memory or kwargs.pop("pin_memory", False):
            locked = func(*args, **kwargs) if func is torch.empty else args[0].clone()
            self.locked.append(locked.data_ptr())
            return locked
        if func is Tensor.to and kwargs.get("non_blocking"):
            assert args[0].data_ptr() in self.locked, "otherwise the host would wait"
            return self.later(torch.empty_like(args[0]), args[0])
        if func is Tensor.copy_ and kwargs.get("non_blocking"):
            assert args[0].data_ptr() in self.locked, "otherwise the host would wait"
            return self.later(args[0], args[1])
        return func(*args, **kwargs)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    stand_in = Device()
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", stand_in.stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stand_in.current)
    monkeypatch.setattr(Tensor, "record_stream", lambda x, stream: stand_in.used.append((x.data_ptr(), stream)))
    with stand_in:
        yield stand_in


def test_computation_waits_for_its_input(device: Device) -> None:
    transfer, mixtures = Transfer(torch.device("cuda")), [torch.rand(5) for _ in range(3)]
    coming = [transfer.to_device(mixture) for mixture in mixtures]
    for mixture, arrived in zip(mixtures, coming, strict=True):
        copy = arrived()
        assert copy.isnan().all()  # the host has not waited
        device.computing.run()
        assert torch.equal(copy, mixture)
        assert (copy.data_ptr(), device.computing) in device.used


def test_results_are_not_read_before_they_are_computed(device: Device) -> None:
    transfer, coming, expected = Transfer(torch.device("cuda")), [], []
    for _ in range(3):
        result, values = torch.full((5,), torch.nan), torch.rand(5)
        device.computing.queue.append(lambda result=result, values=values: result.copy_(values))
        coming.append(transfer.to_host(result))
        expected.append(values)
        assert (result.data_ptr(), transfer.down) in device.used
    assert len(device.computing.queue) > 3  # all copies are queued, and the host has not waited
    for arrived, values in zip(coming, expected, strict=True):
        assert torch.equal(arrived(), values)


def test_an_upload_does_not_wait_for_a_download(device: Device) -> None:
    """A download waits for its result to be computed."""
    transfer, mixture = Transfer(torch.device("cuda")), torch.rand(5)
    transfer.to_host(torch.rand(5))
    arrived = transfer.to_device(mixture)
    transfer.up.run()
    copy = arrived()
    assert torch.equal(copy, mixture)
    assert device.computing.queue
