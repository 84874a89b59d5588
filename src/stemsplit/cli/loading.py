"""Loads the networks that a command runs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from stemsplit.engine.base import Splitter
    from stemsplit.engine.chain_entry import ChainEntry


def prepare_torch() -> None:
    """Import PyTorch, and keep its threads and Python's garbage collector out of the network's way."""
    import torch

    from stemsplit.cli import process

    process.settle()
    # The network has threads of its own, and would wait for PyTorch's. All other work is too little to be shared.
    torch.set_num_threads(1)


def check_memory(
    models: "ChainEntry", limit: int | None, device: str, precision: str, *, compiled: bool = False
) -> None:
    """Raise DeviceError if a model does not fit into a limit of memory, or has no integers; before any download."""
    if limit is None and precision != "int8":
        return
    from stemsplit.engine.memory import check_fits, check_int8
    from stemsplit.fast.device import dtype_of, pick_device

    found = pick_device(device)
    dtypes = [dtype_of(precision, found, bfloat16=each.bfloat16, compiled=compiled) for each in models.entries]
    if precision == "int8":
        check_int8(models.entries)
    if limit is not None:
        check_fits(zip(models.entries, dtypes, strict=True), limit)


def load_models(
    models: "ChainEntry", batch_size: int | None, tell: "Callable[[str], object] | None" = None, **settings: Any
) -> "Splitter":
    """Load the models that split songs, one after another.

    Args:
        models: the models, whose weights are on this machine.
        batch_size: chunks that the first model computes together; None for what suits the device.
        tell: called with a message that people should see; None to print it as a warning.
        settings: other settings of each `Separator`.

    Raises:
        RegistryError, WeightsError, DeviceError: a model cannot be loaded.
    """
    from stemsplit.engine import chain
    from stemsplit.terminal import console

    prepare_torch()
    return chain.load(models, batch_size, tell=tell or console.warning, **settings)
