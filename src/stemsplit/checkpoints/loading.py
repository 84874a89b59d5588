"""Builds an entry's network, with its weights or with fresh ones."""

import torch
from torch import nn

from stemsplit import models, registry
from stemsplit.checkpoints import checkpoint
from stemsplit.errors import RegistryError, WeightsError
from stemsplit.fetch import download
from stemsplit.registry import ModelEntry


def load_network(entry: registry.ModelEntry) -> nn.Module:
    """The entry's network with its weights, in float32 on the CPU; they may still lie in their file.

    Raises:
        WeightsError: the weights cannot be had, or do not fit.
        RegistryError: the entry's config makes no network.
    """
    tensors = checkpoint.read(download.fetch(entry))
    try:
        models.check(entry.architecture, entry.config, outputs=len(entry.stems), channels=entry.channels)
        with torch.device("meta"):
            network = models.build(entry.architecture, entry.config)
    except ValueError as error:
        raise RegistryError(f"the config of {entry.name!r} makes no network: {error}") from error
    try:
        tensors = models.adapt_keys(entry.architecture, tensors)
    except ValueError as error:
        raise WeightsError(f"cannot use the weights of {entry.name!r}: {error}") from error
    checkpoint.load(network, tensors, entry.name)
    return network.eval()


def fresh_network(entry: ModelEntry) -> nn.Module:
    """The entry's network with random weights, the same ones every time.

    Raises:
        RegistryError: the entry's config makes no network.
    """
    try:
        models.check(entry.architecture, entry.config, outputs=len(entry.stems), channels=entry.channels)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            return models.build(entry.architecture, entry.config).eval().requires_grad_(False)
    except ValueError as error:
        raise RegistryError(f"the config of {entry.name!r} makes no network: {error}") from error
