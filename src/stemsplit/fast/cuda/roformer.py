"""The RoFormers as a GPU should compute them: few launches, the same ones for every chunk, products in half precision.

Not measured on a GPU yet: all that is known is that it computes the same on the CPU.

Tokens are (k, b, m, d), bands first, in float32 from the band split to the masks. So the bands' own layers are batched
products over (k, b * m, d), and both attentions see their tokens through views, without a copy. Nothing is read back
from the device and every shape follows from the input's, so that a whole run can be recorded as a CUDA graph. float32
stays exact: whoever wants TF32 sets `torch.backends.cuda.matmul.fp32_precision`, which holds for the whole process.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cuda.bands import Bands
from stemsplit.fast.cuda.roformer_layers import Place, Transformer, direction, gain, rms_norm
from stemsplit.models.roformer import RoFormer


class BandSplit:
    """Makes a token of every band of every frame.

    In float32 whatever the network is in: a hundredth of its work, and all else is added to what comes out here.
    """

    def __init__(self, plain: nn.ModuleList, bands: Bands, device: torch.device) -> None:
        self.groups, place = bands.groups, Place(torch.float32, device)
        self.sources = bands.sources().to(device)
        self.weights: list[tuple[Tensor, Tensor]] = []
        for group in bands.groups:
            layers = [plain[band].state_dict() for band in bands.of(group)]
            folded = [layer["1.weight"] * gain(layer["0.gamma"]) for layer in layers]
            dim = len(folded[0])
            biases = place.stacked([layer["1.bias"][None] for layer in layers], 1, dim)
            self.weights.append((place.stacked(folded, dim, group.widest), biases))
        back = torch.tensor(bands.order).argsort()
        self.back = None if bands.ordered else back.to(device)

    def __call__(self, frames: Tensor) -> Tensor:
        """Numbers and a zero, float32 (rows, numbers + 1) -> float32 (k, rows, d)."""
        padded = frames.index_select(1, self.sources)
        made = []
        for group, (weight, bias) in zip(self.groups, self.weights, strict=True):
            x = padded[:, group.columns].unflatten(1, (-1, group.widest)).transpose(0, 1)
            made.append(torch.baddbmm(bias, direction(x, x.dtype), weight.mT))
        tokens = torch.cat(made)
        return tokens if self.back is None else tokens.index_select(0, self.back)


class MaskEstimator:
    """Makes one stem's masks of all bands, in groups."""

    def __init__(self, plain: nn.ModuleList, bands: Bands, place: Place) -> None:
        self.groups, self.padded = bands.groups, bands.padded
        linear = [[layer.state_dict() for layer in band.modules() if isinstance(layer, nn.Linear)] for band in plain]
        self.hidden: list[tuple[Tensor, Tensor]] = []
        for layers in list(zip(*(linear[band] for band in bands.order), strict=True))[:-1]:
            weights, biases = [layer["weight"] for layer in layers], [layer["bias"][None] for layer in layers]
            self.hidden.append((place.stacked(weights, *weights[0].shape), place.stacked(biases, *biases[0].shape)))
        self.last: list[tuple[Tensor, Tensor]] = []
        for group in bands.groups:
            layers = [linear[band][-1] for band in bands.of(group)]
            # The halves that GLU takes are padded each on its own.
            weights = [layer["weight"].unflatten(0, (2, -1)) for layer in layers]
            biases = [layer["bias"].unflatten(0, (1, 2, -1)) for layer in layers]
            weight = place.stacked(weights, 2, group.widest, weights[0].shape[-1]).flatten(1, 2)
            self.last.append((weight, place.stacked(biases, 1, 2, group.widest).flatten(2)))

    def __call__(self, tokens: Tensor) -> Tensor:
        """In groups, (k, rows, d) -> padded frames, float32 (rows, padded + 1)."""
        for weight, bias in self.hidden:
            tokens = torch.baddbmm(bias, tokens, weight.mT).tanh_()
        frames = tokens.new_zeros(tokens.shape[1], self.padded + 1, dtype=torch.float32)
        for group, (weight, bias) in zip(self.groups, self.last, strict=True):
            made = F.glu(torch.baddbmm(bias, tokens[group.members], weight.mT).float())
            frames[:, group.columns].unflatten(1, (-1, group.widest)).copy_(made.transpose(0, 1))
        return frames


class GpuRoFormer:
    """What a `RoFormer` computes, with its weights on a device.

    The same code runs on any device, so it is tested on the CPU; not measured on a GPU yet. Norms, the sums of layers,
    the Fourier transforms and the products with masks are in float32 whatever `dtype` is.

    Args:
        network: with its weights in float32, on the CPU; kept, and never changed.
        dtype: of all other products: float32, bfloat16 or float16.
        device: where to keep the weights, and to compute.
    """

    @torch.no_grad()
    def __init__(self, network: RoFormer, dtype: torch.dtype, device: torch.device) -> None:
        self.network, self.config, place = network, network.config, Place(dtype, device)
        self.dtype, c = dtype, network.config
        bands = Bands(network.bands, 2 * c.channels)
        missing = c.stft_n_fft - c.stft_win_length
        self.window = F.pad(network.window, (missing // 2, missing - missing // 2)).to(device)
        self.band_split = BandSplit(network.band_split.to_features, bands, device)
        self.blocks: list[list[Transformer]] = []
        for block in network.layers:
            kinds: list[Any] = list(block.children())
            self.blocks.append([Transformer(plain, plain is kinds[-2], place) for plain in kinds])
        gamma = network.final_norm.state_dict().get("gamma")
        self.gamma = None if gamma is None else gamma.to(device)
        self.order = None if bands.ordered else torch.tensor(bands.order, device=device)
        masks: list[Any] = list(network.mask_estimators)
        self.mask_estimators = [MaskEstimator(plain.to_freqs, bands, place) for plain in masks]
        targets = bands.targets()
        self.most_bands = len(targets)
        if c.zero_dc:
            targets[:, : 2 * c.channels] = bands.padded
        self.targets = targets.flatten().to(device)
        self.bands_per_number = network.bands_per_bin.flatten().repeat_interleave(2 * c.channels).to(device)

    def transformed(self, tokens: Tensor) -> Tensor:
        """(k, b, m, d) -> the same; the input is lost."""
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
        """In groups, (k, rows, d) -> float32 (rows, numbers); a bin in several bands gets the mean of theirs."""
        found = stem(tokens).index_select(1, self.targets)
        if self.most_bands == 1:
            return found
        return found.unflatten(1, (self.most_bands, -1)).sum(1).div_(self.bands_per_number)

    def spectrogram(self, x: Tensor) -> Tensor:
        """(b, c, t) -> complex (b, c, m, f)."""
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
        """Complex (..., m, f) -> (..., length).

        `torch.istft` looks at the sum of its windows, for which the host would wait; a `Config` has none that is zero.
        """
        c = self.config
        norm = "ortho" if c.stft_normalized else "backward"
        frames = torch.fft.irfft(spectrogram.flatten(0, -3), c.stft_n_fft, norm=norm)
        frames *= self.window
        ends = self._joined((self.window * self.window).expand(1, *frames.shape[1:]))
        start = c.stft_n_fft // 2
        kept = slice(start, start + length)
        waveform = self._joined(frames)[:, kept] / ends[:, kept]
        return waveform.unflatten(0, spectrogram.shape[:-2])

    def _joined(self, frames: Tensor) -> Tensor:
        """(n, m, n_fft) -> (n, t): the sum of all frames, each where it belongs."""
        size, hop = frames.shape[-1], self.config.stft_hop_length
        shape = [len(frames), (frames.shape[1] - 1) * hop + size]
        # Unlike `index_add`, each sample collects its frames: always the same sum. Unlike `fold`, without a copy.
        return torch.ops.aten.unfold_backward(frames, shape, 1, size, hop)

    def separated(self, x: Tensor) -> Tensor:
        """(b, channels, t) -> (b, n, channels, t), t more than half of `stft_n_fft`."""
        mixture = self.spectrogram(x)
        batch, channels, frames, bins = mixture.shape
        numbers = torch.view_as_real(mixture).permute(0, 2, 3, 1, 4)
        # With a zero in the end, which is what padding reads.
        rows = x.new_zeros(batch * frames, bins * channels * 2 + 1)
        rows[:, :-1].view(numbers.shape).copy_(numbers)
        tokens = self.band_split(rows).unflatten(1, (batch, frames))
        ready = self.transformed(tokens).flatten(1, 2).to(self.dtype)
        if self.order is not None:
            ready = ready.index_select(0, self.order)
        estimates = mixture.new_empty(batch, len(self.mask_estimators), channels, frames, bins)
        for stem, estimate in zip(self.mask_estimators, estimates.unbind(1), strict=True):
            mask = torch.view_as_complex(self.mask(stem, ready).view(numbers.shape))
            torch.mul(mask.permute(0, 3, 1, 2), mixture, out=estimate)
        return self.waveform(estimates, x.shape[-1])

    @torch.inference_mode()
    def __call__(self, mixture: Tensor) -> Tensor:
        """Estimate the stems.

        Args:
            mixture: float32 (b, c, t) on the device, c a multiple of the channels taken together; further ones are
                processed on their own.

        Returns:
            Float32 (b, n, c, t) there.

        Raises:
            ValueError: the channels do not divide into groups of those taken together.
        """
        return self.network.grouped(mixture, self.separated)
