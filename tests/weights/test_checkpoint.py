"""Checkpoints: wholly read, put where they belong."""

from pathlib import Path

import pytest
import torch

from stemsplit.errors import WeightsError
from stemsplit.weights import checkpoint


def test_what_is_saved_is_read_again_in_full_precision(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    checkpoint.save(network, tmp_path / "a.safetensors")
    tensors = checkpoint.read(tmp_path / "a.safetensors")
    assert tensors["weight"].dtype == torch.float32
    assert torch.allclose(tensors["weight"], network.weight, rtol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no safetensors", b"\xff" * 100])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="cannot read the weights"):
        checkpoint.read(tmp_path / "a.safetensors")


def test_loading_copies_nothing() -> None:
    """A network on the meta device takes the very tensors that were read."""
    with torch.device("meta"):
        network = torch.nn.Linear(3, 2)
    tensors = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    checkpoint.load(network, tensors, "line")
    assert network.weight.data_ptr() == tensors["weight"].data_ptr()


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ({"weight": torch.ones(2, 3)}, r"\(no bias\)"),
        ({"weight": torch.ones(2, 3), "bias": torch.ones(2), "gain": torch.ones(1)}, r"\(unexpected gain\)"),
        ({"weight": torch.ones(3, 2), "bias": torch.ones(2)}, r"\(weight is \(3, 2\), not \(2, 3\)\)"),
        ({f"w{i}": torch.ones(1) for i in range(9)}, "and 8 more"),
    ],
)
def test_what_does_not_fit_is_named(tensors: dict[str, torch.Tensor], complaint: str) -> None:
    with pytest.raises(WeightsError, match=complaint):
        checkpoint.load(torch.nn.Linear(3, 2), tensors, "line")
