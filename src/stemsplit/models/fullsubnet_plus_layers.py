"""Layers of FullSubNet and FullSubNet+, and what becomes of the spectrum before and after them."""

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    pass


Norm = Literal["offline_laplace_norm", "cumulative_laplace_norm"]

DILATIONS = (1, 2, 5, 9, 1, 2, 5, 9)

WIDTH = 512
"""Of the full-band networks' convolutions, whatever a config says."""

FRAMES = 16
"""That an LSTM takes at once: of all, its gates would fill 100 MB a second of audio, and not come sooner."""

Past = tuple[Tensor, int]
"""What a running mean has come to: float64 sums (b, c, 1, 1), and over how many frames."""

State = tuple[Tensor, Tensor]
"""What an LSTM remembers, (layers, b, d) twice."""


def _fine(device: torch.device) -> torch.dtype:
    """What sums are taken in: in single precision they would depend on their order, and so on the number of threads."""
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's devices have no other


def running(x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
    """Scale a signal by the mean of what came so far, of each c over all f.

    Args:
        x: (b, c, f, m).
        past: what this returned of the frames before; None at the beginning.

    Returns:
        (b, c, f, m), and the past of the frames that follow.
    """
    before, frames = past or (0, 0)
    sums = before + x.sum(2, keepdim=True, dtype=_fine(x.device)).cumsum(-1)
    counts = x.shape[2] * torch.arange(frames + 1, frames + x.shape[3] + 1, device=x.device)
    scaled = x / (sums / counts + torch.finfo(torch.float32).eps).to(x.dtype)
    return scaled, (sums[..., -1:], frames + x.shape[3])


def normalised(x: Tensor, kind: Norm) -> Tensor:
    """Scale a signal by its mean.

    Of real and imaginary parts, which are signed, the mean is next to nothing: the gain is high, of either sign, and
    would be another one with each way of rounding.

    Args:
        x: (b, c, f, m).
        kind: offline, the mean of everything; cumulative, see `running`.

    Returns:
        (b, c, f, m).
    """
    if kind == "cumulative_laplace_norm":
        return running(x)[0]
    return x / (x.mean((1, 2, 3), keepdim=True, dtype=_fine(x.device)) + 1e-5).to(x.dtype)


def masked(mixture: Tensor, compressed: Tensor) -> Tensor:
    """Multiply a spectrogram by its mask.

    Args:
        mixture: (b, f, m), complex.
        compressed: real and imaginary part of the mask, (b, 2, f, m).

    Returns:
        (b, f, m), complex.
    """
    # As published, -10 log((10 - y) / (10 + y)), which is this and loses nothing near zero.
    real, imag = (20 * torch.atanh(compressed.float().clamp(-9.9, 9.9) / 10)).unbind(1)
    return mixture * torch.complex(real, imag)


def neighbours(x: Tensor, reach: int) -> Tensor:
    """Each bin with those on either side of it, the outermost continued by reflection: (b, f, m) -> (b, f, d, m)."""
    padded = F.pad(x[:, None], (0, 0, reach, reach), mode="reflect")[:, 0] if reach else x
    return padded.unfold(1, 2 * reach + 1, 1).mT


class DilatedBlock(nn.Module):
    """Widen, look at three frames some way apart, narrow, add."""

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
    """What a frame is about, from all of its bins and from the frames around it."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.sequence_model = nn.Sequential(*(DilatedBlock(bins, dilation) for dilation in DILATIONS))
        self.fc_output_layer = nn.Linear(bins, bins)

    def forward(self, x: Tensor) -> Tensor:
        """(b, f, m) -> (b, f, m)."""
        return self.fc_output_layer(self.sequence_model(x).relu().mT).relu().mT


class Recurrent(nn.Module):
    """An LSTM of two layers over time, and a linear layer."""

    def __init__(self, d_in: int, hidden: int, d_out: int) -> None:
        super().__init__()
        self.sequence_model = nn.LSTM(d_in, hidden, 2, batch_first=True)
        self.fc_output_layer = nn.Linear(hidden, d_out)

    def following(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        """(b, d, m), and the state that the frames before left, if any -> (b, d', m), and the state after it."""
        outputs = []
        for frames in x.mT.split(FRAMES, 1):
            hidden, state = self.sequence_model(frames, state)
            outputs.append(self.fc_output_layer(hidden))
        return torch.cat(outputs, 1).mT, state

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, m) -> (b, d', m)."""
        return self.following(x, None)[0]
