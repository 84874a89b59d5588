"""Where training begins."""

import pytest
import torch
from torch import Tensor

from stemsplit.models import build
from stemsplit.models.sudormrf import SuDoRMRF
from stemsplit.training.start import has_fourier_start, start, start_as_fourier
from tests.models.test_contract import CONFIGS

SUDO = {
    "enc_kernel_size": 33,
    "enc_num_basis": 64,
    "out_channels": 16,
    "in_channels": 16,
    "num_blocks": 1,
    "num_sources": 4,
}


def mixture() -> Tensor:
    return torch.randn(1, 2, 2_000, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variant", ["improved", "groupcomm"])
@pytest.mark.parametrize("channels", [1, 2])
@torch.no_grad()
def test_with_masks_of_one_every_stem_is_the_mixture(channels: int, variant: str) -> None:
    """Analysis and synthesis give back what went in."""
    torch.manual_seed(0)
    network = build("sudormrf", {**SUDO, "variant": variant, "in_audio_channels": channels})
    assert isinstance(network, SuDoRMRF)
    network.get_parameter("decoder.weight").zero_()  # of the random start a tenth would stay
    start_as_fourier(network)
    network.get_parameter("mask_net.1.weight").zero_()
    network.get_parameter("mask_net.1.bias").fill_(1)
    error = (network(mixture()) - mixture()[:, None]).norm() / (4**0.5 * mixture().norm())
    assert error < 0.1


@pytest.mark.parametrize("name", [name for name in CONFIGS if "former" in name])
@torch.no_grad()
def test_a_roformers_stems_begin_near_their_share_of_the_mixture(name: str) -> None:
    torch.manual_seed(0)
    architecture, config = CONFIGS[name]
    network = build(architecture, {**config, "zero_dc": False})
    before = network(mixture())
    start(network, 3)
    share = mixture()[:, None] / 3
    error, random = ((found - share).norm() for found in (network(mixture()), before))
    assert error < 0.6 * share.expand_as(before).norm()
    assert error < random


@pytest.mark.parametrize("name", ["sudormrf original", "sudormrf causal"])
def test_a_kind_without_a_known_start_is_left_as_it_is(name: str) -> None:
    network = build(*CONFIGS[name])
    assert isinstance(network, SuDoRMRF)
    assert not has_fourier_start(network.config)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    start(network, 3)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
