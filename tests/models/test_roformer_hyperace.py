"""HyperACE: the mask that an image network draws over all bands."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stemsplit.models import build, infer
from stemsplit.models.roformer_hyperace import HyperAceMaskEstimator
from stemsplit.models.roformer_hyperace_layers import Hyperedges, Hypergraph, InstanceNorm, Widening
from stemsplit.models.roformer_hyperace_unet import Segmentation, Shape
from tests.models.test_contract import BANDS, FORMER, HYPER

DIM, BINS = 6, 40
CHANNELS = {1: (3, 8, 6, 9, 7), 2: (3, 16, 6, 9, 7)}  # some halves and quarters are not whole


def segmentation(version: int, bands: int) -> Segmentation:
    """Make a small network, in which hypergraphs count as much as anything else."""
    torch.manual_seed(0)
    shape = Shape(version, CHANNELS[version], depth=1, hyperedges=3, heads=2)
    network = Segmentation(DIM, bands, BINS, 2, shape).requires_grad_(False)
    for key, parameter in network.named_parameters():
        if "gamma" in key or ".bn." in key:
            parameter.copy_(torch.randn(parameter.shape))
    return network


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("bands", [5, 9])
@pytest.mark.parametrize("frames", [1, 2, 7, 33])
def test_any_number_of_frames_and_of_more_than_four_bands_gives_all_bins(version: int, bands: int, frames: int) -> None:
    numbers = segmentation(version, bands)(torch.randn(2, frames, bands, DIM))
    assert numbers.shape == (2, frames, BINS, 2)
    assert numbers.isfinite().all()


@pytest.mark.parametrize(("version", "bands", "enough"), [(2, 4, 33), (2, 2, 33), (1, 1, 33), (1, 2, 1)])
def test_a_chunk_whose_smallest_image_would_be_one_number_is_refused(version: int, bands: int, enough: int) -> None:
    """One number has no variance. Images shrink 32-fold along time and, in version 2, fourfold across bands."""
    network = segmentation(version, bands)
    assert network(torch.randn(1, enough, bands, DIM)).isfinite().all()
    if enough > 1:
        with pytest.raises(ValueError, match=f"a chunk of {enough - 1} frames is too short"):
            network(torch.randn(1, enough - 1, bands, DIM))


@pytest.mark.parametrize("version", [1, 2])
def test_each_chunk_is_seen_by_itself_and_as_a_whole(version: int) -> None:
    network, chunks = (
        segmentation(version, 6),
        torch.randn(3, 20, 6, DIM) * torch.tensor([1, 9, 0.1])[:, None, None, None],
    )
    together = network(chunks)
    for chunk, numbers in zip(chunks, together, strict=True):
        assert torch.allclose(network(chunk[None])[0], numbers, atol=1e-3 * float(numbers.abs().max()))
    changed = chunks.clone()
    changed[:, -1] += 1
    assert not torch.allclose(network(changed)[:, 0], together[:, 0], atol=1e-4)


@pytest.mark.parametrize("version", [1, 2])
def test_hypergraphs_count_only_by_their_gains(version: int) -> None:
    """With gains of zero, which a new network has, nothing of the hypergraphs is in the result."""
    network, tokens = segmentation(version, 6), torch.randn(1, 20, 6, DIM)

    def change_of(result: Tensor) -> float:
        for parameter in network.hyperace.parameters():
            parameter.add_(torch.randn(parameter.shape))
        return float((network(tokens) - result).abs().max())

    assert change_of(network(tokens)) > 0.01
    for key, gain in network.decoder.named_parameters():
        if "gamma" in key:
            gain.zero_()
    assert change_of(network(tokens)) == 0


def test_half_precision_does_not_reach_the_image_network() -> None:
    network, tokens = segmentation(2, 6), torch.randn(1, 20, 6, DIM)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network(tokens), network(tokens.float()))
        half = network(tokens)
    assert torch.equal(half, network(tokens))


@torch.inference_mode()
def test_a_mask_is_the_bands_own_plus_the_drawn_one() -> None:
    """The numbers of a band are those of its bins, and each bin's are those of the left channel, then the right."""
    torch.manual_seed(0)
    bands, shape = [range(2), range(2, 3), range(3, 9), range(9, 14), range(14, 20)], Shape(2, CHANNELS[2], 1, 3, 2)
    estimator, tokens = HyperAceMaskEstimator(bands, 2, DIM, [4], shape), torch.randn(1, 5, 5, DIM)
    drawn = estimator.segm(tokens)
    assert drawn.shape == (1, 5, 20, 4)
    masks = estimator(tokens)
    assert [mask.shape[-1] for mask in masks] == [8, 4, 24, 20, 24]
    for k, (mask, band) in enumerate(zip(masks, bands, strict=True)):
        own = estimator.to_freqs[k](tokens[:, :, k])
        for place, number in enumerate(range(band.start, band.stop)):
            of_bin = slice(4 * place, 4 * place + 4)
            assert torch.allclose(mask[..., of_bin], own[..., of_bin] + drawn[:, :, number], atol=1e-6)


@torch.inference_mode()
def test_a_norm_divides_by_the_root_of_the_biased_variance_and_a_hundred_millionth() -> None:
    norm, x = InstanceNorm(2), 1e-4 * torch.randn(3, 2, 4, 5, dtype=torch.float64) + 1
    variance = x.var((2, 3), correction=0, keepdim=True)
    wanted = (x - x.mean((2, 3), keepdim=True)) / (variance + 1e-8).sqrt()
    assert torch.allclose(norm.double()(x), wanted)
    norm.bias.copy_(torch.tensor([7, -7]))
    assert torch.equal(norm(torch.full((1, 2, 4, 5), 3, dtype=torch.float64))[0, :, 0, 0], norm.bias)


@torch.inference_mode()
def test_hyperedges_share_out_by_the_mean_similarity_of_the_heads() -> None:
    hyperedges, x, heads = Hyperedges(12, 4, 3), torch.randn(2, 30, 12), 3
    context = torch.cat([x.mean(1), x.max(1).values], 1)
    prototypes = hyperedges.global_proto + hyperedges.context_mapper(context).view(2, 4, 12)
    queries = hyperedges.query_proj(x)
    similarity = torch.stack(
        [
            q @ p.mT / 2 for q, p in zip(queries.chunk(heads, 2), prototypes.chunk(heads, 2), strict=True)
        ]  # 2 = sqrt(12/3)
    ).mean(0)
    shares = hyperedges(x)
    assert torch.allclose(shares, similarity.softmax(1).mT, atol=1e-6)
    assert torch.allclose(shares.sum(-1), torch.ones(2, 4))


@torch.inference_mode()
def test_hypergraphs_do_not_know_where_a_place_is() -> None:
    graph, x, order = Hypergraph(8, 3, 2), torch.randn(1, 8, 5, 6), torch.randperm(30)
    moved = x.flatten(2)[..., order].unflatten(2, (5, 6))
    assert torch.allclose(graph(moved).flatten(2), graph(x).flatten(2)[..., order], atol=1e-6)


@torch.inference_mode()
def test_two_channels_become_the_even_and_the_odd_columns_of_one() -> None:
    widening, x = Widening(4, 3, None), torch.randn(1, 4, 5, 7)
    narrow, wide = widening.conv(x), widening(x)
    assert wide.shape == (1, 3, 5, 14)
    for channel in range(3):
        assert torch.equal(wide[:, channel, :, ::2], narrow[:, 2 * channel])
        assert torch.equal(wide[:, channel, :, 1::2], narrow[:, 2 * channel + 1])


@pytest.mark.parametrize("variant", ["hyperace_v1", "hyperace_v2"])
def test_all_but_the_heads_is_inferred_from_a_checkpoint(variant: str) -> None:
    config: dict[str, Any] = {**FORMER, **BANDS, **HYPER, "variant": variant, "hyperace_depth": 3}
    result = infer(build("bs_roformer", config).state_dict())
    assert {name: result.inferred.get(name) for name in config if name.startswith("hyper") or name == "variant"} == {
        **{name: value for name, value in config.items() if name.startswith("hyper")},
        "variant": variant,
        "hyperace_num_heads": None,
    }
    assert result.defaults["hyperace_num_heads"] == 8


@pytest.mark.parametrize(("variant", "hyperedges"), [("hyperace_v1", 16), ("hyperace_v2", 32)])
def test_the_usual_number_of_hyperedges_is_that_of_the_version(variant: str, hyperedges: int) -> None:
    config = {**FORMER, **BANDS, **HYPER, "variant": variant, "hyperace_hyperedges": 0}
    prototypes = [value for key, value in build("bs_roformer", config).named_parameters() if "global_proto" in key]
    assert {len(value) for value in prototypes} == {hyperedges}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"hyperace_channels": (8, 16, 8, 8)}, "hyperace_channels must be five numbers, not 4"),
        ({"hyperace_channels": (8, 15, 8, 8, 8)}, "number 2 of hyperace_channels must be at least 16, not 15"),
        ({"hyperace_num_heads": 3}, "hyperace_num_heads must divide 4, half of the fourth of hyperace_channels"),
        ({"freqs_per_bands": [33]}, "HyperACE needs two bands or more"),
        ({"hyperace_depth": 0}, "hyperace_depth must be at least 1"),
    ],
)
def test_sizes_that_no_network_has_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build("bs_roformer", {**FORMER, **BANDS, **HYPER, "variant": "hyperace_v2", **changes})


@torch.inference_mode()
def test_networks_of_published_sizes_are_built_without_memory() -> None:
    with torch.device("meta"):
        network = build("bs_roformer", {"dim": 256, "depth": 1, "stereo": True, "variant": "hyperace_v2"})
    drawn: nn.Module = network.get_submodule("mask_estimators.0.segm")
    assert len(drawn.state_dict()) == 471
    assert sum(value.numel() for value in drawn.state_dict().values()) == 20_992_624
