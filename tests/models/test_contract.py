"""What every architecture must do. A new architecture adds a small config here."""

from functools import cache
from typing import Any

import pytest
import torch

from stemsplit.models import ARCHITECTURES, build, hyperparameters

TINY = {"out_channels": 8, "in_channels": 16, "num_blocks": 1, "enc_num_basis": 16, "num_sources": 3}
FORMER = {"dim": 8, "depth": 2, "num_stems": 3, "dim_head": 4, "heads": 2, "mlp_expansion_factor": 1}
SHORT = {"stft_n_fft": 64, "stft_hop_length": 16, "stft_win_length": 64}
BANDS = {"freqs_per_bands": (1, 2, 4, 8, 18), **SHORT}
MEL = {"sample_rate": 8_000, "num_bands": 6, **SHORT}
SPEECH = {"n_fft": 32, "win_length": 32, "hop_length": 16, "num_freqs": 17, "sb_num_neighbors": 3}
SMALL = {**SPEECH, "sb_model_hidden_size": 8, "kersize": (2, 3, 4)}
HYPER = {
    "num_stems": 1,
    "hyperace_channels": (3, 16, 6, 8, 7),
    "hyperace_depth": 1,
    "hyperace_hyperedges": 3,
    "hyperace_num_heads": 2,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "sudormrf original": ("sudormrf", {**TINY, "variant": "original"}),
    "sudormrf original, awkward padding": ("sudormrf", {**TINY, "variant": "original", "enc_kernel_size": 17}),
    "sudormrf improved": ("sudormrf", {**TINY, "variant": "improved"}),
    "sudormrf improved stereo": ("sudormrf", {**TINY, "variant": "improved", "in_audio_channels": 2}),
    "sudormrf groupcomm": ("sudormrf", {**TINY, "variant": "groupcomm", "group_size": 4, "in_audio_channels": 2}),
    "sudormrf causal": ("sudormrf", {**TINY, "variant": "causal"}),
    "bs_roformer": ("bs_roformer", {**FORMER, **BANDS}),
    "bs_roformer stereo, skips": ("bs_roformer", {**FORMER, **BANDS, "stereo": True, "skip_connection": True}),
    "bs_roformer polar": ("bs_roformer", {**FORMER, **BANDS, "use_pope": True}),
    "bs_roformer large_inst_v2": (
        "bs_roformer",
        {**FORMER, **BANDS, "variant": "large_inst_v2", "refiner_depth": 1, "refiner_heads": 3, "refiner_dim_head": 2},
    ),
    "bs_roformer value_residual": ("bs_roformer", {**FORMER, **BANDS, "variant": "value_residual"}),
    "bs_roformer shared_bias": ("bs_roformer", {**FORMER, **BANDS, "variant": "shared_bias"}),
    "mel_band_roformer windowed": ("mel_band_roformer", {**FORMER, **MEL, "variant": "windowed", "wsa_window_len": 3}),
    "bs_roformer hyperace_v1": ("bs_roformer", {**FORMER, **BANDS, **HYPER, "variant": "hyperace_v1"}),
    "bs_roformer hyperace_v2": ("bs_roformer", {**FORMER, **BANDS, **HYPER, "variant": "hyperace_v2"}),
    "bs_roformer fno": ("bs_roformer", {**FORMER, **BANDS, "variant": "fno", "n_modes": 8, "fno_layers": 2}),
    "mel_band_roformer": ("mel_band_roformer", {**FORMER, **MEL}),
    "mel_band_roformer stereo, linear": (
        "mel_band_roformer",
        {**FORMER, **MEL, "stereo": True, "linear_transformer_depth": 1},
    ),
    "sudormrf normalised": ("sudormrf", {**TINY, "normalize": True, "mixture_consistency": True}),
    "fullsubnet_plus": ("fullsubnet_plus", SMALL),
    "fullsubnet_plus convolutions": (
        "fullsubnet_plus",
        {**SMALL, "sequence_model": "TCN", "channel_attention_model": "CBAM", "norm_type": "offline_gaussian_norm"},
    ),
    "fullsubnet_plus groups of bins": (
        "fullsubnet_plus",
        {
            **SMALL,
            "sequence_model": "GRU",
            "channel_attention_model": "ECA",
            "subband_num": 3,
            "norm_type": "cumulative_layer_norm",
            "fb_num_neighbors": 2,
        },
    ),
    "ensemble": (
        "ensemble",
        {
            "num_stems": 4,
            "wiener": 0.5,
            "wiener_n_fft": 64,
            "members": [
                {
                    "architecture": "sudormrf",
                    "config": {**TINY, "num_sources": 4},
                    "places": [0, 1, 2, 3],
                    "share": 2.0,
                },
                {
                    "architecture": "bs_roformer",
                    "config": {**FORMER, **BANDS, "stereo": True},
                    "places": [3, 0, 1],
                    "mid_side": True,
                },
            ],
        },
    ),
    "fullsubnet_plus base": ("fullsubnet_plus", {**SMALL, "variant": "base", "fb_model_hidden_size": 8}),
}


@cache
def network(name: str) -> torch.nn.Module:
    """The network of a config, built once: to compute so little takes less time than to build it."""
    torch.manual_seed(0)
    architecture, config = CONFIGS[name]
    return build(architecture, config).eval()


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    built = network(request.param)
    torch.manual_seed(1)
    return built


def test_every_architecture_is_held_to_the_contract() -> None:
    assert {architecture for architecture, _ in CONFIGS.values()} == set(ARCHITECTURES)


@torch.inference_mode()
def test_estimates_are_as_long_as_the_mixture(model: torch.nn.Module) -> None:
    for length in (1, 2, 9, 10, 79, 80, 81, 159, 160, 161, 1_000, 1_237):
        estimates = model(torch.randn(1, 2, length))
        assert estimates.shape == (1, model.config.outputs, 2, length)
        assert estimates.isfinite().all(), f"of {length} samples"


@torch.inference_mode()
def test_networks_with_keeps_silence_do_so(model: torch.nn.Module) -> None:
    """Estimates must be zero to the last bit, because silent chunks are not computed at all."""
    if not model.keeps_silence:
        pytest.skip("its estimates of silence are not silent")
    assert not model(torch.zeros(1, 2, 700)).any()


def rounding(model: torch.nn.Module) -> float:
    """How large errors of rounding may be. HyperACE's norms enlarge them, most of all in images this small."""
    return 1e-3 if "hyperace" in getattr(model.config, "variant", "") else 1e-5


@torch.inference_mode()
def test_batch_items_are_independent(model: torch.nn.Module) -> None:
    mixtures = torch.randn(3, 2, 500) * torch.tensor([1.0, 100.0, 0.01])[:, None, None]
    together = model(mixtures)
    for mixture, estimate in zip(mixtures, together, strict=True):
        atol = rounding(model) * float(estimate.abs().max())
        assert torch.allclose(model(mixture[None])[0], estimate, rtol=1e-4, atol=atol)


@pytest.mark.parametrize(
    "name",
    [name for name, (_, config) in CONFIGS.items() if not {"in_audio_channels", "stereo", "members"} & set(config)],
)
@torch.inference_mode()
def test_a_mono_network_processes_channels_separately(name: str) -> None:
    model = network(name)
    stereo = torch.randn(1, 2, 500)
    separate = torch.cat([model(stereo[:, :1]), model(stereo[:, 1:])], 2)
    assert torch.allclose(model(stereo), separate, atol=rounding(model))


@torch.inference_mode()
def test_silence_gives_finite_stems(model: torch.nn.Module) -> None:
    assert model(torch.zeros(1, 2, 300)).isfinite().all()


def test_an_unknown_keyword_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match="did you mean 'num_blocks'"):
        build("sudormrf", {"num_block": 3})


def test_a_value_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(ValueError, match="num_blocks must be int"):
        build("sudormrf", {"num_blocks": "16"})


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown architecture 'wavenet'"):
        build("wavenet", {})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_architecture_s_name_may_have_hyphens_and_capitals(architecture: str) -> None:
    config = next(config for name, config in CONFIGS.values() if name == architecture)
    for written in (architecture.replace("_", "-"), architecture.replace("_", "-").upper()):
        assert hyperparameters(written, config) == hyperparameters(architecture, config)
        assert build(written, config).state_dict().keys() == build(architecture, config).state_dict().keys()


@pytest.mark.parametrize("architecture", ["bs-rofomer", "Mel-Band-Reformer", "fullsubnet plus", "sudo-rmrf"])
def test_an_architecture_is_suggested_for_a_mistyped_one(architecture: str) -> None:
    with pytest.raises(ValueError, match=f"unknown architecture '{architecture}'; did you mean '[a-z_]+'"):
        build(architecture, {})


def test_an_ensemble_in_an_ensemble_is_refused_however_it_is_written() -> None:
    _, config = CONFIGS["ensemble"]
    with pytest.raises(ValueError, match="cannot be an ensemble itself"):
        build(
            "ensemble", {**config, "members": [{"architecture": "Ensemble", "config": config, "places": [0, 1, 2, 3]}]}
        )


def test_channels_that_do_not_divide_are_refused() -> None:
    stereo = build("sudormrf", {**TINY, "in_audio_channels": 2})
    with pytest.raises(ValueError, match="multiple of 2, not 3"):
        stereo(torch.zeros(1, 3, 100))
