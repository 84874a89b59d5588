"""Prepares a network for training: dropout, compilation, a callback within a step, a moving average of its weights."""

from collections.abc import Callable

import torch
from torch import nn

from stemsplit.models.roformer_layers import FeedForward, Transformer
from stemsplit.models.sudormrf_layers import UConvBlock


def dropout_layers(network: nn.Module) -> list[FeedForward]:
    """Return the layers that `add_dropout` changes."""
    return [layer for layer in network.modules() if isinstance(layer, FeedForward)]


def add_dropout(network: nn.Module, rate: float) -> None:
    """Drop that share of the hidden features in a RoFormer's feed-forward layers, which have a placeholder for it."""
    for layer in dropout_layers(network) if rate else ():
        layer.net[3] = nn.Dropout(rate)


def compile_blocks(network: nn.Module) -> None:
    """Let PyTorch compile a network's blocks at its first call; they are alike, so they are compiled once.

    Compiling what comes before and after them, such as Fourier transforms, would only slow it down.
    """
    blocks: list[nn.Module] = [module for module in network.modules() if isinstance(module, Transformer | UConvBlock)]
    for part in blocks or [network]:
        part.compile()


def add_pulse(network: nn.Module, pulse: Callable[[], None]) -> None:
    """Call `pulse` again and again while a network computes, forward and backward; it may raise."""
    for module in network.modules():
        module.register_forward_pre_hook(lambda *_: pulse())
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda _: pulse())


def update_ema(ema: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the network's: `decay` of the old average stays."""
    with torch.no_grad():
        for old, new in zip(ema.parameters(), network.parameters(), strict=True):
            old.lerp_(new, 1 - decay)
