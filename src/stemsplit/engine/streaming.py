"""Streams songs through a causal network: the result of one pass over the whole song, in constant memory."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Protocol

import torch
from torch import Tensor

from stemsplit.engine.batching import Signal
from stemsplit.engine.estimator import too_loud
from stemsplit.errors import StemsplitError
from stemsplit.fast.cpu.pool import torch_threads


class Stream(Protocol):
    """The state of a causal network within one song."""

    def put(self, block: Tensor) -> Tensor:
        """Take the next samples, (c, some), and return the estimates that are finished, (n, c, some)."""

    def end(self) -> Tensor:
        """Return the rest of the estimates, (n, c, some samples)."""


class Streaming:
    """Computes songs one at a time, with the interface of `stemsplit.engine.batching.Batcher`.

    Args:
        begin: function that makes a new `Stream` for each song.
        block: largest number of samples computed at once.
        device: the device that computes.
        threads: number of PyTorch's own threads, on a CPU.
        checked: function that returns estimates, or raises an error if they are not finite.
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

        An error in reading or computing a song is raised among the results of that song, and does not affect the
        others.

        Args:
            songs: songs to compute, in order; each is asked for once the results of the previous one are used up.

        Yields:
            Each song's results: (n, c, some samples), float32 on the CPU, together as long as the song. Use them up
            before you ask for the next song, at which the rest is lost.
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
        """Compute one step, and return its estimates on the host, if there are any."""
        with torch_threads(self.threads):
            given = [part.to(self.device) for part in parts]
            estimates = step(*given)
            try:
                estimates = self.checked(estimates)
            except StemsplitError as error:
                if loud := too_loud(*given):
                    raise loud from error
                raise
        return (estimates.cpu(),) if estimates.shape[-1] else ()
