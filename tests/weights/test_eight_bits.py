"""Weights in eight bits: small in the file, near to what they were when read."""

from pathlib import Path

import pytest
import torch
from torch import nn

from stemsplit.weights import checkpoint
from stemsplit.weights.eight_bits import packed, unpacked


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
    for bits in checkpoint.BITS:
        checkpoint.save(net, tmp_path / f"{bits}.safetensors", bits=bits)
        sizes[bits] = sum(value.nbytes for value in checkpoint.stored(tmp_path / f"{bits}.safetensors").values())
    assert sizes[8] < 0.3 * sizes[32]
    assert sizes[16] < 0.51 * sizes[32]


def test_what_is_not_packed_is_left_alone() -> None:
    """Numbers in eight bits without scales are somebody else's."""
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
    once = unpacked(packed(net.state_dict()))
    twice = unpacked(packed(once))
    assert all(torch.allclose(once[key], twice[key].to(once[key].dtype), rtol=0.01, atol=1e-7) for key in once)
