"""Networks without numbers."""

import pytest
import torch
from torch import nn

from stemsplit import registry
from stemsplit.checkpoints.loading import built
from stemsplit.checkpoints.shapes import Shapes


@pytest.mark.parametrize("name", ["starter", "mel-roformer"])
def test_the_weights_have_shapes_and_types_but_no_numbers(name: str) -> None:
    entry = registry.find(name)
    with Shapes():
        network = built(entry)
    with torch.device("meta"):
        usual = built(entry)
    assert all(weight.is_meta for weight in network.parameters() if weight.requires_grad)
    found, expected = (
        {key: (value.shape, value.dtype) for key, value in each.state_dict().items()} for each in (network, usual)
    )
    assert found == expected


def test_weights_for_a_device_of_their_own_are_filled_as_usual() -> None:
    torch.manual_seed(0)
    usual = nn.Linear(3, 4)
    torch.manual_seed(0)
    with Shapes():
        layer = nn.Linear(3, 4, device="cpu")
    assert torch.equal(layer.weight, usual.weight)
    assert torch.equal(layer.bias, usual.bias)
