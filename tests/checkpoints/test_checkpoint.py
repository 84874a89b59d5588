"""Checkpoints are read completely, and their tensors are loaded into networks."""

import errno
import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor, nn

from stemsplit.checkpoints import checkpoint
from stemsplit.errors import WeightsError


def test_saved_weights_are_read_in_full_precision(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    checkpoint.save(network, tmp_path / "a.safetensors")
    tensors = checkpoint.read(tmp_path / "a.safetensors")
    assert tensors["weight"].dtype == torch.float32
    assert torch.allclose(tensors["weight"], network.weight, rtol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def saved(content: Any, **options: Any) -> bytes:
    """Return the file that torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def saved_before_1_6(content: Any) -> bytes:
    """Return the file that torch.save wrote before PyTorch 1.6."""
    return saved(content, _use_new_zipfile_serialization=False)


FORMATS: dict[str, Callable[[dict[str, Tensor]], bytes]] = {
    "safetensors": save,
    "zip": saved,
    "zip of protocol 3": lambda tensors: saved(tensors, pickle_protocol=3),
    "before 1.6": saved_before_1_6,
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors", "[live] \N{SNOWMAN}.pt"])
def test_the_format_is_recognised_by_the_content_not_by_the_name(tmp_path: Path, form: str, name: str) -> None:
    tensors = {"weight": torch.randn(3, 2), "steps": torch.tensor(7)}
    (tmp_path / name).write_bytes(FORMATS[form](tensors))
    read = checkpoint.read(tmp_path / name)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[key], value) and read[key].dtype == value.dtype for key, value in tensors.items())


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_any_precision_are_read_as_float32(tmp_path: Path, form: str, stored: torch.dtype) -> None:
    (tmp_path / "a.ckpt").write_bytes(FORMATS[form]({"weight": torch.tensor([0.5, -2]).to(stored)}))
    weight = checkpoint.read(tmp_path / "a.ckpt")["weight"]
    assert weight.dtype == torch.float32
    assert weight.tolist() == [0.5, -2]


WEIGHTS: dict[Any, Any] = {"layer.weight": torch.ones(2), "layer.bias": torch.ones(1)}
OPTIMIZER = {"state": {0: {"step": torch.ones(())}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize("save_", [saved, saved_before_1_6])
@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": WEIGHTS, "epoch": 3},
        {"state": WEIGHTS},
        {"model_state_dict": WEIGHTS, "optimizer_state_dict": OPTIMIZER, "loss": torch.ones(1)},
        {"optimizer": OPTIMIZER, "scaler": {}, "best_score": 9.65, "model": WEIGHTS},
        {"model": {"state_dict": WEIGHTS, "config": {"dim": 3}}},
        {"state": OPTIMIZER["state"], "model": WEIGHTS},
        {**WEIGHTS, "note": "trained at night", 3: torch.ones(1)},
    ],
    ids=str,
)
def test_weights_are_found_among_other_things(
    tmp_path: Path, content: dict[str, Any], save_: Callable[[Any], bytes]
) -> None:
    (tmp_path / "a.ckpt").write_bytes(save_(content))
    assert checkpoint.read(tmp_path / "a.ckpt").keys() == WEIGHTS.keys()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "model.module.module."])
def test_prefixes_of_wrappers_are_removed(tmp_path: Path, form: str, prefix: str) -> None:
    (tmp_path / "a.ckpt").write_bytes(FORMATS[form]({prefix + key: value for key, value in WEIGHTS.items()}))
    assert checkpoint.read(tmp_path / "a.ckpt").keys() == WEIGHTS.keys()


@pytest.mark.parametrize("keys", [{"encoder.weight", "encoder.bias"}, {"model.weight", "loss.weight"}])
def test_beginnings_that_not_all_keys_share_are_kept(tmp_path: Path, keys: set[str]) -> None:
    (tmp_path / "a.ckpt").write_bytes(saved({key: torch.ones(1) for key in keys}))
    assert checkpoint.read(tmp_path / "a.ckpt").keys() == keys


@pytest.mark.parametrize(
    "content",
    [b"", b"P", b"PK\3\4 no zip", b"\xff" * 100, b"\x80\2", b"version https://git-lfs.github.com/spec/v1\n", bytes(9)],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"^cannot read the weights in [^\n]*a\.safetensors: it is [^\n]*[^.\n]$"):
        checkpoint.read(tmp_path / "a.safetensors")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.pt: No such file or directory$"):
        checkpoint.read(tmp_path / "gone.pt")
    with pytest.raises(WeightsError, match="not a regular file"):
        checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        # PyTorch's words, then the system's.
        (RuntimeError("unable to open file <a.pt> in read-only mode: Too many open files (24)"), "Too many open files"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (RuntimeError("unable to mmap 8 bytes from file <a.pt>: Cannot allocate memory (12)"), "not enough memory"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_a_file_is_not_called_damaged_if_memory_or_files_ran_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(checkpoint, "load_file", fail)
    (tmp_path / "a.safetensors").write_bytes(save({"weight": torch.ones(1)}))
    with pytest.raises(WeightsError, match=told) as raised:
        checkpoint.read(tmp_path / "a.safetensors")
    assert "damaged" not in str(raised.value)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(1)], torch.ones(1), {"optimizer": OPTIMIZER}, None])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / "a.ckpt").write_bytes(saved(content))
    with pytest.raises(WeightsError, match="it holds no tensors"):
        checkpoint.read(tmp_path / "a.ckpt")


def quantised() -> Tensor:
    """Return a tensor of a kind that old checkpoints may contain. Newer versions of PyTorch warn when one is made."""
    with warnings.catch_warnings(action="ignore"):
        return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    "tensor",
    [torch.eye(2).to_sparse(), quantised(), torch.ones(2, device="meta")],
    ids=["sparse", "quantised", "meta"],
)
def test_a_tensor_that_no_network_can_use_is_refused(tmp_path: Path, tensor: Tensor) -> None:
    (tmp_path / "a.ckpt").write_bytes(saved({"weight": tensor}))
    with pytest.raises(WeightsError, match="weight is not a dense tensor of real numbers"):
        checkpoint.read(tmp_path / "a.ckpt")


@pytest.mark.parametrize("save_", [saved, saved_before_1_6])
@pytest.mark.parametrize("times", [1 << 20, 1 << 40])
def test_a_tensor_far_larger_than_its_file_is_refused(
    tmp_path: Path, times: int, save_: Callable[[Any], bytes]
) -> None:
    """One number that is declared to repeat: in full, it would fill the memory."""
    (tmp_path / "a.ckpt").write_bytes(save_({"weight": torch.ones(1).half().expand(times)}))
    with pytest.raises(WeightsError, match="far larger than the file"):
        checkpoint.read(tmp_path / "a.ckpt")


def test_tensors_that_share_storage_are_read(tmp_path: Path) -> None:
    one = torch.randn(1000).half()
    (tmp_path / "a.ckpt").write_bytes(saved({"a": one, "b": one, "c": one.view(10, 100).T}))
    tensors = checkpoint.read(tmp_path / "a.ckpt")
    assert torch.equal(tensors["b"], one.float())
    assert torch.equal(tensors["c"], one.view(10, 100).T.float())


MEASURE = """
import sys
from pathlib import Path
import torch
from stemsplit.checkpoints import checkpoint

def private():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024

class Network(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(size, size))

def load(path, size):
    with torch.device("meta"):
        network = Network(size)
    checkpoint.load(network, checkpoint.read(Path(path)), "large")
    return network

load(sys.argv[1], 1)
before = private()
network = load(sys.argv[2], 5000)
assert network.weight.sum() == 25e6
print(private() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory in use")
@pytest.mark.parametrize("form", ["safetensors", "zip"])
def test_weights_stay_in_the_file(tmp_path: Path, form: str) -> None:
    """100 MB are read, loaded and used, and the process takes hardly more memory of its own."""
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(FORMATS[form]({"weight": torch.ones(1, 1)}))
    large.write_bytes(FORMATS[form]({"weight": torch.ones(5000, 5000)}))
    command = [sys.executable, "-c", MEASURE, str(small), str(large)]
    grown = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    large.unlink()
    assert grown < 10


def test_loading_copies_nothing() -> None:
    """A network on the meta device gets the same tensors that were read."""
    with torch.device("meta"):
        network = torch.nn.Linear(3, 2)
    tensors = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    checkpoint.load(network, tensors, "line")
    assert network.weight.data_ptr() == tensors["weight"].data_ptr()
    assert not network.weight.requires_grad


def test_a_file_that_is_read_is_never_written(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(before := saved({"weight": torch.ones(3)}))
    (tmp_path / "a.ckpt").chmod(0o444)
    checkpoint.read(tmp_path / "a.ckpt")["weight"].mul_(2)
    assert (tmp_path / "a.ckpt").read_bytes() == before


FITTING = {"weight": torch.ones(2, 3), "bias": torch.ones(2)}


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ({"weight": torch.ones(2, 3)}, r"\(no bias\); its config .* a larger network$"),
        ({**FITTING, "gain": torch.ones(1)}, r"\(unexpected gain\); .* a smaller network or another"),
        (FITTING | {"weight": torch.ones(3, 2)}, r"\(weight is \(3, 2\), not \(2, 3\)\); .* another size$"),
        (FITTING | {"bias": torch.ones(2).long()}, r"\(bias is torch\.int64, not torch\.float32\)"),
        ({"weight": torch.ones(2, 3), "gain": torch.ones(1)}, r"\(no bias, unexpected gain\); check its config$"),
        ({f"w{i}": torch.ones(1) for i in range(9)}, r"unexpected w0 and 8 more\); .* for another network$"),
        ({**FITTING, "\x1b[2J\n" + "x" * 999: torch.ones(1)}, r"\(unexpected '\\x1b\[2J\\nx{1,200}\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(tensors: dict[str, Tensor], complaint: str) -> None:
    with pytest.raises(WeightsError, match=complaint):
        checkpoint.load(torch.nn.Linear(3, 2), tensors, "line")


def small_files() -> dict[str, bytes]:
    """A valid file of each kind."""
    network = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2))
    return {form: save_(network.state_dict()) for form, save_ in FORMATS.items()} | {"network": saved(network)}


FILES = small_files()


@settings(deadline=None, max_examples=400)
@given(
    form=st.sampled_from(sorted(FILES)),
    length=st.none() | st.integers(0),
    flips=st.lists(st.tuples(st.integers(0), st.integers(1, 255)), max_size=4),
)
def test_a_damaged_file_gives_tensors_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, form: str, length: int | None, flips: list[tuple[int, int]]
) -> None:
    content = bytearray(FILES[form])
    for place, change in flips:
        content[place % len(content)] ^= change
    if length is not None:
        del content[length % len(content) :]
    refuses_or_reads(tmp_path_factory.getbasetemp() / "damaged", bytes(content))


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from([b"", b"PK\3\4", b"\x80\2", FILES["before 1.6"][:20], b"\x40" + bytes(7) + b"{"]),
    st.binary(max_size=100),
)
def test_any_bytes_give_a_refusal(tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes) -> None:
    refuses_or_reads(tmp_path_factory.getbasetemp() / "random", head + rest)


def refuses_or_reads(path: Path, content: bytes) -> None:
    """Check that reading gives a WeightsError of one line, or tensors with all their numbers."""
    path.write_bytes(content)
    try:
        tensors, message = checkpoint.read(path), ""
    except WeightsError as error:
        tensors, message = {}, str(error)
    assert "\n" not in message
    assert all(tensor.sum().ndim == 0 for tensor in tensors.values())


def test_only_some_of_a_key_s_many_prefixes_are_removed(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(save({"module." * 3_000 + "x": torch.zeros(1_000)}))
    (key,) = checkpoint.read(tmp_path / "a.safetensors")
    assert key.endswith("module.x")
