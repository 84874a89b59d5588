"""Writes the result of a run: weights that describe their own model, and its registry entry as TOML."""

import hashlib
from dataclasses import replace
from pathlib import Path

from torch import nn

from stemsplit.checkpoints import checkpoint
from stemsplit.checkpoints.describe import ABOUT
from stemsplit.disk import replacing
from stemsplit.errors import WeightsError
from stemsplit.registry import ModelEntry, as_json, as_toml


def entry_of(entry: ModelEntry, fine_tuned: bool, about: str, license_: str, author: str) -> ModelEntry:
    """Return the entry of a model in training.

    Args:
        entry: entry of the model whose network it has.
        fine_tuned: whether it begins with that model's weights.
        about: what it is trained on.
        license_: licence of its weights.
        author: who trains it.
    """
    return replace(
        entry,
        description=f"fine-tuned from {entry.name}" if fine_tuned else f"trained like {entry.name}",
        training_data=about,
        license=license_,
        author=author,
        license_note="",
        license_url="",
        page="",
        score={},
        bfloat16=False,  # nobody has measured that
        earlier_chunks=(),
        earlier_hops=(),
    )


def save(network: nn.Module, entry: ModelEntry, path: Path, *, bits: int = 32) -> ModelEntry:
    """Write the weights, and beside them the entry as TOML.

    Args:
        network: network of the entry's architecture.
        entry: entry of the model; its name and its sources are replaced by those of the written file.
        path: safetensors file to write.
        bits: bits of each weight, see `checkpoint.save`.

    Returns:
        The entry as it was written.

    Raises:
        WeightsError: a file cannot be written.
    """
    # TOML has no null, which YAML configs have for settings that play no part in training.
    config = {key: value for key, value in entry.config.items() if value is not None}
    sources = (f"file:{path.name}",)
    # What was said of the model that it was trained from does not hold for it.
    entry = replace(entry, name=path.stem, config=config, sources=sources, recommended="")
    entry = replace(entry, sha256="", git_sha1="", size=0)
    checkpoint.save(network, path, {ABOUT: as_json(entry)}, bits=bits)
    toml = path.with_suffix(".toml")
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entry = replace(entry, sha256=digest, size=path.stat().st_size)
        with replacing(toml) as file:
            file.write(as_toml(entry).encode())
    except OSError as error:
        raise WeightsError(f"cannot write {toml}: {error.strerror}") from error
    return entry
