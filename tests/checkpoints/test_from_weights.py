"""Entries whose config leaves to the weights what only these say."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stemsplit import registry
from stemsplit.checkpoints import checkpoint
from stemsplit.checkpoints.loading import built, completed, fresh_network, load_network
from stemsplit.errors import RegistryError, WeightsError
from stemsplit.models import build
from stemsplit.registry import ModelEntry, entry_problem
from stemsplit.terminal.models import facts

CONFIG = {
    "dim": 8,
    "depth": 1,
    "num_stems": 1,
    "stereo": True,
    "time_transformer_depth": 1,
    "freq_transformer_depth": 1,
    "dim_head": 4,
    "heads": 2,
    "stft_n_fft": 128,
    "stft_hop_length": 32,
    "stft_win_length": 128,
    "mask_estimator_depth": 1,
}
BANDS = (1, 2, 3, 10, 20, 29)


@pytest.fixture
def entry(tmp_path: Path) -> ModelEntry:
    """An entry that does not say its network's bands, and whose weights are here."""
    torch.manual_seed(0)
    network = build("bs_roformer", {**CONFIG, "freqs_per_bands": BANDS})
    checkpoint.save(network, tmp_path / "w.safetensors")
    return replace(
        registry.find("bs-roformer-vocals-leap-xe"),
        config=CONFIG,
        sources=(f"file:{tmp_path / 'w.safetensors'}",),
        sha256="",
        size=0,
    )


def test_the_network_is_the_one_that_the_weights_are_of(entry: ModelEntry) -> None:
    said = replace(entry, config={**CONFIG, "freqs_per_bands": BANDS}, from_weights=())
    mixture = torch.randn(1, 2, 1_000)
    with torch.inference_mode():
        assert load_network(entry)(mixture).equal(load_network(said)(mixture))
    assert completed(entry) == said
    assert completed(said) is said


def test_without_its_weights_no_network_is_built_and_everything_else_is_known(entry: ModelEntry) -> None:
    """A network with the usual bands would be another one."""
    for build_ in (built, fresh_network):
        with pytest.raises(RegistryError, match=r"only the weights of .* say its freqs_per_bands"):
            build_(entry)
    assert facts(entry, None)["from weights"] == ("freqs_per_bands",)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"config": {**CONFIG, "dim": 16}}, "have dim=8, but the registry says 16"),
        ({"from_weights": ("freqs_per_bands", "stft_hop_length")}, "do not show stft_hop_length"),
        ({"architecture": "mel_band_roformer"}, "are for bs_roformer, not for mel_band_roformer"),
    ],
)
def test_weights_that_contradict_their_entry_are_refused(
    entry: ModelEntry, change: dict[str, object], complaint: str
) -> None:
    with pytest.raises(WeightsError, match=complaint):
        load_network(replace(entry, **change))  # type: ignore[arg-type]


def test_an_entry_does_not_both_say_a_value_and_leave_it_to_its_weights(entry: ModelEntry) -> None:
    assert "both in config and in from_weights" in entry_problem(replace(entry, from_weights=("dim",)))
