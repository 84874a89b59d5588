"""An ensemble is the mean of its members' estimates, and members that do not fit together are refused."""

from typing import Any

import pytest
import torch

from stemsplit.fast import Pool, accelerated
from stemsplit.models import build, check, infer
from stemsplit.models.ensemble import mid_side
from stemsplit.models.wiener import filtered
from tests.models.test_contract import CONFIGS

FOUR, MID_SIDE = CONFIGS["ensemble"][1]["members"]
THREE = {**MID_SIDE, "mid_side": False}
CONFIG = {**CONFIGS["ensemble"][1], "wiener": 0.0, "members": [FOUR, THREE]}
ODD = {**FOUR["config"], "num_sources": 2, "in_audio_channels": 3}
"""Config of a network that takes three channels at once."""


def changed(**values: Any) -> dict[str, Any]:
    """Return the config with its second member changed."""
    return {**CONFIG, "members": [FOUR, {**THREE, **values}]}


@torch.inference_mode()
def test_it_is_the_weighted_mean_of_its_members() -> None:
    torch.manual_seed(0)
    network, mixture = build("ensemble", CONFIG).eval(), torch.randn(2, 2, 700)
    four, three = (member(mixture) for member in network.get_submodule("members"))
    # Estimates 0, 1, 2 of the second are stems 3, 0, 1; stem 2 is the remainder.
    of_second = torch.stack([three[:, 1], three[:, 2], mixture - three.sum(1), three[:, 0]], 1)
    assert torch.allclose(network(mixture), (2 * four + of_second) / 3, atol=1e-6)


@torch.inference_mode()
def test_the_filtered_mean_is_blended_in() -> None:
    torch.manual_seed(0)
    networks = [build("ensemble", {**CONFIG, "wiener": share}).eval() for share in (0.0, 0.3)]
    networks[1].load_state_dict(networks[0].state_dict())
    mixture = torch.randn(2, 2, 700)
    plain, blended = (network(mixture) for network in networks)
    refined = filtered(mixture, plain, CONFIG["wiener_n_fft"])
    assert torch.allclose(blended, 0.7 * plain + 0.3 * refined, atol=1e-5)


@torch.inference_mode()
def test_a_member_may_take_mid_and_side() -> None:
    torch.manual_seed(0)
    alone = {"num_stems": 4, "members": [{**FOUR, "mid_side": True}]}
    check("ensemble", alone, outputs=4, channels=2)
    network, mixture = build("ensemble", alone).eval(), torch.randn(1, 4, 500)
    (member,) = network.get_submodule("members")
    left, right = mixture[:, ::2], mixture[:, 1::2]
    mid, side = (member(signal / 2**0.5) for signal in (left + right, left - right))
    expected = torch.stack([mid + side, mid - side], 3).flatten(2, 3) / 2**0.5
    assert torch.allclose(network(mixture), expected, atol=1e-5)


def test_mid_and_side_of_mid_and_side_are_left_and_right() -> None:
    x = torch.randn(2, 3, 4, 50)
    assert torch.allclose(mid_side(mid_side(x)), x, atol=1e-6)
    assert torch.allclose(mid_side(x).square().sum(), x.square().sum())
    assert not mid_side(x[..., :1, :].expand(2, 3, 2, 50))[..., 1, :].any()


@torch.inference_mode()
@pytest.mark.parametrize("second", [THREE, MID_SIDE])
def test_the_fast_implementation_gives_the_same(second: dict[str, Any]) -> None:
    torch.manual_seed(1)
    network, mixture = build("ensemble", {**CONFIG, "members": [FOUR, second]}).eval(), torch.randn(1, 2, 1_500)
    fast = accelerated(network, torch.float32, torch.device("cpu"), Pool(1))
    assert torch.allclose(fast(mixture), network(mixture), atol=1e-4)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({**CONFIG, "members": []}, "at least one member"),
        ({**CONFIG, "members": "sudormrf"}, "at least one member"),
        ({**CONFIG, "members": [{"architecture": "sudormrf"}]}, "a member needs architecture, config and places"),
        ({**CONFIG, "members": [{**FOUR, "weight": 2.0}]}, "a member needs architecture, config and places"),
        ({**CONFIG, "members": ["sudormrf"]}, "a member needs architecture, config and places"),
        (changed(architecture="wavenet"), "unknown architecture"),
        (changed(architecture="ensemble", config=CONFIG), "cannot be an ensemble itself"),
        (changed(config={"dim": 8}), "bs_roformer"),
        (changed(places=[0, 1]), "a member with 3 stems cannot be"),
        (changed(places=[0, 1, 1]), "different numbers below 4"),
        (changed(places=[0, 1, 4]), "different numbers below 4"),
        (changed(places=["drums", "bass", "other"]), "different numbers below 4"),
        ({**CONFIG, "wiener": 1.5}, "from 0 to 1"),
        ({**CONFIG, "wiener_n_fft": 510}, "a multiple of 4"),
        (changed(share=0.0), "above 0"),
        (changed(share="1"), "above 0"),
        (changed(mid_side=1), "mid_side must be true"),
        (
            {"num_stems": 2, "members": [{**FOUR, "places": [0, 1], "config": ODD, "mid_side": True}]},
            "mid_side needs pairs of channels, not 3",
        ),
        (changed(share=float("inf")), "above 0"),
    ],
)
def test_members_that_do_not_fit_together_are_refused(config: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build("ensemble", config)


def test_it_takes_as_many_channels_as_its_members_need() -> None:
    check("ensemble", CONFIG, outputs=4, channels=2)
    with pytest.raises(ValueError, match="a multiple of 2, not 1"):
        check("ensemble", CONFIG, outputs=4, channels=1)


@torch.inference_mode()
def test_the_filter_takes_two_channels_at_a_time() -> None:
    alone = {"num_stems": 4, "members": [FOUR], "wiener": 0.5, "wiener_n_fft": 64}
    network, mixture = build("ensemble", alone).eval(), torch.randn(1, 4, 500)
    check("ensemble", alone, outputs=4, channels=2)
    separate = torch.cat([network(mixture[:, :2]), network(mixture[:, 2:])], 2)
    assert torch.allclose(network(mixture), separate, atol=1e-5)


def test_its_members_cannot_be_inferred_from_its_weights() -> None:
    with pytest.raises(ValueError, match="only a registry entry can describe"):
        infer(build("ensemble", CONFIG).state_dict())
