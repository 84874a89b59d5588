"""Computes RoFormers on a CPU: the network of `models.roformer`, in tiles that fit into the cache.

Tokens are laid out as (k, m, d). A whole layer (norm, attention, feed-forward, both additions) is computed on one tile
before the next: one band along time, a few frames across bands. Intermediate results stay in the cache, and tiles are
tasks of a pool. Norms are folded into the weights that follow them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stemsplit.fast.cpu import int8
from stemsplit.fast.cpu.linear import Linear
from stemsplit.fast.cpu.pool import Pool
from stemsplit.fast.cpu.roformer_attention import gain, unit
from stemsplit.fast.cpu.roformer_layers import FastBlock, Values
from stemsplit.fast.cpu.roformer_masks import masks
from stemsplit.models.roformer import RoFormer
from stemsplit.models.roformer_value_residual import ValueResidualRoFormer
from stemsplit.models.roformer_windowed import WindowedRoFormer

FRAMES = 64
"""Frames of a tile of a spectrogram."""


def band_layer(norm: nn.Module, linear: nn.Module) -> Linear:
    """Make the layer that turns a band's numbers, scaled to length 1, into tokens."""
    return Linear.from_layer(linear, gain=gain(norm), packed=False)


class FastRoFormer:
    """Computes a RoFormer on a CPU.

    Args:
        network: one that `roformers.supports` accepts, with its weights, in float32 on the CPU; it is kept, but not
            changed.
        dtype: type of the products in transformers and mask networks, and of what is between them, such as attention
            scores: float32 or bfloat16. Norms, tokens, Fourier transforms and the products with masks are in float32.
        pool: the threads that compute.
    """

    def __init__(self, network: RoFormer, dtype: torch.dtype, pool: Pool) -> None:
        self.network, self.products, self.dtype, self.pool = network, dtype, int8.others(dtype), pool
        self.bands = network.bands
        self.sinks = None
        if isinstance(network, WindowedRoFormer):
            self.sinks = network.sink_tokens.detach().transpose(0, 1)
        self.keeps_values = isinstance(network, ValueResidualRoFormer)
        layers = network.band_split.to_features
        self.split = pool.map(lambda band: band_layer(*band.children()), layers)
        self.blocks = pool.map(self._block, range(len(network.layers)))
        self.masks = pool.map(lambda stem: masks(stem, network.final_norm, self.dtype, pool), network.mask_estimators)

    def _block(self, index: int) -> tuple[list[nn.Module], FastBlock]:
        """Return a block's transformers over all tokens, which are rare and stay plain, and those along an axis."""
        *linear, time, freq = self.network.layers[index].children()
        return linear, FastBlock(time, freq, self.products, self.pool, keeps=self.keeps_values and index == 0)

    def __call__(self, mixture: Tensor) -> Tensor:
        """Estimate the stems as the network's forward does, (b, c, t) -> (b, n, c, t)."""
        return self.network.grouped(mixture, self.separated)

    def separated(self, x: Tensor) -> Tensor:
        """Separate groups of channels: (b, channels, t) -> (b, n, channels, t), t more than half of `stft_n_fft`."""
        return torch.stack([self._item(item) for item in x])

    def _item(self, x: Tensor) -> Tensor:
        """Separate one group of channels, (channels, t) -> (n, channels, t)."""
        mixture = self.spectrogram(x)
        frames, tokens = mixture.shape[-1], self.tokens(mixture)
        self.transform(tokens)
        estimates = torch.empty(len(self.masks), *x.shape)
        for stem, parts in zip(estimates, self.masks, strict=True):
            self.waveforms(self.masked(parts(tokens[:, -frames:]), mixture), stem)
        return estimates

    def spectrogram(self, x: Tensor) -> Tensor:
        """Compute the STFT, (c, t) -> complex (c, f, m)."""
        frames = x.shape[-1] // self.network.config.stft_hop_length + 1
        spectrogram = torch.empty(len(x), self.network.config.bins, frames, dtype=torch.complex64)

        def channel(index: int) -> None:
            spectrogram[index] = self.network.spectrogram(x[None, index, None])[0, 0]

        self.pool.run(channel, range(len(x)))
        return spectrogram

    def tokens(self, mixture: Tensor) -> Tensor:
        """Turn the bands into tokens, complex (c, f, m) -> (k, m, d), after those that the network puts before."""
        numbers = torch.view_as_real(mixture).permute(2, 1, 0, 3)
        frames, sinks = len(numbers), 0 if self.sinks is None else self.sinks.shape[1]
        tokens = torch.empty(len(self.bands), sinks + frames, self.network.config.dim)
        if self.sinks is not None:
            tokens[:, :sinks] = self.sinks

        def band(index: int) -> None:
            bins = self.bands[index]
            tokens[index, sinks:] = self.split[index](unit(numbers[:, bins.start : bins.stop].reshape(frames, -1)))

        self.pool.run(band, range(len(self.bands)))
        return tokens

    def _values(self, tokens: Tensor) -> Values:
        """Make the room where the values of the first block's attention of all tokens are kept."""
        bands, frames, _ = tokens.shape
        inner = self.network.config.heads * self.network.config.dim_head
        along_time, across_bands = tokens.new_empty(2, bands * frames, inner, dtype=self.dtype)
        return along_time.view(bands, frames, inner), across_bands.view(frames, bands, inner)

    def transform(self, tokens: Tensor) -> None:
        """Apply all blocks to tokens (k, m, d) in place."""
        outputs: list[Tensor] = []
        first = self._values(tokens) if self.keeps_values else None
        for linear, axes in self.blocks:
            for transformer in linear:
                # It attends over all tokens at once, and their order does not matter.
                tokens.copy_(transformer(tokens.flatten(0, 1)[None])[0].view_as(tokens))
            for output in outputs:
                tokens.add_(output)
            axes(tokens, first)
            if self.network.config.skip_connection:
                outputs.append(tokens.clone())

    def masked(self, parts: Sequence[Tensor], mixture: Tensor) -> Tensor:
        """Multiply the mixture, complex (c, f, m), by the mask. A bin in several bands gets the mean of their masks."""
        channels, bins, frames = mixture.shape
        masked = torch.empty_like(mixture)

        def tile_at(start: int) -> None:
            here = slice(start, min(start + FRAMES, frames))
            whole = torch.zeros(here.stop - start, bins, channels, 2)
            for band, part in zip(self.bands, parts, strict=True):
                whole[:, band.start : band.stop] += part[here].view(-1, len(band), channels, 2)
            whole /= self.network.bands_per_bin
            mask = torch.view_as_complex(whole).permute(2, 1, 0)
            torch.mul(mask, mixture[..., here], out=masked[..., here])
            if self.network.config.zero_dc:
                masked[:, 0, here] = 0

        self.pool.run(tile_at, range(0, frames, FRAMES))
        return masked

    def waveforms(self, spectrogram: Tensor, waves: Tensor) -> None:
        """Invert the STFT, complex (c, f, m) -> (c, t), and write the result into `waves`."""

        def channel(index: int) -> None:
            waves[index] = self.network.waveform(spectrogram[None, index, None], waves.shape[-1])[0, 0]

        self.pool.run(channel, range(len(waves)))
