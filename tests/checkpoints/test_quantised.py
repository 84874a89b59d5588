"""Weights in few bits: small in the file, near to what they were when read."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stemsplit.checkpoints import checkpoint
from stemsplit.checkpoints.quantised import SHAPE, coded, decoded, packed, unpacked
from stemsplit.choices import WeightBits
from stemsplit.errors import WeightsError


class Net(nn.Module):
    """A little of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(256, 64)
        self.filters = nn.Conv1d(8, 16, 21)
        self.narrow = nn.Conv1d(16, 16, 5, groups=16)
        self.register_buffer("count", torch.tensor([3, 4]))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    made = Net()
    with torch.no_grad():
        # Rows of very different size, one of them nothing but zeros.
        made.wide.weight.mul_(10 ** torch.linspace(-6, 3, 64)[:, None])
        made.wide.weight[5] = 0
    return made


def test_every_row_is_near_to_what_it_was(net: Net, tmp_path: Path) -> None:
    checkpoint.save(net, tmp_path / "small.safetensors", bits=8)
    read = checkpoint.read(tmp_path / "small.safetensors")
    assert read.keys() == net.state_dict().keys()
    for key, value in net.state_dict().items():
        error = (read[key] - value).abs().flatten(1 if value.ndim > 1 else 0).amax(-1)
        largest = value.abs().flatten(1 if value.ndim > 1 else 0).amax(-1)
        assert (error <= largest / 250).all(), key  # half a step of 127, and the rounding of the scale
    checkpoint.load(Net(), read, "small")


def test_it_takes_a_byte_a_number(net: Net, tmp_path: Path) -> None:
    sizes = {}
    for bits in map(int, WeightBits):
        checkpoint.save(net, tmp_path / f"{bits}.safetensors", bits=bits)
        sizes[bits] = sum(value.nbytes for value in checkpoint.stored(tmp_path / f"{bits}.safetensors").values())
    assert sizes[8] < 0.3 * sizes[32]
    assert sizes[16] < 0.51 * sizes[32]


@pytest.mark.parametrize("bits", [6, 5, 4])
def test_fewer_bits_cost_what_they_must(bits: int, tmp_path: Path) -> None:
    """Of normally distributed numbers: 1.53 dB less than the 6.02 dB a bit that could be had at best."""
    torch.manual_seed(0)
    net = nn.Linear(2_000, 500, bias=False)
    net.weight.data = torch.randn(500, 2_000) * 10 ** torch.linspace(-3, 3, 500)[:, None]
    checkpoint.save(net, tmp_path / "small.safetensors", bits=bits)
    read = checkpoint.read(tmp_path / "small.safetensors")["weight"]
    was = net.weight.detach()
    noise = (read - was).square().sum(1) / was.square().sum(1)
    assert 10 * noise.mean().log10().item() == pytest.approx(1.53 - 6.02 * bits, abs=0.2)
    assert 8 * (tmp_path / "small.safetensors").stat().st_size / net.weight.numel() == pytest.approx(bits, abs=0.1)


def test_a_row_with_one_large_weight_keeps_it() -> None:
    row = torch.full((1, 4_000), 1e-3)
    row[0, 7] = 50.0
    read = unpacked(packed({"a": row}, 5))["a"]
    assert read[0, 7] == pytest.approx(50.0, rel=0.01)


@pytest.mark.parametrize("bits", [16, 8, 4])
def test_weights_beyond_half_precision_are_refused(net: Net, bits: int, tmp_path: Path) -> None:
    net.filters.bias.data[3] = 7e4
    with pytest.raises(WeightsError, match=r"weights of filters\.bias are too large for 16 bits; use 32"):
        checkpoint.save(net, tmp_path / "small.safetensors", bits=bits)
    assert not list(tmp_path.iterdir())
    checkpoint.save(net, tmp_path / "large.safetensors", bits=32)


@pytest.mark.parametrize("bits", [8, 5])
def test_a_network_comes_back_whole(net: Net, bits: int, tmp_path: Path) -> None:
    checkpoint.save(net, tmp_path / "small.safetensors", bits=bits)
    read = checkpoint.read(tmp_path / "small.safetensors")
    assert {key: value.shape for key, value in read.items()} == {k: v.shape for k, v in net.state_dict().items()}
    assert torch.equal(read["count"], net.count)
    assert not read["wide.weight"][5].any()
    checkpoint.load(Net(), read, "small")


def test_damaged_codes_are_an_error() -> None:
    numbers = torch.randint(-20, 20, (64, 256), dtype=torch.int8)
    stream = coded(numbers)
    assert torch.equal(decoded(stream, (64, 256)), numbers)
    for damaged, shape in (
        (stream[:-1], (64, 256)),
        (stream[: len(stream) // 2], (64, 256)),
        (stream.flip(0), (64, 256)),
        (stream, (64, 255)),
        (stream, (64, 257)),
        (stream, (0, 5)),
    ):
        with pytest.raises(WeightsError, match="Huffman codes"):
            decoded(damaged, shape)


@pytest.mark.parametrize("shape", [[1 << 40, 1 << 40], [1 << 40, 256], [64, 1 << 40], [-64, 256], [64, 0], []])
def test_a_file_that_lies_about_a_shape_is_refused(shape: list[int], tmp_path: Path) -> None:
    tensors = packed({"a": torch.randn(64, 256)}, 5)
    save_file({**tensors, "a" + SHAPE: torch.tensor(shape, dtype=torch.int64)}, tmp_path / "liar.safetensors")
    try:
        read = checkpoint.read(tmp_path / "liar.safetensors")
    except WeightsError as error:
        assert "cannot read the weights" in str(error)  # noqa: PT017  # either is right, so long as it is told
    else:
        assert "a" + SHAPE in read  # somebody else's, which no network has


def test_what_is_not_packed_is_left_alone() -> None:
    """Whole numbers without scales are somebody else's."""
    tensors = {
        "a": torch.ones(2, 40, dtype=torch.int8),
        "b.scale": torch.ones(2),
        "c": torch.ones(2, 3),
        "c.scale": torch.ones(2),
        "d": torch.ones(2, 3, dtype=torch.int8),
        "d.scale": torch.ones(3),
    }
    assert unpacked(tensors) == tensors


def test_packing_twice_changes_nothing_more(net: Net) -> None:
    once = unpacked(packed(net.state_dict(), 8))
    twice = unpacked(packed(once, 8))
    assert all(torch.allclose(once[key], twice[key].to(once[key].dtype), rtol=0.01, atol=1e-7) for key in once)
