"""Walks over the opcodes of a pickle before PyTorch unpickles it, so that unpickling ends soon and takes little memory.

PyTorch's restricted unpickler limits what a pickle can run, but not for how long: it hashes and prints everything that
a pickle nests, and passes any arguments to the functions that it knows. The scan follows the opcodes with stand-ins for
the objects, and accepts only what checkpoints are made of. None of that makes PyTorch look deeper into an object than
at its items, and these are counted.
"""

import pickle
import re
import struct
from collections.abc import Callable

from stemsplit.checkpoints.pickle_calls import INERT_WORK, Budget, Kind, Name, Table, called, refusal
from stemsplit.errors import WeightsError

MOST_BYTES = 1 << 25
"""Largest size in bytes of all pickles in a file: nearly a hundred times those of 1,000 tensors and their optimizer."""

MOST_OPCODES = 2_000_000
"""Largest number of opcodes in a file: fifteen times those of 1,000 tensors and their optimizer. PyTorch takes 1 or
2 us for each.
"""

MOST_NAMES = 1_000
"""Largest number of names that are looked up. A pickle looks up each name once, and a network has some dozens."""

MOST_LETTERS = 100
"""Largest number of letters in a module's name, and in a name of that module."""

STOP = pickle.STOP[0]


class Scan(Budget):
    """Follows the pickles of a file, one after the other.

    Args:
        content: beginning of the file, with all its pickles.
        capacity: largest number of numbers that the file can store.
        inert: pattern of the names that become inert objects; None if there are none.
    """

    def __init__(self, content: bytes, capacity: int, inert: re.Pattern[str] | None = None) -> None:
        super().__init__()
        self.content, self.capacity, self.inert = content, capacity, inert
        self.position = self.opcodes = self.lookups = 0
        self.stored: dict[str, int] = {}
        self.stack: list[object] = []
        self.outer: list[list[object]] = []
        self.memo: dict[int, object] = {}

    def next(self) -> object:
        """Follow the next pickle to its end, and return the stand-in for its object.

        Raises:
            WeightsError: the pickle is damaged, or does something that no checkpoint needs.
        """
        self.stack, self.outer, self.memo = [], [], {}
        content = self.content
        if content.startswith(pickle.PROTO, self.position):
            self.position += 2  # the protocol's number does not matter
        try:
            for count in range(MOST_OPCODES - self.opcodes):
                opcode = content[self.position]
                if opcode == STOP:
                    self.position += 1
                    self.opcodes += count
                    return self.stack.pop()
                number, step = STEPS[opcode]
                start = self.position + 1
                self.position = start + number.size
                step(self, *number.unpack_from(content, start))
        except (IndexError, KeyError, ValueError, struct.error) as error:
            clause = "its pickle ends early, or is of an unusual kind"
            raise WeightsError(f"it is damaged or not a checkpoint ({clause})") from error
        raise WeightsError("its pickle is far too long")

    def take(self, length: int) -> bytes:
        """Take the next bytes."""
        part = self.content[self.position : self.position + length]
        if len(part) < length:
            raise IndexError
        self.position += length
        return part

    def line(self) -> str:
        """Take the rest of a line."""
        end = self.content.index(b"\n", self.position, self.position + MOST_LETTERS)
        line = self.take(end - self.position).decode()
        self.position += 1
        return line

    def since_mark(self) -> list[object]:
        """Remove and return the objects since the last mark, and remove the mark."""
        items, self.stack = self.stack, self.outer.pop()
        return items

    # Below are the opcodes.

    def push(self, value: object) -> None:
        """Push an object."""
        self.stack.append(value)

    def text(self, length: int) -> None:
        """Push a text."""
        self.stack.append(str(self.take(length), "utf-8", "surrogatepass"))

    def long(self, length: int) -> None:
        """Push a whole number of many bytes."""
        self.stack.append(int.from_bytes(self.take(length), "little", signed=True))

    def put(self, index: int) -> None:
        """Store the last object under a number."""
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        """Push the object that was stored under a number."""
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
        """Append items to a list."""
        target = self.stack[-1]
        if type(target) is not list:
            raise WeightsError("its pickle appends to something that is not a list")
        target += items

    def update(self, items: list[object]) -> None:
        """Add keys and values, which alternate, to a dict."""
        target = self.stack[-1]
        if not isinstance(target, Table) or len(items) % 2:
            raise WeightsError("its pickle adds keys to something that is not a dict")
        self.check_keys(items[::2])
        target += items

    def set_item(self) -> None:
        """Add one key and value to a dict."""
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def name(self) -> None:
        """Push a class, function or type by its name. PyTorch decides which names exist."""
        module, item = self.line(), self.line()
        # Protocol 2 uses the name of Python 2.
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
        self.stack.append(called(self, function, arguments))

    def build(self) -> None:
        """Give an object its state."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Table) and isinstance(state, Table):
            self.spend(len(state))  # they become its attributes
        elif target is Kind.INERT:
            self.spend(INERT_WORK + len(self.names))
        else:
            raise WeightsError("its pickle gives a state to an object that has none")

    def persistent(self) -> None:
        """Push the storage of a key."""
        match self.stack.pop():
            # Old files have None after the length. PyTorch accepts a part of another storage, which is never saved.
            case ("storage", Name(), str(key), str(), int(length), *part) if not any(part):
                counted = self.stored.get(key, 0)
                if length > counted:
                    self.stored[key] = length
                    self.capacity -= length - counted
                if self.capacity < 0:
                    raise WeightsError("its tensors are far larger than the file")
                self.stack.append(Kind.STORAGE)
            case ("module", Name(path), *_):  # a layer's class; old files also have its source code
                raise WeightsError(refusal(path))
            case _:
                raise WeightsError("its pickle refers to something that is not stored in it")


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
    pickle.EMPTY_SET: ("", lambda scan: scan.push(Kind.OTHER)),
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
"""Opcode -> layout of the number that follows it, and method for it. PyTorch knows no others, except those at the start
and the end of a pickle.
"""

STEPS = {opcode[0]: (struct.Struct(layout), step) for opcode, (layout, step) in OPCODES.items()}
"""First byte of an opcode -> reader of the number that follows it, and method for it."""
