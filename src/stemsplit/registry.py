"""Knows models.toml: which checkpoints there are, and everything about each that can be written down."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from stemsplit.errors import RegistryError

DEFAULT_MODEL = "starter"
"""The model that ships inside the package."""


@dataclass(frozen=True)
class ModelEntry:
    """One table of models.toml.

    Args:
        name: what a user types.
        description: one line on what it is for.
        architecture: key of `stemsplit.models.ARCHITECTURES`.
        config: the network's hyperparameters.
        stems: names of the network's outputs, in its order.
        sample_rate: Hz the network was trained at.
        channels: channels it takes together.
        chunk: samples given to it at once.
        hop: samples between two chunks' starts.
        sources: where its weights are, in order of preference; `package:FILE` is a file of this package.
        sha256: of the weights.
        size: of the weights, in bytes.
        license: of the weights, as an SPDX name.
        author: who trained it.
        window: how overlapping estimates are joined (see `stemsplit.overlap_add`).
        complete: whether its stems are meant to make up the mixture; what they leave is then spread evenly over them.
        residual: name of the stem "mixture minus all estimates"; empty if there is none.
        license_url: where the licence stands.
        training_data: what it was trained on.
        score: its published figures and how they were measured.
    """

    name: str
    description: str
    architecture: str
    config: Mapping[str, Any]
    stems: tuple[str, ...]
    sample_rate: int
    channels: int
    chunk: int
    hop: int
    sources: tuple[str, ...]
    sha256: str
    size: int
    license: str
    author: str
    window: str = "hann"
    complete: bool = False
    residual: str = ""
    license_url: str = ""
    training_data: str = ""
    score: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all stems that can be written."""
        return (*self.stems, self.residual) if self.residual else self.stems


def _fits(value: object, wanted: Any) -> bool:
    """Whether a TOML value is of an entry field's type."""
    if get_origin(wanted) is tuple:
        return isinstance(value, list) and all(type(item) is get_args(wanted)[0] for item in value)
    if get_origin(wanted) is not None:
        return isinstance(value, dict)
    return type(value) is wanted


def _entry(name: str, table: object, origin: Path) -> ModelEntry:
    """Check one table; a message names the table, the key and what it should be."""
    if not isinstance(table, dict):
        raise RegistryError(f"{origin}: {name!r} is not a table")
    hints = get_type_hints(ModelEntry)
    known = {f.name: f for f in fields(ModelEntry) if f.name != "name"}
    for key, value in table.items():
        if key not in known:
            close = get_close_matches(key, known, 1)
            raise RegistryError(f"{origin}: [{name}] has an unknown key {key!r}{_did_you_mean(close)}")
        if not _fits(value, hints[key]):
            raise RegistryError(f"{origin}: [{name}] {key} has the wrong type: {value!r}")
    required = (f.name for f in known.values() if f.default is MISSING and f.default_factory is MISSING)
    if missing := [key for key in required if key not in table]:
        raise RegistryError(f"{origin}: [{name}] lacks {', '.join(missing)}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return ModelEntry(name=name, **values)


def _did_you_mean(close: list[str]) -> str:
    return f"; did you mean {close[0]!r}?" if close else ""


def read(path: Path) -> dict[str, ModelEntry]:
    """All entries of a registry file, in its order.

    Raises:
        RegistryError: it is missing, no TOML, or a table does not fit.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RegistryError(f"cannot read the registry {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegistryError(f"{path} is not valid TOML: {error}") from error
    return {name: _entry(name, table, path) for name, table in document.items()}


def packaged_path() -> Path:
    """The package's own models.toml: beside this file in a wheel, at the root in a checkout."""
    here = Path(__file__).parent
    inside = here / "models.toml"
    return inside if inside.is_file() else here.parents[1] / "models.toml"


@cache
def entries() -> Mapping[str, ModelEntry]:
    """All models, by name."""
    return read(packaged_path())


def find(name: str) -> ModelEntry:
    """The model of that name.

    Raises:
        RegistryError: there is none.
    """
    known = entries()
    if name not in known:
        hint = _did_you_mean(get_close_matches(name, known, 1)) or "; see them all with: stemsplit list"
        raise RegistryError(f"no model named {name!r}{hint}")
    return known[name]
