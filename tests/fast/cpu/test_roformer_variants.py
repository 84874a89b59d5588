"""Published variants of the RoFormers on a CPU give what the plain networks give."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stemsplit.fast import Pool, accelerated, roformers
from stemsplit.fast.cpu import attended
from stemsplit.fast.cpu.attended import Window, attended_within
from stemsplit.fast.cpu.roformer import FastRoFormer
from stemsplit.fast.cpu.roformer_attention import FastAttention
from stemsplit.fast.cpu.roformer_masks import masks
from stemsplit.fast.plain import Plain
from stemsplit.models import adapt_keys, build, infer, roformer_variants
from stemsplit.models.roformer import MaskEstimator, RoFormer
from stemsplit.models.roformer_layers import Attention, RotaryEmbedding
from tests import golden
from tests.fast.conftest import in_bfloat16, magnified
from tests.fast.variants import MIXING, VARIANTS, WINDOWED, network
from tests.models.test_roformer_variants import RUNS, open_facts

POOL, CPU = Pool(2), torch.device("cpu")


def error(model: RoFormer, mixture: Tensor, dtype: torch.dtype = torch.float32) -> float:
    """How far the fast result is from the plain one, without what the network itself makes of small errors."""
    with torch.inference_mode():
        estimates = FastRoFormer(model, dtype, POOL)(mixture)
        return golden.relative_error(estimates, model(mixture)) / magnified(model, mixture)


def test_every_variant_is_held_to_the_plain_network() -> None:
    assert {settings["variant"] for _, settings in VARIANTS.values()} == set(roformer_variants.VARIANTS) - {""}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("batch", "channels", "length"), [(1, 2, 1), (1, 2, 33), (3, 2, 500), (1, 4, 2_345)])
def test_any_shape_gives_the_plain_network_s_result(name: str, batch: int, channels: int, length: int) -> None:
    assert error(network(*VARIANTS[name]), torch.randn(batch, channels, length)) <= 1e-5


@pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
@torch.inference_mode()
def test_recordings_give_what_the_reference_computes(path: Path) -> None:
    recording = golden.load(path)
    weights = recording.weights
    found = infer(weights)
    with torch.device("meta"):
        config = {**found.defaults, **recording.facts["kwargs"], **found.inferred, **open_facts(recording.facts)}
        model = build(found.architecture, config).eval()
    model.load_state_dict(adapt_keys(found.architecture, weights), strict=True, assign=True)
    assert isinstance(model, RoFormer)
    expected = recording.tensors["output"]
    expected = expected if expected.ndim == 4 else expected[:, None]
    estimates = FastRoFormer(model, torch.float32, POOL)(recording.tensors["input"])[..., : expected.shape[-1]]
    assert golden.relative_error(estimates, expected) <= recording.tolerance


@in_bfloat16
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_close_in_bfloat16(name: str) -> None:
    """Small networks, in which errors hardly average out."""
    assert error(network(*VARIANTS[name]), torch.randn(1, 2, 1_237), torch.bfloat16) <= 10 ** (-36 / 20)


@pytest.mark.parametrize("settings", [MIXING, WINDOWED], ids=["value residual", "windowed"])
def test_long_chunks_are_attended_in_parts(settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attended, "SCORES", 1_000)
    monkeypatch.setattr(attended, "BLOCK_SCORES", 1)
    architecture = "bs_roformer" if settings is MIXING else "mel_band_roformer"
    assert error(network(architecture, settings), torch.randn(1, 2, 16 * (attended.LONG + 3))) <= 1e-5


@pytest.mark.parametrize("name", ["value residual", "windowed", "refiner"])
def test_a_chunk_leaves_nothing_to_the_next(name: str) -> None:
    model = network(*VARIANTS[name])
    compute = FastRoFormer(model, torch.float32, POOL)
    long, short = torch.randn(1, 2, 2_000), torch.randn(1, 2, 900)
    first = compute(short)
    compute(long)
    assert torch.equal(compute(short), first)


@pytest.mark.parametrize("name", ["value residual", "windowed", "Fourier operators", "refiner"])
def test_the_number_of_threads_changes_no_bit(name: str) -> None:
    model, mixture = network(*VARIANTS[name]), torch.randn(1, 2, 2_000)
    one, three = (FastRoFormer(model, torch.float32, Pool(threads))(mixture) for threads in (1, 3))
    assert torch.equal(one, three)


@pytest.mark.parametrize("name", VARIANTS)
def test_silence_stays_silent(name: str) -> None:
    assert not FastRoFormer(network(*VARIANTS[name]), torch.float32, POOL)(torch.zeros(1, 2, 900)).any()


def test_a_chunk_too_short_for_an_image_is_refused_as_the_plain_network_does() -> None:
    architecture, settings = VARIANTS["HyperACE 1"]
    model = network(architecture, {**settings, "freqs_per_bands": (33,)})
    with pytest.raises(ValueError, match="too short") as plain:
        model(torch.randn(1, 2, 9))
    with pytest.raises(ValueError, match="too short") as fast:
        FastRoFormer(model, torch.float32, POOL)(torch.randn(1, 2, 9))
    assert str(fast.value) == str(plain.value)


def masked_attention(queries: Tensor, keys: Tensor, values: Tensor, window: Window) -> Tensor:
    """What a window means, with a score for every pair of tokens."""
    index = torch.arange(queries.shape[1])
    seen = (index[:, None] - index).abs() <= window.reach
    seen[: window.sinks] = True
    seen[:, : window.sinks] = True
    return torch.softmax((queries @ keys.mT).masked_fill(~seen, -torch.inf), -1) @ values


@pytest.mark.parametrize("window", [Window(8, 5), Window(1, 0), Window(3, 20), Window(0, 2), Window(50, 60)])
@pytest.mark.parametrize("frames", [1, 2, 29, 30, 31, 64, 150])
def test_windows_hide_all_but_sinks_and_neighbours(window: Window, frames: int) -> None:
    tokens = window.sinks + frames
    queries, keys, values = torch.randn(3, 2, tokens, 4)
    result = torch.empty(1, tokens, 2, 4)
    sums = attended_within(window, *(x.transpose(0, 1)[None] for x in (queries, keys, values)), result)
    means = (result / sums[..., None])[0].transpose(0, 1)
    assert torch.allclose(means, masked_attention(queries, keys, values, window), atol=1e-5)


class Written(TorchDispatchMode):
    """Counts the numbers that operations write."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.count += result.numel() if isinstance(result, Tensor) else 0
        return result


def test_a_frame_s_attention_costs_the_same_however_long_the_chunk_is() -> None:
    def written(tokens: int) -> int:
        queries, keys, values, result = torch.randn(4, 1, tokens, 1, 16)
        with Written() as counted:
            attended_within(Window(8, 5), queries, keys, values, result)
        return counted.count

    assert written(4_800) <= 2.1 * written(2_400)


class OtherRoFormer(RoFormer):
    """Inherits, and computes something else."""

    def transformed(self, tokens: Tensor) -> Tensor:
        return -super().transformed(tokens)


@torch.inference_mode()
def test_a_network_that_only_resembles_a_known_one_is_computed_by_its_definition() -> None:
    known = build(*VARIANTS["shared biases"])
    assert isinstance(known, RoFormer)
    other = OtherRoFormer(known.config, known.bands, 1, norm_output=False).eval()
    assert roformers.supports(known)
    assert not roformers.supports(other)
    mixture = torch.randn(1, 2, 500)
    compute = accelerated(other, torch.float32, CPU, POOL)
    assert isinstance(compute, Plain)
    torch.testing.assert_close(compute(mixture), other(mixture))  # with other threads, rounding may differ


def test_layers_that_only_resemble_known_ones_are_refused() -> None:
    class OtherAttention(Attention):
        pass

    class OtherMasks(MaskEstimator):
        pass

    with pytest.raises(TypeError, match="OtherAttention"):
        FastAttention(OtherAttention(8, 4, 2, RotaryEmbedding(4)), torch.float32)
    with pytest.raises(TypeError, match="OtherMasks"):
        masks(OtherMasks([4], 8, []), torch.nn.Identity(), torch.float32, POOL)


@torch.inference_mode()
def test_variants_are_members_of_ensembles_like_other_networks() -> None:
    chosen = [VARIANTS[name] for name in ("value residual", "Fourier operators")]
    members = [
        {"architecture": architecture, "config": settings, "places": places}
        for (architecture, settings), places in zip(chosen, ([0, 1], [1, 0]), strict=True)
    ]
    torch.manual_seed(0)
    model = build("ensemble", {"num_stems": 2, "members": members}).eval()
    mixture = torch.randn(1, 2, 777)
    assert golden.relative_error(accelerated(model, torch.float32, CPU, POOL)(mixture), model(mixture)) <= 1e-5
