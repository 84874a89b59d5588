"""Starts SuDoRM-RF's encoder and decoder as a Fourier analysis and its inverse, so that training need not find them."""

import math

import torch
from torch import Tensor, nn

from stemsplit.models.sudormrf import Config, SuDoRMRF, synthesise


def fourier_rows(config: Config) -> Tensor:
    """Windowed cosines and sines on the mid and the side signal (or on a single channel), (basis, channels, kernel)."""
    per_channel = config.enc_num_basis // config.in_audio_channels
    time = torch.arange(config.enc_kernel_size) - config.hop
    window = torch.cos(math.pi * time / (config.enc_kernel_size - 1))
    frequencies = (torch.arange(per_channel // 2) + 0.5) / (per_channel // 2) * math.pi
    angles = frequencies[:, None] * time
    waves = torch.cat([angles.cos(), angles.sin()]) * window / math.sqrt(config.hop)
    mid_side = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / math.sqrt(2)
    mixing = mid_side if config.in_audio_channels == 2 else torch.ones(1, 1)
    return torch.cat([waves[:, None] * row[:, None] for row in mixing])


@torch.no_grad()
def start_as_fourier(network: nn.Module) -> None:
    """Set encoder, decoder and mask bias so that, with masks of one, every stem is the mixture.

    Args:
        network: SuDoRM-RF, improved or group-communication variant, one or two channels at once, an enc_num_basis that
            is a multiple of twice the channels.

    Raises:
        ValueError: another kind of network.
    """
    if not isinstance(network, SuDoRMRF):
        raise ValueError("only SuDoRM-RF has a learned filter bank")
    c = network.config
    channels, basis, kernel = c.in_audio_channels, c.enc_num_basis, c.enc_kernel_size
    if c.variant not in ("improved", "groupcomm") or channels > 2 or basis % (2 * channels):
        raise ValueError("only improved and group-communication networks of one or two channels have a Fourier start")
    rows = fourier_rows(c)
    synthesis = torch.zeros(c.num_sources, channels, basis, c.num_sources, channels, kernel)
    for stem in range(c.num_sources):
        # The masks of all of a stem's channels multiply the same coefficients: each gives its share of every channel.
        synthesis[stem, :, :, stem] = rows / channels
    probe = torch.randn(1, channels, 200 * c.hop, generator=torch.Generator().manual_seed(0))
    coded = torch.nn.functional.conv1d(probe, rows, stride=c.hop, padding=c.hop)
    again = synthesise(coded, rows, 1, c.hop)
    scale = (probe * again).sum() / again.square().sum()
    network.get_parameter("encoder.weight").copy_(rows)
    # A tenth of the random start stays in, so that stems can learn to borrow from one another.
    decoder = network.decoder.weight
    decoder.mul_(0.1).add_((scale * synthesis).reshape_as(decoder))
    network.get_parameter("mask_net.1.bias").fill_(1 / c.num_sources)
