"""Initialises a network for training so that each stem begins as its share of the mixture."""

import math

import torch
from torch import Tensor, nn

from stemsplit.models.ensemble import Ensemble
from stemsplit.models.roformer import RoFormer
from stemsplit.models.sudormrf import Config, SuDoRMRF
from stemsplit.models.sudormrf_layers import synthesise


def fourier_rows(config: Config) -> Tensor:
    """Return windowed cosines and sines on mid and side (or on a single channel), (basis, channels, kernel)."""
    per_channel = config.enc_num_basis // config.in_audio_channels
    time = torch.arange(config.enc_kernel_size) - config.hop
    window = torch.cos(math.pi * time / (config.enc_kernel_size - 1))
    frequencies = (torch.arange(per_channel // 2) + 0.5) / (per_channel // 2) * math.pi
    angles = frequencies[:, None] * time
    waves = torch.cat([angles.cos(), angles.sin()]) * window / math.sqrt(config.hop)
    mid_side = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / math.sqrt(2)
    mixing = mid_side if config.in_audio_channels == 2 else torch.ones(1, 1)
    return torch.cat([waves[:, None] * row[:, None] for row in mixing])


def has_fourier_start(config: Config) -> bool:
    """Return whether `start_as_fourier` supports a SuDoRM-RF with these hyperparameters."""
    channels = config.in_audio_channels
    return config.variant in ("improved", "groupcomm") and channels <= 2 and not config.enc_num_basis % (2 * channels)


@torch.no_grad()
def start_as_fourier(network: SuDoRMRF) -> None:
    """Set encoder, decoder and mask bias so that every stem is the mixture where its mask is 1.

    The encoder and decoder begin as a Fourier analysis and its inverse, so that training need not find these.

    Args:
        network: improved or group-communication variant with one or two channels and an enc_num_basis that is a
            multiple of twice the channels.
    """
    c = network.config
    channels, basis, kernel = c.in_audio_channels, c.enc_num_basis, c.enc_kernel_size
    rows = fourier_rows(c)
    synthesis = torch.zeros(c.num_sources, channels, basis, c.num_sources, channels, kernel)
    for stem in range(c.num_sources):
        # Each of a stem's masks multiplies the same coefficients, so each contributes its share of every channel.
        synthesis[stem, :, :, stem] = rows / channels
    probe = torch.randn(1, channels, 200 * c.hop, generator=torch.Generator().manual_seed(0))
    coded = torch.nn.functional.conv1d(probe, rows, stride=c.hop, padding=c.hop)
    again = synthesise(coded, rows, 1, c.hop)
    scale = (probe * again).sum() / again.square().sum()
    network.get_parameter("encoder.weight").copy_(rows)
    # A tenth of the random weights stays, so that stems can learn to use one another's coefficients.
    decoder = network.decoder.weight
    decoder.mul_(0.1).add_((scale * synthesis).reshape_as(decoder))
    network.get_parameter("mask_net.1.bias").fill_(1 / c.num_sources)


@torch.no_grad()
def start_as_shares(network: RoFormer, outputs: int) -> None:
    """Set the last layers of the masks so that every stem begins near its share of the mixture.

    Args:
        network: network with random weights.
        outputs: number of stems that share the mixture.
    """
    for name, layer in network.mask_estimators.named_modules():
        if not name.endswith(".1") or not isinstance(layer, nn.GLU):
            continue
        layers = network.mask_estimators.get_submodule(name.removesuffix("1") + "0")
        last = [part for part in layers.modules() if isinstance(part, nn.Linear | nn.Conv1d)][-1]
        assert last.bias is not None
        numbers, _ = last.bias.split(len(last.bias) // 2)  # the other half are gates, which begin half open
        last.weight[: len(numbers)] *= 0.3
        numbers.zero_()
        numbers[::2] = 2 / outputs  # real and imaginary parts alternate
    for name, weight in network.mask_estimators.named_parameters():
        if name.endswith(".segm.upsample_head.final_conv.weight"):  # HyperACE adds this to the masks
            weight.mul_(0.1)


def start(network: nn.Module, outputs: int) -> None:
    """Give a network with random weights the best initial weights known for its architecture.

    Args:
        network: network of any architecture; some keep their random weights.
        outputs: number of stems that share the mixture.
    """
    if isinstance(network, SuDoRMRF) and has_fourier_start(network.config):
        start_as_fourier(network)
    if isinstance(network, Ensemble):
        for member in network.members:
            start(member, outputs)
    if isinstance(network, RoFormer):
        start_as_shares(network, outputs)
