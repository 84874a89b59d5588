"""The channel attention of FullSubNet+: MulCA, and others that its code may use instead.

MulCA's convolutions over three spans of time are averaged without computing them. A convolution of K taps without
padding turns T frames into T - K + 1 numbers, each b + sum_k w_k x[t + k]. Only their mean is used, for which the two
sums can be taken in the other order:

    mean = b + sum_k w_k (x[k] + x[k + 1] + ... + x[k + T - K]) / (T - K + 1)

Tap k meets the whole signal except its first k and last K - 1 - k frames. With S the sum of all frames, head_k that of
the first k and tail_k that of the last K - 1 - k,

    mean = b + sum_k w_k (S - head_k - tail_k) / (T - K + 1)

This is exact, and holds for each channel of a group. S is the same for every tap and kernel, so one pass over the
signal and a few frames at its ends suffice. That S alone nearly suffices was found in the public issue 12 of
RookieJunChen/FullSubNet-plus.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def tap_coefficients(kernels: Sequence[int]) -> Tensor:
    """Return the coefficients that make each tap's sum S - head_k - tail_k from a few numbers.

    Args:
        kernels: sizes of the kernels.

    Returns:
        (2 * reach + 1, taps), reach being one less than the largest size. Each column has the factors of the first
        `reach` frames, the sum of all frames, and the last `reach` frames.
    """
    reach = max(kernels) - 1
    columns = [
        [-1.0] * before + [0.0] * (reach - before) + [1.0] + [0.0] * (reach - after) + [-1.0] * after
        for kernel in kernels
        for before, after in zip(range(kernel), reversed(range(kernel)), strict=True)
    ]
    return torch.tensor(columns, device="cpu").mT.contiguous()


class ChannelAttention(nn.Module):
    """Weights channels by their content over several spans of time.

    Args:
        channels: number of channels of the signal.
        kernels: three time spans, in frames.
        channels_per_group: channels in each group of the convolutions (`subband_num`); divides `channels`.
    """

    coefficients: Tensor
    sizes: Tensor
    tap_kernels: Tensor

    def __init__(self, channels: int, kernels: Sequence[int], channels_per_group: int = 1) -> None:
        super().__init__()
        self.reach, self.channels_per_group = max(kernels) - 1, channels_per_group

        # Only their weights are used, see `means`. Each is in a `Sequential` of its own as the published keys have it.
        groups = channels // channels_per_group
        self.convs = [nn.Conv1d(channels, channels, kernel, groups=groups) for kernel in kernels]
        self.smallConv1d, self.middleConv1d, self.largeConv1d = map(nn.Sequential, self.convs)
        self.feature_concate_fc = nn.Linear(3, 1)
        self.fc1 = nn.Linear(channels, channels // 2)
        self.fc2 = nn.Linear(channels // 2, channels)
        # Made on the CPU, and not part of checkpoints, so that a network built on the meta device has them.
        tap_kernels = torch.block_diag(*(torch.ones(kernel, 1, device="cpu") for kernel in kernels))  # (taps, 3)
        self.register_buffer("coefficients", tap_coefficients(kernels), persistent=False)
        self.register_buffer("sizes", tap_kernels.sum(0), persistent=False)
        self.register_buffer("tap_kernels", tap_kernels, persistent=False)

    def means(self, x: Tensor) -> Tensor:
        """Return the mean over time of each of the three convolutions of a signal.

        Args:
            x: (b, c, m), m at least the size of the largest kernel.

        Returns:
            (b, c, 3).

        Raises:
            ValueError: the signal has fewer frames.
        """
        frames = x.shape[-1]
        if frames <= self.reach:
            raise ValueError(f"a kernel of {self.reach + 1} frames is longer than the signal's {frames}")
        head_sum_tail = torch.cat([x[..., : self.reach], x.sum(-1, keepdim=True), x[..., frames - self.reach :]], -1)
        # (b, group, 1, channel in the group, tap)
        tap_sums = (head_sum_tail @ self.coefficients).unflatten(1, (-1, 1, self.channels_per_group))
        weights = torch.cat([conv.weight for conv in self.convs], -1).unflatten(0, (-1, self.channels_per_group))
        sums = (tap_sums * weights).sum(-2).flatten(1, 2) @ self.tap_kernels
        biases = torch.stack([conv.bias for conv in self.convs if conv.bias is not None], -1)
        return sums / (frames + 1 - self.sizes) + biases

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels, (b, c, m) -> (b, c, m); m as for `means`."""
        content = self.feature_concate_fc(self.means(x).relu())[..., 0]
        return x * self.fc2(self.fc1(content).relu()).sigmoid()[..., None]


class SqueezeExcitation(nn.Module):
    """Weights channels by the means of all of them (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, channels // 2)
        self.fc2 = nn.Linear(channels // 2, channels)

    def hidden(self, x: Tensor) -> Tensor:
        """Return the features from which the weights are computed, (b, c, m) -> (b, c / 2)."""
        return self.fc1(x.mean(-1)).relu()

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels, (b, c, m) -> (b, c, m)."""
        return x * self.fc2(self.hidden(x)).sigmoid()[..., None]


class MeanMaxExcitation(SqueezeExcitation):
    """Weights channels by the means and the maxima of all of them: CBAM (Woo et al. 2018, arXiv:1807.06521)."""

    def hidden(self, x: Tensor) -> Tensor:
        """Return the features from which the weights are computed, (b, c, m) -> (b, c / 2)."""
        return super().hidden(x) + self.fc1(x.amax(-1)).relu()


class NeighbourExcitation(nn.Module):
    """Weights channels by their means and their neighbours': ECA (Wang et al. 2020, arXiv:1910.03151)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels, (b, c, m) -> (b, c, m)."""
        return x * self.conv(x.mean(-1)[:, None])[:, 0].sigmoid()[..., None]


ATTENTIONS: dict[str, Callable[[int, Sequence[int]], nn.Module]] = {
    "TSSE": ChannelAttention,
    "SE": lambda channels, _: SqueezeExcitation(channels),
    "CBAM": lambda channels, _: MeanMaxExcitation(channels),
    "ECA": lambda _, __: NeighbourExcitation(),
}
"""Published name of an attention -> what makes it for a number of channels and three time spans."""
