"""Tensors are found in files of `torch.save`, also in whole networks; hostile pickles do nothing."""

import builtins
import contextlib
import functools
import io
import os
import pickle
import shutil
import struct
import sys
import types
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stemsplit.checkpoints import checkpoint, pickled
from stemsplit.errors import WeightsError
from stemsplit.models import build
from stemsplit.models.sudormrf import SuDoRMRF
from stemsplit.models.sudormrf_layers import (
    DepthwiseConv1d,
    GlobalNorm,
    GroupCommBlock,
    TransformAverageConcatenate,
    UConvBlock,
)

SIZES = {"out_channels": 8, "in_channels": 16, "num_blocks": 2, "upsampling_depth": 2, "enc_num_basis": 12}


def publish(network: nn.Module, package: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a network the classes and plain attributes that the published code would have given it."""
    module = types.ModuleType(package)
    monkeypatch.setitem(sys.modules, package.partition(".")[0], module)
    monkeypatch.setitem(sys.modules, package, module)
    names = {GlobalNorm: "GlobLN", GroupCommBlock: "GC_UConvBlock", UConvBlock: "UConvBlock", SuDoRMRF: name}
    names[TransformAverageConcatenate] = "TAC"
    rows = {("conv", "norm", "act"): "ConvNormAct", ("norm", "act"): "NormAct", ("conv", "norm"): "DilatedConvNorm"}
    for part in list(network.modules()):
        if type(part) is DepthwiseConv1d:
            part.__class__ = nn.Conv1d
        if isinstance(part, UConvBlock):
            part.upsampler = nn.Upsample(scale_factor=2)
        if class_name := names.get(type(part)) or rows.get(tuple(part._modules)):
            if not hasattr(module, class_name):
                setattr(module, class_name, type(class_name, (nn.Module,), {"__module__": package}))
            part.__class__ = getattr(module, class_name)
    network.mask_nl_class = nn.ReLU()
    del network.config
    vars(network).update(SIZES)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(
    ("variant", "package", "name"),
    [
        ("improved", "sudo_rm_rf.dnn.models.improved_sudormrf", "SuDORMRF"),
        ("improved", "improved_sudormrf", "SuDORMRF"),
        ("groupcomm", "sudo_rm_rf.dnn.models.groupcomm_sudormrf_v2", "GroupCommSudoRmRf"),
    ],
)
def test_the_weights_of_a_whole_network_are_found(
    tmp_path: Path, variant: str, package: str, name: str, parallel: bool
) -> None:
    """SuDoRM-RF's author published networks that were pickled whole, with classes that do not exist here."""
    config = {"variant": variant, "group_size": 2, **SIZES}
    network, again = build("sudormrf", config), build("sudormrf", config)
    mixture = torch.randn(1, 1, 500)
    estimates, stored = network(mixture), network.state_dict()
    with pytest.MonkeyPatch.context() as monkeypatch:
        publish(network, package, name, monkeypatch)
        torch.save(nn.DataParallel(network) if parallel else network, tmp_path / "a.pt")
    assert package not in sys.modules
    tensors = checkpoint.read(tmp_path / "a.pt")
    assert tensors.keys() == stored.keys()
    checkpoint.load(again, tensors, "again")
    assert torch.equal(again(mixture), estimates)


def test_a_whole_network_gives_the_same_tensors_as_its_state_dict(tmp_path: Path) -> None:
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Conv1d(1, 2, 3, bias=False), nn.Identity())
    network.register_buffer("table", torch.ones(1), persistent=False)
    network.register_module("nothing", None)
    torch.save({"epoch": 3, "model": network}, tmp_path / "a.pt")
    tensors = checkpoint.read(tmp_path / "a.pt")
    assert tensors.keys() == network.state_dict().keys()
    assert all(torch.equal(tensors[key], value) for key, value in network.state_dict().items())


def test_parameters_that_are_views_of_one_storage_are_read(tmp_path: Path) -> None:
    numbers, network = torch.arange(12.0), nn.Module()
    network.a, network.b = nn.Parameter(numbers[2:8].view(2, 3).T), nn.Parameter(numbers[6:])
    torch.save(network, tmp_path / "a.pt")
    tensors = checkpoint.read(tmp_path / "a.pt")
    assert torch.equal(tensors["a"], network.a)
    assert torch.equal(tensors["b"], network.b)


def test_a_network_that_contains_itself_or_has_endless_names_is_refused(tmp_path: Path) -> None:
    loop = nn.Sequential(nn.PReLU())
    loop._modules["again"] = loop
    doubling: nn.Module = nn.PReLU()
    for _ in range(60):
        doubling = nn.Sequential(OrderedDict(a=doubling, b=doubling))
    long_loop = nn.Sequential(nn.PReLU())
    long_loop._modules["n" * 20_000] = nn.Sequential(OrderedDict(again=long_loop))
    deep = nn.Sequential(nn.PReLU())
    for _ in range(40):
        deep = nn.Sequential(OrderedDict({"n" * 20_000: deep}))
    wide = nn.Module()
    for number in range(700):
        wide.register_buffer(str(number), torch.ones(1))
    wide = nn.Sequential(OrderedDict({"n" * 20_000: wide}))
    refused = {"contains itself": (loop, long_loop), "is far too large": (doubling, deep, wide)}
    for complaint, networks in refused.items():
        for network in networks:
            torch.save(network, tmp_path / "a.pt")
            with pytest.raises(WeightsError, match=complaint):
                checkpoint.read(tmp_path / "a.pt")


def test_a_module_may_be_in_several_places(tmp_path: Path) -> None:
    shared = nn.Sequential(nn.PReLU())
    network = nn.Sequential(shared, nn.Sequential(shared, shared), shared)
    torch.save(network, tmp_path / "a.pt")
    assert checkpoint.read(tmp_path / "a.pt").keys() == network.state_dict().keys()


def test_a_whole_network_in_the_old_format_is_refused_with_advice(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match=r"asks for torch\.nn\.modules\.linear\.Linear, .* save its state_dict as"):
        checkpoint.read(tmp_path / "a.pt")


def test_other_objects_of_a_training_are_skipped(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    others = {"epoch": 3, "best_score": np.float64(9.65), "random": np.random.get_state(), "args": Namespace(lr=0.1)}
    torch.save({**others, "optimizer": optimizer.state_dict(), "model": network.state_dict()}, tmp_path / "a.tar")
    assert checkpoint.read(tmp_path / "a.tar").keys() == {"weight", "bias"}


def zipped(
    content: bytes,
    compression: int = zipfile.ZIP_STORED,
    folder: str = "archive",
    others: Mapping[str, bytes] = types.MappingProxyType({"data/0": bytes(16)}),
) -> bytes:
    """Return a file as torch.save writes it, with any pickle in it; by default with one storage of sixteen bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, part in {"data.pkl": content, "version": b"3\n", **others}.items():
            archive.writestr(f"{folder}/{name}", part)
    return file.getvalue()


def legacy(content: bytes) -> bytes:
    """Return a file as torch.save wrote it before PyTorch 1.6, with any pickle in it."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    return b"".join(pickle.dumps(part, 2) for part in head) + content + pickle.dumps([], 2)


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


SHELL = Call(os.system, "touch witness")
DEEDS: dict[str, object] = {
    "os.system": SHELL,
    "eval": Call(builtins.eval, "open('witness', 'w').close()"),
    "exec": Call(builtins.exec, "open('witness', 'w').close()"),
    "mkdir": Call(os.mkdir, "witness"),
    "copy": Call(shutil.copy, "inner.pt", "witness"),
    "partial": Call(functools.partial(os.system, "touch witness")),
    "map": Call(list, map(os.system, ["touch witness"])),
    "a pickle in a pickle": Call(pickle.loads, pickle.dumps(SHELL, 2)),
    "a file beside it": Call(functools.partial(torch.load, "inner.pt", weights_only=False)),
    "an argument of a tensor": Call(torch._utils._rebuild_parameter, SHELL, False, OrderedDict()),
    "among weights": {"state_dict": {"weight": 1.0, "bias": SHELL}},
}
"""Objects that create a file when they are unpickled."""


@pytest.mark.parametrize("wrap", [zipped, legacy, bytes], ids=["zip", "legacy", "bare"])
@pytest.mark.parametrize("deed", DEEDS)
def test_a_hostile_pickle_creates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, wrap: Callable[[bytes], bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(SHELL, "inner.pt")
    hostile = pickle.dumps(DEEDS[deed], 2)
    Path("a.ckpt").write_bytes(wrap(hostile))
    with pytest.raises(WeightsError, match=r"^cannot read the weights in a\.ckpt: it asks for [^\n]*$"):
        checkpoint.read(Path("a.ckpt"))
    assert {path.name for path in tmp_path.iterdir()} == {"a.ckpt", "inner.pt"}
    with contextlib.suppress(Exception):
        pickle.loads(hostile)
    assert Path("witness").exists(), "the pickle was none of a hostile kind"


def name(path: str) -> bytes:
    """Opcode: look up a name. With this and the next functions, tests make pickles that Python would not write."""
    module, _, item = path.rpartition(".")
    return f"c{module}\n{item}\n".encode()


def text(value: str) -> bytes:
    """Opcode: a string."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def whole(value: int) -> bytes:
    """Opcode: a number."""
    return b"\x8a\x08" + struct.pack("<q", value)


def many(*items: bytes) -> bytes:
    """Opcodes: a tuple."""
    return b"(" + b"".join(items) + b"t"


def table(**items: bytes) -> bytes:
    """Opcodes: a dict."""
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def tensor(shape: tuple[int, ...] = (4,), strides: tuple[int, ...] = (1,), offset: int = 0, numbers: int = 4) -> bytes:
    """Opcodes: a tensor in the storage that `zipped` adds, which really holds four numbers."""
    storage = many(text("storage"), name("torch.FloatStorage"), text("0"), text("cpu"), whole(numbers)) + b"Q"
    place = whole(offset), many(*map(whole, shape)), many(*map(whole, strides))
    return name("torch._utils._rebuild_tensor_v2") + many(storage, *place, b"\x89", b"}") + b"R"


def read(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    """Read a zip with that pickle."""
    path.write_bytes(zipped(b"\x80\x02" + content + b"."))
    return checkpoint.read(path)


LAYER = "torch.nn.modules.linear.Linear"
REACHES = {
    "dotted name": name("torch.nn.modules.container.Sequential.__init__.__globals__"),
    "dotted name of protocol 4": text("torch.nn.modules.container") + text("Sequential.__init__") + b"\x93",
    "extension registry": b"\x82\x01",
    "getattr": name("builtins.getattr") + many(name(LAYER), text("__init__")) + b"R",
    "function among layers": name("torch.nn.modules.module.register_module_forward_hook"),
    "layer elsewhere": name("os.Linear"),
    "network elsewhere": name("os.SuDORMRF"),
    "neighbour of a network": name("sudo_rm_rf.dnn.models.improved_sudormrf.os"),
    "made-up subclass": name("torch._utils._rebuild_wrapper_subclass") + many(name("subprocess.Popen")) + b"R",
    "call of a tensor": tensor() + b")R",
    "call of a layer's result": name(LAYER) + b")R)R",
    "other persistent object": many(text("module"), name(LAYER), text("a.py"), text("import os")) + b"Q",
    "file outside the zip": tensor().replace(text("0"), text("../../../../etc/passwd")),
    "state for a class": name(LAYER) + table(__setstate__=name(LAYER)) + b"b",
    "attribute by slot state": tensor() + many(b"N", table(__class__=name(LAYER))) + b"b",
}
"""Pickles that try to get objects that they must not have."""


@pytest.mark.parametrize("reach", REACHES)
def test_a_pickle_that_reaches_too_far_is_refused(tmp_path: Path, reach: str) -> None:
    with pytest.raises(WeightsError, match=r"^cannot read the weights in [^\n]*$"):
        read(tmp_path / "a.ckpt", table(weight=tensor(), other=REACHES[reach]))


@pytest.mark.parametrize("method", ["__setstate__", "__class__", "__dict__", "named", "state", "items", "get", "keys"])
def test_state_can_put_nothing_in_place_of_a_method(tmp_path: Path, method: str) -> None:
    """Layers and dicts get a state with names of methods, as dict and as slots: only their tensors are used."""
    trick = table(**{method: name("torch.Tensor")})

    def hung(key: str, value: bytes) -> bytes:
        return name("collections.OrderedDict") + b")R" + text(key) + value + b"s" + trick + b"b"

    parameters = hung("weight", tensor())
    state = table(**{method: name("torch.Tensor"), "_parameters": parameters})
    layer = name(LAYER) + b")\x81" + (state + b"b") + (many(b"N", trick) + b"b") + (state + b"b")
    ordered = name(LAYER) + b")\x81" + hung("_parameters", parameters) + b"b"
    for content in (layer, ordered, table(model=layer), hung("model", layer), parameters):
        assert read(tmp_path / "a.pt", content).keys() == {"weight"}
    assert not hasattr(pickled.Inert(), "__dict__")


def test_a_tensor_loses_everything_but_its_numbers(tmp_path: Path) -> None:
    kind = name("torch.nn.parameter.Parameter")
    hung = table(**dict.fromkeys(["detach", "float", "numel", "is_floating_point"], name("torch.Tensor")))
    content = name("torch._tensor._rebuild_from_type_v2") + many(kind, kind, many(tensor()), hung) + b"R"
    weight = read(tmp_path / "a.pt", table(weight=content))["weight"]
    assert type(weight) is torch.Tensor
    assert weight.tolist() == [0, 0, 0, 0]
    assert vars(weight) == {}


def test_no_class_of_torch_nn_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "a.pt")
    for kind in (nn.Module, nn.Sequential, nn.Linear):
        for method in ("__init__", "__setstate__"):
            monkeypatch.setattr(kind, method, lambda *_: pytest.fail("built"))
    assert checkpoint.read(tmp_path / "a.pt").keys() == {"0.weight", "0.bias"}


def test_pytorch_s_table_of_names_is_restored(tmp_path: Path) -> None:
    """The whole process shares it: other loads must still refuse the same names."""
    torch.save(nn.Linear(2, 2), tmp_path / "a.pt")
    before = set(torch.serialization.get_safe_globals())
    checkpoint.read(tmp_path / "a.pt")
    assert set(torch.serialization.get_safe_globals()) == before


def test_several_threads_can_read_at_once(tmp_path: Path) -> None:
    """They share the table of names."""
    torch.save(nn.Sequential(*(nn.PReLU() for _ in range(200))), tmp_path / "a.pt")
    with ThreadPoolExecutor(6) as threads:
        results = list(threads.map(checkpoint.read, [tmp_path / "a.pt"] * 40))
    assert [len(tensors) for tensors in results] == [200] * 40


def test_the_opcodes_above_make_a_tensor_on_the_cpu_from_any_device(tmp_path: Path) -> None:
    content = table(weight=tensor((2, 2), (1, 2)))
    for device in ("cpu", "cuda:7", "mps", "meta"):
        weight = read(tmp_path / "a.pt", content.replace(text("cpu"), text(device)))["weight"]
        assert weight.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    "lie",
    [
        {"shape": (1 << 40,)},
        {"shape": (1 << 40,), "numbers": 1 << 40},
        {"shape": (1 << 40,), "strides": (0,)},
        {"shape": (1 << 40, 1 << 40), "strides": (0, 0)},
        {"strides": (1 << 40,)},
        {"strides": (-1,)},
        {"shape": (2, 3), "strides": (2, -1)},
        {"offset": 1},
        {"offset": -1},
        {"offset": 1 << 62},
        {"shape": (0, -1), "strides": (1, 1)},
        {"shape": (-4,)},
        {"numbers": -4},
    ],
    ids=str,
)
def test_a_tensor_that_lies_about_its_size_is_refused(tmp_path: Path, lie: dict[str, int]) -> None:
    with pytest.raises(WeightsError, match="cannot read the weights"):
        read(tmp_path / "a.pt", table(weight=tensor(**lie)))  # type: ignore[arg-type]


def test_a_compressed_file_is_refused_unread(tmp_path: Path) -> None:
    """One megabyte could become a gigabyte in memory."""
    (tmp_path / "a.pt").write_bytes(zipped(b"\x80\x02" + b"N" * 10_000_000, zipfile.ZIP_DEFLATED))
    with pytest.raises(WeightsError, match="it is compressed"):
        checkpoint.read(tmp_path / "a.pt")


@pytest.mark.parametrize("folder", ["..", "../..", "/tmp/archive", "archive/../.."])
def test_a_zip_is_not_unpacked(tmp_path: Path, folder: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pt").write_bytes(zipped(b"\x80\x02" + table(weight=tensor()) + b".", folder=folder))
    with contextlib.suppress(WeightsError):
        checkpoint.read(tmp_path / "in" / "a.pt")
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["in", "a.pt"]
    assert not Path("/tmp/archive").exists()


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2), st.lists(st.tuples(st.integers(0), st.binary(max_size=4)), min_size=1, max_size=4))
def test_any_other_pickle_gives_tensors_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, which: int, changes: list[tuple[int, bytes]]
) -> None:
    """The checksums of the zip are right, so that the unpickler sees the pickle."""
    layer = name(LAYER) + b")\x81" + table(_parameters=table(weight=tensor()), _modules=table()) + b"b"
    content = bytearray(
        b"\x80\x02" + [table(a=tensor(), b=tensor((2, 2), (2, 1))), table(model=layer), layer][which] + b"."
    )
    for place, other in changes:
        content[place % len(content) :][: len(other)] = other
    path = tmp_path_factory.getbasetemp() / "any.pt"
    path.write_bytes(zipped(bytes(content)))
    with contextlib.suppress(WeightsError):
        assert all(tensor.isfinite().all() for tensor in checkpoint.read(path).values())
