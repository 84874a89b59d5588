"""The channel attention of FullSubNet+ (MulCA): convolutions over three spans of time, averaged without computing them.

A convolution of K taps without padding makes T - K + 1 numbers of T frames, each b + sum_k w_k x[t + k]. All that is
used of them is their mean, and there the two sums can be taken in the other order:

    mean = b + sum_k w_k (x[k] + x[k + 1] + ... + x[k + T - K]) / (T - K + 1)

What tap k meets is the whole signal but for the k frames that come before and the K - 1 - k that come after. With S the
sum of all frames, head_k that of the first k and tail_k that of the last K - 1 - k,

    mean = b + sum_k w_k (S - head_k - tail_k) / (T - K + 1)

which is exact, and with several channels in a group holds for each of them. S is the same for every tap and kernel, so
one pass over the signal and a few frames at its ends do for all. That S alone nearly does was found in issue 12 of
RookieJunChen/FullSubNet-plus.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def what_taps_meet(kernels: Sequence[int]) -> Tensor:
    """For each tap of each kernel in turn, which frames it leaves out of the sum of all.

    Args:
        kernels: their sizes.

    Returns:
        (2 * reach + 1, taps), reach being one less than the largest size: what the first `reach` frames, the sum of
        all, and the last `reach` frames are to be multiplied by, and then added up.
    """
    reach = max(kernels) - 1
    columns = [
        [-1.0] * before + [0.0] * (reach - before) + [1.0] + [0.0] * (reach - after) + [-1.0] * after
        for kernel in kernels
        for before, after in zip(range(kernel), reversed(range(kernel)), strict=True)
    ]
    return torch.tensor(columns, device="cpu").mT.contiguous()


class ChannelAttention(nn.Module):
    """Weighs channels by what they hold over several spans of time.

    Args:
        channels: of the signal.
        kernels: three spans, in frames.
        together: channels that each convolution takes together (`subband_num`); divides `channels`.
    """

    met: Tensor
    sizes: Tensor
    taps_of: Tensor

    def __init__(self, channels: int, kernels: Sequence[int], together: int = 1) -> None:
        super().__init__()
        self.reach, self.together = max(kernels) - 1, together

        # None of them is ever run; that each lies in a sequence of one is how the published keys have it.
        self.convs = [nn.Conv1d(channels, channels, kernel, groups=channels // together) for kernel in kernels]
        self.smallConv1d, self.middleConv1d, self.largeConv1d = map(nn.Sequential, self.convs)
        self.feature_concate_fc = nn.Linear(3, 1)
        self.fc1 = nn.Linear(channels, channels // 2)
        self.fc2 = nn.Linear(channels // 2, channels)
        # Made on the CPU, and no part of checkpoints: a network built on the meta device has them at once.
        taps_of = torch.block_diag(*(torch.ones(kernel, 1, device="cpu") for kernel in kernels))  # (taps, 3)
        self.register_buffer("met", what_taps_meet(kernels), persistent=False)
        self.register_buffer("sizes", taps_of.sum(0), persistent=False)
        self.register_buffer("taps_of", taps_of, persistent=False)

    def means(self, x: Tensor) -> Tensor:
        """The mean over time of each of the three convolutions of a signal.

        Args:
            x: (b, c, m), m at least the largest kernel.

        Returns:
            (b, c, 3).

        Raises:
            ValueError: there are fewer frames.
        """
        frames = x.shape[-1]
        if frames <= self.reach:
            raise ValueError(f"a kernel of {self.reach + 1} frames is longer than the signal's {frames}")
        known = torch.cat([x[..., : self.reach], x.sum(-1, keepdim=True), x[..., frames - self.reach :]], -1)
        met = (known @ self.met).unflatten(1, (-1, 1, self.together))  # (b, group, 1, channel in it, tap)
        weights = torch.cat([conv.weight for conv in self.convs], -1).unflatten(0, (-1, self.together))
        sums = (met * weights).sum(-2).flatten(1, 2) @ self.taps_of
        biases = torch.stack([conv.bias for conv in self.convs if conv.bias is not None], -1)
        return sums / (frames + 1 - self.sizes) + biases

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, m) -> (b, c, m); m as for `means`."""
        held = self.feature_concate_fc(self.means(x).relu())[..., 0]
        return x * self.fc2(self.fc1(held).relu()).sigmoid()[..., None]
