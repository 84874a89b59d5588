"""What the tests of fast implementations share."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from stemsplit.fast.device import native_bfloat16
from tests import golden

in_bfloat16 = pytest.mark.skipif(not native_bfloat16(), reason="this CPU has no instructions for bfloat16")


@torch.inference_mode()
def magnified(network: nn.Module, mixture: Tensor) -> float:
    """By how much a network enlarges small errors, at least 1: many norms in a row do, most of all in small images."""
    if not any("hyperace" in type(module).__module__ for module in network.modules()):
        return 1.0
    weights = {name: weight for name, weight in network.named_parameters() if "band_split" in name}
    rounded = {name: weight * (1 + 1e-5 * torch.randn_like(weight)) for name, weight in weights.items()}
    return max(1.0, golden.relative_error(functional_call(network, rounded, mixture), network(mixture)) / 1e-5)
