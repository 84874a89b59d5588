"""Computes RoFormers on a GPU: few launches, the same ones for every chunk, with products in half precision.

This has not been measured on a GPU yet; it is only known to give the same results on the CPU.

Tokens are (k, b, m, d), bands first, in float32 from the band split to the masks. So each band's own layers are batched
products over (k, b * m, d), and both attentions take their tokens as views, without a copy. Nothing is read back from
the device, and all shapes follow from the input's, so a whole run can be recorded as a CUDA graph. float32 stays exact;
to get TF32, set `torch.backends.cuda.matmul.fp32_precision`, which applies to the whole process.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cuda.bands import Bands
from stemsplit.fast.cuda.exact import exact
from stemsplit.fast.cuda.roformer_layers import Storage, Transformer, direction, gain, rms_norm
from stemsplit.fast.cuda.roformer_masks import Masks, image, masks, refiner
from stemsplit.models.roformer import RoFormer
from stemsplit.models.roformer_value_residual import ValueResidualRoFormer
from stemsplit.models.roformer_windowed import WindowedRoFormer


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


class GpuRoFormer:
    """Computes a `RoFormer` on a GPU.

    The same code runs on any device, so it is tested on the CPU. It has not been measured on a GPU yet. Norms, the sums
    of layers, the Fourier transforms and the products with masks are always in float32.

    Args:
        network: one that `roformers.supports` accepts, with its weights, in float32 on the CPU; it is kept, but not
            changed.
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
        self.sinks = None
        if isinstance(network, WindowedRoFormer):
            self.sinks = network.sink_tokens.transpose(0, 1)[:, None].to(device)
        self.blocks: list[list[Transformer]] = []
        for number, block in enumerate(network.layers):
            transformers = list(block.children())
            along_time, keeps = transformers[-2], number == 0 and isinstance(network, ValueResidualRoFormer)
            self.blocks.append([Transformer(plain, plain is along_time, storage, keeps) for plain in transformers])
        gamma = network.final_norm.state_dict().get("gamma")
        self.gamma = None if gamma is None else gamma.to(device)
        self.order = None if bands.ordered else torch.tensor(bands.order, device=device)
        self.mask_estimators = [masks(plain, bands, storage) for plain in network.mask_estimators]
        self.refiners = [refiner(plain, storage) for plain in network.mask_estimators]
        self.images = [image(plain, c.zero_dc, storage) for plain in network.mask_estimators]
        targets = bands.targets()
        self.most_bands = len(targets)
        if c.zero_dc:
            targets[:, : 2 * c.channels] = bands.padded
        self.targets = targets.flatten().to(device)
        self.bands_per_number = network.bands_per_bin.flatten().repeat_interleave(2 * c.channels).to(device)

    def transformed(self, tokens: Tensor) -> Tensor:
        """Apply all blocks and the final norm, (k, b, m, d) -> the same shape; the input is overwritten."""
        earlier: Tensor | None = None  # sum of the outputs of all earlier blocks
        first_time, first_freq = list[Tensor](), list[Tensor]()
        for *linear, time, freq in self.blocks:
            for transformer in linear:
                tokens = transformer(tokens, [])
            if earlier is not None:
                tokens += earlier
            tokens = freq(time(tokens, first_time), first_freq)
            if self.config.skip_connection:
                earlier = tokens.clone() if earlier is None else earlier.add_(tokens)
        return tokens if self.gamma is None else rms_norm(tokens, self.gamma)

    def by_group(self, tokens: Tensor) -> Tensor:
        """Return tokens (k, b, m, d) in half precision, if the products are, and sorted by group."""
        tokens = tokens.to(self.dtype)
        return tokens if self.order is None else tokens.index_select(0, self.order)

    def mask(self, stem: Masks, tokens: Tensor) -> Tensor:
        """Compute a stem's mask from tokens sorted by group: (k, b, m, d) -> float32 (b * m, numbers).

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
        if self.sinks is not None:
            tokens = torch.cat([self.sinks.expand(-1, batch, -1, -1), tokens], 2)
        tokens = self.transformed(tokens)[:, :, -frames:]
        sorted_tokens = self.by_group(tokens)
        estimates = mixture.new_empty(batch, len(self.mask_estimators), channels, frames, bins)
        stems = zip(self.mask_estimators, self.refiners, self.images, estimates.unbind(1), strict=True)
        for stem, refined, drawn, estimate in stems:
            numbers_of_mask = self.mask(stem, self.by_group(refined(tokens)) if refined else sorted_tokens)
            if drawn is not None:
                numbers_of_mask = numbers_of_mask + drawn(tokens)
            mask = torch.view_as_complex(numbers_of_mask.view(numbers.shape))
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
        with exact(self.dtype == torch.float32 and mixture.is_cuda):
            return self.network.grouped(mixture, self.separated)
