"""FullSubNet+ compared with recorded runs of the reference implementation, and applied to a whole song."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit import Separator
from stemsplit.checkpoints.describe import describe
from stemsplit.errors import WeightsError
from stemsplit.models import build, infer
from stemsplit.models.fullsubnet_plus import Config, FullSubNet
from stemsplit.models.fullsubnet_plus_attention import ChannelAttention
from stemsplit.models.fullsubnet_plus_layers import Norm, Recurrent, normalised
from tests import golden
from tests.conftest import DATA, SHARED, noise
from tests.models.test_contract import SMALL

OWN = [DATA / "golden" / f"{name}.safetensors" for name in ("fullsubnet_small", "full_fsnplus_pipeline_nodc")]
SHARED_RUNS = [path.stem for path in sorted((SHARED / "golden").glob("*.safetensors"))]
NETWORKS = [name for name in SHARED_RUNS if name.startswith(("fullsubnet_", "fsnplus_", "full_fsnplus_"))] or ["none"]
ATTENTIONS = [name for name in SHARED_RUNS if name.startswith("mulca_")] or ["none"]
KEY_LISTS = {"keys_fsnplus_real": "plus", "keys_fullsubnet_real": "base"}


def config(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters of a recording, in which frames overlap by half."""
    size = 2 * (facts["kwargs"]["num_freqs"] - 1)
    variant = "base" if facts["architecture"] == "fullsubnet" else "plus"
    return {"n_fft": size, "win_length": size, "hop_length": size // 2, "variant": variant, **facts["kwargs"]}


def network(path: Path, recording: golden.Recording) -> FullSubNet:
    model = build("fullsubnet_plus", config(recording.facts)).eval()
    model.load_state_dict(recording.weights or golden.made_by_recipe(path), strict=True)
    assert isinstance(model, FullSubNet)
    return model


def spectra(tensors: dict[str, Tensor], window: Tensor) -> Tensor:
    """Return the magnitudes, real and imaginary parts that a recording's network was given."""
    if "wave" in tensors:
        spectrum = torch.stft(tensors["wave"], 512, 256, 512, window, return_complex=True)
        return torch.stack([spectrum.abs(), spectrum.real, spectrum.imag], 1)
    # FullSubNet was given only magnitudes.
    return torch.cat([tensors.get(f"input_{part}", tensors["input_mag"]) for part in ("mag", "real", "imag")], 1)


@torch.inference_mode()
def check(path: Path) -> None:
    """Compare the mask and the speech, as far as they were recorded."""
    recording = golden.load(path)
    model, tensors = network(path, recording), recording.tensors
    assert {"output", "enhanced"} & tensors.keys()
    if "output" in tensors:
        mask = model.compressed_mask(spectra(tensors, model.window))
        assert golden.relative_error(mask, tensors["output"]) <= recording.tolerance
    if "enhanced" in tensors:
        assert golden.relative_error(model(tensors["wave"][None])[0, 0], tensors["enhanced"]) <= 1e-4


@torch.inference_mode()
def check_attention(path: Path) -> None:
    recording = golden.load(path)
    sizes = recording.facts["kwargs"]
    attention = ChannelAttention(sizes["num_channels"], sizes["kersize"], sizes["subband_num"])
    attention.load_state_dict(recording.weights, strict=True)
    attended = attention(recording.tensors["input"])
    assert golden.relative_error(attended, recording.tensors["output"]) <= recording.tolerance


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_computes_what_the_reference_computes(path: Path) -> None:
    """One of the recordings is of the published configuration, from waveform to waveform."""
    check(path)


@pytest.mark.parametrize("name", NETWORKS)
def test_computes_what_the_reference_computes_in_every_recording(shared: Path, name: str) -> None:
    check(shared / "golden" / f"{name}.safetensors")


def test_channel_attention_computes_what_the_reference_computes() -> None:
    check_attention(DATA / "golden" / "mulca_33_k2_4_7.safetensors")


@pytest.mark.parametrize("name", ATTENTIONS)
def test_channel_attention_computes_what_the_reference_computes_in_every_recording(shared: Path, name: str) -> None:
    check_attention(shared / "golden" / f"{name}.safetensors")


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels_per_group", [1, 2, 3])
@pytest.mark.parametrize("frames", [10, 11, 19, 628])
@pytest.mark.parametrize("kernels", [(3, 5, 10), (10, 4, 1), (1, 1, 1)])
@torch.inference_mode()
def test_the_means_are_those_of_the_convolutions(
    kernels: tuple[int, int, int], frames: int, channels_per_group: int, precision: torch.dtype
) -> None:
    """Exactly so, from the fewest frames on and with any number of channels in a group."""
    torch.manual_seed(0)
    attention = ChannelAttention(12, kernels, channels_per_group).to(precision)
    x = torch.rand(2, 12, frames, dtype=precision) - 0.2
    convolved = [F.conv1d(x, c.weight, c.bias, groups=12 // channels_per_group).mean(-1) for c in attention.convs]
    assert golden.relative_error(attention.means(x), torch.stack(convolved, -1)) <= 1e-6


def test_a_signal_shorter_than_a_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="a kernel of 10 frames is longer than the signal's 9"):
        ChannelAttention(4, (3, 5, 10))(torch.zeros(1, 4, 9))


@pytest.mark.parametrize("name", KEY_LISTS)
def test_published_checkpoints_fit_key_for_key_and_show_their_hyperparameters(name: str) -> None:
    facts = golden.listing(DATA / "golden" / f"{name}.json.gz")
    with torch.device("meta"):
        model = build("fullsubnet_plus", {**facts["kwargs"], "variant": KEY_LISTS[name]})
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == {
        key: tensor["shape"] for key, tensor in facts["tensors"].items()
    }
    result = infer(model.state_dict())
    assert result.architecture == "fullsubnet_plus"
    assert Config(**result.inferred, **result.defaults) == Config(variant=KEY_LISTS[name])  # type: ignore[arg-type]
    assert {"variant", "num_freqs", "sb_model_hidden_size"} <= result.inferred.keys()


def test_the_size_of_a_network_is_inferred_from_its_weights() -> None:
    weights = build("fullsubnet_plus", {**SMALL, "look_ahead": 5}).state_dict()
    result = infer(weights)
    assert Config(**{**result.inferred, **result.defaults, "look_ahead": 5}) == Config(**{**SMALL, "look_ahead": 5})


@pytest.mark.parametrize("left_out", ["channel_attention.", "fb_model.", "sb_model.fc", "channel_attention_imag.fc1"])
def test_an_incomplete_checkpoint_is_refused(left_out: str, tmp_path: Path) -> None:
    weights = build("fullsubnet_plus", SMALL).state_dict()
    torch.save({key: value for key, value in weights.items() if not key.startswith(left_out)}, tmp_path / "half.pt")
    with pytest.raises(WeightsError, match=r"network is incomplete|do not fit its network \(no "):
        Separator(describe(tmp_path / "half.pt").entry, "cpu")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"variant": "minus"}, "variant must be plus or base, not 'minus'"),
        ({"norm_type": "forgetting_norm"}, "norm_type must be offline_laplace_norm or cumulative"),
        ({"sequence_model": "RNN"}, "sequence_model must be LSTM or GRU or TCN"),
        ({"sequence_model": "TCN", "variant": "base"}, "sequence_model must be LSTM or GRU in the variant base"),
        ({"channel_attention_model": "SelfAttention"}, "channel_attention_model must be TSSE or SE or CBAM or ECA"),
        ({"channel_attention_model": False}, "channel_attention_model must be str"),
        (
            {"sb_output_activate_function": "PReLU"},
            "sb_output_activate_function must be ReLU or ReLU6 or Tanh or False",
        ),
        ({"fb_output_activate_function": True}, "fb_output_activate_function must be ReLU or ReLU6"),
        ({"output_size": 1}, "output_size must be 2"),
        ({"subband_num": 2}, "subband_num must be 1, not 2: attention to real and imaginary parts"),
        ({"subband_num": 600, "channel_attention_model": "ECA"}, "groups need 343 bins more than num_freqs 257"),
        ({"kersize": [3, 5]}, "kersize must be three positive"),
        ({"kersize": 3}, "kersize must be three positive"),
        ({"kersize": [3, 5, True]}, "kersize must be three positive"),
        ({"num_freqs": 129, "n_fft": 512}, "num_freqs must be n_fft / 2"),
        ({"sb_num_neighbors": 257}, "sb_num_neighbors must be less than num_freqs"),
        ({"sb_model_hidden_size": 0}, "sb_model_hidden_size must be at least 1"),
        ({"look_ahead": -1}, "look_ahead must be at least 0"),
        ({"hop_length": 300}, "at least twice hop_length"),
        ({"win_length": 1024}, "at most n_fft 512"),
        ({"num_freqs": "257"}, "num_freqs must be int"),
    ],
)
def test_impossible_hyperparameters_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build("fullsubnet_plus", changes)


def test_keywords_for_training_are_ignored() -> None:
    build("fullsubnet_plus", {**SMALL, "weight_init": False, "num_groups_in_drop_band": 2})


@pytest.mark.parametrize("compressed", [-20.0, -9.9, -3.0, 1e-4, 0.5, 9.95])
@torch.inference_mode()
def test_a_constant_mask_scales_the_song(compressed: float) -> None:
    """The gain is what the compression maps to the constant, which is clamped at 9.9."""
    model = build("fullsubnet_plus", SMALL).eval()
    last = model.get_submodule("sb_model.fc_output_layer")
    last.load_state_dict({"weight": torch.zeros(2, 8), "bias": torch.tensor([compressed, 0])})
    clamped = min(max(compressed, -9.9), 9.9)
    gain = -10 * np.log((10 - clamped) / (10 + clamped))
    mixture = torch.randn(1, 2, 1_000)
    assert golden.relative_error(model(mixture)[:, 0], gain * mixture) <= 1e-5


@torch.inference_mode()
def test_no_length_of_a_song_ends_in_a_click(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last frame's window is nearly zero, masked samples must not be divided by it."""

    def random_mask(parts: Tensor) -> Tensor:
        return torch.rand(parts.shape[0], 2, *parts.shape[2:]) - 0.5

    model = build("fullsubnet_plus", {**SMALL, "n_fft": 512, "win_length": 512, "hop_length": 256, "num_freqs": 257})
    monkeypatch.setattr(model, "compressed_mask", random_mask)
    for length in range(2_048, 2_048 + 257, 8):
        speech = model(torch.randn(1, 1, length - 1))
        assert speech[..., -256:].abs().max() <= 3 * speech[..., :-256].abs().max()


@torch.inference_mode()
def test_an_lstm_in_parts_gives_the_same_as_at_once() -> None:
    torch.manual_seed(0)
    model, x = Recurrent(5, 7, 3), torch.randn(2, 5, 53)
    at_once = model.fc_output_layer(model.sequence_model(x.mT)[0]).mT
    assert golden.relative_error(model(x), at_once) <= 1e-6


@pytest.mark.parametrize(("kind", "causal"), [("cumulative_laplace_norm", True), ("offline_laplace_norm", False)])
def test_only_the_cumulative_norm_is_causal(kind: Norm, causal: bool) -> None:
    x = torch.rand(1, 2, 9, 20)
    changed = torch.cat([x[..., :12], torch.rand(1, 2, 9, 8)], -1)
    same = torch.equal(normalised(x, kind)[..., :12], normalised(changed, kind)[..., :12])
    assert same is causal


@torch.inference_mode()
def test_a_song_is_split_into_speech_and_noise(tmp_path: Path) -> None:
    """The weights are in a file like the published one. All that is above a 16 kHz network's band is in the noise."""
    torch.manual_seed(0)
    sizes = {**SMALL, "n_fft": 64, "win_length": 64, "hop_length": 32, "num_freqs": 33}
    weights = build("fullsubnet_plus", sizes).state_dict()
    # The masks of a new network are nearly zero.
    weights["sb_model.fc_output_layer.bias"] = torch.tensor([0.4, 0.0])
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    published = {"epoch": 7, "best_score": np.float64(0.9), "optimizer": optimizer, "scaler": {}, "model": weights}
    torch.save(published, tmp_path / "best_model.tar")
    entry = describe(
        tmp_path / "best_model.tar", settings=["stems=speech", "residual=noise", "sample_rate=16000"]
    ).entry
    song = torch.from_numpy(noise(60_000).T.copy())
    stems = Separator(entry, "cpu", threads=1).separate(song, 44_100)
    assert list(stems) == ["speech", "noise"]
    assert (stems["speech"] + stems["noise"] - song).abs().max() <= 1e-7

    def above_8_khz(x: Tensor) -> Tensor:
        return torch.fft.rfft(x)[:, x.shape[-1] * 8_000 // 44_100 :]

    def below_7_khz(x: Tensor) -> Tensor:
        return torch.fft.rfft(x)[:, : x.shape[-1] * 7_000 // 44_100]

    assert golden.relative_error(above_8_khz(stems["noise"]).abs(), above_8_khz(song).abs()) <= 1e-3
    assert below_7_khz(stems["speech"]).norm() > 0.5 * below_7_khz(song).norm()
