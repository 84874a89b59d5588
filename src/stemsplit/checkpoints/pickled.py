"""Reads the tensors in files of `torch.save`, also of networks that were pickled whole, without running their code.

PyTorch's restricted unpickler looks names up in a table and imports nothing. Names that belong in a checkpoint but are
not in that table are added to it as `Inert` objects; every other name is refused.
"""

import os
import re
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from stemsplit.checkpoints.pickle_scan import MOST_BYTES, Scan
from stemsplit.errors import WeightsError
from stemsplit.fast.forks import Turns
from stemsplit.fetch.checkpoint_format import ZIP

INERT = re.compile(
    r"""
    torch\.nn\.(modules|parallel)\.\w+\.[A-Z]\w*
    # The published SuDoRM-RF files; nobody could say yet from which package.
    | (\w+\.)*\w*sudormrf\w*\.(SuDORMRF|GroupCommSudoRmRf|UConvBlock|GC_UConvBlock|TAC|GlobLN
        |ConvNormAct|ConvNorm|NormAct|DilatedConvNorm|DilatedConv)
    # What neuralop adds to the tensors: its hyperparameters, an activation among them.
    | torch\._C\._nn\.gelu | torch\.nn\.functional\.gelu | neuralop(\.\w+)+
    # Other things that training stores: scores, random states, options.
    | numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|dtype|ndarray)
    | argparse\.Namespace
    """,
    re.VERBOSE,
)
"""Names that may become `Inert`. Nothing could run whatever it matched; it limits reading to known kinds of files."""

CONTAINERS = ("state_dict", "model_state_dict", "state", "model")
"""Keys under which published code and common trainers store the weights among other things."""

MOST_MODULES = 10_000
"""Largest number of modules, ten times that of the largest network. A pickle may list one module endlessly often."""

MOST_LETTERS = 10_000_000
"""Largest number of letters in all names of a network, each with its prefix and ten more. No network comes near it."""

MOST_DIRECTORY = 1 << 24
"""Largest size in bytes of a zip's directory: over 100,000 storages, which Python lists in a second or two."""

MAGIC = (0x1950A86A20F9469CFC6C, 1001)
"""Content of the first two pickles in a file that is not a zip."""

one_at_a_time = Turns()
"""Held while a file is read, because all threads share PyTorch's table of names."""


class Inert:
    """Stands for an object that is not a tensor: keeps the state that a pickle gives it, and can do nothing."""

    # Without a __dict__, no state can replace a method.
    __slots__ = ("state",)

    def __new__(cls, *_: object) -> "Inert":
        """Make an object without state, whatever arguments the pickle passes."""
        self = super().__new__(cls)
        self.state = {}
        return self

    def __setstate__(self, state: object) -> None:
        self.state: dict[Any, Any] = state if isinstance(state, dict) else {}

    def named(self, attribute: str) -> dict[str, Any]:
        """Return one of the dicts in the state, such as `_parameters`.

        Raises:
            WeightsError: one of its keys is not a name.
        """
        # Not state.get and content.items: a pickle may give an OrderedDict attributes of these names.
        content = dict.get(self.state, attribute) or {}
        # Not skipped instead: they would be looked at again for every place of the module.
        if not all(isinstance(key, str) for key in dict.keys(content)):
            raise WeightsError("its network has parts without a name")
        return dict(dict.items(content))


@dataclass(frozen=True)
class Place:
    """A place in a network with its module; one module may be in several places.

    Args:
        prefix: prefix of the names in the module.
        module: module in this place.
        outer: place of the containing module; None for the network itself.
    """

    prefix: str
    module: Inert
    outer: "Place | None" = None

    def is_within(self, module: Inert) -> bool:
        """Return whether a module is in this place, or contains it."""
        place: Place | None = self
        while place and place.module is not module:
            place = place.outer
        return place is not None


def state_dict(network: Inert) -> dict[str, Tensor]:
    """Return the state dict of a network that was saved whole.

    Raises:
        WeightsError: the network is too large, contains itself, or has parts without a name.
    """
    tensors: dict[str, Tensor] = {}
    modules = [Place("", network)]
    letters = 0
    for place in modules:  # the list grows meanwhile
        own, children = place.module.named("_parameters"), place.module.named("_modules")
        own |= place.module.named("_buffers")
        # Counted before any name is built: a long prefix is repeated in every name below it.
        letters += sum(len(place.prefix) + len(name) + 10 for name in (*own, *children))
        if len(modules) + len(children) > MOST_MODULES or letters > MOST_LETTERS:
            raise WeightsError("its network is far too large")
        transient = dict.get(place.module.state, "_non_persistent_buffers_set")
        for name, value in own.items():
            # Only a set: a list would be searched from its start for every name.
            if isinstance(value, Tensor) and not (isinstance(transient, set) and name in transient):
                tensors[place.prefix + name] = value
        for name, child in children.items():
            if isinstance(child, Inert):
                if place.is_within(child):
                    raise WeightsError("its network contains itself")
                modules.append(Place(f"{place.prefix}{name}.", child, place))
    return tensors


def check_directory(file: BinaryIO) -> None:
    """Check that the directory of a zip is where every reader looks for it: PyTorch's reader is not Python's.

    Raises:
        WeightsError: it is elsewhere, or very large.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 98))
    tail = file.read().rjust(98, b"\0")
    # The fields after the directory, in the zip64 format and in the older one. torch.save writes both.
    mark_64, length_64, start_64, locator, end_64 = struct.unpack("<4s36xQQ4s4xQ4x", tail[:76])
    mark, length, start, comment = struct.unpack("<4s8xLLH", tail[76:])
    regular = mark == b"PK\5\6" and not comment
    end = size - 22
    if locator == b"PK\6\7":
        shortened = min(length_64, 0xFFFFFFFF), min(start_64, 0xFFFFFFFF)
        regular &= mark_64 == b"PK\6\6" and end_64 == size - 98 and shortened == (length, start)
        length, start, end = length_64, start_64, end_64
    file.seek(max(0, size - (1 << 16) - 22))
    if b"PK\5\6" not in file.read():
        raise WeightsError("it is a zip whose end is missing; is the download complete?")
    if not regular or start + length != end or length > MOST_DIRECTORY:
        raise WeightsError("it is a zip, but not one as torch.save writes it; load and save it again")


def other_kind(names: Sequence[str]) -> str:
    """Return what to say of a zip with files of these names that is not one of `torch.save`; empty if it may be one."""
    if any("/code/__torch__" in f"/{name}" or name.endswith("constants.pkl") for name in names):
        return "it is a TorchScript program, which stemsplit does not run; take the model's state dict"
    inner = [name for name in names if name.endswith((".ckpt", ".pth", ".pt", ".th", ".safetensors"))]
    if inner and not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return f"it is an archive; unpack it, and name {inner[0]!r}"
    return ""


def zipped_pickle(path: Path) -> bytes:
    """Return the pickle in a zip of `torch.save`.

    Raises:
        WeightsError: the zip is not as torch.save writes it, such as a compressed one, which may fill the memory.
    """
    with path.open("rb") as file:
        check_directory(file)
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        if told := other_kind([entry.filename for entry in entries]):
            raise WeightsError(told)
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise WeightsError("it is compressed, but torch.save never compresses; load and save it again")
        # All but the tensors are read into memory, some as soon as PyTorch opens the zip.
        others = [entry for entry in entries if not entry.filename.partition("/")[2].startswith("data/")]
        if any(entry.file_size > MOST_BYTES for entry in others):
            raise WeightsError("its pickle is far too large")
        file.seek(0)
        with torch.serialization._open_zipfile_reader(file) as reader:
            return reader.get_record("data.pkl")


def scan_zip(path: Path) -> set[str]:
    """Check a zip of `torch.save` before it is read; return the names in it that become `Inert` objects.

    Raises:
        WeightsError: reading it might never end, or it asks for something that weights do not need.
    """
    scan = Scan(zipped_pickle(path), path.stat().st_size, INERT)
    scan.next()
    return scan.names


def scan_old(path: Path) -> set[str]:
    """Check a file that `torch.save` wrote before PyTorch 1.6: five pickles, then the storages. No names become inert.

    Raises:
        WeightsError: reading it might never end, or it asks for something that weights do not need.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES)
    with suppress(tarfile.HeaderError):
        tarfile.TarInfo.frombuf(content[:512], "ascii", "surrogateescape")
        # PyTorch would read it as a tar archive, even if it is a valid pickle too.
        raise WeightsError("it is a tar archive, which only the first versions of PyTorch wrote")
    scan = Scan(content, path.stat().st_size)
    head = scan.next(), scan.next()
    if head != MAGIC:
        raise WeightsError("it is damaged or not a checkpoint (its beginning is unknown)")
    scan.next()  # the machine that wrote it
    scan.next()  # the saved object
    keys = scan.next()
    if type(keys) is not list or not all(isinstance(key, str) for key in keys):
        raise WeightsError("it is damaged or not a checkpoint (its storages are not listed)")
    return scan.names


def read(path: Path) -> object:
    """Return the content of a file of `torch.save`. Its tensors stay in the file if its format allows it.

    Raises:
        WeightsError: it asks for something that weights do not need, or reading it might never end.
        Exception: the file is damaged. PyTorch's own exceptions, of nearly any type, are passed on.
    """
    with path.open("rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    names = scan_zip(path) if zipped else scan_old(path)
    # PyTorch warns about old formats and unusual protocols, which does not help users.
    with one_at_a_time, warnings.catch_warnings(action="ignore"):
        # torch.load takes a path that ends in .safetensors for such a file, but it can map only paths, not open files.
        misnamed = path.name.endswith(".safetensors")
        with torch.serialization.safe_globals([(Inert, name) for name in names]), path.open("rb") as file:
            source, mapped = (file, False) if misnamed else (path, zipped)
            return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
