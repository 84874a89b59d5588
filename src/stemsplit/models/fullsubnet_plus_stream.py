"""FullSubNet, where nothing in it hears the whole recording, block by block: the same answer in bounded memory.

With the cumulative norm, a frame of its estimate depends on all frames before it and on `look_ahead` after it. What was
heard before lies in the states of two LSTMs and in two running means; of the signal itself only what frames to come
reach back to is kept.
"""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.models.fullsubnet_plus_layers import Past, Recurrent, State, masked, neighbours, running


class Network(Protocol):
    """A `FullSubNet` with variant "base" and the cumulative norm."""

    config: Any
    fb_model: Any
    sb_model: Any
    window: Tensor

    def padded_length(self, length: int) -> int:
        """See `FullSubNet.padded_length`."""


class Masks:
    """The masks of frames, one after the other, and what has to be remembered for that.

    Args:
        network: whose they are.
    """

    def __init__(self, network: Network) -> None:
        self.config = network.config
        self.full_band: Recurrent = network.fb_model
        self.sub_band: Recurrent = network.sb_model
        self.full_state: State | None = None
        self.sub_state: State | None = None
        self.mean: Past | None = None
        self.mean_around: Past | None = None

    def __call__(self, magnitude: Tensor) -> Tensor:
        """`FullSubNet.compressed_mask` of the frames that come next: (b, f, m) -> (b, 2, f, m), look_ahead frames late.

        In single precision whatever autocast says, as rounding would add up.
        """
        c = self.config
        with torch.autocast(magnitude.device.type, enabled=False):
            scaled, self.mean = running(magnitude[:, None], self.mean)
            full, self.full_state = self.full_band.following(scaled[:, 0], self.full_state)
            around = [neighbours(magnitude, c.sb_num_neighbors), neighbours(full.relu(), c.fb_num_neighbors)]
            features, self.mean_around = running(torch.cat(around, 2), self.mean_around)
            mask, self.sub_state = self.sub_band.following(features.flatten(0, 1), self.sub_state)
        return mask.unflatten(0, features.shape[:2]).transpose(1, 2)


class Stream:
    """Takes one recording apart as it comes, as the network's forward does at once.

    Args:
        network: as for `Masks`.
    """

    def __init__(self, network: Network) -> None:
        self.network, self.config = network, network.config
        self.masks = Masks(network)
        self.reach = self.before = self.config.n_fft // 2  # samples on either side of a frame's place
        self.length = self.given = 0
        self.begun = False
        self.early = self.config.look_ahead  # masks to come that are of no frame
        self.held = self.waiting = self.sums = self.weights = torch.empty(0)

    def put(self, block: Tensor) -> Tensor:
        """Take what comes next.

        Args:
            block: (c, t), at most as much as is to be computed at once.

        Returns:
            What is known by now of the estimate: (1, c, some samples).
        """
        self.held = torch.cat([self.held, block], -1) if self.length else block
        self.length += block.shape[-1]
        if not self._begin():
            return block.new_zeros(1, block.shape[0], 0)
        # One sample more than the frames need is always kept back: with the end reached, it may have to be reflected.
        frames = (self.held.shape[-1] - 1 - self.config.n_fft) // self.config.hop_length + 1
        return self._given(self._advance(self._spectra(max(frames, 0))))

    def end(self) -> Tensor:
        """The rest of the estimate, (1, c, some samples), of a recording that has had some samples."""
        padded = self.network.padded_length(self.length)
        self.held = F.pad(self.held, (0, padded - self.length))
        self._begin()
        self.held = torch.cat([self.held, self.held[:, -self.reach - 1 : -1].flip(-1)], -1)
        frames = self._spectra((self.held.shape[-1] - self.config.n_fft) // self.config.hop_length + 1)
        known = self._advance(F.pad(frames, (0, self.config.look_ahead)))
        rest = torch.cat([known, self.sums / self.weights], -1)
        return self._given(rest[:, : self.length - self.given])

    def _begin(self) -> bool:
        """Continue the recording by reflection before its start, as soon as enough of it is there."""
        if not self.begun and self.held.shape[-1] > self.reach:
            c, samples = self.config, self.held
            self.begun = True
            self.held = torch.cat([samples[:, 1 : self.reach + 1].flip(-1), samples], -1)
            self.waiting = torch.zeros(len(samples), c.num_freqs, 0, dtype=torch.complex64, device=samples.device)
            self.sums = samples.new_zeros(len(samples), c.n_fft - c.hop_length)
            self.weights = samples.new_zeros(c.n_fft - c.hop_length)
        return self.begun

    def _spectra(self, count: int) -> Tensor:
        """The next frames of the recording, (c, f, count), for which nothing but they still needs the samples."""
        c = self.config
        if not count:
            return self.waiting[..., :0]
        span = self.held[:, : (count - 1) * c.hop_length + c.n_fft]
        self.held = self.held[:, count * c.hop_length :]
        return torch.stft(
            span, c.n_fft, c.hop_length, c.win_length, self.network.window, center=False, return_complex=True
        )

    def _advance(self, frames: Tensor) -> Tensor:
        """Of frames (c, f, m), the samples (c, t) of the estimate that nothing is added to any more."""
        if not frames.shape[-1]:
            return self.sums[:, :0]
        mask = self.masks(frames.abs())[..., self.early :]
        self.early = max(self.early - frames.shape[-1], 0)
        self.waiting = torch.cat([self.waiting, frames], -1)
        count = mask.shape[-1]
        speech, self.waiting = masked(self.waiting[..., :count], mask), self.waiting[..., count:]
        return self._added(speech) if count else self.sums[:, :0]

    def _added(self, speech: Tensor) -> Tensor:
        """Add frames (c, f, m) up, as the inverse STFT does; gives what is finished, (c, t)."""
        c, count = self.config, speech.shape[-1]
        begin = (c.n_fft - c.win_length) // 2
        window = F.pad(self.network.window, (begin, c.n_fft - c.win_length - begin))[:, None]
        parts = torch.fft.irfft(speech, c.n_fft, 1) * window  # (c, n_fft, m)
        both = torch.cat([parts, window.square().expand(1, -1, count)])
        size = (1, (count - 1) * c.hop_length + c.n_fft)
        added = F.fold(both, size, (1, c.n_fft), stride=(1, c.hop_length))[:, 0, 0]
        sums, weights = added[:-1], added[-1]
        carried = self.sums.shape[-1]
        sums[:, :carried] += self.sums
        weights[:carried] += self.weights
        done = count * c.hop_length
        self.sums, self.weights = sums[:, done:], weights[done:]
        # What lies before the recording's start, where there may be no weight, is left out.
        before = min(self.before, done)
        self.before -= before
        return sums[:, before:done] / weights[before:done]

    def _given(self, estimate: Tensor) -> Tensor:
        self.given += estimate.shape[-1]
        return estimate[None]
