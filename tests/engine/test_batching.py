"""Batcher: chunks of several songs go to the model together, and nothing else of them meets."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stemsplit.engine.batching import ENDINGS, Batcher, Signal
from stemsplit.engine.overlap_add import overlap_add
from stemsplit.fast.cuda.transfer import Copied, Transfer
from tests.engine.test_overlap_add import identity, ramp

CHUNK, HOP = 100, 50


class Spy:
    """A model that remembers what it was given at once; fails where a sample is too loud."""

    def __init__(self, model: Callable[[Tensor], Tensor] = ramp) -> None:
        self.model = model
        self.batches: list[torch.Size] = []

    def __call__(self, mixtures: Tensor) -> Tensor:
        self.batches.append(mixtures.shape)
        if mixtures.abs().max() >= 100:
            raise RuntimeError("too loud")
        return self.model(mixtures)

    @property
    def sizes(self) -> list[int]:
        return [shape[0] for shape in self.batches]


def batcher(model: Callable[[Tensor], Tensor] = ramp, batch_size: int = 4, **more: Any) -> Batcher:
    return Batcher(model, **{"chunk": CHUNK, "hop": HOP, "batch_size": batch_size, **more})


def lasting(*counts: int) -> list[Tensor]:
    """Songs of so many chunks each."""
    return [torch.rand(2, HOP * count + 30) for count in counts]


def estimates(how: Batcher, songs: Iterable[Tensor]) -> list[Tensor]:
    return [torch.cat(list(results), -1) for results in how.streams(Signal([song]) for song in songs)]


def outcomes(how: Batcher, songs: Iterable[Signal]) -> list[str]:
    """What became of each song: why it failed, or nothing."""
    told = []
    for results in how.streams(songs):
        try:
            list(results)
            told.append("")
        except (RuntimeError, OSError) as error:
            told.append(str(error))
    return told


@settings(deadline=None, max_examples=100)
@given(
    lengths=st.lists(st.integers(0, 400), max_size=6),
    hop=st.integers(30, 100),
    window=st.sampled_from(["hann", "linear", "mean"]),
    batch_size=st.integers(1, 6),
    at_once=st.booleans(),
)
def test_each_song_comes_out_as_by_itself(
    lengths: list[int], hop: int, window: Any, batch_size: int, at_once: bool
) -> None:
    """The same bits, whatever was computed beside it."""
    songs = [torch.rand(2, length) for length in lengths]
    how = batcher(batch_size=batch_size, hop=hop, window=window, at_once=at_once)
    found = [list(results) for results in how.streams(Signal(song.split(70, -1)) for song in songs)]
    assert len(found) == len(songs)
    for song, results in zip(songs, found, strict=True):
        if song.numel():
            assert torch.equal(torch.cat(results, -1), overlap_add(song, ramp, chunk=CHUNK, hop=hop, window=window))
        else:
            assert results == []


@pytest.mark.parametrize("counts", [(9,), (3, 5, 4), (2, 2, 2, 2, 2), (7, 2, 6, 2)])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_only_the_last_batch_of_all_is_not_full(counts: tuple[int, ...], size: int) -> None:
    spy = Spy()
    estimates(batcher(spy, size), lasting(*counts))
    full, rest = divmod(sum(counts), size)
    assert spy.sizes == [size] * full + [rest] * bool(rest)


def test_a_batch_waits_for_no_more_than_some_songs_to_end() -> None:
    """All that belongs to them stays open meanwhile."""
    spy, songs = Spy(), lasting(*[2] * 10)
    asked = []

    def each() -> Iterator[Signal]:
        for number, song in enumerate(songs):
            asked.append(number)
            yield Signal([song])

    streams = batcher(spy, batch_size=1_000).streams(each())
    next(next(streams))
    assert len(asked) == ENDINGS
    assert spy.sizes == [2 * ENDINGS]


def test_songs_of_other_layouts_are_not_computed_together() -> None:
    spy, (first, second, third) = Spy(), lasting(3, 3, 3)
    estimates(batcher(spy), [first, second[:1], third[:1]])
    assert spy.batches == [(3, 2, CHUNK), (4, 1, CHUNK), (2, 1, CHUNK)]


def test_one_at_a_time_nothing_is_read_before_it_is_wanted() -> None:
    """Neither the next chunk, where a batch is one, nor the next song."""
    spy, asked = Spy(), []

    def each() -> Iterator[Signal]:
        for number, song in enumerate(lasting(3, 3)):
            asked.append(number)
            yield Signal([song])

    streams = batcher(spy, 1).streams(each())
    first = next(streams)
    assert (asked, spy.sizes) == ([0], [])
    for _ in first:
        assert asked == [0]
    second = next(streams)
    assert (asked, spy.sizes) == ([0, 1], [1, 1, 1])
    list(second)
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("size", [1, 4])
def test_a_song_that_cannot_be_computed_fails_alone(size: int, at_once: bool) -> None:
    songs = lasting(3, 6, 6)
    songs[1][:, 80] = 100
    how, told = batcher(Spy(), size, at_once=at_once), []
    for song, results in zip(songs, how.streams(Signal([song]) for song in songs), strict=True):
        try:
            assert torch.equal(torch.cat(list(results), -1), overlap_add(song, ramp, chunk=CHUNK, hop=HOP))
            told.append("")
        except RuntimeError as error:
            told.append(str(error))
    assert told == ["", "too loud", ""]


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("size", [1, 4])
def test_a_song_that_cannot_be_read_fails_alone_and_is_read_no_further(size: int, at_once: bool) -> None:
    def broken() -> Iterator[Tensor]:
        yield torch.rand(2, 10 * CHUNK)
        raise OSError("the disk is gone")

    songs = [Signal([torch.rand(2, 130)]), Signal(broken()), Signal([torch.rand(2, 130)])]
    assert outcomes(batcher(batch_size=size, at_once=at_once), songs) == ["", "the disk is gone", ""]


@pytest.mark.parametrize("size", [1, 4])
def test_of_a_song_that_failed_or_was_given_up_no_more_is_read(size: int) -> None:
    read = []

    def blocks() -> Iterator[Tensor]:
        for number in range(1_000):
            read.append(number)
            yield torch.full((2, HOP), 100.0 if number == 0 else 0.1)

    told = outcomes(batcher(Spy(), size), [Signal(blocks()), Signal([torch.rand(2, 130)])])
    assert told == ["too loud", ""]
    assert len(read) < 20
    read.clear()
    streams = batcher(batch_size=size).streams([Signal([torch.rand(2, 130)]), Signal(blocks())])
    next(next(streams))  # of the first song
    next(next(streams))
    assert next(streams, None) is None
    assert len(read) < 20


def test_what_fails_for_want_of_memory_is_tried_song_by_song() -> None:
    """Together they are too much for the device; each by itself is not."""

    def small(mixtures: Tensor) -> Tensor:
        if len(mixtures) > 3:
            raise torch.OutOfMemoryError
        return ramp(mixtures)

    songs = lasting(2, 2)
    for song, found in zip(songs, estimates(batcher(small), songs), strict=True):
        assert torch.equal(found, overlap_add(song, ramp, chunk=CHUNK, hop=HOP))


class Full(Transfer):
    """A device with no room for what comes ahead of time, and sometimes for none at all."""

    def __init__(self, refusals: int) -> None:
        super().__init__(torch.device("cpu"))
        self.refusals = refusals

    def to_device(self, x: Tensor) -> Copied:
        self.refusals -= 1
        if self.refusals >= 0:
            raise torch.OutOfMemoryError("no room")
        return super().to_device(x)


def test_what_the_device_has_no_room_for_yet_is_sent_again_when_it_is_wanted() -> None:
    assert outcomes(batcher(transfer=Full(1)), [Signal([song]) for song in lasting(3, 3)]) == ["", ""]
    assert outcomes(batcher(transfer=Full(1_000)), [Signal([song]) for song in lasting(3, 3)]) == ["no room"] * 2


def test_the_model_computes_while_songs_are_read_and_results_are_taken() -> None:
    """Where all goes on at once: before the first result is taken, later chunks are computed."""
    later = threading.Event()

    def model(mixtures: Tensor) -> Tensor:
        if len(spy.sizes) > 2:
            later.set()
        return identity(mixtures)

    spy = Spy(model)
    streams = batcher(spy, 1, at_once=True).streams([Signal([lasting(9)[0]])])
    next(streams)
    assert later.wait(60)
    streams.close()


def slow(count: int = 1_000) -> Iterator[Tensor]:
    for _ in range(count):
        time.sleep(0.001)
        yield torch.rand(2, HOP)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_whoever_stops_early_can_close_what_goes_on_at_once(size: int, taken: int) -> None:
    """No thread is left, and nobody reads the songs any longer."""
    before, songs = threading.active_count(), [slow(), slow()]
    streams = batcher(batch_size=size, at_once=True).streams(map(Signal, songs))
    results = next(streams)
    for _ in range(taken):
        next(results)
    results.close()
    streams.close()
    assert threading.active_count() == before
    for song in songs:
        song.close()  # type: ignore[attr-defined]  # a generator


@pytest.mark.parametrize("changes", [{"hop": 0}, {"hop": 101}, {"batch_size": 0}, {"window": "boxcar"}])
def test_impossible_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        batcher(**changes)


def test_a_model_that_changes_the_length_is_refused() -> None:
    with pytest.raises(ValueError, match="the model gave"):
        estimates(batcher(lambda x: x[:, None, :, 1:]), lasting(3))
