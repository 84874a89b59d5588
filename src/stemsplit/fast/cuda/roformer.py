"""Computes RoFormers on a GPU: few launches, the same ones for every chunk, with products in half precision.

This has not been measured on a GPU yet; it is only known to give the same results on the CPU.

Tokens are (k, b, m, d), bands first, in float32 from the band split to the masks. So each band's own layers are batched
products over (k, b * m, d), and both attentions take their tokens as views, without a copy. Nothing is read back from
the device, and all shapes follow from the input's, so a whole run can be recorded as a CUDA graph. float32 stays exact;
to get TF32, set `torch.backends.cuda.matmul.fp32_precision`, which applies to the whole process.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cuda.bands import Bands
from stemsplit.fast.cuda.roformer_layers import Storage, Transformer, direction, gain, rms_norm
from stemsplit.models.roformer import RoFormer


class BandSplit:
    """Turns each band of each frame into a token.

    It always computes in float32: it is a hundredth of the work, and everything later is added to its result.
    """

    def __init__(self, plain: nn.ModuleList, bands: Bands, device: torch.device) -> None:
        self.groups, storage = bands.groups, Storage(torch.float32, device)
        self.sources = bands.sources().to(device)
        self.weights: list[tuple[Tensor, Tensor]] = []
        for group in bands.groups:
            layers = [plain[band].state_dict() for band in bands.members(group)]
            folded = [layer["1.weight"] * gain(layer["0.gamma"]) for layer in layers]
            dim = len(folded[0])
            biases = storage.stacked([layer["1.bias"][None] for layer in layers], 1, dim)
            self.weights.append((storage.stacked(folded, dim, group.widest), biases))
        back = torch.tensor(bands.order).argsort()
        self.back = None if bands.ordered else back.to(device)

    def __call__(self, frames: Tensor) -> Tensor:
        """Turn frames into tokens: float32 (rows, numbers + 1), the last a zero -> float32 (k, rows, d)."""
        padded = frames.index_select(1, self.sources)
        by_group = []
        for group, (weight, bias) in zip(self.groups, self.weights, strict=True):
            x = padded[:, group.columns].unflatten(1, (-1, group.widest)).transpose(0, 1)
            by_group.append(torch.baddbmm(bias, direction(x, x.dtype), weight.mT))
        tokens = torch.cat(by_group)
        return tokens if self.back is None else tokens.index_select(0, self.back)


class MaskEstimator:
    """Computes one stem's masks of all bands, by groups of bands."""

    def __init__(self, plain: nn.ModuleList, bands: Bands, storage: Storage) -> None:
        self.groups, self.padded = bands.groups, bands.padded
        linear = [[layer.state_dict() for layer in band.modules() if isinstance(layer, nn.Linear)] for band in plain]
        self.hidden: list[tuple[Tensor, Tensor]] = []
        for layers in list(zip(*(linear[band] for band in bands.order), strict=True))[:-1]:
            weights, biases = [layer["weight"] for layer in layers], [layer["bias"][None] for layer in layers]
            self.hidden.append((storage.stacked(weights, *weights[0].shape), storage.stacked(biases, *biases[0].shape)))
        self.last: list[tuple[Tensor, Tensor]] = []
        for group in bands.groups:
            layers = [linear[band][-1] for band in bands.members(group)]
            # Both halves of GLU's input are padded separately.
            weights = [layer["weight"].unflatten(0, (2, -1)) for layer in layers]
            biases = [layer["bias"].unflatten(0, (1, 2, -1)) for layer in layers]
            weight = storage.stacked(weights, 2, group.widest, weights[0].shape[-1]).flatten(1, 2)
            self.last.append((weight, storage.stacked(biases, 1, 2, group.widest).flatten(2)))

    def __call__(self, tokens: Tensor) -> Tensor:
        """Compute the masks of tokens sorted by group: (k, rows, d) -> padded frames, float32 (rows, padded + 1)."""
        for weight, bias in self.hidden:
            tokens = torch.baddbmm(bias, tokens, weight.mT).tanh_()
        frames = tokens.new_zeros(tokens.shape[1], self.padded + 1, dtype=torch.float32)
        for group, (weight, bias) in zip(self.groups, self.last, strict=True):
            masks = F.glu(torch.baddbmm(bias, tokens[group.members], weight.mT).float())
            frames[:, group.columns].unflatten(1, (-1, group.widest)).copy_(masks.transpose(0, 1))
        return frames


class GpuRoFormer:
    """Computes a `RoFormer` on a GPU.

    The same code runs on any device, so it is tested on the CPU. It has not been measured on a GPU yet. Norms, the sums
    of layers, the Fourier transforms and the products with masks are always in float32.

    Args:
        network: the network with its weights, in float32 on the CPU; it is kept, but not changed.
        dtype: type of all other products: float32, bfloat16 or float16.
        device: the device that holds the weights and computes.
    """

    @torch.no_grad()
    def __init__(self, network: RoFormer, dtype: torch.dtype, device: torch.device) -> None:
        self.network, self.config, storage = network, network.config, Storage(dtype, device)
        self.dtype, c = dtype, network.config
        bands = Bands(network.bands, 2 * c.channels)
        padding = c.stft_n_fft - c.stft_win_length
        self.window = F.pad(network.window, (padding // 2, padding - padding // 2)).to(device)
        self.band_split = BandSplit(network.band_split.to_features, bands, device)
        self.blocks: list[list[Transformer]] = []
        for block in network.layers:
            transformers: list[Any] = list(block.children())
            along_time = transformers[-2]
            self.blocks.append([Transformer(plain, plain is along_time, storage) for plain in transformers])
        gamma = network.final_norm.state_dict().get("gamma")
        self.gamma = None if gamma is None else gamma.to(device)
        self.order = None if bands.ordered else torch.tensor(bands.order, device=device)
        masks: list[Any] = list(network.mask_estimators)
        self.mask_estimators = [MaskEstimator(plain.to_freqs, bands, storage) for plain in masks]
        targets = bands.targets()
        self.most_bands = len(targets)
        if c.zero_dc:
            targets[:, : 2 * c.channels] = bands.padded
        self.targets = targets.flatten().to(device)
        self.bands_per_number = network.bands_per_bin.flatten().repeat_interleave(2 * c.channels).to(device)

    def transformed(self, tokens: Tensor) -> Tensor:
        """Apply all blocks and the final norm, (k, b, m, d) -> the same shape; the input is overwritten."""
        earlier: Tensor | None = None  # sum of the outputs of all earlier blocks
        for *linear, time, freq in self.blocks:
            for transformer in linear:
                tokens = transformer(tokens)
            if earlier is not None:
                tokens += earlier
            tokens = freq(time(tokens))
            if self.config.skip_connection:
                earlier = tokens.clone() if earlier is None else earlier.add_(tokens)
        return tokens if self.gamma is None else rms_norm(tokens, self.gamma)

    def mask(self, stem: MaskEstimator, tokens: Tensor) -> Tensor:
        """Compute a stem's mask from tokens sorted by group: (k, rows, d) -> float32 (rows, numbers).

        A bin in several bands gets the mean of their masks.
        """
        masks = stem(tokens).index_select(1, self.targets)
        if self.most_bands == 1:
            return masks
        return masks.unflatten(1, (self.most_bands, -1)).sum(1).div_(self.bands_per_number)

    def spectrogram(self, x: Tensor) -> Tensor:
        """Compute the STFT, (b, c, t) -> complex (b, c, m, f)."""
        c = self.config
        flat = torch.stft(
            x.flatten(0, 1),
            c.stft_n_fft,
            c.stft_hop_length,
            window=self.window,
            normalized=c.stft_normalized,
            return_complex=True,
        )
        return flat.mT.unflatten(0, x.shape[:2])

    def waveform(self, spectrogram: Tensor, length: int) -> Tensor:
        """Invert the STFT, complex (..., m, f) -> (..., length).

        `torch.istft` would read back the sum of its windows to check it for zeros, which no `Config` allows.
        """
        c = self.config
        norm = "ortho" if c.stft_normalized else "backward"
        frames = torch.fft.irfft(spectrogram.flatten(0, -3), c.stft_n_fft, norm=norm)
        frames *= self.window
        weights = self._overlap_added((self.window * self.window).expand(1, *frames.shape[1:]))
        start = c.stft_n_fft // 2
        samples = slice(start, start + length)
        waveform = self._overlap_added(frames)[:, samples] / weights[:, samples]
        return waveform.unflatten(0, spectrogram.shape[:-2])

    def _overlap_added(self, frames: Tensor) -> Tensor:
        """Return the sum of frames, each at its own time: (n, m, n_fft) -> (n, t)."""
        size, hop = frames.shape[-1], self.config.stft_hop_length
        shape = [len(frames), (frames.shape[1] - 1) * hop + size]
        # Here each sample gathers its frames, so that the sum is always the same, unlike with `index_add`. Unlike
        # `fold`,
        # this does not need a copy.
        return torch.ops.aten.unfold_backward(frames, shape, 1, size, hop)

    def separated(self, x: Tensor) -> Tensor:
        """Separate groups of channels: (b, channels, t) -> (b, n, channels, t), t more than half of `stft_n_fft`."""
        mixture = self.spectrogram(x)
        batch, channels, frames, bins = mixture.shape
        numbers = torch.view_as_real(mixture).permute(0, 2, 3, 1, 4)
        # The zero at the end is what padding columns read.
        rows = x.new_zeros(batch * frames, bins * channels * 2 + 1)
        rows[:, :-1].view(numbers.shape).copy_(numbers)
        tokens = self.band_split(rows).unflatten(1, (batch, frames))
        tokens = self.transformed(tokens).flatten(1, 2).to(self.dtype)
        if self.order is not None:
            tokens = tokens.index_select(0, self.order)
        estimates = mixture.new_empty(batch, len(self.mask_estimators), channels, frames, bins)
        for stem, estimate in zip(self.mask_estimators, estimates.unbind(1), strict=True):
            mask = torch.view_as_complex(self.mask(stem, tokens).view(numbers.shape))
            torch.mul(mask.permute(0, 3, 1, 2), mixture, out=estimate)
        return self.waveform(estimates, x.shape[-1])

    @torch.inference_mode()
    def __call__(self, mixture: Tensor) -> Tensor:
        """Estimate the stems.

        Args:
            mixture: float32 (b, c, t) on the device, c a multiple of the channels taken at once; each such group is
                processed separately.

        Returns:
            Float32 (b, n, c, t) on the device.

        Raises:
            ValueError: the channels do not divide into groups of those taken at once.
        """
        return self.network.grouped(mixture, self.separated)
