"""Runs a network over songs, each as one from its beginning to its end, where none of it has to be heard at once."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Protocol

import torch
from torch import Tensor

from stemsplit.engine.batching import Signal
from stemsplit.fast.cpu.pool import torch_threads


class Stream(Protocol):
    """What takes one song apart, and remembers what it has heard of it."""

    def put(self, block: Tensor) -> Tensor:
        """Take what comes next, (c, some samples); gives what is known by now of the estimates, (n, c, some)."""

    def end(self) -> Tensor:
        """The rest of the estimates, (n, c, some samples)."""


class Streaming:
    """Computes songs, one at a time; to be used as `stemsplit.engine.batching.Batcher` is.

    Args:
        begin: makes what takes a song apart, for each song anew.
        block: samples computed at once.
        device: that computes.
        threads: of PyTorch's own, on a CPU.
        checked: gives estimates back, or raises what is wrong with them.
    """

    def __init__(
        self,
        begin: Callable[[], Stream],
        *,
        block: int,
        device: torch.device,
        threads: int,
        checked: Callable[[Tensor], Tensor],
    ) -> None:
        self.begin, self.block, self.device, self.threads, self.checked = begin, block, device, threads, checked

    def streams(self, songs: Iterable[Signal]) -> Generator[Generator[Tensor, None, None], None, None]:
        """Estimate the stems of songs, in memory that grows neither with their length nor with their number.

        The next song is asked for when nothing more is wanted of the one before. What goes wrong while a song is read
        or computed is raised where its results are asked for, and leaves the other songs as they are.

        Args:
            songs: one after the other.

        Yields:
            Each song's results: (n, c, some samples), float32 on the CPU, together as long as the song. They are to be
            used up, or are given up, before the next song's are asked for.
        """
        for song in songs:
            with closing(self._estimates(song.blocks)) as results:
                yield results

    def _estimates(self, blocks: Iterable[Tensor]) -> Generator[Tensor, None, None]:
        stream = self.begin()
        heard = False
        for block in blocks:
            for part in block.split(self.block, -1):
                heard = True
                yield from self._computed(stream.put, part)
        if heard:
            yield from self._computed(stream.end)

    @torch.inference_mode()
    def _computed(self, step: Callable[..., Tensor], *parts: Tensor) -> tuple[Tensor, ...]:
        """What a step gives, on the host, if there is any."""
        with torch_threads(self.threads):
            estimates = self.checked(step(*(part.to(self.device) for part in parts)))
        return (estimates.cpu(),) if estimates.shape[-1] else ()
