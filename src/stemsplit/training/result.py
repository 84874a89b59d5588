"""What a run leaves: weights that say which model they are of, and an entry for a registry."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from torch import nn

from stemsplit.checkpoints import checkpoint
from stemsplit.checkpoints.describe import ABOUT
from stemsplit.disk import replacing
from stemsplit.errors import WeightsError
from stemsplit.registry import ModelEntry, as_toml, table_of


def save(network: nn.Module, entry: ModelEntry, path: Path, *, bits: int = 32) -> ModelEntry:
    """Write the weights, and beside them the entry as TOML.

    Args:
        network: of the entry's architecture.
        entry: of the model; its sources are those of this file.
        path: safetensors file to write.
        bits: of each number, see `checkpoint.save`.

    Returns:
        The entry as it was written.

    Raises:
        WeightsError: a file cannot be written.
    """
    # TOML has no word for nothing, which YAML configs say of what plays no part in training.
    config = {key: value for key, value in entry.config.items() if value is not None}
    sources = (f"file:{path.name}",)
    # What was said of the model that it was trained from does not hold for it.
    entry = replace(entry, name=path.stem, config=config, sources=sources, recommended="")
    entry = replace(entry, sha256="", git_sha1="", size=0)
    checkpoint.save(network, path, {ABOUT: json.dumps(table_of(entry), ensure_ascii=False)}, bits=bits)
    toml = path.with_suffix(".toml")
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entry = replace(entry, sha256=digest, size=path.stat().st_size)
        with replacing(toml) as file:
            file.write(as_toml(entry).encode())
    except OSError as error:
        raise WeightsError(f"cannot write {toml}: {error.strerror}") from error
    return entry
