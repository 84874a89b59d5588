"""Computes the masks of RoFormers on a GPU; see `stemsplit.fast.cuda.roformer`."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cpu.roformer_fno import waves
from stemsplit.fast.cuda.bands import Bands, aligned
from stemsplit.fast.cuda.roformer_layers import Storage, Transformer, rms_norm
from stemsplit.models import roformer
from stemsplit.models.roformer_fno import FourierMaskEstimator
from stemsplit.models.roformer_hyperace import HyperAceMaskEstimator
from stemsplit.models.roformer_large_inst import RefiningMaskEstimator

Masks = Callable[[Tensor], Tensor]
"""Computes a stem's masks of all bands: tokens sorted by group (k, b, m, d) -> padded frames (b * m, padded + 1)."""

Weights = Mapping[str, Tensor]


class LastLayer:
    """Computes the last linear layer of each band's network, and the GLU after it, by groups of bands."""

    def __init__(self, layers: Sequence[Weights], bands: Bands, storage: Storage) -> None:
        self.groups, self.padded = bands.groups, bands.padded
        self.weights: list[tuple[Tensor, Tensor]] = []
        for group in bands.groups:
            members = [layers[band] for band in bands.members(group)]
            # Both halves of GLU's input are padded separately.
            weights = [layer["weight"].unflatten(0, (2, -1)) for layer in members]
            biases = [layer["bias"].unflatten(0, (1, 2, -1)) for layer in members]
            weight = storage.stacked(weights, 2, group.widest, weights[0].shape[-1]).flatten(1, 2)
            self.weights.append((weight, storage.stacked(biases, 1, 2, group.widest).flatten(2)))

    def __call__(self, hidden: Tensor) -> Tensor:
        """Compute the masks: (k, rows, features) -> padded frames, float32 (rows, padded + 1)."""
        frames = hidden.new_zeros(hidden.shape[1], self.padded + 1, dtype=torch.float32)
        for group, (weight, bias) in zip(self.groups, self.weights, strict=True):
            masks = F.glu(torch.baddbmm(bias, hidden[group.members], weight.mT).float())
            frames[:, group.columns].unflatten(1, (-1, group.widest)).copy_(masks.transpose(0, 1))
        return frames


class Stack:
    """Computes the same linear layer of all bands, each with its own weights."""

    def __init__(self, layers: Sequence[Weights], bands: Bands, storage: Storage) -> None:
        ordered = [layers[band] for band in bands.order]
        weights = [layer["weight"] for layer in ordered]
        outputs, inputs = weights[0].shape
        self.weight = storage.stacked(weights, outputs, aligned(inputs))
        self.bias = None
        if "bias" in ordered[0]:
            self.bias = storage.stacked([layer["bias"][None] for layer in ordered], 1, outputs)

    def __call__(self, x: Tensor) -> Tensor:
        """(k, rows, features) -> (k, rows, features), with zeros up to `aligned` inputs."""
        x, padding = x.to(self.weight.dtype), self.weight.shape[-1] - x.shape[-1]
        x = F.pad(x, (0, padding)) if padding else x
        return torch.bmm(x, self.weight.mT) if self.bias is None else torch.baddbmm(self.bias, x, self.weight.mT)


class MaskEstimator:
    """Computes one stem's masks of all bands, by groups of bands."""

    def __init__(self, plain: nn.ModuleList, bands: Bands, storage: Storage) -> None:
        linear = [[layer.state_dict() for layer in band.modules() if isinstance(layer, nn.Linear)] for band in plain]
        layers = list(zip(*linear, strict=True))
        self.hidden = [Stack(layer, bands, storage) for layer in layers[:-1]]
        self.last = LastLayer(layers[-1], bands, storage)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Compute the masks of tokens sorted by group: (k, b, m, d) -> padded frames, float32 (b * m, padded + 1)."""
        hidden = tokens.flatten(1, 2)
        for layer in self.hidden:
            hidden = layer(hidden).tanh_()
        return self.last(hidden)


def convolution(layer: nn.Module) -> Weights:
    """Return the weights of a convolution over single frames as those of a linear layer."""
    return {name: value[..., 0] if name == "weight" else value for name, value in layer.state_dict().items()}


class FourierMasks:
    """Computes one stem's masks of all bands with Fourier neural operators; transforms and sums are in float32."""

    def __init__(self, plain: FourierMaskEstimator, bands: Bands, storage: Storage) -> None:
        operators: list[Any] = [band.get_submodule("0") for band in plain.to_freqs]
        self.tables: dict[int, tuple[Tensor, Tensor]] = {}

        def stack(name: str) -> Stack:
            return Stack([convolution(operator.get_submodule(name)) for operator in operators], bands, storage)

        def stacked(name: str) -> Tensor:
            parts = [operators[band].fno_blocks.state_dict()[name] for band in bands.order]
            return torch.stack(parts).to(storage.device)

        self.lifting = stack("lifting.fcs.0"), stack("lifting.fcs.1")
        self.layers = []
        for number in range(len(operators[0].fno_blocks.convs)):
            # Real and imaginary parts of the gains of each bin, (k, 1, bins, d).
            gains = stacked(f"convs.{number}.weight.tensor").mT[:, None]
            self.layers.append(
                (
                    (gains.real.contiguous(), gains.imag.contiguous()),
                    stacked(f"convs.{number}.bias").mT,
                    stack(f"fno_blocks.fno_skips.{number}.conv"),
                    stack(f"fno_blocks.channel_mlp.{number}.fcs.0"),
                    stack(f"fno_blocks.channel_mlp.{number}.fcs.1"),
                    stacked(f"channel_mlp_skips.{number}.weight").flatten(1)[:, None],
                )
            )
        self.wide = stack("projection.fcs.0")
        last = [convolution(operator.projection.fcs[1]) for operator in operators]
        self.last = LastLayer(last, bands, storage)

    def filtered(self, x: Tensor, gains: tuple[Tensor, Tensor], shape: Sequence[int]) -> Tensor:
        """Scale the lowest bins of the spectrum along time, float32 (k, b * m, d) -> the same shape."""
        frames = shape[1]
        bins = min(gains[0].shape[2], frames // 2 + 1)
        if frames not in self.tables:
            self.tables[frames] = waves(frames, bins, x.device)
        forth, back = self.tables[frames]
        real, imaginary = (forth @ x.unflatten(1, shape)).unflatten(2, (2, bins)).unbind(2)
        a, b = (part[:, :, :bins] for part in gains)
        scaled = torch.cat([real * a - imaginary * b, real * b + imaginary * a], 2)
        return (back @ scaled).flatten(1, 2)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Compute the masks of tokens sorted by group: (k, b, m, d) -> padded frames, float32 (b * m, padded + 1)."""
        bands, batch, frames, _ = tokens.shape
        times = torch.arange(frames, device=tokens.device, dtype=torch.float32) / frames
        x = torch.cat([tokens, times.to(tokens.dtype)[:, None].expand(bands, batch, -1, -1)], -1).flatten(1, 2)
        wide, narrow = self.lifting
        x = narrow(F.gelu(wide(x))).float()
        for number, (gains, bias, skip, mix_wide, mix_narrow, kept) in enumerate(self.layers, start=1):
            last = number == len(self.layers)
            inner = self.filtered(x, gains, (batch, frames)) + bias + skip(x)
            mixed = mix_narrow(F.gelu(mix_wide(inner if last else F.gelu(inner))))
            x = torch.addcmul(mixed.float(), x, kept)
            x = x if last else F.gelu(x)
        return self.last(F.gelu(self.wide(x)))


class Refiner:
    """Refines tokens for one stem, along time and across bands in turn, and applies a norm."""

    def __init__(self, plain: RefiningMaskEstimator, storage: Storage) -> None:
        pairs = [tuple(pair.children()) for pair in plain.layers]
        self.pairs = [(Transformer(time, True, storage), Transformer(freq, False, storage)) for time, freq in pairs]
        self.gamma = plain.norm.gamma.to(storage.device)

    def __call__(self, tokens: Tensor) -> Tensor:
        """(k, b, m, d) -> (k, b, m, d)."""
        tokens = tokens.clone()
        for time, freq in self.pairs:
            tokens = freq(time(tokens, []), [])
        return rms_norm(tokens, self.gamma)


class Image:
    """Computes numbers for all bins from the tokens of all bands with the plain network, in float32."""

    def __init__(self, plain: HyperAceMaskEstimator, zero_dc: bool, storage: Storage) -> None:
        self.network, self.zero_dc = deepcopy(plain.segm).to(storage.device), zero_dc

    def __call__(self, tokens: Tensor) -> Tensor:
        """(k, b, m, d) -> (b * m, numbers)."""
        drawn = self.network(tokens.permute(1, 2, 0, 3))
        if self.zero_dc:
            drawn[:, :, 0] = 0
        return drawn.flatten(0, 1).flatten(1)


def masks(plain: nn.Module, bands: Bands, storage: Storage) -> Masks:
    """Return what computes a stem's masks of all bands from the tokens of each."""
    if isinstance(plain, FourierMaskEstimator):
        return FourierMasks(plain, bands, storage)
    assert isinstance(plain, roformer.MaskEstimator)
    return MaskEstimator(plain.to_freqs, bands, storage)


def refiner(plain: nn.Module, storage: Storage) -> Refiner | None:
    """Return what refines the tokens before a stem's masks are computed, if anything does."""
    return Refiner(plain, storage) if isinstance(plain, RefiningMaskEstimator) else None


def image(plain: nn.Module, zero_dc: bool, storage: Storage) -> Image | None:
    """Return what computes numbers that are added to a stem's masks, if anything is."""
    return Image(plain, zero_dc, storage) if isinstance(plain, HyperAceMaskEstimator) else None
