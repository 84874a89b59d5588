"""Defines the base class of all networks, and keeps a part of a network in float32."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which nothing is rounded to half precision, even under autocast.

    The meta device, on which nothing is computed, has no autocast.
    """
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


class Network(nn.Module):
    """A network that separates mixtures: its forward is (b, c, t) -> (b, n, c, t).

    Attributes:
        keeps_silence: whether the estimates of a silent mixture are silent to the last bit, so that silent chunks need
            not be computed.
        streamable: whether the network is causal but for a fixed look-ahead, so that it can take a song block by block;
            it then has a method `stream`.
    """

    keeps_silence: bool = False
    streamable: bool = False
