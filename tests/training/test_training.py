"""Training: what is drawn, what is minimised, how it starts, and that it goes on where it was."""

import itertools
import random
from pathlib import Path

import pytest
import soundfile
import torch

from stemsplit.models import build
from stemsplit.training import data
from stemsplit.training.augmentation import SPEEDS, faster, needed, vary
from stemsplit.training.filter_bank import start_as_fourier
from stemsplit.training.loop import Plan, learning_rate, train, validate
from stemsplit.training.losses import relative_error
from stemsplit.weights import checkpoint
from tests.conftest import noise

STEMS = ("drums", "bass", "other", "vocals")
TINY = {
    "enc_kernel_size": 33,
    "enc_num_basis": 32,
    "out_channels": 16,
    "in_channels": 16,
    "num_blocks": 1,
    "num_sources": 4,
    "mixture_consistency": True,
}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two whole songs, and one whose bass is silent."""
    for song, silent in [("one", ""), ("two", ""), ("three", "bass")]:
        (tmp_path / "album" / song).mkdir(parents=True)
        for seed, stem in enumerate(STEMS):
            level = 0 if stem == silent else 1
            path = tmp_path / "album" / song / f"{stem}.flac"
            soundfile.write(path, level * noise(20_000 + seed, seed=seed), 44_100)
    return tmp_path / "album"


def test_a_song_with_a_missing_stem_gives_only_what_is_surely_pure(album: Path) -> None:
    """Its bass may be in `other`."""
    tracks = data.load(album, STEMS)
    assert [song.shape for song in tracks.songs] == [(4, 2, 20_000)] * 2
    assert {stem: len(takes) for stem, takes in tracks.takes.items()} == {
        "drums": 3,
        "bass": 2,
        "other": 2,
        "vocals": 3,
    }


def test_examples_have_the_length_asked_for(album: Path) -> None:
    tracks = data.load(album, STEMS)
    for batch in itertools.islice(data.batches(tracks, 5_000, 3, random.Random(0)), 20):
        assert batch.shape == (3, 4, 2, 5_000)
        assert batch.isfinite().all()


def test_the_same_seed_draws_the_same_examples(album: Path) -> None:
    tracks = data.load(album, STEMS)
    first, second = (next(data.batches(tracks, 1_000, 8, random.Random(5))) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("speed", SPEEDS)
def test_speed_gives_enough_samples_of_a_higher_or_lower_tone(speed: tuple[int, int]) -> None:
    length = 44_100
    times = torch.arange(needed(length, speed)) / 44_100
    tone = torch.sin(2 * torch.pi * 1_000 * times)[None]
    result = faster(tone, speed)
    assert result.shape[-1] >= length
    peak = torch.fft.rfft(result[0, :length]).abs().argmax()
    assert abs(int(peak) - 1_000 * speed[0] / speed[1]) <= 1


def test_variation_keeps_the_sound() -> None:
    """Only level, sign and sides change."""
    take = torch.randn(2, 1_000)
    for seed in range(20):
        varied = vary(take, random.Random(seed))
        gain = varied.norm() / take.norm()
        assert 10 ** (-8.1 / 20) < gain < 10 ** (4.1 / 20)
        variants = [take, -take, take.flip(0), -take.flip(0)]
        assert any(torch.allclose(varied, gain * variant, atol=1e-5) for variant in variants)


def test_the_loss_is_negative_sdr_where_nothing_is_silent() -> None:
    sources = torch.randn(1, 2, 2, 10_000)
    error = 0.1**0.5 * torch.randn_like(sources)
    loss = relative_error(sources + error, sources, sources.sum(1))
    assert float(loss) == pytest.approx(-10, abs=0.2)


def test_a_silent_source_asks_for_silence_and_no_more() -> None:
    sources = torch.zeros(1, 2, 2, 1_000)
    sources[:, 0] = torch.randn(2, 1_000)
    mixture = sources.sum(1)
    assert float(relative_error(sources, sources, mixture)) == pytest.approx(-15, abs=0.1)
    leaking = sources + 0.1 * mixture[:, None]
    assert relative_error(leaking, sources, mixture) > relative_error(sources, sources, mixture) + 3


@pytest.mark.parametrize("channels", [1, 2])
def test_at_the_start_every_stem_is_its_share_of_the_mixture(channels: int) -> None:
    """With masks of one, analysis and synthesis give back the mixture."""
    torch.manual_seed(0)
    config = {**TINY, "enc_num_basis": 64, "in_audio_channels": channels, "mixture_consistency": False}
    network = build("sudormrf", config)
    network.get_parameter("decoder.weight").data.zero_()  # of the random start a tenth would stay
    start_as_fourier(network)
    network.get_parameter("mask_net.1.weight").data.zero_()
    network.get_parameter("mask_net.1.bias").data.fill_(1)
    mixture = torch.randn(1, 2, 4_000)
    with torch.no_grad():
        estimates = network(mixture)
    error = (estimates - mixture[:, None]).norm() / (4**0.5 * mixture.norm())
    assert error < 0.1


def test_other_networks_have_no_fourier_start() -> None:
    with pytest.raises(ValueError, match="Fourier start"):
        start_as_fourier(build("sudormrf", {**TINY, "variant": "causal"}))


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    plan = Plan(steps=1_000)
    rates = [learning_rate(plan, step) for step in range(1_000)]
    assert rates[0] < 0.03 * plan.learning_rate
    assert rates[100] == rates[599] == plan.learning_rate
    assert rates[-1] < 0.01 * plan.learning_rate


def test_training_learns_saves_and_goes_on(album: Path, tmp_path: Path) -> None:
    """Two stems of different pitch: the loss falls; a run cut in two ends where it should."""
    torch.manual_seed(0)
    for song in album.iterdir():
        times = torch.arange(20_000) / 44_100
        for stem, pitch in zip(STEMS, (5_000, 100, 1_500, 500), strict=True):
            tone = 0.3 * torch.sin(2 * torch.pi * pitch * times)
            soundfile.write(song / f"{stem}.flac", torch.stack([tone, tone], 1).numpy(), 44_100)
    tracks = data.load(album, STEMS)
    network = build("sudormrf", TINY)
    before = validate(network, tracks.songs, autocast=False).mean()
    lines: list[str] = []
    plan = Plan(steps=30, batch_size=2, length=4_000, report_every=10, autocast=False, averaging=0.5)
    train(network, tracks, tracks.songs, tmp_path / "a.safetensors", plan, lines.append)
    assert [line.split()[1] for line in lines] == ["10", "20", "30"]
    longer = Plan(steps=60, batch_size=2, length=4_000, report_every=10, autocast=False, averaging=0.5)
    fresh = build("sudormrf", TINY)
    train(fresh, tracks, tracks.songs, tmp_path / "a.safetensors", longer, lines.append)
    assert "goes on from step 30" in lines[3]
    trained = build("sudormrf", TINY)
    checkpoint.load(trained, checkpoint.read(tmp_path / "a.safetensors"), "tiny")
    assert validate(trained, tracks.songs, autocast=False).mean() > before + 1
