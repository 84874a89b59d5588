"""Songs computed as one each: block by block, each failing on its own."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from stemsplit.engine.batching import Signal
from stemsplit.engine.streaming import Streaming

DELAY = 5


class Delayed:
    """Gives twice what it is given, some samples late."""

    def __init__(self) -> None:
        self.held = torch.zeros(2, 0)

    def put(self, block: Tensor) -> Tensor:
        assert block.shape[-1] <= 7
        if block.isnan().any():
            raise RuntimeError("no number")
        samples = torch.cat([self.held, block], -1)
        count = max(samples.shape[-1] - DELAY, 0)
        self.held = samples[:, count:]
        return 2 * samples[None, :, :count]

    def end(self) -> Tensor:
        return 2 * self.held[None]


def as_it_is(estimates: Tensor) -> Tensor:
    return estimates


def streaming(checked=as_it_is) -> Streaming:  # type: ignore[no-untyped-def]
    return Streaming(Delayed, block=7, device=torch.device("cpu"), threads=1, checked=checked)


def song(length: int, block: int = 4) -> tuple[Tensor, Signal]:
    samples = torch.randn(2, length)
    return samples, Signal(samples.split(block, -1))


def test_each_song_is_begun_anew_and_comes_out_whole() -> None:
    songs = [song(length, block) for length, block in ((1, 4), (20, 3), (4, 4), (100, 50))]
    for (samples, _), results in zip(songs, streaming().streams(song for _, song in songs), strict=True):
        assert torch.equal(torch.cat(list(results), -1)[0], 2 * samples)


def test_a_song_of_nothing_gives_nothing() -> None:
    (results,) = (list(results) for results in streaming().streams([Signal([])]))
    assert results == []


def test_what_fails_fails_alone() -> None:
    """While it is read, while it is computed, or at its last sample."""

    def broken() -> Iterator[Tensor]:
        yield torch.ones(2, 20)
        raise OSError("gone")

    (samples, good), (_, cut) = song(30), song(20)
    cut.blocks = [*cut.blocks, torch.full((2, 1), torch.nan)]
    found = streaming().streams([Signal(broken()), cut, good])
    with pytest.raises(OSError, match="gone"):
        list(next(found))
    with pytest.raises(RuntimeError, match="no number"):
        list(next(found))
    assert torch.equal(torch.cat(list(next(found)), -1)[0], 2 * samples)


def test_what_is_found_wrong_is_raised() -> None:
    def refuse(_: Tensor) -> Tensor:
        raise ValueError("wrong")

    found = streaming(refuse).streams([song(9)[1]])
    with pytest.raises(ValueError, match="wrong"):
        list(next(found))


def test_a_song_is_read_no_further_than_it_is_wanted() -> None:
    """Nor is the next one asked for, and one that is given up is read no more."""
    read = []

    def counted(number: int) -> Iterator[Tensor]:
        for _ in range(10):
            read.append(number)
            yield torch.ones(2, 7)

    found = streaming().streams(Signal(counted(number)) for number in range(2))
    next(next(found))
    assert read == [0]
    first = next(found)
    next(first)
    assert read == [0, 1]
    found.close()
    assert list(first) == []


def test_whoever_reads_results_is_not_in_inference_mode() -> None:
    for results in streaming().streams([song(30)[1]]):
        for _ in results:
            assert not torch.is_inference_mode_enabled()
