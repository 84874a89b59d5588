"""Measures how well a network in training separates songs that it is not trained on."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stemsplit.engine.completion import completed
from stemsplit.engine.overlap_add import overlap_add
from stemsplit.evaluation.metrics import sdr
from stemsplit.registry import ModelEntry


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return a context that computes large products in `dtype`, and what needs it in float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


@torch.no_grad()
def validate(
    network: nn.Module, songs: Sequence[Tensor], entry: ModelEntry, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the SDR of every output in dB, (n,): the mean over the songs, each split as the `split` command does.

    A song that lacks a stem does not count towards its score. If no song has the stem, its score is NaN.

    Args:
        network: network to measure.
        songs: sources of each song, (n, 2, t), in the order of the entry's outputs. What is not separate in a song may
            follow them, see `read_song`; it is a part of the mixture and gets no score.
        entry: entry of the model.
        dtype: type of the network's large products.
    """
    device = next(network.parameters()).device

    def estimate(mixture: Tensor) -> Tensor:
        with autocast(device, dtype):
            return network(mixture.to(device)).float()

    scores = []
    for sources in songs:
        mixture = sources.sum(0)
        estimates = overlap_add(
            mixture, estimate, chunk=entry.chunk, hop=entry.hop, window=entry.window, ends=entry.ends
        )
        scores.append(sdr(completed(estimates, mixture, entry), sources[: len(entry.outputs)]))
    return torch.stack(scores).nanmean(0)
