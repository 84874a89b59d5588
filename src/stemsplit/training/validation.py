"""How well a network in training separates songs that it never sees there."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stemsplit.engine.completion import completed
from stemsplit.engine.overlap_add import overlap_add
from stemsplit.evaluation.metrics import sdr
from stemsplit.registry import ModelEntry


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Large products in that type; what needs it in float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


@torch.no_grad()
def validate(
    network: nn.Module, songs: Sequence[Tensor], entry: ModelEntry, dtype: torch.dtype = torch.float32
) -> Tensor:
    """SDR of every output in dB, (n,): the mean over songs (n, 2, t), each split as the command would split it.

    Songs that lack a stem have no say in its score; if none has it, that is NaN.
    """
    device = next(network.parameters()).device

    def estimate(mixture: Tensor) -> Tensor:
        with autocast(device, dtype):
            return network(mixture.to(device)).float()

    scores = []
    for sources in songs:
        mixture = sources.sum(0)
        estimates = overlap_add(mixture, estimate, chunk=entry.chunk, hop=entry.hop, window=entry.window)
        scores.append(sdr(completed(estimates, mixture, entry), sources))
    return torch.stack(scores).nanmean(0)
