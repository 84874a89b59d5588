"""Hostile pickles are refused soon, in little memory and without a crash; pickles of checkpoints are accepted."""

import contextlib
import functools
import io
import itertools
import json
import pickle
import pickletools
import re
import struct
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stemsplit.checkpoints import checkpoint, pickle_calls, pickle_scan, pickled
from stemsplit.errors import WeightsError
from tests.checkpoints.test_pickled import legacy, many, name, table, tensor, text, whole, zipped

LAYER = "torch.nn.modules.linear.Linear"
FLOATS = "torch.FloatStorage"
REBUILD = "torch._utils._rebuild_"

DOUBLED = b")q\0" + b"h\0\x86q\0" * 60
"""Opcodes: a tuple that holds a tuple twice, and so on: 2**60 tuples for a reader that looks into each."""


def pickled_as(body: bytes) -> bytes:
    """A pickle of protocol 2."""
    return b"\x80\2" + body + b"."


def call(path: str, *arguments: bytes) -> bytes:
    """Opcodes: call a function."""
    return name(path) + many(*arguments) + b"R"


def storage(numbers: int = 4, key: str = "0", kind: str = FLOATS, rest: bytes = b"") -> bytes:
    """Opcodes: refer to a storage."""
    return many(text("storage"), name(kind), text(key), text("cpu"), whole(numbers), rest) + b"Q"


def built(state: bytes) -> bytes:
    """Opcodes: a layer of that state."""
    return name(LAYER) + b")\x81" + state + b"b"


def numbered(count: int, value: bytes = b"N") -> bytes:
    """Opcodes: a dict with so many keys that are numbers."""
    return b"}(" + b"".join(b"J" + struct.pack("<i", number) + value for number in range(count)) + b"u"


def tar_and_pickle() -> bytes:
    """Return a file that is an old checkpoint and a tar archive at once."""
    start = legacy(b"")[:21] + b"\x80\2X" + struct.pack("<I", 491)
    field = bytearray(start.ljust(512, b"\0"))
    field[100:156] = b"0000644\0" * 3 + b"00000007000\0" * 2 + b" " * 8
    field[156:157] = b"x"
    field[148:156] = b"%06o\0 " % sum(field)
    return bytes(field) + b"." * 4_000


def in_each_other(levels: int) -> Iterator[tuple[str, bytes]]:
    """Opcodes: objects that each hold the one before."""
    new = {
        "hooks of tensors": (name(REBUILD + "tensor_v2"), b"(h\2K\0h\3h\3\x89}h\4h\0stR"),
        "attributes of parameters": (name(REBUILD + "parameter_with_state"), b"(h\0\x89}}h\4h\0stR"),
        "attributes of dicts": (name("collections.OrderedDict"), b")R}h\4h\0sb"),
    }
    before = storage() + b"q\2" + many(whole(1)) + b"q\3" + text("x") + b"q\4" + tensor() + b"q\0"
    for what, (function, opcodes) in new.items():
        yield what, function + b"q\1" + before + (b"h\1" + opcodes + b"q\0") * levels
    yield "tuples", b")" + b"\x85" * levels
    yield "lists", b"]" * levels + b"a" * (levels - 1)
    yield "dicts", (b"}" + text("x")) * levels + b"N" + b"s" * levels


def nested() -> Iterator[tuple[str, str, bytes]]:
    """Yield files in which endlessly nested tuples would be hashed or printed: (description, message, content)."""
    no_key, no_call = "neither text nor a number", "as torch.save never does|is not a function"
    layer = built(b"}" + DOUBLED + b"Ns")
    for what, opcodes in {
        "dict": b"}" + DOUBLED + b"Ns",
        "deep dict": b"})" + b"\x85" * 200_000 + b"Ns",
        "state": layer,
    }.items():
        yield f"key of a {what}", no_key, zipped(pickled_as(opcodes))
    yield "item of a set", no_key, zipped(pickled_as(call("builtins.set", b"]" + DOUBLED + b"a")))
    pairs = b"]" + many(DOUBLED, b"N") + b"a"
    yield "pair of an OrderedDict", no_key, zipped(pickled_as(call("collections.OrderedDict", pairs)))
    yield "list of a Counter", no_call, zipped(pickled_as(call("collections.Counter", b"]" + DOUBLED + b"a")))
    yield "function", no_call, zipped(pickled_as(DOUBLED + b")R"))
    yield "class", no_call, zipped(pickled_as(DOUBLED + b")\x81"))
    yield "shape", no_call, zipped(pickled_as(call("torch.Size", many(DOUBLED))))
    stored = many(text("storage"), name(FLOATS), DOUBLED, text("cpu"), whole(4)) + b"Q"
    yield "key of a storage", "is not stored in it", zipped(pickled_as(stored))
    yield "key of old", no_key, legacy(pickled_as(b"}" + DOUBLED + b"Ns"))
    head, nothing = legacy(b""), pickled_as(b"}")
    magic, version = pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2)
    yield "magic number", "damaged", pickled_as(DOUBLED) + head
    yield "version of old", "damaged", magic + pickled_as(DOUBLED) + nothing * 3
    yield "machine of old", no_key, magic + version + pickled_as(b"}" + DOUBLED + b"Ns") + nothing * 2
    yield "list of old", "damaged", head[: -len(pickle.dumps([], 2))] + nothing + pickled_as(DOUBLED)
    yield "listed of old", "damaged", head[: -len(pickle.dumps([], 2))] + nothing + pickled_as(b"]" + DOUBLED + b"a")


def sized() -> Iterator[tuple[str, str, bytes]]:
    """Yield files in which a number would take memory or time: (description, message, content)."""
    huge = tensor((1 << 40,), (0,))
    no_call = "as torch.save never does|is not a function|gives a state to an object that has none"
    for path in ("torch.FloatTensor", "torch.storage.UntypedStorage", "torch.Tensor"):
        yield path, f"asks for {path}", zipped(pickled_as(call(path, whole(5_000_000_000))))
        yield f"new {path}", f"asks for {path}", zipped(pickled_as(name(path) + many(whole(5_000_000_000)) + b"\x81"))
    yield "bytearray", no_call, zipped(pickled_as(call("builtins.bytearray", whole(20_000_000_000))))
    for path in ("builtins.set", "torch.Size", "collections.OrderedDict", "collections.Counter"):
        yield f"{path} of a tensor", no_call, zipped(pickled_as(call(path, huge)))
    yield "arguments", no_call, zipped(pickled_as(name("builtins.set") + huge + b"R"))
    yield "update", no_call, zipped(pickled_as(name("collections.OrderedDict") + b")R" + huge + b"b"))
    other = call(REBUILD + "device_tensor_from_cpu_tensor", huge, name("torch.float64"), text("cpu"), b"\x89")
    yield "other type", "not a dense tensor", zipped(pickled_as(other))
    indices = call(
        REBUILD + "tensor_v2",
        *(storage(2, kind="torch.LongStorage"), whole(0), many(whole(1), whole(1 << 38)), many(whole(0), whole(0))),
        b"\x89}",
    )
    layout = call("torch.serialization._get_layout", text("torch.sparse_coo"))
    sparse = many(indices, tensor((1 << 38,), (0,)), many(whole(5)))
    yield "sparse", "not a dense tensor", zipped(pickled_as(call(REBUILD + "sparse_tensor", layout, sparse)))
    overlapping = storage(4), whole(0), many(whole(2), whole(1 << 40)), many(whole(1), whole(0)), b"\x89}"
    for attribute in ("real", "data"):
        own = table(**{attribute: tensor((1,))})
        kinds = name(REBUILD + "tensor_v2"), name("torch.Tensor")
        set_ = call("torch._tensor._rebuild_from_type_v2", *kinds, many(*overlapping), own)
        yield attribute, no_call, zipped(pickled_as(set_))
    typed, kinds = "torch._tensor._rebuild_from_type_v2", (name(REBUILD + "tensor_v2"), name("torch.Tensor"))
    once = many(*kinds, many(storage(), b"K\0))\x89}"), b"}")
    yield "types of types", no_call, zipped(pickled_as(call(typed, name(typed), kinds[1], once, b"}")))
    yield "storage of old", "larger than the file", legacy(pickled_as(storage(1 << 33, rest=b"N")))
    parts = b"".join(storage(4, f"v{i}", rest=many(text(f"v{i + 1}"), whole(0), whole(4))) + b"a" for i in range(9_999))
    yield "storages in storages", "is not stored in it", legacy(pickled_as(b"]" + parts))


def repeated() -> Iterator[tuple[str, str, bytes]]:
    """Yield files in which repetition would take memory or time: (description, message, content)."""
    too_long = "its pickle would take far too long to read"
    letters = text("a" * 2_000_000) + b"q\2" + text("latin1") + b"\x86q\0"
    yield "bytes", too_long, zipped(pickled_as(letters + name("_codecs.encode") + b"q\1" + b"h\1h\0R" * 2_000))
    for codec in ("idna", "punycode"):
        hard = text("".join(chr(0x4E00 + index % 20_000) for index in range(300_000)))
        yield codec, "as torch.save never does", zipped(pickled_as(call("_codecs.encode", hard, text(codec))))
    made = b"(" + b"N" * 500_000 + b"tq\0" + name(LAYER) + b"q\1" + b"h\1h\0\x81" * 100_000
    yield "arguments", too_long, zipped(pickled_as(made))
    items = b"](" + b"".join(text(str(number)) for number in range(100_000)) + b"e\x85q\0"
    yield "sets", too_long, zipped(pickled_as(items + name("builtins.set") + b"q\1" + b"h\1h\0R" * 10_000))
    counts = b"}(" + b"".join(text(str(number)) + b"N" for number in range(100_000)) + b"u\x85q\0"
    yield "Counters", too_long, zipped(pickled_as(counts + name("collections.Counter") + b"q\1" + b"h\1h\0R" * 10_000))
    names = b"".join(name(f"torch.nn.modules.x.A{number}") for number in range(900))
    yield "layers", too_long, zipped(pickled_as(names + b"q\1" + b"h\1)\x81" * 100_000))
    yield "states", too_long, zipped(pickled_as(names + b")\x81" + b"Nb" * 100_000))
    yield "names", "far too many names", zipped(pickled_as(name(LAYER) * 20_000))
    # All have the same hash, so that each is compared with all before it.
    alike = b"".join(
        b"\x8a\x0b" + (number * (2**61 - 1)).to_bytes(11, "little") + b"N" for number in range(20, 100_000)
    )
    yield "numbers alike", "neither text nor a number", zipped(pickled_as(b"}(" + alike + b"u"))
    yield "numbers", "keys in its dicts are numbers", zipped(pickled_as(numbered(100_000)))
    yield "opcodes", "far too long", zipped(pickled_as(b"N" * 5_000_000))
    yield "protocols", "damaged", zipped(b"\x80\4" * 5_000_000)
    long = name(f"sudormrf.{'sudormrf' * 10_000}.SuDORMRF")
    yield "names of many letters", "damaged", zipped(pickled_as(b"(" + long * 100 + b"t"))
    yield "letters of a name", "damaged", zipped(pickled_as(b"c" + b"a" * 10_000_000))
    yield "letters of a name of old", "damaged", b"\x80\2c" + b"a" * 10_000_000
    yield "bytes of a pickle", "far too large", zipped(b"\x80\2" + b"N" * pickle_scan.MOST_BYTES)
    shared = numbered(40_000) + b"q\6"
    modules = b"".join(
        text(str(number)) + (b"h\7" if number else built(table(_buffers=b"h\6")) + b"q\7") for number in range(9_000)
    )
    yield (
        "parts of a network",
        "parts without a name",
        zipped(pickled_as(shared + built(table(_modules=b"}(" + modules + b"u")))),
    )
    yield "tar of old", "it is a tar archive", tar_and_pickle()


READER = """
import json, sys
from pathlib import Path
from stemsplit.errors import WeightsError
from stemsplit.checkpoints import checkpoint
for path in map(Path, sys.argv[1:]):
    try:
        outcome = "read " + " ".join(checkpoint.read(path))
    except WeightsError as error:
        outcome = str(error)
    print(json.dumps([path.name, outcome]), flush=True)
"""


def outcomes(folder: Path) -> dict[str, str]:
    """Read the files in a folder in another process, which may hang or crash; return each one's outcome by its name."""
    finished: dict[str, str] = {}
    while waiting := sorted(path for path in folder.iterdir() if path.name not in finished):
        with (folder.parent / "log").open("w+") as log:
            end = "hangs"
            with contextlib.suppress(subprocess.TimeoutExpired):
                run = subprocess.run([sys.executable, "-c", READER, *waiting], stdout=log, timeout=60, check=False)
                end = f"crashes ({run.returncode})"
            log.seek(0)
            finished |= dict(json.loads(line) for line in log)
        finished |= {path.name: end for path in [path for path in waiting if path.name not in finished][:1]}
    return finished


@pytest.mark.parametrize("attacks", [nested, sized, repeated])
def test_a_hostile_file_is_refused_at_once(
    tmp_path: Path, attacks: Callable[[], Iterator[tuple[str, str, bytes]]]
) -> None:
    """PyTorch alone takes hours for about half of these, and takes much memory or crashes on others."""
    (tmp_path / "files").mkdir()
    complaints = {}
    for what, complaint, content in attacks():
        (tmp_path / "files" / what).write_bytes(content)
        complaints[what] = complaint
    results = outcomes(tmp_path / "files")
    assert {
        what: results[what] for what, complaint in complaints.items() if not re.search(complaint, results[what])
    } == {}


def test_deeply_nested_objects_are_freed_without_a_crash(tmp_path: Path) -> None:
    """Accepted objects may nest: when Python and PyTorch free one, it frees the next."""
    (tmp_path / "files").mkdir()
    for what, opcodes in in_each_other(20_000):
        (tmp_path / "files" / what).write_bytes(zipped(pickled_as(opcodes)))
    results = outcomes(tmp_path / "files")
    assert {what: outcome for what, outcome in results.items() if "it holds no tensors" not in outcome} == {}


@pytest.mark.parametrize("transient", [b"](N" + text("b") + b"e", many(text("b")), text("b"), tensor(), b"N"])
def test_only_a_set_can_name_the_buffers_that_are_not_saved(tmp_path: Path, transient: bytes) -> None:
    """Anything else would be searched for each buffer."""
    buffers = table(a=tensor(), b=tensor())
    state = table(_buffers=buffers, _non_persistent_buffers_set=transient)
    (tmp_path / "a.pt").write_bytes(zipped(pickled_as(built(state))))
    assert checkpoint.read(tmp_path / "a.pt").keys() == {"a", "b"}


def test_an_object_in_several_containers_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested containers may lead to one network, or to themselves, by very many paths."""
    looked_into: list[pickled.Inert] = []
    monkeypatch.setattr(pickled, "state_dict", lambda network: looked_into.append(network) or {})
    content: dict[str, object] = {container: nn.ReLU() for container in pickled.CONTAINERS[:1]}
    content |= dict.fromkeys(pickled.CONTAINERS[1:], content)
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="it holds no tensors"):
        checkpoint.read(tmp_path / "a.pt")
    assert len(looked_into) == 1


def directories(content: bytes) -> Iterator[bytes]:
    """Yield zips with two directories, of which PyTorch might read one and Python the other."""
    directory_size, start = struct.unpack("<LL", content[-10:-2])
    directory, end = content[start : start + directory_size], content[-22:]
    yield content[:-22] + directory + end
    yield b"PK\3\4" + content
    yield content[:-2] + struct.pack("<H", len(content)) + content
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(content) - 22, 1)
    end_64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, directory_size, start)
    yield content[:-22] + end_64 + directory + locator + end
    yield content[:-22] + end_64 + bytes(56) + locator + end
    yield content[:-22] + directory + end_64 + locator + end
    yield content[:-22] + end_64 + locator + end[:-10] + struct.pack("<LLH", directory_size, start - 1, 0)
    yield content[:-2] + struct.pack("<H", 9)


def test_a_zip_in_which_readers_may_see_different_directories_is_refused(tmp_path: Path) -> None:
    """PyTorch would not read what was checked: its pickle could be another one, or compressed a thousandfold."""
    for number, content in enumerate(directories(zipped(pickled_as(table(weight=tensor()))))):
        (tmp_path / f"{number}.pt").write_bytes(content)
        with pytest.raises(WeightsError, match=r"but not one as torch\.save writes it; load and save it again$"):
            checkpoint.read(tmp_path / f"{number}.pt")


def test_a_large_directory_is_refused_unread(tmp_path: Path) -> None:
    content = zipped(pickled_as(table(weight=tensor())), folder="n" * 60_000)
    start = struct.unpack("<L", content[-6:-2])[0]
    entries, count = content[start:-22], 100
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3 * count, 3 * count, len(entries) * count, start, 0)
    (tmp_path / "a.pt").write_bytes(content[:start] + entries * count + end)
    with pytest.raises(WeightsError, match=r"not one as torch\.save writes it"):
        checkpoint.read(tmp_path / "a.pt")


def trained(layers: int) -> dict[str, object]:
    """A checkpoint of a training, with its optimizer."""
    network = nn.ModuleDict({str(number): nn.Linear(2, 2) for number in range(layers)})
    optimizer = torch.optim.AdamW(network.parameters())
    for layer in network.values():
        layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    milestones = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5]).state_dict()
    randomness = {"numpy": np.random.get_state(), "torch": torch.get_rng_state()}
    return {
        "optimizer": optimizer.state_dict(),
        "scheduler": milestones,
        "randomness": randomness,
        "model": network.state_dict(),
    }


def test_ten_thousand_tensors_with_their_optimizer_are_within_the_limits(tmp_path: Path) -> None:
    layers = 50
    torch.save(trained(layers), tmp_path / "a.pt")
    scan = pickle_scan.Scan(pickled.zipped_pickle(tmp_path / "a.pt"), 1 << 30, pickled.INERT)
    scan.next()
    times = 10_000 / (2 * layers)
    assert scan.opcodes * times < pickle_scan.MOST_OPCODES
    assert scan.position * times < pickle_scan.MOST_BYTES
    assert scan.work * times < pickle_calls.MOST_WORK
    assert scan.numbers * times < pickle_calls.MOST_NUMBERS


def test_a_pickle_may_be_nearly_all_one_array(tmp_path: Path) -> None:
    torch.save({"array": np.zeros(30_000_000, np.uint8), "weight": torch.ones(1)}, tmp_path / "a.pt")
    assert checkpoint.read(tmp_path / "a.pt").keys() == {"weight"}


class Marked(nn.Parameter):
    """A parameter of a class of its own."""


@pytest.mark.parametrize("zip_", [True, False])
def test_everything_that_checkpoints_contain_is_accepted(tmp_path: Path, zip_: bool) -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    weight.no_weight_decay = True
    shared = torch.arange(6.0)
    others = {
        "plain": [None, True, -1, 1 << 16, 1 << 40, 1 << 70, 0.5, "é", "", (), (1, (2, [3])), {4: 5}, {6, "seven"}],
        "numbers as keys": {0: 1, 1 << 40: 2, 0.5: 3, None: 4, True: 5},
        "counts": Counter("aab"),
        "bytes": [b"\0\xff", bytearray(b"\1\2")],
        "complex": 1 + 2j,
        "kinds": [torch.float16, torch.device("cpu"), torch.device("cuda", 1), torch.Size([1, 2]), torch.strided],
        "small": torch.tensor(3, dtype=torch.uint16 if zip_ else torch.uint8),
        "empty": torch.ones(0, 3),
        "conjugate": torch.ones(1, dtype=torch.complex64).conj(),
    }
    weights = OrderedDict(weight=weight, part=shared[2:5], turned=shared.view(2, 3).T, half=shared.half())
    weights._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    torch.save({**others, "state_dict": weights}, tmp_path / "a.pt", _use_new_zipfile_serialization=zip_)
    tensors = checkpoint.read(tmp_path / "a.pt")
    assert tensors.keys() == weights.keys()
    assert all(torch.equal(tensors[key], value) for key, value in weights.items())


def test_weights_that_python_2_pickled_are_read(tmp_path: Path) -> None:
    """Python 2 stored strings as bytes, and ordered dicts as lists of pairs."""

    def short(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    def weight(key: str) -> bytes:
        stored = many(short("storage"), name(FLOATS), short(key), short("cpu"), b"K\2N") + b"Q"
        return call(REBUILD + "tensor", stored, b"K\0", b"K\2\x85", b"K\1\x85")

    pairs = b"](" + b"".join(b"](" + short(key) + weight(key) + b"e" for key in "ab") + b"e"
    content = legacy(pickled_as(call("collections.OrderedDict", pairs)))[: -len(pickle.dumps([], 2))]
    stored = (
        pickled_as(b"](" + short("a") + short("b") + b"e") + struct.pack("<q2f", 2, 1, 2) + struct.pack("<q2f", 2, 3, 4)
    )
    (tmp_path / "a.pth").write_bytes(content + stored)
    tensors = checkpoint.read(tmp_path / "a.pth")
    assert {key: value.tolist() for key, value in tensors.items()} == {"a": [1, 2], "b": [3, 4]}


@functools.cache
def honest() -> list[tuple[dict[str, bytes], list[bytes]]]:
    """Zips of torch.save, split into their other parts and the opcodes of their pickles."""
    zips = []
    for content in (trained(1), nn.Sequential(nn.BatchNorm1d(2), nn.PReLU()), {"weight": nn.Parameter(torch.ones(2))}):
        file = io.BytesIO()
        torch.save(content, file)
        with zipfile.ZipFile(file) as archive:
            parts = {entry.partition("/")[2]: archive.read(entry) for entry in archive.namelist()}
        pickled_ = parts.pop("data.pkl")
        places = [place for _, _, place in pickletools.genops(pickled_)]
        zips.append((parts, [pickled_[a:b] for a, b in itertools.pairwise([*places, len(pickled_)])]))
    return zips


SNIPPETS = [
    *(bytes([opcode]) for opcode in pickle_scan.STEPS),
    *(opcode + bytes([index]) for opcode in (b"h", b"q", b"K") for index in range(4)),
    *(name(path) for path in (*pickle_calls.CALLS, LAYER, FLOATS)),
    *(DOUBLED, tensor(), tensor((1 << 40,), (0,)), storage(), whole(1 << 40), many(whole(1)), text("state_dict")),
]
"""Opcodes that may be inserted anywhere in a pickle."""

changes = st.tuples(
    st.integers(0), st.integers(0, 3), st.lists(st.sampled_from(SNIPPETS), max_size=3), st.sampled_from([1, 1, 1, 50])
)


@settings(deadline=None, max_examples=400)
@given(st.integers(0, 2), st.lists(changes, min_size=1, max_size=4), st.booleans())
def test_any_change_of_opcodes_gives_tensors_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory,
    which: int,
    edits: list[tuple[int, int, list[bytes], int]],
    old: bool,
) -> None:
    """Some opcodes of an honest pickle are replaced by others, once or many times."""
    parts, opcodes = honest()[which]
    changed = opcodes[:]
    for place, gone, snippets, times in edits:
        start = place % len(changed)
        changed[start : start + gone] = snippets * times
    path = tmp_path_factory.getbasetemp() / "changed.pt"
    content = b"".join(changed)
    path.write_bytes(legacy(content) if old else zipped(content, others=parts))
    with contextlib.suppress(WeightsError):
        checkpoint.read(path)
