"""The layers of HyperACE's network: convolutions without biases, instance norms, and a convolution on a hypergraph.

An image here is (b, c, m, k): c channels, frames m as rows, and k columns, bands at first. Attribute names are the
keys of the published checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-8
"""What instance norms add to a variance. In trained networks, some variances are not much larger."""

Stride = tuple[int, int]
"""Step of a convolution along rows and along columns."""


class InstanceNorm(nn.Module):
    """Scales each channel of each image to mean 0 and variance 1, then by `weight`, and adds `bias`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, k) -> (b, c, m, k); the images must have two numbers or more."""
        # In groups of one channel. `F.instance_norm` does the same several times more slowly.
        return F.group_norm(x, len(self.weight), self.weight, self.bias, EPS)


class Pointwise(nn.Module):
    """Combines the channels at each place, then applies norm and SiLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.bn = InstanceNorm(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, k) -> (b, c', m, k)."""
        return F.silu(self.bn(self.conv(x)))


class Separable(nn.Module):
    """Convolves 3 by 3 within each channel, combines the channels, then applies norm and SiLU."""

    def __init__(self, c_in: int, c_out: int, stride: Stride = (1, 1)) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(c_in, c_in, 3, stride, padding=1, groups=c_in, bias=False)
        self.pwconv = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.bn = InstanceNorm(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, k) -> (b, c', m / stride, k / stride), rounded up."""
        return F.silu(self.bn(self.pwconv(self.dwconv(x))))


class Residual(nn.Module):
    """Adds to an image what two separable convolutions make of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dsconv1, self.dsconv2 = Separable(channels, channels), Separable(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, k) -> (b, c, m, k)."""
        return x + self.dsconv2(self.dsconv1(x))


class TwoPaths(nn.Module):
    """Joins two paths, of which one has `layers` residual layers. It is a C3k block of YOLO's."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = Pointwise(channels, channels), Pointwise(channels, channels)
        self.cv3 = Pointwise(2 * channels, channels)
        self.m = nn.Sequential(*(Residual(channels) for _ in range(layers)))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, k) -> (b, c, m, k)."""
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], 1))


class Bottleneck(nn.Module):
    """Applies `TwoPaths` in half as many channels as it returns. It is a C3k2 block of YOLO's."""

    def __init__(self, c_in: int, c_out: int, layers: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = Pointwise(c_in, c_out // 2), Pointwise(c_out // 2, c_out)
        self.m = TwoPaths(c_out // 2, layers)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, k) -> (b, c', m, k)."""
        return self.cv2(self.m(self.cv1(x)))


class Hyperedges(nn.Module):
    """Computes how much each place of an image takes part in each hyperedge."""

    def __init__(self, channels: int, hyperedges: int, heads: int) -> None:
        super().__init__()
        # The mean over the heads of their scaled scalar products is the whole scalar product, scaled so.
        self.scale = (heads * channels) ** -0.5
        self.global_proto = nn.Parameter(torch.empty(hyperedges, channels))
        nn.init.xavier_uniform_(self.global_proto)
        self.context_mapper = nn.Linear(2 * channels, hyperedges * channels, bias=False)
        self.query_proj = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, places, c) -> (b, hyperedges, places), each hyperedge's shares adding up to 1."""
        context = torch.cat([x.mean(1), x.amax(1)], -1)
        prototypes = self.global_proto + self.context_mapper(context).unflatten(-1, self.global_proto.shape)
        return (self.scale * prototypes @ self.query_proj(x).mT).softmax(-1)


class Exchange(nn.Module):
    """Gathers an image's places into hyperedges, and adds to each place what its hyperedges give back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.W_e, self.W_v = (nn.Linear(channels, channels, bias=False) for _ in range(2))

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """(b, places, c), (b, hyperedges, places) -> (b, places, c)."""
        gathered = F.silu(self.W_e(shares @ x))
        return x + F.silu(self.W_v(shares.mT @ gathered))


class Hypergraph(nn.Module):
    """Convolves an image on a hypergraph that is made for it (Lei et al. 2025, arXiv:2506.17733)."""

    def __init__(self, channels: int, hyperedges: int, heads: int) -> None:
        super().__init__()
        self.adaptive_hyperedge_gen = Hyperedges(channels, hyperedges, heads)
        self.hypergraph_conv = Exchange(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, k) -> (b, c, m, k)."""
        places = x.flatten(2).mT
        return self.hypergraph_conv(places, self.adaptive_hyperedge_gen(places)).mT.unflatten(2, x.shape[2:])


class HypergraphPaths(nn.Module):
    """Joins two paths, of which one has a hypergraph. It is the C3AH block of YOLOv13."""

    def __init__(self, channels: int, hyperedges: int, heads: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = Pointwise(channels, channels), Pointwise(channels, channels)
        self.ahc = Hypergraph(channels, hyperedges, heads)
        self.cv3 = Pointwise(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, k) -> (b, c, m, k)."""
        return self.cv3(torch.cat([self.ahc(self.cv2(x)), self.cv1(x)], 1))


def norm_and_silu(channels: int) -> list[nn.Module]:
    """Make the layers before each convolution and linear layer of a `TimeFrequency` block."""
    return [InstanceNorm(channels), nn.SiLU()]


class TimeFrequency(nn.Module):
    """Convolves over frames and columns, mixes all columns of each frame, and convolves again: a TFC-TDF block."""

    def __init__(self, channels: int, columns: int) -> None:
        super().__init__()

        def convolution() -> nn.Sequential:
            return nn.Sequential(*norm_and_silu(channels), nn.Conv2d(channels, channels, 3, padding=1, bias=False))

        self.tfc1, self.tfc2 = convolution(), convolution()
        self.tdf = nn.Sequential(
            *norm_and_silu(channels),
            nn.Linear(columns, columns // 4, bias=False),
            *norm_and_silu(channels),
            nn.Linear(columns // 4, columns, bias=False),
        )
        self.shortcut = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, columns) -> (b, c, m, columns)."""
        convolved = self.tfc1(x)
        return self.tfc2(convolved + self.tdf(convolved)) + self.shortcut(x)


class TimeFrequencyPair(nn.Module):
    """Applies two `TimeFrequency` blocks."""

    def __init__(self, channels: int, columns: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(TimeFrequency(channels, columns), TimeFrequency(channels, columns))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, columns) -> (b, c, m, columns)."""
        return self.blocks(x)


class Widening(nn.Module):
    """Doubles the number of columns; in the second version, a `TimeFrequencyPair` of that many columns follows."""

    def __init__(self, c_in: int, c_out: int, columns: int | None) -> None:
        super().__init__()
        self.conv = Separable(c_in, 2 * c_out)
        self.out_conv = TimeFrequencyPair(c_out, columns) if columns else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m, k) -> (b, c', m, 2 * k)."""
        # Two channels become the even and the odd columns of one.
        wide = self.conv(x).unflatten(1, (-1, 2)).permute(0, 1, 3, 4, 2).flatten(-2)
        return self.out_conv(wide)
