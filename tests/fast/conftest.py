"""What the tests of fast implementations share."""

import pytest
import torch
from torch import Tensor, nn

from stemsplit.fast.device import native_bfloat16
from tests import golden

in_bfloat16 = pytest.mark.skipif(not native_bfloat16(), reason="this CPU has no instructions for bfloat16")


@torch.inference_mode()
def magnified(network: nn.Module, mixture: Tensor) -> float:
    """By how much a network enlarges small errors, at least 1: many norms in a row do, most of all in small images."""
    if not any("hyperace" in type(module).__module__ for module in network.modules()):
        return 1.0
    noisy = mixture * (1 + 1e-5 * torch.randn_like(mixture))
    return max(1.0, golden.relative_error(network(noisy), network(mixture)) / 1e-5)
