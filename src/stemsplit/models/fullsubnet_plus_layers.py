"""The layers of FullSubNet and FullSubNet+, and the steps before and after them."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["offline_laplace_norm", "cumulative_laplace_norm"]

DILATIONS = (1, 2, 5, 9, 1, 2, 5, 9)
"""Dilation of each block of a full-band network, in frames."""

WIDTH = 512
"""Features of the full-band networks' convolutions. No hyperparameter sets it."""

FRAMES = 16
"""Frames per LSTM call. For all frames at once, its gates would take 100 MB per second of audio, and be no faster."""

Past = tuple[Tensor, int]
"""State of a running mean: float64 sums (b, c, 1, 1), and the number of frames that they cover."""

State = tuple[Tensor, Tensor]
"""State of an LSTM: hidden and cell state, (layers, b, d) each."""


def _sum_dtype(device: torch.device) -> torch.dtype:
    """Return the type of sums. In float32 they would depend on their order, and so on the number of threads."""
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's devices do not have float64


def running(x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
    """Scale each frame of a signal by the mean of all frames so far, over f, separately for each c.

    Args:
        x: (b, c, f, m).
        past: the state that this function returned for the frames before; None at the beginning.

    Returns:
        The scaled signal (b, c, f, m), and the state for the frames that follow.
    """
    before, frames = past or (0, 0)
    sums = before + x.sum(2, keepdim=True, dtype=_sum_dtype(x.device)).cumsum(-1)
    counts = x.shape[2] * torch.arange(frames + 1, frames + x.shape[3] + 1, device=x.device)
    scaled = x / (sums / counts + torch.finfo(torch.float32).eps).to(x.dtype)
    return scaled, (sums[..., -1:], frames + x.shape[3])


def normalised(x: Tensor, kind: Norm) -> Tensor:
    """Scale a signal by its mean.

    The mean of real and imaginary parts, which are signed, is nearly zero. So the gain is high, may have either sign,
    and depends on rounding.

    Args:
        x: (b, c, f, m).
        kind: offline for the mean of the whole signal; cumulative for `running`.

    Returns:
        (b, c, f, m).
    """
    if kind == "cumulative_laplace_norm":
        return running(x)[0]
    return x / (x.mean((1, 2, 3), keepdim=True, dtype=_sum_dtype(x.device)) + 1e-5).to(x.dtype)


def masked(mixture: Tensor, compressed: Tensor) -> Tensor:
    """Multiply a spectrogram by its mask.

    Args:
        mixture: complex (b, f, m).
        compressed: real and imaginary parts of the compressed mask, (b, 2, f, m).

    Returns:
        Complex (b, f, m).
    """
    # Equals the published -10 log((10 - y) / (10 + y)), but keeps its precision near zero.
    real, imag = (20 * torch.atanh(compressed.float().clamp(-9.9, 9.9) / 10)).unbind(1)
    return mixture * torch.complex(real, imag)


def neighbours(x: Tensor, reach: int) -> Tensor:
    """Return each bin with its neighbours, padded by reflection at the ends: (b, f, m) -> (b, f, 2 * reach + 1, m)."""
    padded = F.pad(x[:, None], (0, 0, reach, reach), mode="reflect")[:, 0] if reach else x
    return padded.unfold(1, 2 * reach + 1, 1).mT


class DilatedBlock(nn.Module):
    """Widens, convolves over three frames `dilation` apart, narrows, and adds the result to its input."""

    def __init__(self, bins: int, dilation: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv1d(bins, WIDTH, 1)
        self.prelu1 = nn.PReLU()
        self.norm1 = nn.GroupNorm(1, WIDTH, eps=1e-8)
        self.depthwise_conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation, groups=WIDTH)
        self.prelu2 = nn.PReLU()
        self.norm2 = nn.GroupNorm(1, WIDTH, eps=1e-8)
        self.sconv = nn.Conv1d(WIDTH, bins, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, f, m) -> (b, f, m)."""
        y = self.norm1(self.prelu1(self.conv1x1(x)))
        return x + self.sconv(self.norm2(self.prelu2(self.depthwise_conv(y))))


class FullBand(nn.Module):
    """Summarises each frame from all of its bins and from the frames around it."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.sequence_model = nn.Sequential(*(DilatedBlock(bins, dilation) for dilation in DILATIONS))
        self.fc_output_layer = nn.Linear(bins, bins)

    def forward(self, x: Tensor) -> Tensor:
        """(b, f, m) -> (b, f, m)."""
        return self.fc_output_layer(self.sequence_model(x).relu().mT).relu().mT


class Recurrent(nn.Module):
    """Applies an LSTM of two layers over time, then a linear layer."""

    def __init__(self, d_in: int, hidden: int, d_out: int) -> None:
        super().__init__()
        self.sequence_model = nn.LSTM(d_in, hidden, 2, batch_first=True)
        self.fc_output_layer = nn.Linear(hidden, d_out)

    def following(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        """Continue from the state after the frames before, None at the beginning.

        Returns:
            (b, d', m) for x (b, d, m), and the state after these frames.
        """
        outputs = []
        for frames in x.mT.split(FRAMES, 1):
            hidden, state = self.sequence_model(frames, state)
            outputs.append(self.fc_output_layer(hidden))
        return torch.cat(outputs, 1).mT, state

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, m) -> (b, d', m)."""
        return self.following(x, None)[0]
