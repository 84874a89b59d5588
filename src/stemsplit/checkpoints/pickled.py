"""Finds the tensors in what `torch.save` wrote, a whole network included, without running any of it.

PyTorch's restricted unpickler looks names up in a table and imports nothing. Of a name that is not in the table by
itself, but belongs in a checkpoint, it makes an `Inert` object here; every other name is refused.
"""

import os
import re
import struct
import tarfile
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from stemsplit.checkpoints.pickle_scan import MOST_BYTES, Scan
from stemsplit.checkpoints.pickle_scan import refusal as refusal  # of what PyTorch itself refuses, too
from stemsplit.errors import WeightsError
from stemsplit.fetch.digests import ZIP

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
"""Most letters in all names of a network, each with its prefix and ten more: far more than the largest network has."""

MOST_DIRECTORY = 1 << 24
"""Bytes of a zip's directory: over 100,000 storages, which Python lists in a second or two."""

MAGIC = (0x1950A86A20F9469CFC6C, 1001)
"""What the first two pickles of a file hold that is not a zip."""

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
        """What the state keeps under names in one of its dicts, such as `_parameters`.

        Raises:
            WeightsError: something is kept there under what is not a name.
        """
        # Not state.get and content.items: a pickle may hang attributes of these names on an OrderedDict.
        content = dict.get(self.state, attribute) or {}
        # Not left out instead: they would be gone through again in every place where the module is.
        if not all(isinstance(key, str) for key in dict.keys(content)):
            raise WeightsError("its network has parts without a name")
        return dict(dict.items(content))


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
        WeightsError: the network is too large, contains itself, or has parts without a name.
    """
    tensors: dict[str, Tensor] = {}
    modules = [Place("", network)]
    letters = 0
    for place in modules:  # which grows meanwhile
        here, children = place.module.named("_parameters"), place.module.named("_modules")
        here |= place.module.named("_buffers")
        # Before any is put together: a long prefix comes again in every name below it.
        letters += sum(len(place.prefix) + len(name) + 10 for name in (*here, *children))
        if len(modules) + len(children) > MOST_MODULES or letters > MOST_LETTERS:
            raise WeightsError("its network is far too large")
        transient = dict.get(place.module.state, "_non_persistent_buffers_set")
        for name, value in here.items():
            # A list in its place would be gone through for every name.
            if isinstance(value, Tensor) and not (isinstance(transient, set) and name in transient):
                tensors[place.prefix + name] = value
        for name, child in children.items():
            if isinstance(child, Inert):
                if place.is_within(child):
                    raise WeightsError("its network contains itself")
                modules.append(Place(f"{place.prefix}{name}.", child, place))
    return tensors


def candidates(content: object, depth: int = 3) -> Iterator[object]:
    """Yield what may be the weights in what a file holds, up to `depth` containers deep; the likeliest comes first."""
    if isinstance(content, dict) and depth:
        for container in CONTAINERS:
            yield from candidates(dict.get(content, container), depth - 1)
    yield content


def weights(content: object) -> dict[str, Tensor]:
    """Return the dict of tensors in what a file holds; it is empty if there is none."""
    # Each only once: containers can be in one another many times.
    for candidate in {id(candidate): candidate for candidate in candidates(content)}.values():
        found: dict[str, Tensor] = {}
        if isinstance(candidate, Inert):
            found = state_dict(candidate)
        elif isinstance(candidate, dict):
            items = dict.items(candidate)
            found = {key: value for key, value in items if isinstance(key, str) and isinstance(value, Tensor)}
        if found:
            return found
    return {}


def check_directory(file: BinaryIO) -> None:
    """Make sure that the directory of a zip is where every reader looks for it, since PyTorch has one of its own.

    Raises:
        WeightsError: it is elsewhere, or very large.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 98))
    tail = file.read().rjust(98, b"\0")
    # The fields that follow the directory, in the zip64 format and in the older one. torch.save writes both.
    mark_64, length_64, start_64, locator, end_64 = struct.unpack("<4s36xQQ4s4xQ4x", tail[:76])
    mark, length, start, comment = struct.unpack("<4s8xLLH", tail[76:])
    regular = mark == b"PK\5\6" and not comment
    end = size - 22
    if locator == b"PK\6\7":
        shortened = min(length_64, 0xFFFFFFFF), min(start_64, 0xFFFFFFFF)
        regular &= mark_64 == b"PK\6\6" and end_64 == size - 98 and shortened == (length, start)
        length, start, end = length_64, start_64, end_64
    if not regular or start + length != end or length > MOST_DIRECTORY:
        raise WeightsError("it is not a zip as torch.save writes it; load and save it again")


def zipped_pickle(path: Path) -> bytes:
    """The pickle in a zip of `torch.save`.

    Raises:
        WeightsError: the zip is not as torch.save writes it. Of a compressed one, the size says nothing of what it
            takes in memory.
    """
    with path.open("rb") as file:
        check_directory(file)
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise WeightsError("it is compressed, which torch.save never does; load and save it again")
        # All but the tensors are read into memory, some as soon as PyTorch opens the zip.
        others = [entry for entry in entries if not entry.filename.partition("/")[2].startswith("data/")]
        if any(entry.file_size > MOST_BYTES for entry in others):
            raise WeightsError("its pickle is far too large")
        file.seek(0)
        with torch.serialization._open_zipfile_reader(file) as reader:
            return reader.get_record("data.pkl")


def scan_zip(path: Path) -> set[str]:
    """Check a zip of `torch.save` before it is read; returns the names that it asks for as `Inert` objects.

    Raises:
        WeightsError: reading it might have no end, or it asks for something that weights do not need.
    """
    scan = Scan(zipped_pickle(path), path.stat().st_size, INERT)
    scan.next()
    return scan.names


def scan_old(path: Path) -> set[str]:
    """Check a file of `torch.save` from before PyTorch 1.6: five pickles, and the storages. Nothing in it can be inert.

    Raises:
        WeightsError: reading it might have no end, or it asks for something that weights do not need.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES)
    with suppress(tarfile.HeaderError):
        tarfile.TarInfo.frombuf(content[:512], "ascii", "surrogateescape")
        # PyTorch would read it as one, whatever else it may be.
        raise WeightsError("it is a tar archive, which only the first versions of PyTorch wrote")
    scan = Scan(content, path.stat().st_size)
    head = scan.next(), scan.next()
    if head != MAGIC:
        raise WeightsError("it is damaged, or no checkpoint (it begins otherwise)")
    scan.next()  # what machine wrote it
    scan.next()  # what was saved
    keys = scan.next()
    if type(keys) is not list or not all(isinstance(key, str) for key in keys):
        raise WeightsError("it is damaged, or no checkpoint (its storages are not listed)")
    return scan.names


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of `torch.save`, by key, as they are stored; left in the file where its format allows.

    PyTorch's own exceptions of any kind pass through: over a damaged file it raises nearly all there are.

    Raises:
        WeightsError: it asks for something that weights do not need, or reading it might have no end.
    """
    with path.open("rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    names = scan_zip(path) if zipped else scan_old(path)
    # What PyTorch warns of, old formats and unusual protocols, is of no use to a person.
    with one_at_a_time, warnings.catch_warnings(action="ignore"):
        # A path that ends in .safetensors is taken for such a file by torch.load, and only a path can be mapped.
        misnamed = path.name.endswith(".safetensors")
        with torch.serialization.safe_globals([(Inert, name) for name in names]), path.open("rb") as file:
            source, mapped = (file, False) if misnamed else (path, zipped)
            return weights(torch.load(source, map_location="cpu", weights_only=True, mmap=mapped))
