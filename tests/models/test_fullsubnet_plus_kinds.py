"""The kinds of layers that a FullSubNet+ may be configured with, besides those of the published weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stemsplit.checkpoints.describe import describe
from stemsplit.models import build, infer
from stemsplit.models.fullsubnet_plus import Config, FullSubNet
from stemsplit.models.fullsubnet_plus_attention import MeanMaxExcitation, NeighbourExcitation, SqueezeExcitation
from stemsplit.models.fullsubnet_plus_layers import Convolutional, Norm, Past, Recurrent, normalised, running
from tests import golden
from tests.models.test_contract import SMALL


def network(**changes: Any) -> FullSubNet:
    torch.manual_seed(0)
    model = build("fullsubnet_plus", {**SMALL, **changes}).eval().requires_grad_(False)
    assert isinstance(model, FullSubNet)
    return model


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "TCN"])
@pytest.mark.parametrize(
    ("activation", "wanted"),
    [("ReLU", [0, 0.5, 9]), ("ReLU6", [0, 0.5, 6]), ("Tanh", [-1, 0.4621172, 1]), (None, [-9, 0.5, 9])],
)
@torch.inference_mode()
def test_activations_are_applied_last(kind: str, activation: str | None, wanted: list[float]) -> None:
    layers = Convolutional(4, 3, activation) if kind == "TCN" else Recurrent(4, 5, 3, kind, activation)
    layers.fc_output_layer.weight.zero_()
    layers.fc_output_layer.bias.copy_(torch.tensor([-9, 0.5, 9]))
    assert torch.allclose(layers(torch.randn(2, 4, 20)), torch.tensor(wanted)[:, None].expand(2, 3, 20))


@torch.inference_mode()
def test_a_gru_in_parts_gives_the_same_as_at_once() -> None:
    torch.manual_seed(0)
    model, x = Recurrent(5, 7, 3, "GRU"), torch.randn(2, 5, 53)
    at_once = model.fc_output_layer(model.sequence_model(x.mT)[0]).mT
    assert golden.relative_error(model(x), at_once) <= 1e-6


@torch.inference_mode()
def test_convolutions_treat_each_of_many_sequences_separately() -> None:
    torch.manual_seed(0)
    model, x = Convolutional(5, 2, None), torch.randn(33, 5, 40)
    assert golden.relative_error(model(x), torch.cat([model(one[None]) for one in x])) <= 1e-5


def test_the_gaussian_norm_gives_mean_0_and_standard_deviation_1() -> None:
    x = normalised(7 + 3 * torch.randn(2, 3, 9, 20), "offline_gaussian_norm")
    assert x.mean((1, 2, 3)).abs().max() <= 1e-6
    assert (x.std((1, 2, 3)) - 1).abs().max() <= 1e-5
    assert not normalised(torch.full((1, 1, 9, 20), 5.0), "offline_gaussian_norm").any()


def test_the_layer_norm_is_by_all_frames_so_far() -> None:
    x = 0.1 * torch.randn(2, 3, 9, 20) + 4
    frames = [
        (x[..., m] - so_far.mean((2, 3))[..., None]) / (so_far.var((2, 3), correction=0) + 2**-23).sqrt()[..., None]
        for m in range(20)
        for so_far in [x[..., : m + 1].double()]
    ]
    assert golden.relative_error(normalised(x, "cumulative_layer_norm"), torch.stack(frames, -1)) <= 1e-5


@pytest.mark.parametrize("kind", ["cumulative_laplace_norm", "cumulative_layer_norm"])
@pytest.mark.parametrize("lengths", [[7, 1, 12], [20], [1] * 20])
def test_cumulative_norms_may_be_applied_in_parts(kind: Norm, lengths: list[int]) -> None:
    x, past, parts = torch.rand(1, 2, 9, 20), None, list[Tensor]()
    state: Past | None = past
    for part in x.split(lengths, -1):
        scaled, state = running(part, kind, state)
        parts.append(scaled)
    assert golden.relative_error(torch.cat(parts, -1), normalised(x, kind)) <= 1e-6


@pytest.mark.parametrize("attention", [SqueezeExcitation(6), MeanMaxExcitation(6), NeighbourExcitation()])
@torch.inference_mode()
def test_every_attention_weights_channels_alike_at_all_times(attention: torch.nn.Module) -> None:
    x = torch.rand(2, 6, 30) + 0.5
    weights = attention(x) / x
    assert torch.allclose(weights, weights[..., :1].expand_as(weights))
    assert 0 < weights.min() < weights.max() < 1


@torch.inference_mode()
def test_attention_to_maxima_differs_from_that_to_means_only_if_the_signal_changes() -> None:
    torch.manual_seed(0)
    means, both, x = SqueezeExcitation(6), MeanMaxExcitation(6), torch.rand(2, 6, 1)
    both.load_state_dict(means.state_dict())
    still, moving = x.expand(2, 6, 30), x * torch.rand(30)
    assert torch.allclose(both.hidden(still), 2 * means.hidden(still), atol=1e-6)
    assert not torch.allclose(both.hidden(moving), 2 * means.hidden(moving), atol=1e-3)


@torch.inference_mode()
def test_attention_to_neighbours_sees_one_channel_on_either_side() -> None:
    attention, x = NeighbourExcitation(), torch.rand(1, 6, 30)
    changed = x.clone()
    changed[:, 2] += 1
    same = torch.isclose(attention(x) / x, attention(changed) / changed).all(-1)[0]
    assert same.tolist() == [True, False, False, False, True, True]


@pytest.mark.parametrize("size", [2, 4, 16])
@torch.inference_mode()
def test_bins_of_a_group_have_the_same_weight(size: int) -> None:
    """The 17 bins do not divide into groups. At the upper end, their reflection completes the last group."""
    model, magnitude = network(channel_attention_model="ECA", subband_num=size), torch.rand(1, 17, 20) + 0.1
    weights = (model.attended(magnitude) / magnitude)[0]
    for group in weights.split(size):
        assert torch.allclose(group, group[:1, :1].expand_as(group))
    model.channel_attention.conv.weight.copy_(torch.tensor([[[0, 1, 0]]]))
    last = torch.cat([magnitude, magnitude.flip(1)[:, 1:]], 1)[:, 17 // size * size :][:, :size]
    assert torch.allclose((model.attended(magnitude) / magnitude)[0, -1, 0], last.mean().sigmoid())


KINDS: list[dict[str, Any]] = [
    {"sequence_model": "GRU", "sb_model_hidden_size": 6},
    {"sequence_model": "TCN"},
    {"channel_attention_model": "SE"},
    {"channel_attention_model": "ECA"},
    {"variant": "base", "sequence_model": "GRU", "fb_model_hidden_size": 9},
]


@pytest.mark.parametrize("changes", KINDS, ids=lambda changes: " ".join(map(str, changes.values())))
def test_kinds_of_layers_are_inferred_from_a_checkpoint(changes: dict[str, Any]) -> None:
    weights = network(**changes).state_dict()
    found = infer(weights)
    config = Config(**{**found.inferred, **found.defaults})
    assert {name: getattr(config, name) for name in changes} == changes
    assert build("fullsubnet_plus", {**found.inferred, **found.defaults}).state_dict().keys() == weights.keys()


def test_two_attentions_with_the_same_tensors_are_told_apart_by_the_user(tmp_path: Path) -> None:
    torch.save(network(channel_attention_model="CBAM").state_dict(), tmp_path / "a.pt")
    assumed = describe(tmp_path / "a.pt")
    assert assumed.defaults["channel_attention_model"] == "SE"
    told = describe(tmp_path / "a.pt", settings=["channel_attention_model=CBAM"]).entry
    assert told.config["channel_attention_model"] == "CBAM"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ([], (0, 9)),
        (["fb_num_neighbors=1"], (1, 6)),
        (["sb_num_neighbors=3"], (2, 3)),
        (["sb_num_neighbors=3", "fb_num_neighbors=2"], (2, 3)),
    ],
)
def test_neighbours_that_are_given_leave_the_others_to_the_weights(
    tmp_path: Path, settings: list[str], wanted: tuple[int, int]
) -> None:
    """Shapes show only how many features come from all neighbours together."""
    torch.save(network(fb_num_neighbors=2, sb_num_neighbors=3).state_dict(), tmp_path / "a.pt")
    config = describe(tmp_path / "a.pt", settings=settings).entry.config
    assert (config["fb_num_neighbors"], config["sb_num_neighbors"]) == wanted


@pytest.mark.parametrize("settings", [["sb_num_neighbors=4"], ["fb_num_neighbors=4"], ["sb_num_neighbors=40"]])
def test_neighbours_that_do_not_go_with_the_weights_are_refused(tmp_path: Path, settings: list[str]) -> None:
    torch.save(network(fb_num_neighbors=2, sb_num_neighbors=3).state_dict(), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="do not go with the weights, which are for 22 features"):
        describe(tmp_path / "a.pt", settings=settings)


def test_the_usual_transform_is_that_with_so_many_bins() -> None:
    config = Config(num_freqs=33, sb_num_neighbors=3)
    assert (config.n_fft, config.win_length, config.hop_length) == (64, 64, 32)
