"""Computes ensembles of stereo networks on a CPU: the mean of their members' estimates, filtered and bounded."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.fast.cpu.pool import Pool, torch_threads
from stemsplit.fast.cpu.wiener import WienerFilter, fourier_of
from stemsplit.models.bounded import WINDOW, drawn, kept
from stemsplit.models.ensemble import Ensemble, mid_side

SAMPLES = 1 << 15
"""Samples of a tile of signals."""

Compute = Callable[[Tensor], Tensor]


class FastEnsemble:
    """Computes an `Ensemble`.

    Mid and side are left and right after a rotation, which neither the mean nor the filter depends on. If all members
    take mid and side, everything is computed in them, and only the result is turned back.

    Args:
        network: the ensemble.
        members: what computes each of its members, (b, c, t) -> (b, its stems, c, t).
        pool: the threads that compute.
    """

    def __init__(self, network: Ensemble, members: Sequence[Compute], pool: Pool) -> None:
        self.network, self.members, self.pool = network, members, pool
        self.rotated = all(member.mid_side for member in network.descriptions)
        total = sum(member.share for member in network.descriptions)
        self.shares = [member.share / total for member in network.descriptions]

    @torch.inference_mode()
    def __call__(self, mixture: Tensor) -> Tensor:
        """Estimate the stems, (b, c, t) -> (b, n, c, t)."""
        config = self.network.config
        if not config.wiener or self.network.channels != 2 or mixture.shape[1] % 2 or mixture.device.type != "cpu":
            with torch_threads(self.pool.threads):
                return self.network.averaged(mixture, self.members)
        own = mid_side(mixture) if self.rotated else mixture
        estimates = [
            self._estimated(compute, own, member.mid_side != self.rotated)
            for compute, member in zip(self.members, self.network.descriptions, strict=True)
        ]
        result = mixture.new_empty(len(mixture), config.num_stems, *mixture.shape[1:])
        for item in range(len(mixture)):
            for first in range(0, mixture.shape[1], 2):
                pair = slice(first, first + 2)
                self._combine(own[item, pair], [x[item, :, pair] for x in estimates], result[item, :, pair])
                self._bound(mixture[item, pair], result[item, :, pair])
        return result

    @staticmethod
    def _estimated(compute: Compute, mixture: Tensor, turned: bool) -> Tensor:
        """Return a member's estimates of a mixture, which it is to be given mid and side or left and right of."""
        return mid_side(compute(mid_side(mixture))) if turned else compute(mixture)

    def _combine(self, mixture: Tensor, estimates: Sequence[Tensor], result: Tensor) -> None:
        """Combine the members' estimates (its stems, 2, t) of a mixture (2, t) into a result (n, 2, t)."""
        config, length = self.network.config, mixture.shape[-1]
        fourier = fourier_of(config.wiener_n_fft)
        # The transform reflects a signal beyond its ends, for which it must be long enough.
        enough = max(length, fourier.size // 2 + 1)
        room = fourier.room(config.num_stems, 2, length=enough)
        mean = fourier.inside(room)
        mean[..., length:] = 0
        starts = range(0, length, SAMPLES)
        self.pool.run(lambda i: self._average(mixture, estimates, mean, slice(i, min(i + SAMPLES, length))), starts)
        fourier.reflect(room)
        padded = fourier.padded(F.pad(mixture, (0, enough - length)))
        refined = WienerFilter(padded, room, fourier.size, self.pool)

        def finish(tile: slice) -> None:
            here, sources = refined.take(tile)
            here = slice(here.start, min(here.stop, length))
            sources = sources[..., : max(here.stop - here.start, 0)]
            mixed = mean[..., here]
            # The filtered sources add up to the mixture, so the last one is what the others leave of it.
            rest = mixture[:, here] - sources.sum(0)
            blended = torch.empty(mixed.shape)
            torch.lerp(mixed[:-1], sources, config.wiener, out=blended[:-1])
            torch.lerp(mixed[-1], rest, config.wiener, out=blended[-1])
            if self.rotated:
                blended *= math.sqrt(0.5)
                torch.add(blended[:, 0], blended[:, 1], out=result[:, 0, here])
                torch.sub(blended[:, 0], blended[:, 1], out=result[:, 1, here])
            else:
                result[:, :, here] = blended

        self.pool.run(finish, refined.tiles())

    def _bound(self, mixture: Tensor, result: Tensor) -> None:
        """Bound the stems (n, 2, t) of a mixture (2, t), as `models.bounded` says, where they lie."""
        length = mixture.shape[-1]
        keep = mixture.new_empty(length)

        def measure(first: int) -> None:
            # With the windows that end and begin in this tile.
            start, stop = max(first - WINDOW, 0), min(first + SAMPLES + WINDOW, length)
            here = slice(first, min(first + SAMPLES, length))
            found = kept(mixture[None, :, start:stop], result[None, ..., start:stop])
            keep[here] = found[0, here.start - start : here.stop - start]

        self.pool.run(measure, range(0, length, SAMPLES))
        if bool((keep < 1).any()):
            result.copy_(drawn(mixture[None], result[None], keep[None])[0])

    def _average(self, mixture: Tensor, estimates: Sequence[Tensor], mean: Tensor, here: slice) -> None:
        """Average some samples of the members' estimates."""
        own = mean[..., here]
        own.zero_()
        for member, share, estimate in zip(self.network.descriptions, self.shares, estimates, strict=True):
            for place, stem in zip(member.places, estimate[..., here], strict=True):
                own[place].add_(stem, alpha=share)
            for missing in set(range(len(own))) - set(member.places):
                own[missing].add_(mixture[:, here] - estimate[..., here].sum(0), alpha=share)
