"""The layers of FullSubNet and FullSubNet+, and the steps before and after them."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.models.network import in_float32

Norm = Literal["offline_laplace_norm", "cumulative_laplace_norm", "offline_gaussian_norm", "cumulative_layer_norm"]

CUMULATIVE: tuple[Norm, ...] = ("cumulative_laplace_norm", "cumulative_layer_norm")
"""Norms by the frames so far, which are causal. The others are by the whole signal."""

ACTIVATIONS: dict[str | bool | None, type[nn.Module]] = {
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "Tanh": nn.Tanh,
    False: nn.Identity,
    None: nn.Identity,
    "": nn.Identity,
}
"""Published name of an activation -> its module."""

DILATIONS = (1, 2, 5, 9, 1, 2, 5, 9)
"""Dilation of each block of a full-band network, in frames."""

WIDTH = 512
"""Features of the full-band networks' convolutions. No hyperparameter sets it."""

FRAMES = 16
"""Frames per LSTM call. For all frames at once, its gates would take 100 MB per second of audio, and be no faster."""

SEQUENCES = 16
"""Sequences that a network of convolutions takes at once: its widest signals are 15 times as large as its input."""

Past = tuple[Tensor, Tensor, int]
"""State of a cumulative norm: float64 sums and sums of squares (b, c, 1, 1), and the number of frames covered."""

State = tuple[Tensor, Tensor] | Tensor
"""State of an LSTM, hidden and cell state (layers, b, d) each, or of a GRU, (layers, b, d)."""


def _sum_dtype(device: torch.device) -> torch.dtype:
    """Return the type of sums. In float32 they would depend on their order, and so on the number of threads."""
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's devices do not have float64


def running(x: Tensor, kind: Norm, past: Past | None = None) -> tuple[Tensor, Past]:
    """Apply a cumulative norm: scale each frame by what all frames so far are, over f, separately for each c.

    Args:
        x: (b, c, f, m).
        kind: laplace to divide by the mean, layer to bring to mean 0 and variance 1.
        past: the state that this function returned for the frames before; None at the beginning.

    Returns:
        The scaled signal (b, c, f, m), and the state for the frames that follow.
    """
    wide, epsilon = _sum_dtype(x.device), torch.finfo(torch.float32).eps
    before, squares_before, frames = past or (0, 0, 0)
    counts = x.shape[2] * torch.arange(frames + 1, frames + x.shape[3] + 1, device=x.device)
    sums = before + x.sum(2, keepdim=True, dtype=wide).cumsum(-1)
    means = sums / counts
    if kind == "cumulative_laplace_norm":
        scaled, squares = x / (means + epsilon).to(x.dtype), torch.zeros_like(sums)
    else:
        squares = squares_before + x.to(wide).square().sum(2, keepdim=True).cumsum(-1)
        # Rounding may make the variance of equal numbers negative.
        variances = (squares / counts - means.square()).clamp(min=0)
        scaled = ((x - means) / (variances + epsilon).sqrt()).to(x.dtype)
    return scaled, (sums[..., -1:], squares[..., -1:], frames + x.shape[3])


def normalised(x: Tensor, kind: Norm) -> Tensor:
    """Scale a signal by what it is as a whole, or so far.

    The mean of real and imaginary parts, which are signed, is nearly zero. So the gain of a laplace norm is high, may
    have either sign, and depends on rounding.

    Args:
        x: (b, c, f, m).
        kind: offline for the whole signal, laplace to divide by its mean, gaussian to bring it to mean 0 and standard
            deviation 1; cumulative for `running`.

    Returns:
        (b, c, f, m).
    """
    if kind in CUMULATIVE:
        return running(x, kind)[0]
    wide = _sum_dtype(x.device)
    if kind == "offline_gaussian_norm":
        deviation, mean = torch.std_mean(x.to(wide), (1, 2, 3), keepdim=True)
        return ((x - mean) / (deviation + 1e-5)).to(x.dtype)
    return x / (x.mean((1, 2, 3), keepdim=True, dtype=wide) + 1e-5).to(x.dtype)


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


class Convolutional(nn.Module):
    """Summarises each frame from all of its features and from the frames around it.

    Args:
        d_in: features of a frame.
        d_out: features of its summary.
        activation: name of the activation at the end, as in `ACTIVATIONS`.
    """

    def __init__(self, d_in: int, d_out: int, activation: str | bool | None) -> None:
        super().__init__()
        self.sequence_model = nn.Sequential(*(DilatedBlock(d_in, dilation) for dilation in DILATIONS))
        self.fc_output_layer = nn.Linear(d_in, d_out)
        self.activate_function = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, m) -> (b, d', m), in float32 even under autocast, as its norms add up rounding errors."""
        with in_float32(x.device):
            parts = [self.sequence_model(sequences).relu().mT for sequences in x.float().split(SEQUENCES)]
            return torch.cat([self.activate_function(self.fc_output_layer(part)) for part in parts]).mT


class Recurrent(nn.Module):
    """Applies an LSTM or a GRU of two layers over time, then a linear layer and an activation.

    Args:
        d_in: features of a frame.
        hidden: features of the recurrent layers.
        d_out: features of the result.
        kind: LSTM or GRU.
        activation: name of the activation at the end, as in `ACTIVATIONS`.
    """

    def __init__(
        self, d_in: int, hidden: int, d_out: int, kind: str = "LSTM", activation: str | bool | None = None
    ) -> None:
        super().__init__()
        self.sequence_model = (nn.GRU if kind == "GRU" else nn.LSTM)(d_in, hidden, 2, batch_first=True)
        self.fc_output_layer = nn.Linear(hidden, d_out)
        self.activate_function = ACTIVATIONS[activation]()

    def following(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        """Continue from the state after the frames before, None at the beginning.

        Returns:
            (b, d', m) for x (b, d, m), and the state after these frames.
        """
        outputs = []
        for frames in x.mT.split(FRAMES, 1):
            hidden, state = self.sequence_model(frames, state)
            outputs.append(self.activate_function(self.fc_output_layer(hidden)))
        return torch.cat(outputs, 1).mT, state

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, m) -> (b, d', m)."""
        return self.following(x, None)[0]
