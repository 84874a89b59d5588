"""Scans what `torch.save` pickled before PyTorch unpickles it, so that unpickling ends soon and takes little memory.

PyTorch's restricted unpickler limits what can run, but not for how long: it hashes and prints whatever a pickle nests,
and passes any arguments to the functions that it knows. The scan follows a pickle's opcodes with stand-ins for the
objects, and lets through only what checkpoints are made of. None of that makes PyTorch look deeper into an object than
at its items, and these are counted.
"""

import inspect
import pickle
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from torch import nn

from stemsplit.errors import WeightsError

MOST_BYTES = 1 << 25
"""Bytes of all pickles in a file: nearly a hundred times those of 1,000 tensors and their optimizer."""

MOST_OPCODES = 2_000_000
"""Opcodes in a file: fifteen times those of 1,000 tensors and their optimizer. PyTorch takes 1 or 2 us for each."""

MOST_WORK = 5_000_000
"""Items passed to functions; of the letters in an array of NumPy, every eighth. 1,000 tensors have some 30,000."""

INERT_WORK = 100
"""Names that PyTorch goes through whenever it makes or builds an inert object, beside those of the file."""

MOST_NUMBERS = 50_000
"""Keys that are numbers. An optimizer has one for each parameter; a hostile dict compares each with all others."""

MOST_NAMES = 1_000
"""Names that are looked up. A pickle looks up each name once, and a network has some dozens."""

MOST_LETTERS = 100
"""Letters of a module's name, and of a name in it."""

MOST_DIMENSIONS = 64
"""Dimensions of a tensor: PyTorch computes with no more."""

STOP = pickle.STOP[0]

REBUILD = "torch._utils._rebuild_"
"""Prefix of the functions that make tensors of any kind."""

OWN = frozenset(key for key in dir(nn.Parameter) if inspect.isdatadescriptor(inspect.getattr_static(nn.Parameter, key)))
"""Attributes that tensors have of themselves. Setting one may do anything: `real` writes all of a tensor's numbers."""


def refusal(names: str) -> str:
    """Return what to say of a file that asks for something by name."""
    return f"it asks for {names}, and only tensors are read; save its state_dict as safetensors where it comes from"


class Made(Enum):
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


class Scan:
    """Follows a file's pickles, one after the other.

    Args:
        content: beginning of the file, with all its pickles.
        room: most numbers that the file can store.
        inert: names of what becomes an inert object; None if nothing does.
    """

    def __init__(self, content: bytes, room: int, inert: re.Pattern[str] | None = None) -> None:
        self.content, self.room, self.inert = content, room, inert
        self.place = self.opcodes = self.lookups = self.work = self.numbers = 0
        self.names: set[str] = set()
        self.stored: dict[str, int] = {}
        self.stack: list[object] = []
        self.outer: list[list[object]] = []
        self.memo: dict[int, object] = {}

    def next(self) -> object:
        """Follow the next pickle to its end, and return what stands for its object.

        Raises:
            WeightsError: the pickle is damaged, or does what no checkpoint needs.
        """
        self.stack, self.outer, self.memo = [], [], {}
        content = self.content
        if content.startswith(pickle.PROTO, self.place):
            self.place += 2  # its number changes nothing
        try:
            for count in range(MOST_OPCODES - self.opcodes):
                opcode = content[self.place]
                if opcode == STOP:
                    self.place += 1
                    self.opcodes += count
                    return self.stack.pop()
                number, step = STEPS[opcode]
                start = self.place + 1
                self.place = start + number.size
                step(self, *number.unpack_from(content, start))
        except (IndexError, KeyError, ValueError, struct.error) as error:
            clause = "its pickle ends early, or is of an unusual kind"
            raise WeightsError(f"it is damaged, or no checkpoint ({clause})") from error
        raise WeightsError("its pickle is far too long")

    def spend(self, work: int) -> None:
        """Count what PyTorch will go through."""
        self.work += work
        if self.work > MOST_WORK:
            raise WeightsError("its pickle would take far too long to read")

    def check_keys(self, keys: list[object]) -> None:
        """Make sure that keys of a dict, or items of a set, are texts and a few numbers.

        Hashing a tuple hashes all that is in it, which may take for ever. Many numbers can be chosen that have the same
        hash, unlike texts; beyond 64 bits, any number of them.
        """
        for key in keys:
            if isinstance(key, str):
                continue
            if not isinstance(key, int | float | None) or (isinstance(key, int) and key.bit_length() > 64):
                raise WeightsError("a key in its dicts is neither text nor a number")
            self.numbers += 1
            if self.numbers > MOST_NUMBERS:
                raise WeightsError("too many keys in its dicts are numbers")

    def called(self, function: object, arguments: object) -> object:
        """Return what stands for the result of a call.

        Raises:
            WeightsError: no checkpoint makes that call.
        """
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise WeightsError("its pickle calls what is not a function")
        self.spend(len(arguments))
        if function.path in self.names:
            self.spend(INERT_WORK + len(self.names))
            return Made.INERT
        if function.path not in CALLS and function.path.startswith(REBUILD):
            raise WeightsError("a weight is not a dense tensor of real numbers")
        if function.path not in CALLS:
            raise WeightsError(refusal(function.path))
        made = CALLS[function.path](self, arguments)
        if made is None:
            raise WeightsError(f"its pickle calls {function.path} as torch.save never does")
        return made

    def take(self, length: int) -> bytes:
        """Take the next bytes."""
        part = self.content[self.place : self.place + length]
        if len(part) < length:
            raise IndexError
        self.place += length
        return part

    def line(self) -> str:
        """Take the rest of a line."""
        end = self.content.index(b"\n", self.place, self.place + MOST_LETTERS)
        line = self.take(end - self.place).decode()
        self.place += 1
        return line

    def since_mark(self) -> list[object]:
        """Take what is on the stack since the last mark, and the mark."""
        items, self.stack = self.stack, self.outer.pop()
        return items

    # The opcodes follow.

    def push(self, value: object) -> None:
        """Push an object."""
        self.stack.append(value)

    def text(self, length: int) -> None:
        """Push a text."""
        self.stack.append(str(self.take(length), "utf-8", "surrogatepass"))

    def long(self, length: int) -> None:
        """Push a number of many bytes."""
        self.stack.append(int.from_bytes(self.take(length), "little", signed=True))

    def put(self, index: int) -> None:
        """Keep the last object under a number."""
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        """Push what was kept under a number."""
        self.stack.append(self.memo[index])

    def mark(self) -> None:
        """Begin a list of items or arguments."""
        self.outer.append(self.stack)
        self.stack = []

    def tuple_of(self, length: int) -> None:
        """Push a tuple of the last objects."""
        if len(self.stack) < length:
            raise IndexError
        self.stack[-length:] = [tuple(self.stack[-length:])]

    def tuple_since_mark(self) -> None:
        """Push a tuple of all objects since the last mark."""
        items = tuple(self.since_mark())
        self.stack.append(items)

    def extend(self, items: list[object]) -> None:
        """Put items into a list."""
        target = self.stack[-1]
        if type(target) is not list:
            raise WeightsError("its pickle appends to what is not a list")
        target += items

    def update(self, items: list[object]) -> None:
        """Put keys and values, in turn, into a dict."""
        target = self.stack[-1]
        if not isinstance(target, Table) or len(items) % 2:
            raise WeightsError("its pickle puts keys into what is not a dict")
        self.check_keys(items[::2])
        target += items

    def set_item(self) -> None:
        """Put one key and value into a dict."""
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def name(self) -> None:
        """Push what has a name. PyTorch says which names there are."""
        module, item = self.line(), self.line()
        # Protocol 2 names it as Python 2 did.
        path = f"{'builtins' if module == '__builtin__' else module}.{item}"
        self.lookups += 1
        if self.lookups > MOST_NAMES:
            raise WeightsError("its pickle asks for far too many names")
        if self.inert and self.inert.fullmatch(path):
            self.names.add(path)
        self.stack.append(Name(path))

    def call(self) -> None:
        """Call a function, or make an object of a class."""
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.called(function, arguments))

    def build(self) -> None:
        """Give an object its state."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Table) and isinstance(state, Table):
            self.spend(len(state))  # which become its attributes
        elif target is Made.INERT:
            self.spend(INERT_WORK + len(self.names))
        else:
            raise WeightsError("its pickle gives a state to what has none")

    def persistent(self) -> None:
        """Push what is stored under a key."""
        match self.stack.pop():
            # Old files have None after the length. It could be a part of another storage, which nobody ever saved.
            case ("storage", Name(), str(key), str(), int(length), *part) if not any(part):
                known = self.stored.get(key, 0)
                if length > known:
                    self.stored[key] = length
                    self.room -= length - known
                if self.room < 0:
                    raise WeightsError("its tensors are far larger than the file")
                self.stack.append(Made.STORAGE)
            case ("module", Name(path), *_):  # a layer's class; old files have its source code, too
                raise WeightsError(refusal(path))
            case _:
                raise WeightsError("its pickle refers to what is not stored in it")


def are_sizes(numbers: object) -> bool:
    """Tell whether this may be a tensor's shape or strides."""
    return isinstance(numbers, tuple) and len(numbers) <= MOST_DIMENSIONS and set(map(type, numbers)) <= {int}


def are_settings(values: list[object]) -> bool:
    """Tell whether a tensor's other arguments are small: a flag, a type, an empty dict of hooks, a dict of flags."""
    return all(isinstance(value, bool | None | Name) or (type(value) is Table and len(value) < 8) for value in values)


def are_attributes(scan: Scan, state: object) -> bool:
    """Tell whether a tensor may have these attributes, which are in a dict, or in a pair of them."""
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    for part in parts:
        if not isinstance(part, Table | None):
            return False
        scan.spend(len(part or ()))
        if not all(isinstance(key, str) and key not in OWN for key in (part or ())[::2]):
            return False
    return True


def tensor(_: Scan, arguments: tuple[object, ...]) -> object:
    """Make a tensor of a storage."""
    match arguments:
        case (Made.STORAGE, int(), shape, strides, *others) if are_sizes(shape) and are_sizes(strides):
            return Made.TENSOR if are_settings(others) else None
    return None


def parameter(_: Scan, arguments: tuple[object, ...]) -> object:
    """Make a parameter of a tensor."""
    match arguments:
        case (Made.TENSOR, *others) if are_settings(others):
            return Made.TENSOR
    return None


def parameter_with_state(scan: Scan, arguments: tuple[object, ...]) -> object:
    """Make a parameter of a tensor, with attributes."""
    match arguments:
        case (*others, state) if are_attributes(scan, state):
            return parameter(scan, (*others,))
    return None


def tensor_of_type(scan: Scan, arguments: tuple[object, ...]) -> object:
    """Make a tensor of some class, or one with attributes."""
    match arguments:
        # Not of another such call: they could be nested without end.
        case (Name(path) as function, Name(), inner, state) if CALLS.get(path) in (tensor, parameter):
            return scan.called(function, inner) if are_attributes(scan, state) else None
    return None


def ordered_dict(scan: Scan, arguments: tuple[object, ...]) -> object:
    """Make an empty dict, or one of a list of pairs, as Python 2 pickled it."""
    table = Table()
    match arguments:
        case ():
            return table
        case (list(pairs),):
            scan.spend(len(pairs))
            for pair in pairs:
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    return None
                table += pair
            scan.check_keys(table[::2])
            return table
    return None


def counter(scan: Scan, arguments: tuple[object, ...]) -> object:
    """Make a dict of what was counted, such as the epochs at which a learning rate drops."""
    match arguments:
        case (Table() as counts,):
            scan.spend(len(counts))
            scan.check_keys(counts[::2])
            return Table(counts)
    return None


def set_of(scan: Scan, arguments: tuple[object, ...]) -> object:
    """Make a set of a list."""
    match arguments:
        case (list(items),):
            scan.spend(len(items))
            scan.check_keys(items)
            return Made.OTHER
    return None


def encoded(scan: Scan, arguments: tuple[object, ...]) -> object:
    """Make bytes, which protocol 2 keeps as text."""
    match arguments:
        case (str(text), "latin1"):  # some other codecs take time in the square of the length
            scan.spend(len(text) // 8)
            return text.encode("latin1", "replace")
    return None


def byte_array(scan: Scan, arguments: tuple[object, ...]) -> object:
    """Make a copy of bytes. Of a number, so many zeros would be made."""
    match arguments:
        case (bytes(content),):
            scan.spend(len(content) // 8)
            return Made.OTHER
    return None


def size(_: Scan, arguments: tuple[object, ...]) -> object:
    """Make a shape."""
    return Made.OTHER if len(arguments) == 1 and are_sizes(arguments[0]) else None


def scalars(_: Scan, arguments: tuple[object, ...]) -> object:
    """Make something of texts and numbers."""
    return Made.OTHER if all(isinstance(value, str | int | float) for value in arguments) else None


CALLS: dict[str, Callable[[Scan, tuple[object, ...]], object]] = {
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
"""What checkpoints call: functions that return what stands for the result, or None if no checkpoint has such arguments.

PyTorch knows more, but that allocates by a number: sparse and quantised tensors, tensors and storages of a size.
"""


OPCODES: dict[bytes, tuple[str, Callable[..., None]]] = {
    pickle.NONE: ("", lambda scan: scan.push(None)),
    pickle.NEWTRUE: ("", lambda scan: scan.push(True)),
    pickle.NEWFALSE: ("", lambda scan: scan.push(False)),
    pickle.BININT: ("<i", Scan.push),
    pickle.BININT1: ("<B", Scan.push),
    pickle.BININT2: ("<H", Scan.push),
    pickle.BINFLOAT: (">d", Scan.push),
    pickle.LONG1: ("<B", Scan.long),
    pickle.BINUNICODE: ("<I", Scan.text),
    pickle.SHORT_BINSTRING: ("<B", Scan.text),
    pickle.EMPTY_TUPLE: ("", lambda scan: scan.push(())),
    pickle.EMPTY_LIST: ("", lambda scan: scan.push([])),
    pickle.EMPTY_DICT: ("", lambda scan: scan.push(Table())),
    pickle.EMPTY_SET: ("", lambda scan: scan.push(Made.OTHER)),
    pickle.MARK: ("", Scan.mark),
    pickle.TUPLE: ("", Scan.tuple_since_mark),
    pickle.TUPLE1: ("", lambda scan: scan.tuple_of(1)),
    pickle.TUPLE2: ("", lambda scan: scan.tuple_of(2)),
    pickle.TUPLE3: ("", lambda scan: scan.tuple_of(3)),
    pickle.APPEND: ("", lambda scan: scan.extend([scan.stack.pop()])),
    pickle.APPENDS: ("", lambda scan: scan.extend(scan.since_mark())),
    pickle.SETITEM: ("", Scan.set_item),
    pickle.SETITEMS: ("", lambda scan: scan.update(scan.since_mark())),
    pickle.BINPUT: ("<B", Scan.put),
    pickle.LONG_BINPUT: ("<I", Scan.put),
    pickle.BINGET: ("<B", Scan.get),
    pickle.LONG_BINGET: ("<I", Scan.get),
    pickle.GLOBAL: ("", Scan.name),
    pickle.REDUCE: ("", Scan.call),
    pickle.NEWOBJ: ("", Scan.call),
    pickle.BUILD: ("", Scan.build),
    pickle.BINPERSID: ("", Scan.persistent),
}
"""Layout of the number that follows an opcode, and what the opcode does: all that PyTorch's unpickler knows, but for
those at a pickle's start and end.
"""

STEPS = {opcode[0]: (struct.Struct(layout), step) for opcode, (layout, step) in OPCODES.items()}
