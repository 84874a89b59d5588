"""Computes RoFormers on a CPU: the network of `models.roformer`, in tiles that fit into the cache.

Tokens are laid out as (k, m, d). A whole layer (norm, attention, feed-forward, both additions) is computed on one tile
before the next: one band along time, a few frames across bands. Intermediate results stay in the cache, and tiles are
tasks of a pool. Norms are folded into the weights that follow them.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from stemsplit.fast.cpu import int8
from stemsplit.fast.cpu.fourier import Fourier, OverlapAdd
from stemsplit.fast.cpu.linear import Linear
from stemsplit.fast.cpu.pool import Pool
from stemsplit.fast.cpu.roformer_attention import gain, unit
from stemsplit.fast.cpu.roformer_layers import FastBlock, Values
from stemsplit.fast.cpu.roformer_masks import masks
from stemsplit.models.roformer import RoFormer
from stemsplit.models.roformer_value_residual import ValueResidualRoFormer
from stemsplit.models.roformer_windowed import WindowedRoFormer

FRAMES = 32
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
        self.bands, c = network.bands, network.config
        self.in_sequence = all(band.stop == after.start for band, after in pairwise(self.bands))
        self.bands_per_number = network.bands_per_bin.flatten().repeat_interleave(2 * c.channels)
        self.fourier = Fourier(c.stft_n_fft, c.stft_hop_length, network.window, c.stft_normalized)
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
        if not self.fourier.invertible(x.shape[-1]):
            return self.network.separated(x)  # as far as it can be: PyTorch says what is wrong
        estimates = x.new_empty(len(x), len(self.masks), *x.shape[1:])
        for item, result in zip(x, estimates, strict=True):
            self._item(item, result)
        return estimates

    def _item(self, x: Tensor, result: Tensor) -> None:
        """Separate one group of channels, (channels, t), and write the stems into `result`, (n, channels, t)."""
        waves = OverlapAdd(self.fourier, result[:, :, 0].numel(), x.shape[-1], FRAMES)
        mixture = self.spectrogram(x, waves.tiles())
        tokens = self.tokens(mixture)
        self.transform(tokens)
        for stem, parts in enumerate(self.masks):
            self.invert(parts(tokens[:, -waves.frames :]), mixture, waves, stem * len(x))

        def finish(tile: slice) -> None:
            here, samples = waves.take(tile)
            result[..., here] = samples.unflatten(0, result.shape[:2])

        self.pool.run(finish, waves.tiles())

    def spectrogram(self, x: Tensor, tiles: list[slice]) -> Tensor:
        """Compute the STFT, (c, t) -> complex (m, f, c)."""
        padded = self.fourier.padded(x)
        spectrogram = torch.empty(tiles[-1].stop, self.network.config.bins, len(x), dtype=torch.complex64)

        def tile(frames: slice) -> None:
            spectrogram[frames] = self.fourier.spectra(padded, frames).permute(1, 2, 0)

        self.pool.run(tile, tiles)
        return spectrogram

    def tokens(self, mixture: Tensor) -> Tensor:
        """Turn the bands into tokens, complex (m, f, c) -> (k, m, d), after those that the network puts before."""
        numbers = torch.view_as_real(mixture)
        frames, sinks = len(numbers), 0 if self.sinks is None else self.sinks.shape[1]
        tokens = torch.empty(len(self.bands), sinks + frames, self.network.config.dim)
        if self.sinks is not None:
            tokens[:, :sinks] = self.sinks

        def band(index: int) -> None:
            bins = self.bands[index]
            tokens[index, sinks:] = self.split[index](unit(numbers[:, bins.start : bins.stop].flatten(1)))

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

    def invert(self, parts: Sequence[Tensor], mixture: Tensor, waves: OverlapAdd, first: int) -> None:
        """Multiply the mixture by a stem's mask, and put the products' inverse transforms into `waves`.

        Args:
            parts: mask of each band, (m, numbers of the band). A bin in several bands gets the mean of their masks.
            mixture: complex (m, f, c).
            waves: where to put all channels.
            first: place of the first channel.
        """
        _, bins, channels = mixture.shape

        def tile(frames: slice) -> None:
            mask = self._whole([part[frames] for part in parts])
            masked = torch.view_as_complex(mask.view(-1, bins, channels, 2)).mul_(mixture[frames])
            if self.network.config.zero_dc:
                masked[:, 0] = 0
            waves.put(masked.permute(2, 0, 1).contiguous(), frames, first)

        self.pool.run(tile, waves.tiles())

    def _whole(self, parts: Sequence[Tensor]) -> Tensor:
        """Join the masks of all bands, (frames, numbers of the band) each, to (frames, numbers of all bins)."""
        if self.in_sequence:
            return torch.cat(list(parts), 1)
        numbers = 2 * self.network.config.channels
        whole = torch.zeros(len(parts[0]), numbers * self.network.config.bins)
        for band, part in zip(self.bands, parts, strict=True):
            whole[:, numbers * band.start : numbers * band.stop] += part
        return whole.div_(self.bands_per_number)
