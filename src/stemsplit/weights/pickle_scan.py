"""Checks what `torch.save` pickled before PyTorch unpickles it, so that this ends soon and takes little memory.

PyTorch's restricted unpickler limits what can run, but not for how long: it hashes and prints whatever a pickle nests,
and passes any arguments to the functions that it knows. Here a pickle's opcodes are followed with stand-ins for the
objects, and only what checkpoints are made of is let through. No opcode that is let through makes PyTorch go through
more than its own arguments, and these are counted.
"""

import inspect
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from torch import nn

from stemsplit.errors import WeightsError

MOST_BYTES = 1 << 25
"""Length of all pickles in a file: a hundred times what 1,000 tensors and their optimizer take."""

MOST_OPCODES = 2_000_000
"""Twenty times what 1,000 tensors and their optimizer take. PyTorch needs a microsecond or two for each."""

MOST_WORK = 1 << 25
"""Items and letters passed to functions. A pickle of `MOST_BYTES` that is one large array of NumPy has no more."""

MOST_NUMBERS = 50_000
"""Keys that are numbers. An optimizer has one for each parameter; a hostile dict compares each with all the others."""

MOST_DIMENSIONS = 64
"""Dimensions of a tensor: PyTorch computes with no more."""

MOST_NAMES = 1_000
"""Names that are looked up, each of them once: ten times what a large network and all else in a checkpoint have."""

MOST_LETTERS = 100
"""Length of a module's name, and of a name in it."""

PROTOCOL, STOP = b"\x80", ord(".")

DAMAGED = "it is damaged, or no checkpoint (its pickle ends early, or is of an unusual kind)"

REBUILD = "torch._utils._rebuild_"
"""What the names of the functions begin with that make tensors of any kind."""


OWN = frozenset(key for key in dir(nn.Parameter) if inspect.isdatadescriptor(inspect.getattr_static(nn.Parameter, key)))
"""Attributes that tensors have of themselves. To set one may do anything: `real` writes all of a tensor's numbers."""


def refusal(names: str) -> str:
    """What to say of a file that asks for something by name."""
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
        if self.content.startswith(PROTOCOL, self.place):
            self.place += 2  # its number changes nothing
        try:
            while (opcode := self.content[self.place]) != STOP:
                self.place += 1
                self.opcodes += 1
                if self.opcodes > MOST_OPCODES:
                    raise WeightsError("its pickle is far too long")
                STEPS[opcode](self)
            self.place += 1
            return self.stack.pop()
        except (IndexError, KeyError, ValueError, struct.error) as error:
            raise WeightsError(DAMAGED) from error

    def spend(self, work: int) -> None:
        """Count what PyTorch will go through."""
        self.work += work
        if self.work > MOST_WORK:
            raise WeightsError("its pickle would take far too long to read")

    def take(self, length: int) -> bytes:
        """The next bytes."""
        part = self.content[self.place : self.place + length]
        if len(part) < length:
            raise IndexError
        self.place += length
        return part

    def line(self) -> str:
        """The rest of a line, which is a name or a module's."""
        end = self.content.index(b"\n", self.place, self.place + MOST_LETTERS)
        line = self.take(end - self.place).decode()
        self.place += 1
        return line

    def since_mark(self) -> list[object]:
        """What was put on the stack since the last mark, which goes."""
        items, self.stack = self.stack, self.outer.pop()
        return items

    def check_keys(self, keys: list[object]) -> None:
        """Let only text and numbers be keys of a dict, or items of a set.

        To hash a tuple is to hash all that is in it, which may never end. Nobody can choose texts whose hashes are
        alike, but numbers: so there are to be few of them, and none of those beyond 64 bits that all have one hash.
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
        """What stands for the result of a call.

        Raises:
            WeightsError: no checkpoint makes that call.
        """
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise WeightsError("its pickle calls what is not a function")
        self.spend(len(arguments))
        if function.path in self.names:
            self.spend(len(self.names))  # PyTorch makes a table of them each time
            return Made.INERT
        if function.path not in CALLS and function.path.startswith(REBUILD):
            raise WeightsError("a weight is no dense tensor of real numbers")
        if function.path not in CALLS:
            raise WeightsError(refusal(function.path))
        made = CALLS[function.path](self, arguments)
        if made is None:
            raise WeightsError(f"its pickle calls {function.path} as torch.save never does")
        return made


def are_sizes(numbers: tuple[object, ...]) -> bool:
    """Whether a tuple may be a tensor's shape or strides."""
    return len(numbers) <= MOST_DIMENSIONS and all(isinstance(number, int) for number in numbers)


def are_settings(values: list[object]) -> bool:
    """Whether a tensor's other arguments are small: a flag, a type, an empty dict of hooks, a dict of flags."""
    return all(isinstance(value, bool | None | Name) or (type(value) is Table and len(value) < 8) for value in values)


def are_attributes(scan: Scan, state: object) -> bool:
    """Whether a tensor may be given these attributes."""
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    for part in parts:
        if not isinstance(part, Table | None):
            return False
        scan.spend(len(part or ()))
        for key in (part or ())[::2]:
            if not isinstance(key, str) or key in OWN:
                return False
    return True


def tensor(_: Scan, arguments: tuple[object, ...]) -> object:
    """A tensor in a storage."""
    match arguments:
        case (Made.STORAGE, int(), tuple(shape), tuple(strides), *others):
            return Made.TENSOR if are_sizes(shape) and are_sizes(strides) and are_settings(others) else None
    return None


def parameter(_: Scan, arguments: tuple[object, ...]) -> object:
    """A tensor made a parameter."""
    match arguments:
        case (Made.TENSOR, *others):
            return Made.TENSOR if are_settings(others) else None
    return None


def parameter_with_state(scan: Scan, arguments: tuple[object, ...]) -> object:
    """A tensor made a parameter, with attributes."""
    return parameter(scan, arguments[:-1]) if arguments and are_attributes(scan, arguments[-1]) else None


def tensor_of_type(scan: Scan, arguments: tuple[object, ...]) -> object:
    """A tensor of a class of its own, or with attributes."""
    match arguments:
        # Not of another such call: they could be nested without end.
        case (Name(path) as function, Name(), inner, state) if CALLS.get(path) in (tensor, parameter):
            return scan.called(function, inner) if are_attributes(scan, state) else None
    return None


def ordered_dict(scan: Scan, arguments: tuple[object, ...]) -> object:
    """An empty dict, or one of a list of pairs, which is how Python 2 pickled it."""
    table = Table()
    match arguments:
        case ():
            return table
        case (list(pairs),):
            scan.spend(len(pairs))
            for pair in pairs:
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    return None
                table.extend(pair)
            scan.check_keys(table[::2])
            return table
    return None


def counter(scan: Scan, arguments: tuple[object, ...]) -> object:
    """A dict of what was counted, such as the epochs at which a learning rate drops."""
    match arguments:
        case (Table() as counts,):
            scan.spend(len(counts))
            scan.check_keys(counts[::2])
            return Table(counts)
    return None


def set_of(scan: Scan, arguments: tuple[object, ...]) -> object:
    """A set of what is in a list."""
    match arguments:
        case (list(items),):
            scan.spend(len(items))
            scan.check_keys(items)
            return Made.OTHER
    return None


def encoded(scan: Scan, arguments: tuple[object, ...]) -> object:
    """Bytes: protocol 2 has none, and keeps them as text."""
    match arguments:
        case (str(text), "latin1"):
            scan.spend(len(text))
            return text.encode("latin1", "replace")
    return None


def byte_array(scan: Scan, arguments: tuple[object, ...]) -> object:
    """A copy of bytes; by a number, it would be as large as that."""
    match arguments:
        case (bytes(content),):
            scan.spend(len(content))
            return Made.OTHER
    return None


def scalars(_: Scan, arguments: tuple[object, ...]) -> object:
    """Something that is made of a few numbers or texts."""
    return Made.OTHER if all(isinstance(value, str | int | float) for value in arguments) else None


def size(_: Scan, arguments: tuple[object, ...]) -> object:
    """A shape."""
    match arguments:
        case (tuple(numbers),):
            return Made.OTHER if are_sizes(numbers) else None
    return None


CALLS: dict[str, Callable[[Scan, tuple[object, ...]], object]] = {
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_tensor_v3": tensor,
    "torch._utils._rebuild_parameter": parameter,
    "torch._utils._rebuild_parameter_with_state": parameter_with_state,
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
"""What checkpoints call. PyTorch knows more, but that allocates by a number: sparse and quantised tensors, tensors and
storages of a size.
"""


def push(make: Callable[[], object]) -> Callable[[Scan], None]:
    """Opcode: a constant, or something empty."""
    return lambda scan: scan.stack.append(make())


def number(layout: str) -> Callable[[Scan], None]:
    """Opcode: a number."""
    packed = struct.Struct(layout)

    def step(scan: Scan) -> None:
        scan.stack += packed.unpack_from(scan.content, scan.place)
        scan.place += packed.size

    return step


def long(scan: Scan) -> None:
    """Opcode: a number of up to 255 bytes."""
    scan.stack.append(int.from_bytes(scan.take(scan.take(1)[0]), "little", signed=True))


def text(layout: str) -> Callable[[Scan], None]:
    """Opcode: a text, after its length."""
    length = struct.Struct(layout)

    def step(scan: Scan) -> None:
        scan.stack.append(str(scan.take(*length.unpack(scan.take(length.size))), "utf-8", "surrogatepass"))

    return step


def name(scan: Scan) -> None:
    """Opcode: look a name up. Which names there are is for PyTorch to say."""
    module, item = scan.line(), scan.line()
    # Protocol 2 names it as Python 2 did.
    path = f"{'builtins' if module == '__builtin__' else module}.{item}"
    scan.lookups += 1
    if scan.lookups > MOST_NAMES:
        raise WeightsError("its pickle asks for far too many names")
    if scan.inert and scan.inert.fullmatch(path):
        scan.names.add(path)
    scan.stack.append(Name(path))


def mark(scan: Scan) -> None:
    """Opcode: begin a list of items or arguments."""
    scan.outer.append(scan.stack)
    scan.stack = []


def tuple_of(length: int) -> Callable[[Scan], None]:
    """Opcode: a tuple of the last objects."""

    def step(scan: Scan) -> None:
        if len(scan.stack) < length:
            raise IndexError
        scan.stack[-length:] = [tuple(scan.stack[-length:])]

    return step


def tuple_since_mark(scan: Scan) -> None:
    """Opcode: a tuple of all since the mark."""
    items = scan.since_mark()
    scan.stack.append(tuple(items))


def extend(scan: Scan, items: list[object]) -> None:
    """Put items into the list on top of the stack."""
    target = scan.stack[-1]
    if type(target) is not list:
        raise WeightsError("its pickle appends to what is not a list")
    target += items


def update(scan: Scan, items: list[object]) -> None:
    """Put keys and values, in turn, into the dict on top of the stack."""
    target = scan.stack[-1]
    if not isinstance(target, Table) or len(items) % 2:
        raise WeightsError("its pickle puts items into what is not a dict")
    scan.check_keys(items[::2])
    target += items


def set_item(scan: Scan) -> None:
    """Opcode: put one key and value into a dict."""
    value, key = scan.stack.pop(), scan.stack.pop()
    update(scan, [key, value])


def get(layout: str) -> Callable[[Scan], None]:
    """Opcode: an object that was kept under a number."""
    index = struct.Struct(layout)

    def step(scan: Scan) -> None:
        scan.stack.append(scan.memo[index.unpack_from(scan.content, scan.place)[0]])
        scan.place += index.size

    return step


def put(layout: str) -> Callable[[Scan], None]:
    """Opcode: keep an object under a number."""
    index = struct.Struct(layout)

    def step(scan: Scan) -> None:
        scan.memo[index.unpack_from(scan.content, scan.place)[0]] = scan.stack[-1]
        scan.place += index.size

    return step


def call(scan: Scan) -> None:
    """Opcode: call a function, or make an object of a class."""
    arguments, function = scan.stack.pop(), scan.stack.pop()
    scan.stack.append(scan.called(function, arguments))


def build(scan: Scan) -> None:
    """Opcode: give an object its state."""
    state, target = scan.stack.pop(), scan.stack[-1]
    scan.spend(len(scan.names))  # as in a call
    if isinstance(target, Table) and isinstance(state, Table):
        scan.spend(len(state))  # which become its attributes
    elif target is not Made.INERT:
        raise WeightsError("its pickle gives a state to what has none")


def persistent(scan: Scan) -> None:
    """Opcode: what is stored under a key, whose length comes last; in old files None comes after that."""
    match scan.stack.pop():
        case ("storage", Name(), str(key), str(), int(length), *rest) if rest in ([], [None]):
            more = max(0, length - scan.stored.get(key, 0))
            scan.stored[key] = scan.stored.get(key, 0) + more
            scan.room -= more
            if scan.room < 0:
                raise WeightsError("its tensors are far larger than the file")
            scan.stack.append(Made.STORAGE)
        case ("module", Name(path), *_):  # before PyTorch 1.6, with its source code
            raise WeightsError(refusal(path))
        case _:
            raise WeightsError("its pickle refers to what is not stored in it")


STEPS: dict[int, Callable[[Scan], None]] = {
    ord("N"): push(lambda: None),
    0x88: push(lambda: True),
    0x89: push(lambda: False),
    ord(")"): push(tuple),
    ord("]"): push(list),
    ord("}"): push(Table),
    0x8F: push(lambda: Made.OTHER),
    ord("J"): number("<i"),
    ord("K"): number("<B"),
    ord("M"): number("<H"),
    ord("G"): number(">d"),
    0x8A: long,
    ord("X"): text("<I"),
    ord("U"): text("<B"),
    ord("c"): name,
    ord("("): mark,
    ord("t"): tuple_since_mark,
    0x85: tuple_of(1),
    0x86: tuple_of(2),
    0x87: tuple_of(3),
    ord("a"): lambda scan: extend(scan, [scan.stack.pop()]),
    ord("e"): lambda scan: extend(scan, scan.since_mark()),
    ord("s"): set_item,
    ord("u"): lambda scan: update(scan, scan.since_mark()),
    ord("h"): get("<B"),
    ord("j"): get("<I"),
    ord("q"): put("<B"),
    ord("r"): put("<I"),
    ord("R"): call,
    0x81: call,
    ord("b"): build,
    ord("Q"): persistent,
}
"""What each opcode does that PyTorch's unpickler knows; `pickletools.dis` prints their names."""
