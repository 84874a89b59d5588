"""Keeps networks within a limit of memory: those that were not used lately give way, and are loaded again later."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch

from stemsplit.checkpoints.loading import built
from stemsplit.errors import DeviceError, StemsplitError
from stemsplit.fast import roformers
from stemsplit.fast.forks import Turns
from stemsplit.registry import ModelEntry
from stemsplit.words import size

TURN_SECONDS = 60.0
"""Length of the part of a song that one network computes before the next, where not all fit, in seconds.

Loading a network again takes about a second, and computing a minute of music takes a large one minutes on a CPU.
"""


class Resident(Protocol):
    """A network that can leave the memory."""

    name: str
    needs: int
    """Bytes that it takes."""

    def load(self) -> None:
        """Load the network, unless it is loaded."""

    def unload(self) -> None:
        """Free its memory."""


def _too_large(name: str, needs: int, limit: int) -> DeviceError:
    return DeviceError(
        f"the weights of {name} take {size(needs)}, more than the {size(limit)} of --fit-memory; allow more, or choose "
        "a smaller model"
    )


def bytes_of(entry: ModelEntry, dtype: torch.dtype) -> int:
    """Return the bytes that a network's weights take in memory, with the copy of them that computes; 0 if unknown.

    Args:
        entry: entry of the model, whose weights need not be on this machine.
        dtype: type of the network's large products.
    """
    try:
        with torch.device("meta"):  # without memory for the numbers
            network = built(entry)
    except StemsplitError:
        return 0  # only the file tells how large it is, or loading it will say what is wrong
    return sum(each.numel() for each in network.parameters()) * (4 + dtype.itemsize)


def check_int8(entries: Iterable[ModelEntry]) -> None:
    """Raise DeviceError if one of the models has no implementation with integers, as far as that is known."""
    for entry in entries:
        try:
            with torch.device("meta"):
                network = built(entry)
        except StemsplitError:
            continue  # loading its file will say
        if not roformers.supports_int8(network):
            raise DeviceError(f"{entry.name}: {roformers.ONLY_INT8}")


def check_fits(models: Iterable[tuple[ModelEntry, torch.dtype]], limit: int) -> None:
    """Raise DeviceError if a model, computed in its type, does not fit into a limit, as far as that is known."""
    for entry, dtype in models:
        if (needs := bytes_of(entry, dtype)) > limit:
            raise _too_large(entry.name, needs, limit)


class Memory:
    """Room for networks.

    Args:
        limit: largest number of bytes that the weights of all loaded networks may take.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self._turns = limit, Turns()
        self.known: list[Resident] = []
        self.loaded: list[Resident] = []
        """Those in memory; the one that was used last is at the end."""

    @property
    def is_crowded(self) -> bool:
        """Whether not all networks fit at the same time."""
        return sum(each.needs for each in self.known) > self.limit

    def add(self, network: Resident) -> None:
        """Make a network known, which is loaded when it is used.

        Raises:
            DeviceError: it does not fit, even alone.
        """
        if network.needs > self.limit:
            raise _too_large(network.name, network.needs, self.limit)
        self.known.append(network)
        network.unload()

    @contextmanager
    def holding(self, network: Resident) -> Iterator[None]:
        """Keep a network in memory while it computes. Others leave if there is no room; only one computes at a time."""
        with self._turns:
            self.loaded = [each for each in self.loaded if each is not network]
            while self.loaded and sum(each.needs for each in self.loaded) + network.needs > self.limit:
                self.loaded.pop(0).unload()
            self.loaded.append(network)
            network.load()
            yield
