"""Builds an entry's network, with its weights or with fresh ones."""

from collections.abc import Mapping
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from stemsplit import models
from stemsplit.checkpoints import checkpoint
from stemsplit.checkpoints.shapes import Shapes
from stemsplit.errors import RegistryError, WeightsError
from stemsplit.fetch import download
from stemsplit.registry import ModelEntry


def completed(entry: ModelEntry, tensors: Mapping[str, Tensor] | None = None) -> ModelEntry:
    """Return the entry with the hyperparameters that its config leaves to its weights (`ModelEntry.from_weights`).

    Args:
        entry: entry of a model.
        tensors: its weights; None to get them, which is done only if they are needed.

    Raises:
        WeightsError: the weights cannot be obtained, do not show a hyperparameter, or contradict the config.
    """
    if not entry.from_weights:
        return entry
    if tensors is None:
        tensors = checkpoint.read_contents(download.fetch(entry), entry.part).tensors
    try:
        found = models.infer(tensors)
    except ValueError as error:
        raise WeightsError(f"cannot use the weights of {entry.name!r}: {error}") from error
    if found.architecture != entry.architecture:
        raise WeightsError(f"the weights of {entry.name!r} are for {found.architecture}, not for {entry.architecture}")
    for name, value in found.inferred.items():
        said = entry.config.get(name, value)
        if (tuple(said) if isinstance(said, list) else said) != value:
            raise WeightsError(f"the weights of {entry.name!r} have {name}={value}, but the registry says {said}")
    if unknown := [name for name in entry.from_weights if name not in found.inferred]:
        raise WeightsError(f"the weights of {entry.name!r} do not show {unknown[0]}; write it into its config")
    shown = {name: found.inferred[name] for name in entry.from_weights}
    return replace(entry, config={**entry.config, **shown}, from_weights=())


def built(entry: ModelEntry) -> nn.Module:
    """Build the entry's network, with random weights, in training mode, on PyTorch's default device.

    Raises:
        RegistryError: no network with the entry's stems and channels can be built from its config, or only the weights
            say all of the config (see `completed`).
    """
    if entry.from_weights:
        what = ", ".join(entry.from_weights)
        raise RegistryError(f"only the weights of {entry.name!r} say its {what}: without them, no network can be built")
    try:
        models.check(entry.architecture, entry.config, outputs=len(entry.stems), channels=entry.channels)
        return models.build(entry.architecture, entry.config)
    except ValueError as error:
        raise RegistryError(f"the config of {entry.name!r} makes no network: {error}") from error


def fresh_network(entry: ModelEntry) -> nn.Module:
    """Build the entry's network with random weights, the same ones every time, for measuring.

    Raises:
        RegistryError: see `built`.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return built(entry).eval().requires_grad_(False)


_remarks: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def remark_on(network: nn.Module) -> str:
    """Return what a user should know of the weights that a network got from a file with several; usually nothing."""
    return _remarks.get(network, "")


def load_network(entry: ModelEntry) -> nn.Module:
    """Load the entry's network with its weights, in float32 on the CPU; they may still lie in their file.

    Returns:
        A module in evaluation mode, (b, c, t) -> (b, n, c, t).

    Raises:
        WeightsError: the weights cannot be obtained, or do not fit the network.
        RegistryError: see `built`.
    """
    held = checkpoint.read_contents(download.fetch(entry), entry.part)
    tensors = held.tensors
    entry = completed(entry, tensors)
    with Shapes():
        network = built(entry)
    try:
        tensors = models.adapt_keys(entry.architecture, tensors)
    except ValueError as error:
        raise WeightsError(f"cannot use the weights of {entry.name!r}: {error}") from error
    checkpoint.load(network, tensors, entry.name)
    if held.used and not entry.part:
        _remarks[network] = f"{entry.name}: {'; '.join((held.used, *held.remarks))}"
    return network.eval()
