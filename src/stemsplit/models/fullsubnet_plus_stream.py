"""Streams a recording through a causal FullSubNet block by block: the result of `forward`, in bounded memory.

With a cumulative norm, a frame of the estimate depends on all frames before it and on `look_ahead` frames after it.
The past is kept in the states of two recurrent networks and two norms; of the signal itself, only the samples that
later frames reach back to are kept.
"""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.models.fullsubnet_plus_layers import Past, Recurrent, State, masked, neighbours, running
from stemsplit.models.network import in_float32


class CausalFullSubNet(Protocol):
    """A `FullSubNet` with variant "base" and a cumulative norm."""

    config: Any
    fb_model: Any
    sb_model: Any
    window: Tensor

    def padded_length(self, length: int) -> int:
        """See `FullSubNet.padded_length`."""


class Masks:
    """Computes the masks of successive frames, and keeps the state between them.

    Args:
        network: the network that computes the masks.
    """

    def __init__(self, network: CausalFullSubNet) -> None:
        self.config = network.config
        self.full_band: Recurrent = network.fb_model
        self.sub_band: Recurrent = network.sb_model
        self.full_state: State | None = None
        self.sub_state: State | None = None
        self.past: Past | None = None
        self.past_around: Past | None = None

    def __call__(self, magnitude: Tensor) -> Tensor:
        """Compute `FullSubNet.compressed_mask` for the next frames, look_ahead frames late: (b, f, m) -> (b, 2, f, m).

        It is computed in float32 even under autocast, because rounding errors would add up.
        """
        c = self.config
        with in_float32(magnitude.device):
            scaled, self.past = running(magnitude[:, None], c.norm_type, self.past)
            full, self.full_state = self.full_band.following(scaled[:, 0], self.full_state)
            around = [neighbours(magnitude, c.sb_num_neighbors), neighbours(full, c.fb_num_neighbors)]
            features, self.past_around = running(torch.cat(around, 2), c.norm_type, self.past_around)
            mask, self.sub_state = self.sub_band.following(features.flatten(0, 1), self.sub_state)
        return mask.unflatten(0, features.shape[:2]).transpose(1, 2)


class Stream:
    """Separates one recording block by block, with the result of the network's forward for the whole.

    Args:
        network: the network to stream through.
    """

    def __init__(self, network: CausalFullSubNet) -> None:
        self.network, self.config = network, network.config
        self.masks = Masks(network)
        self.reach = self.before = self.config.n_fft // 2  # samples on either side of a frame's centre
        self.length = self.emitted = 0
        self.begun = False
        self.surplus = self.config.look_ahead  # masks to discard: the first look_ahead ones belong to no frame
        self.held = self.waiting = self.sums = self.weights = torch.empty(0)

    def put(self, block: Tensor) -> Tensor:
        """Take the next block of the recording.

        Args:
            block: (c, t), of any length; it is computed at once.

        Returns:
            The samples of the estimate that are final now, (1, c, t), t from 0 up.
        """
        self.held = torch.cat([self.held, block], -1) if self.length else block
        self.length += block.shape[-1]
        if not self._begin():
            return block.new_zeros(1, block.shape[0], 0)
        # One sample more than the frames need is always kept back, as the padding at the end reflects it.
        frames = (self.held.shape[-1] - 1 - self.config.n_fft) // self.config.hop_length + 1
        return self._emit(self._advance(self._spectra(max(frames, 0))))

    def end(self) -> Tensor:
        """Return the rest of the estimate, (1, c, t), t from 0 up. At least one block must have been put."""
        padded = self.network.padded_length(self.length)
        self.held = F.pad(self.held, (0, padded - self.length))
        self._begin()
        self.held = torch.cat([self.held, self.held[:, -self.reach - 1 : -1].flip(-1)], -1)
        frames = self._spectra((self.held.shape[-1] - self.config.n_fft) // self.config.hop_length + 1)
        final = self._advance(F.pad(frames, (0, self.config.look_ahead)))
        rest = torch.cat([final, self.sums / self.weights], -1)
        return self._emit(rest[:, : self.length - self.emitted])

    def _begin(self) -> bool:
        """Pad the recording's start by reflection once there are enough samples, and return whether that is done."""
        if not self.begun and self.held.shape[-1] > self.reach:
            c, samples = self.config, self.held
            self.begun = True
            self.held = torch.cat([samples[:, 1 : self.reach + 1].flip(-1), samples], -1)
            self.waiting = torch.zeros(len(samples), c.num_freqs, 0, dtype=torch.complex64, device=samples.device)
            self.sums = samples.new_zeros(len(samples), c.n_fft - c.hop_length)
            self.weights = samples.new_zeros(c.n_fft - c.hop_length)
        return self.begun

    def _spectra(self, count: int) -> Tensor:
        """Compute the next frames of the recording, (c, f, count), and drop the samples that no later frame needs."""
        c = self.config
        if not count:
            return self.waiting[..., :0]
        span = self.held[:, : (count - 1) * c.hop_length + c.n_fft]
        self.held = self.held[:, count * c.hop_length :]
        return torch.stft(
            span, c.n_fft, c.hop_length, c.win_length, self.network.window, center=False, return_complex=True
        )

    def _advance(self, frames: Tensor) -> Tensor:
        """Mask frames (c, f, m), and return the samples (c, t) of the estimate that are final."""
        if not frames.shape[-1]:
            return self.sums[:, :0]
        mask = self.masks(frames.abs())[..., self.surplus :]
        self.surplus = max(self.surplus - frames.shape[-1], 0)
        self.waiting = torch.cat([self.waiting, frames], -1)
        count = mask.shape[-1]
        speech, self.waiting = masked(self.waiting[..., :count], mask), self.waiting[..., count:]
        return self._added(speech) if count else self.sums[:, :0]

    def _added(self, speech: Tensor) -> Tensor:
        """Overlap-add frames (c, f, m) as the inverse STFT does, and return the final samples (c, t)."""
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
        # Samples before the recording's start are left out; their weights may be zero.
        before = min(self.before, done)
        self.before -= before
        return sums[:, before:done] / weights[before:done]

    def _emit(self, estimate: Tensor) -> Tensor:
        self.emitted += estimate.shape[-1]
        return estimate[None]
