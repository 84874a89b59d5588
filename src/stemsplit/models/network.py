"""Defines the base class of all networks."""

from torch import nn


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
