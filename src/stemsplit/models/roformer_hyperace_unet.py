"""The network of HyperACE, which sees tokens as an image of frames and bands, and draws numbers for all bins.

An encoder halves the image several times, a hypergraph relates places that are far apart (Lei et al. 2025,
arXiv:2506.17733), a decoder returns to the image's size, and a head widens bands to bins. Norms and hypergraph span the
whole chunk, so its length matters. There are two versions. Attribute names are the keys of the published checkpoints.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.models.network import in_float32
from stemsplit.models.roformer_hyperace_layers import (
    Bottleneck,
    HypergraphPaths,
    Pointwise,
    Separable,
    TwoPaths,
    Widening,
)

STAGES = (2, 3, 4, 5)
"""Numbers of the encoder's images; each has half as many frames as the one before."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a HyperACE network.

    Args:
        version: 1 or 2.
        channels: numbers of channels of the encoder's stem and of its four images.
        depth: number of residual layers in the encoder's first and last stage; the other two have twice as many.
        hyperedges: number of hyperedges of each hypergraph.
        heads: number of heads whose similarities are averaged.

    Raises:
        ValueError: no network has such sizes.
    """

    version: int
    channels: Sequence[int]
    depth: int
    hyperedges: int
    heads: int

    def __post_init__(self) -> None:
        sizes = self.channels
        if len(sizes) != 5:
            raise ValueError(f"hyperace_channels must be five numbers, not {len(sizes)}")
        for number, least in enumerate((1, self.narrowing[-1], 2, 4, 2)):
            if sizes[number] < least:
                raise ValueError(
                    f"number {number + 1} of hyperace_channels must be at least {least}, not {sizes[number]}"
                )
        if sizes[3] // 2 % self.heads:
            raise ValueError(
                f"hyperace_num_heads must divide {sizes[3] // 2}, half of the fourth of hyperace_channels, "
                f"not be {self.heads}"
            )

    @property
    def narrowing(self) -> tuple[int, ...]:
        """By what each block of the head divides the channels of the decoder's image."""
        return (1, 2, 2, 4) if self.version == 1 else (2, 4, 8, 16)

    @property
    def strides(self) -> tuple[tuple[int, int], ...]:
        """Steps of the encoder's five strided convolutions along frames and bands."""
        return ((2, 1),) * 5 if self.version == 1 else ((2, 1),) * 3 + ((2, 2),) * 2

    def smallest(self, frames: int, bands: int) -> tuple[int, int]:
        """Return the frames and bands of the smallest image that the encoder makes."""
        for rows, columns in self.strides:
            frames, bands = -(-frames // rows), -(-bands // columns)
        return frames, bands


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate an image linearly, (b, c, m, k) -> (b, c, *size)."""
    return x if x.shape[2:] == tuple(size) else F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


class Backbone(nn.Module):
    """Makes four images of falling size."""

    def __init__(self, dim: int, shape: Shape) -> None:
        super().__init__()
        sizes, strides = (dim, *shape.channels), shape.strides
        self.stem = Separable(sizes[0], sizes[1], strides[0])
        for number, layers in zip(STAGES, (1, 2, 2, 1), strict=True):
            c_in, c_out = sizes[number - 1 : number + 1]
            smaller = Separable(c_in, c_out, strides[number - 1])
            self.add_module(f"p{number}", nn.Sequential(smaller, Bottleneck(c_out, c_out, layers * shape.depth)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(b, d, m, k) -> (b, c, m, k) each, the largest first."""
        x, images = self.stem(x), []
        for number in STAGES:
            x = self.get_submodule(f"p{number}")(x)
            images.append(x)
        return images


class HyperACE(nn.Module):
    """Makes one image of all of the encoder's, in which hypergraphs relate distant places."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        channels = shape.channels[3]
        self.parts = [channels // 2, channels // 4, channels - channels // 2 - channels // 4]
        high, low, _ = self.parts
        self.fuse_conv = Pointwise(sum(shape.channels[1:]), channels)
        graphs, layers = (3, 2) if shape.version == 1 else (2, 1)
        self.high_order_branch = nn.ModuleList(
            HypergraphPaths(high, shape.hyperedges, shape.heads) for _ in range(graphs)
        )
        self.high_order_fuse = Pointwise(graphs * high, high)
        self.low_order_branch = nn.Sequential(*(TwoPaths(low, 1) for _ in range(layers)))
        self.final_fuse = Pointwise(channels, channels)

    def forward(self, images: Sequence[Tensor]) -> Tensor:
        """Four images (b, c, m, k) -> (b, c, m, k), of the third one's size."""
        size = images[2].shape[2:]
        high, low, rest = self.fuse_conv(torch.cat([resized(x, size) for x in images], 1)).split(self.parts, 1)
        related = self.high_order_fuse(torch.cat([branch(high) for branch in self.high_order_branch], 1))
        return self.final_fuse(torch.cat([related, self.low_order_branch(low), rest], 1))


class Gated(nn.Module):
    """Adds one image to another, each of its channels times a gain."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor, added: Tensor) -> Tensor:
        """(b, c, m, k) each -> (b, c, m, k)."""
        return x + self.gamma * added


class Decoder(nn.Module):
    """Joins the encoder's images from the smallest to the largest, with the hypergraphs' image added to each."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        sizes, graph = (0, *shape.channels), shape.channels[3]
        for number in reversed(STAGES):
            self.add_module(f"h_to_d{number}", Pointwise(graph, sizes[number]))
            self.add_module(f"fusion_d{number}", Gated(sizes[number]))
            self.add_module(f"skip_p{number}", Pointwise(sizes[number], sizes[number]))
            if number > 2:
                self.add_module(f"up_d{number}", Bottleneck(sizes[number], sizes[number - 1], 1))
        self.final_d2 = Bottleneck(sizes[2], sizes[2], 1)

    def forward(self, images: Sequence[Tensor], related: Tensor) -> Tensor:
        """Four images (b, c, m, k) and the hypergraphs' (b, c, m, k) -> (b, c, m, k), of the first one's size."""
        module = self.get_submodule
        x: Tensor | None = None
        for number, image in zip(reversed(STAGES), reversed(images), strict=True):
            size = image.shape[2:]
            joined = module(f"skip_p{number}")(image)
            if x is not None:
                joined = module(f"up_d{number + 1}")(resized(x, size)) + joined
            x = module(f"fusion_d{number}")(joined, module(f"h_to_d{number}")(resized(related, size)))
        return self.final_d2(x)


class UpsampleHead(nn.Module):
    """Widens an image's bands to bins.

    Args:
        channels: number of channels of the image.
        shape: sizes of the network.
        bands: number of bands.
        numbers: numbers per bin and frame.
    """

    def __init__(self, channels: int, shape: Shape, bands: int, numbers: int) -> None:
        super().__init__()
        c_in = channels
        for block, divisor in enumerate(shape.narrowing, start=1):
            c_out = channels // divisor
            columns = bands * 2**block if shape.version == 2 else None
            self.add_module(f"block{block}", Widening(c_in, c_out, columns))
            c_in = c_out
        size = 1 if shape.version == 1 else 3
        self.final_conv = nn.Conv2d(c_in, numbers, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor, bins: int) -> Tensor:
        """(b, c, m, k) -> (b, numbers, m, bins)."""
        for block in range(1, 5):
            x = self.get_submodule(f"block{block}")(x)
        return self.final_conv(resized(x, (x.shape[2], bins)))


class Segmentation(nn.Module):
    """Computes numbers for each bin from the tokens of all bands.

    Args:
        dim: features of a token.
        bands: number of bands.
        bins: number of bins.
        numbers: numbers per bin and frame.
        shape: sizes of the network.
    """

    def __init__(self, dim: int, bands: int, bins: int, numbers: int, shape: Shape) -> None:
        super().__init__()
        self.bins, self.shape = bins, shape
        self.backbone = Backbone(dim, shape)
        self.hyperace = HyperACE(shape)
        self.decoder = Decoder(shape)
        self.upsample_head = UpsampleHead(shape.channels[1], shape, bands, numbers)

    def forward(self, tokens: Tensor) -> Tensor:
        """Compute the numbers, in float32 even under autocast: dozens of norms in a row would enlarge rounding errors.

        Args:
            tokens: (b, m, k, d).

        Returns:
            (b, m, f, numbers).

        Raises:
            ValueError: the chunk is so short that the smallest image would be a single number, which has no variance.
        """
        frames, bands = tokens.shape[1:3]
        if self.shape.smallest(frames, bands) == (1, 1):
            raise ValueError(
                f"a chunk of {frames} frames is too short for HyperACE with {bands} bands: its smallest image would "
                "have one number per channel, and no variance; use a longer chunk"
            )
        with in_float32(tokens.device):
            image = tokens.float().permute(0, 3, 1, 2)
            images = self.backbone(image)
            decoded = self.decoder(images, self.hyperace(images))
            return self.upsample_head(resized(decoded, image.shape[2:]), self.bins).permute(0, 2, 3, 1)
