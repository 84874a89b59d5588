"""Finds the tensors in what `torch.save` wrote, a whole network included, without running any of it.

PyTorch's restricted unpickler looks names up in a table and imports nothing. Of a name that is not in the table by
itself, but belongs in a checkpoint, it makes an `Inert` object here; every other name is refused.
"""

import re
import threading
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stemsplit.errors import WeightsError
from stemsplit.weights.digests import ZIP

INERT = re.compile(
    r"""
    torch\.nn\.(modules|parallel)\.\w+\.[A-Z]\w*
    # The published SuDoRM-RF files; nobody could say yet from which package.
    | (\w+\.)*\w*sudormrf\w*\.(SuDORMRF|GroupCommSudoRmRf|UConvBlock|GC_UConvBlock|TAC|GlobLN
        |ConvNormAct|ConvNorm|NormAct|DilatedConvNorm|DilatedConv)
    # What training leaves beside the weights: scores, random states, options.
    | numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|dtype|ndarray)
    | argparse\.Namespace
    """,
    re.VERBOSE,
)
"""Names that may become `Inert`. Whatever it matched, nothing could run; it keeps what is read to what is known."""

CONTAINERS = ("state_dict", "model_state_dict", "state", "model")
"""Where published code and the usual trainers keep the weights among other things."""

MOST_MODULES = 10_000
"""Ten times the largest network; a pickle may also list one module in more places than could ever be looked at."""

MOST_LETTERS = 10_000_000
"""Of all names in a network together, each with its whole prefix: far more than the largest has."""

one_at_a_time = threading.Lock()
"""PyTorch has one table for all threads."""


class Inert:
    """Stands for an object that is no tensor: keeps the state that a pickle gives it, and can do nothing."""

    # And no __dict__, so that no state can put anything in the place of a method.
    __slots__ = ("state",)

    def __new__(cls, *_: object) -> "Inert":
        """An object without state, whatever the pickle would have it made of."""
        self = super().__new__(cls)
        self.state = {}
        return self

    def __setstate__(self, state: object) -> None:
        self.state: dict[Any, Any] = state if isinstance(state, dict) else {}

    def named(self, attribute: str) -> dict[str, Any]:
        """What the state keeps under names in one of its dicts, such as `_parameters`."""
        # Not state.get and content.items: a pickle may hang attributes of these names on an OrderedDict.
        content = dict.get(self.state, attribute)
        return {key: value for key, value in dict.items(content) if isinstance(key, str)} if content else {}


@dataclass(frozen=True)
class Place:
    """Where in a network a module is; the same one may be in several places.

    Args:
        prefix: of the names of what it holds.
        module: what is there.
        outer: the place that this one is in; None for the network itself.
    """

    prefix: str
    module: Inert
    outer: "Place | None" = None

    def is_within(self, module: Inert) -> bool:
        """Whether a module is here, or around this place."""
        place: Place | None = self
        while place and place.module is not module:
            place = place.outer
        return place is not None


def state_dict(network: Inert) -> dict[str, Tensor]:
    """The state dict of a network that was saved whole.

    Raises:
        WeightsError: the network is too large, or contains itself.
    """
    tensors: dict[str, Tensor] = {}
    modules = [Place("", network)]
    letters = 0
    for place in modules:  # which grows meanwhile
        here, children = place.module.named("_parameters"), place.module.named("_modules")
        here |= place.module.named("_buffers")
        # Before any is put together: a long prefix comes again in every name below it.
        letters += sum(len(place.prefix) + len(name) + 1 for name in (*here, *children))
        if len(modules) + len(children) > MOST_MODULES or letters > MOST_LETTERS:
            raise WeightsError("its network is far too large")
        transient: set[str] = dict.get(place.module.state, "_non_persistent_buffers_set") or set()
        for name, value in here.items():
            if isinstance(value, Tensor) and name not in transient:
                tensors[place.prefix + name] = value
        for name, child in children.items():
            if isinstance(child, Inert):
                if place.is_within(child):
                    raise WeightsError("its network contains itself")
                modules.append(Place(f"{place.prefix}{name}.", child, place))
    return tensors


def weights(content: object, depth: int = 3) -> dict[str, Tensor]:
    """The dict of tensors in what a file holds: itself, or up to `depth` containers deep. Empty if there is none."""
    if isinstance(content, Inert):
        return state_dict(content)
    if not isinstance(content, dict):
        return {}
    for container in CONTAINERS if depth else ():
        if found := weights(dict.get(content, container), depth - 1):
            return found
    return {key: value for key, value in dict.items(content) if isinstance(key, str) and isinstance(value, Tensor)}


def strange_names(path: Path) -> list[str]:
    """What a zip of `torch.save` asks for beyond tensors and plain containers.

    Raises:
        WeightsError: the zip is compressed, so its size says nothing of what it takes in memory.
    """
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise WeightsError("it is compressed, which torch.save never does; load and save it again")
    return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))


def refusal(names: str) -> str:
    """What to say of a file that asks for something by name."""
    return f"it asks for {names}, and only tensors are read; save its state_dict as safetensors where it comes from"


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of `torch.save`, by key, as they are stored; left in the file where its format allows.

    PyTorch's own exceptions of any kind pass through: over a damaged file it raises nearly all there are.

    Raises:
        WeightsError: it asks for something that is no part of weights.
    """
    with path.open("rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    # What PyTorch warns of, old formats and unusual protocols, is of no use to a person.
    with one_at_a_time, warnings.catch_warnings(action="ignore"):
        names = strange_names(path) if zipped else []
        if refused := [name for name in names if not INERT.fullmatch(name)]:
            raise WeightsError(refusal(", ".join(refused[:3])))
        # A path that ends in .safetensors is taken for such a file by torch.load, and only a path can be mapped.
        misnamed = path.name.endswith(".safetensors")
        with torch.serialization.safe_globals([(Inert, name) for name in names]), path.open("rb") as file:
            source, mapped = (file, False) if misnamed else (path, zipped)
            return weights(torch.load(source, map_location="cpu", weights_only=True, mmap=mapped))
