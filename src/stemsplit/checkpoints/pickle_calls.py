"""Decides which calls a pickle may make, and limits the work that PyTorch has with them.

The objects of a pickle are replaced by stand-ins, of which only what matters here is known.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache

from torch import nn

from stemsplit.errors import WeightsError

MOST_WORK = 5_000_000
"""Largest number of items passed to functions; of a NumPy array's letters, every eighth counts. 1,000 tensors have some
30,000.
"""

INERT_WORK = 100
"""Work for an inert object that PyTorch makes or gives a state, besides one for each inert name of the file."""

MOST_NUMBERS = 50_000
"""Largest number of numeric keys. An optimizer has one per parameter; a hostile dict compares each with all others."""

MOST_DIMENSIONS = 64
"""Largest number of dimensions of a tensor: PyTorch computes with no more."""

REBUILD = "torch._utils._rebuild_"
"""Prefix of the functions that make tensors of any kind."""


@cache  # and not as the module is imported: a safetensors file needs no answer, and it takes milliseconds
def own_attributes() -> frozenset[str]:
    """Return the attributes that PyTorch defines on tensors.

    Setting one may do anything: `real` overwrites a tensor's numbers.
    """
    names = dir(nn.Parameter)
    return frozenset(name for name in names if inspect.isdatadescriptor(inspect.getattr_static(nn.Parameter, name)))


def refusal(names: str) -> str:
    """Return the message for a file that asks for something by name."""
    return f"it asks for {names}, but only tensors are read; save its state_dict as safetensors where it comes from"


class Kind(Enum):
    """Stands for an object of which only the kind matters."""

    TENSOR = auto()
    STORAGE = auto()
    INERT = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Name:
    """Stands for a class, a function or a type."""

    path: str


class Table(list[object]):
    """Stands for a dict of any kind: its keys and values in turn, replaced ones included."""


class Budget:
    """Counts the work that PyTorch will have with a file, and refuses a file with too much.

    Attributes:
        names: names in the file that become inert objects.
        work: items passed to functions so far.
        numbers: numeric keys so far.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.work = self.numbers = 0

    def spend(self, work: int) -> None:
        """Count work.

        Raises:
            WeightsError: it is too much.
        """
        self.work += work
        if self.work > MOST_WORK:
            raise WeightsError("its pickle would take far too long to read")

    def check_keys(self, keys: list[object]) -> None:
        """Check that the keys of a dict, or the items of a set, are texts and a few numbers.

        Hashing a tuple hashes everything in it, which may never end. Many numbers can be chosen to have the same hash,
        unlike texts; beyond 64 bits, any number of them can.

        Raises:
            WeightsError: a key is something else, or too many are numbers.
        """
        for key in keys:
            if isinstance(key, str):
                continue
            if not isinstance(key, int | float | None) or (isinstance(key, int) and key.bit_length() > 64):
                raise WeightsError("a key in its dicts is neither text nor a number")
            self.numbers += 1
            if self.numbers > MOST_NUMBERS:
                raise WeightsError("too many keys in its dicts are numbers")


def called(budget: Budget, function: object, arguments: object) -> object:
    """Return the stand-in for the result of a call.

    Raises:
        WeightsError: no checkpoint makes that call.
    """
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise WeightsError("its pickle calls something that is not a function")
    budget.spend(len(arguments))
    if function.path in budget.names:
        budget.spend(INERT_WORK + len(budget.names))
        return Kind.INERT
    if function.path not in CALLS and function.path.startswith(REBUILD):
        raise WeightsError("a weight is not a dense tensor of real numbers")
    if function.path not in CALLS:
        raise WeightsError(refusal(function.path))
    result = CALLS[function.path](budget, arguments)
    if result is None:
        raise WeightsError(f"its pickle calls {function.path} as torch.save never does")
    return result


def are_sizes(numbers: object) -> bool:
    """Return whether this may be a tensor's shape or strides."""
    return isinstance(numbers, tuple) and len(numbers) <= MOST_DIMENSIONS and set(map(type, numbers)) <= {int}


def are_settings(values: list[object]) -> bool:
    """Return whether a tensor's other arguments are small: a flag, a type, an empty dict of hooks, a dict of flags."""
    return all(isinstance(value, bool | None | Name) or (type(value) is Table and len(value) < 8) for value in values)


def are_attributes(budget: Budget, state: object) -> bool:
    """Return whether a tensor may have these attributes, which are in a dict or in a pair of dicts."""
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    for part in parts:
        if not isinstance(part, Table | None):
            return False
        budget.spend(len(part or ()))
        if not all(isinstance(key, str) and key not in own_attributes() for key in (part or ())[::2]):
            return False
    return True


def tensor(_: Budget, arguments: tuple[object, ...]) -> object:
    """Make a tensor of a storage."""
    match arguments:
        case (Kind.STORAGE, int(), shape, strides, *others) if are_sizes(shape) and are_sizes(strides):
            return Kind.TENSOR if are_settings(others) else None
    return None


def parameter(_: Budget, arguments: tuple[object, ...]) -> object:
    """Make a parameter of a tensor."""
    match arguments:
        case (Kind.TENSOR, *others) if are_settings(others):
            return Kind.TENSOR
    return None


def parameter_with_state(budget: Budget, arguments: tuple[object, ...]) -> object:
    """Make a parameter of a tensor, with attributes."""
    match arguments:
        case (*others, state) if are_attributes(budget, state):
            return parameter(budget, (*others,))
    return None


def tensor_of_type(budget: Budget, arguments: tuple[object, ...]) -> object:
    """Make a tensor of some class, or one with attributes."""
    match arguments:
        # Not of another such call: these could be nested without end.
        case (Name(path) as function, Name(), inner, state) if CALLS.get(path) in (tensor, parameter):
            return called(budget, function, inner) if are_attributes(budget, state) else None
    return None


def ordered_dict(budget: Budget, arguments: tuple[object, ...]) -> object:
    """Make an empty dict, or one of a list of pairs, as Python 2 pickled it."""
    table = Table()
    match arguments:
        case ():
            return table
        case (list(pairs),):
            budget.spend(len(pairs))
            for pair in pairs:
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    return None
                table += pair
            budget.check_keys(table[::2])
            return table
    return None


def counter(budget: Budget, arguments: tuple[object, ...]) -> object:
    """Make a dict of counts, such as the epochs at which a learning rate drops."""
    match arguments:
        case (Table() as counts,):
            budget.spend(len(counts))
            budget.check_keys(counts[::2])
            return Table(counts)
    return None


def set_of(budget: Budget, arguments: tuple[object, ...]) -> object:
    """Make a set of a list."""
    match arguments:
        case (list(items),):
            budget.spend(len(items))
            budget.check_keys(items)
            return Kind.OTHER
    return None


def encoded(budget: Budget, arguments: tuple[object, ...]) -> object:
    """Make bytes, which protocol 2 stores as text."""
    match arguments:
        case (str(text), "latin1"):  # some other codecs need time quadratic in the length
            budget.spend(len(text) // 8)
            return text.encode("latin1", "replace")
    return None


def byte_array(budget: Budget, arguments: tuple[object, ...]) -> object:
    """Make a copy of bytes. A number as argument is refused: it would make as many zeros."""
    match arguments:
        case (bytes(content),):
            budget.spend(len(content) // 8)
            return Kind.OTHER
    return None


def size(_: Budget, arguments: tuple[object, ...]) -> object:
    """Make a shape."""
    return Kind.OTHER if len(arguments) == 1 and are_sizes(arguments[0]) else None


def scalars(_: Budget, arguments: tuple[object, ...]) -> object:
    """Make an object of texts and numbers."""
    return Kind.OTHER if all(isinstance(value, str | int | float) for value in arguments) else None


CALLS: dict[str, Callable[[Budget, tuple[object, ...]], object]] = {
    REBUILD + "tensor": tensor,
    REBUILD + "tensor_v2": tensor,
    REBUILD + "tensor_v3": tensor,
    REBUILD + "parameter": parameter,
    REBUILD + "parameter_with_state": parameter_with_state,
    "torch._tensor._rebuild_from_type_v2": tensor_of_type,
    "torch.nn.parameter.Parameter": parameter,
    "torch.Size": size,
    "torch.device": scalars,
    "torch.serialization._get_layout": scalars,
    "collections.OrderedDict": ordered_dict,
    "collections.Counter": counter,
    "builtins.set": set_of,
    "builtins.bytearray": byte_array,
    "builtins.complex": scalars,
    "_codecs.encode": encoded,
}
"""Functions that checkpoints call -> function that returns the stand-in for the result, or None for arguments that no
checkpoint has.

PyTorch allows more, but those allocate memory by a number: sparse and quantised tensors, tensors and storages of a
given size.
"""
