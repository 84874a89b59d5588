"""A user's own checkpoint is described by its weights, its config and settings; invalid ones are refused."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemsplit.checkpoints.describe import describe, read_config
from stemsplit.engine.separator import Separator
from stemsplit.errors import RegistryError, StemsplitError, WeightsError
from stemsplit.models import build
from tests.models.test_fullsubnet_plus import SMALL

TINY: dict[str, Any] = {
    "dim": 8,
    "depth": 1,
    "stereo": True,
    "time_transformer_depth": 1,
    "freq_transformer_depth": 1,
    "dim_head": 4,
    "heads": 2,
    "mlp_expansion_factor": 1,
}
YAML = """
audio: {chunk_size: 131584, sample_rate: 44100, num_channels: 2, hop_length: 512}
model:
  dim: 8
  depth: 1
  stereo: true
  num_bands: 60
  stft_hop_length: 512
  sample_rate: 44100
  skip_connection: true
  attn_dropout: 0.1
  multi_stft_resolutions_window_sizes: !!python/tuple [4096, 2048]
training: {instruments: [Vocals, other], target_instrument: Vocals}
inference: {num_overlap: 4, batch_size: 1}
"""


@pytest.fixture
def mel(tmp_path: Path) -> Path:
    """A small Mel-Band RoFormer that estimates one stem."""
    path = tmp_path / "mine.ckpt"
    torch.save(build("mel_band_roformer", {**TINY, "mask_estimator_depth": 2}).state_dict(), path)
    return path


def saved(folder: Path, architecture: str, **more: Any) -> Path:
    path = folder / f"{architecture}.ckpt"
    torch.save(build(architecture, {**TINY, **more}).state_dict(), path)
    return path


def yaml(folder: Path, text: str = YAML) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_weights_alone_make_an_entry(mel: Path) -> None:
    described = describe(mel)
    entry = described.entry
    assert (entry.name, entry.architecture, entry.channels) == ("mine", "mel_band_roformer", 2)
    assert {**TINY, "mask_estimator_depth": 2, "num_bands": 60, "stft_n_fft": 2048}.items() <= entry.config.items()
    assert (entry.outputs, entry.sample_rate) == (("vocals", "instrumental"), 44_100)
    assert (entry.chunk, entry.hop) == (8 * 44_100, 4 * 44_100)
    assert {"stft_hop_length", "skip_connection", "stems"} <= described.defaults.keys()
    assert not {"dim", "depth", "num_bands", "sample_rate"} & described.defaults.keys()


def test_the_config_adds_what_the_weights_do_not_contain(mel: Path, tmp_path: Path) -> None:
    described = describe(mel, yaml(tmp_path))
    entry = described.entry
    assert (entry.config["stft_hop_length"], entry.config["skip_connection"]) == (512, True)
    assert (entry.chunk, entry.hop) == (131_584, 32_896)
    assert entry.outputs == ("vocals", "instrumental")
    assert not {"stft_hop_length", "stems", "chunk", "hop"} & described.defaults.keys()
    assert described.overruled == {}


def test_the_weights_overrule_a_wrong_config(mel: Path, tmp_path: Path) -> None:
    described = describe(mel, yaml(tmp_path, YAML.replace("dim: 8", "dim: 16")))
    assert described.overruled == {"dim": (16, 8)}
    assert described.entry.config["dim"] == 8


def test_settings_overrule_the_config(mel: Path, tmp_path: Path) -> None:
    described = describe(
        mel, yaml(tmp_path), ["stft_hop_length=256", "stems=Choir", "residual=band", "chunk=44100", "zero_dc=false"]
    )
    entry = described.entry
    assert entry.outputs == ("Choir", "band")
    assert (entry.config["stft_hop_length"], entry.config["zero_dc"], entry.chunk) == (256, False, 44_100)


@pytest.mark.parametrize(
    ("stems", "names", "complete"),
    [
        (2, ("vocals", "instrumental"), True),
        (3, ("stem1", "stem2", "stem3", "residual"), False),
        (4, ("drums", "bass", "other", "vocals"), True),
    ],
)
def test_stems_without_names_get_the_usual_ones(
    tmp_path: Path, stems: int, names: tuple[str, ...], complete: bool
) -> None:
    described = describe(saved(tmp_path, "bs_roformer", num_stems=stems))
    assert (described.entry.outputs, described.entry.mixture_consistency) == (names, complete)
    assert "stems" in described.defaults


def test_the_stems_of_a_config_keep_their_order(tmp_path: Path) -> None:
    config = yaml(tmp_path, "model: {dim: 8}\ntraining: {instruments: [male, female], target_instrument: null}")
    entry = describe(saved(tmp_path, "bs_roformer", num_stems=2), config).entry
    assert entry.outputs == ("male", "female", "residual")


def test_a_speech_network_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "talk.ckpt"
    network = build("sudormrf", {"out_channels": 8, "in_channels": 16, "num_blocks": 2, "enc_num_basis": 16})
    torch.save({"model": network.state_dict(), "epoch": 3}, path)
    described = describe(path, None, ["sample_rate=8000", "stems=one,two"])
    assert (described.entry.architecture, described.entry.chunk) == ("sudormrf", 64_000)
    assert described.entry.config["num_blocks"] == 2


def test_a_speech_enhancement_network_is_recognised(tmp_path: Path) -> None:
    """It is not taken for one that separates vocals from music, at music's sample rate."""
    path = tmp_path / "voice.pth"
    torch.save({"model": build("fullsubnet_plus", SMALL).state_dict(), "optimizer": {}}, path)
    entry = describe(path).entry
    assert (entry.architecture, entry.outputs, entry.sample_rate) == ("fullsubnet_plus", ("speech", "noise"), 16_000)
    assert {"stems", "residual", "sample_rate"} <= describe(path).defaults.keys()
    dry = describe(path, settings=["stems=dry", "residual=reverb"]).entry
    assert dry.outputs == ("dry", "reverb")


def test_a_described_checkpoint_separates(mel: Path) -> None:
    separator = Separator(describe(mel, None, ["chunk=22050", "hop=11025"]).entry, "cpu")
    song = torch.randn(2, 30_000)
    stems = separator.separate(song, 44_100)
    assert torch.allclose(stems["vocals"] + stems["instrumental"], song, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no 'model' section"),
        ("- 1", "has no 'model' section"),
        ("model: 3", "has no 'model' section"),
        ("model: {1: 2}", "has no 'model' section"),
        ("model: [", "is not valid YAML"),
        ("model: !!python/object/apply:os.system ['touch created']", "is not valid YAML"),
        ("model: {dim: 8}\naudio: {sample_rate: fast}", "sample_rate cannot be 'fast'"),
        ("model: {dim: 8}\naudio: {chunk_size: -3}", "chunk must be between 1 and"),
        (
            "model: {dim: 8}\ntraining: {instruments: [a, b]}",
            "the network estimates 1 stem, but the number of stem names is 2",
        ),
        ("model: {dim: {a: b}}", "'dim' must be a number, a text or a short list"),
        ("model: {dim: [[1]]}", "'dim' must be a number, a text or a short list"),
        ("model: {dim: 99999999999999999999}", "'dim' must be a number, a text or a short list"),
        ("model: {dim: 8, freqs_per_bands: [1025]}", "no hyperparameter 'freqs_per_bands'"),
        ("model: {dim: 8}\ntraining: {instruments: [../a]}", "cannot be used as a file name"),
    ],
)
def test_an_invalid_config_is_refused(
    mel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryError, match=complaint):
        describe(mel, yaml(tmp_path, text))
    assert not Path("created").exists()


def test_a_missing_config_is_named(mel: Path) -> None:
    with pytest.raises(RegistryError, match=r"cannot read the config none\.yaml: No such file"):
        describe(mel, Path("none.yaml"))


@pytest.mark.parametrize("setting", ["stft_hop_length", "=3", "a=[", "a="])
def test_a_malformed_setting_is_refused(mel: Path, setting: str) -> None:
    with pytest.raises(ValueError, match="setting"):
        describe(mel, None, [setting])


@pytest.mark.parametrize("setting", ["depth=1000000000", "dim=16", "stereo=false"])
def test_a_setting_that_contradicts_the_weights_is_refused(mel: Path, setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting.split('=')[0]} cannot be .*: the weights have"):
        describe(mel, None, [setting])


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("stft_hop=3", "no hyperparameter 'stft_hop'; did you mean"),
        ("stft_hop_length=0", "stft_hop_length must be at least 1"),
        ("stft_win_length=1099511627776", "stft_win_length is too large; the limit is 1000000"),
        ("stft_hop=3", r"\?? \(if only training needs it, it may be deleted\)$"),
        ("attention_is=all_you_need", "'attention_is'; if only training needs it, it may be deleted$"),
        ("sample_rate=99999999", "sample_rate must be between"),
    ],
)
def test_an_invalid_setting_is_refused_before_any_work(mel: Path, setting: str, complaint: str) -> None:
    with pytest.raises(RegistryError, match=complaint):
        describe(mel, None, [setting])


@pytest.mark.parametrize(
    "key",
    [
        "mask_estimators.99999999.x",
        "layers.99999999.x",
        "layers.0.0.layers.99999999.x",
        "band_split.to_features.99999999.0.gamma",
    ],
)
def test_a_key_with_a_huge_number_takes_no_memory(tmp_path: Path, key: str) -> None:
    tensors = build("bs_roformer", TINY).state_dict() | {key: torch.zeros(1)}
    torch.save(tensors, tmp_path / "hostile.ckpt")
    with pytest.raises(StemsplitError):
        Separator(describe(tmp_path / "hostile.ckpt").entry, "cpu")


def test_a_file_for_an_unsupported_network_is_refused(tmp_path: Path) -> None:
    torch.save({"encoder.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(
        WeightsError, match=r"cannot use .*other\.pt: its keys, such as encoder\.weight, are not those of any supported"
    ):
        describe(tmp_path / "other.pt")


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_config_breaks_the_reader(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with suppress(StemsplitError):
        read_config(path)
