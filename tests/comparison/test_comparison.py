"""Which stems are compared, and that clips have the samples that splitting the whole song gives."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from stemsplit.comparison import comparison, plan
from stemsplit.comparison.comparison import Comparison, speed
from stemsplit.comparison.plan import choose_stems
from stemsplit.engine import estimator, separator
from stemsplit.errors import StemsplitError
from stemsplit.registry import ModelEntry, find
from tests.conftest import noise

Write = Callable[..., Path]
STARTER = replace(find("starter"), chunk=8_000, hop=2_000, mixture_consistency=False)
VOCALS = replace(STARTER, name="vocals", stems=("vocals",), residual="instrumental")


def entry(name: str, *stems: str) -> ModelEntry:
    return replace(STARTER, name=name, stems=stems)


class Network(nn.Module):
    """Makes stems that depend on a sample's index in its chunk and on the whole chunk; by name, fails or is silent."""

    def __init__(self, entry: ModelEntry) -> None:
        super().__init__()
        self.entry = entry

    def forward(self, mixtures: Tensor) -> Tensor:
        if self.entry.name == "broken":
            raise StemsplitError("the model is broken")
        if self.entry.name == "silent":
            return torch.zeros_like(mixtures)[:, None].expand(-1, len(self.entry.stems), -1, -1)
        ramp = torch.linspace(0.1, 1, mixtures.shape[-1])
        shares = range(1, len(self.entry.stems) + 1)
        return torch.stack([mixtures * ramp + mixtures[..., :50].mean() * share for share in shares], 1)


@pytest.fixture(autouse=True)
def _networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(separator, "load_network", Network)
    monkeypatch.setattr(estimator, "accelerated", lambda network, *_, **__: network)
    monkeypatch.chdir(tmp_path)


def made(path: Path, *entries: ModelEntry, **options: Any) -> Comparison:
    return comparison.compare(plan.plan(path, entries, **options), {"device": "cpu", "threads": 1}, lambda *_: None)


def test_stems_that_at_least_two_models_have_are_compared() -> None:
    entries = [entry("a", "drums", "Vocals"), entry("b", "vocals", "other"), entry("c", "other", "bass")]
    assert choose_stems(entries, None) == ({"Vocals": (0, 1), "other": (1, 2)}, {"drums": (0,), "bass": (2,)})


def test_a_residual_is_a_stem_like_others() -> None:
    chosen, left = choose_stems([VOCALS, entry("b", "instrumental")], None)
    assert (chosen, left) == ({"instrumental": (0, 1)}, {"vocals": (0,)})


def test_all_stems_of_a_single_model_are_compared() -> None:
    assert choose_stems([VOCALS], None) == ({"vocals": (0,), "instrumental": (0,)}, {})


def test_named_stems_are_compared_even_if_only_one_model_has_them() -> None:
    entries = [entry("a", "drums", "vocals"), entry("b", "vocals")]
    assert choose_stems(entries, [" VOCALS", "drums"])[0] == {"drums": (0,), "vocals": (0, 1)}


@pytest.mark.parametrize(
    ("stems", "wanted", "complaint"),
    [
        (("drums", "bass"), None, "no stem in common: a has drums; b has bass; name stems"),
        (("drums", "bass"), ["banjo"], "there is no stem 'banjo'; these models have drums, bass"),
        (("drums", "bass"), ["drums"], "b has bass, none of which is compared"),
        (("drums", "drums"), [], "no stem in common"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(
    stems: tuple[str, ...], wanted: list[str] | None, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        choose_stems([entry(name, stem) for name, stem in zip("ab", stems, strict=True)], wanted)


@pytest.mark.parametrize("window", ["hann", "linear", "mean"])
@pytest.mark.parametrize("hop", [2_000, 3_000, 8_000])
def test_clips_have_the_same_samples_as_stems_of_the_whole_song(song: Write, window: str, hop: int) -> None:
    """At the song's beginning, in its middle, over more of it, and at its end."""
    path, model = song("a.wav", frames=88_200, subtype="FLOAT"), replace(STARTER, window=window, hop=hop)
    mixture = torch.from_numpy(soundfile.read(path, dtype="float32")[0].T.copy())
    whole = separator.Separator(model, "cpu", threads=1).separate(mixture, 44_100)
    for start, duration in ((0, 0.3), (0.5, 0.2), (0.7, 0.7), (1.95, 1)):
        found = made(path, model, start=start, duration=duration)
        assert found.stems.keys() == whole.keys()
        for stem, compared in found.stems.items():
            expected = whole[stem].numpy()[:, found.plan.begin : found.plan.end]
            assert np.allclose(compared.clips[0].samples, expected, atol=1e-6), (start, stem)
        assert np.array_equal(found.mixture.samples, mixture[:, found.plan.begin : found.plan.end])


class Remembering:
    """Streams the mixture times the sum of all samples so far."""

    def __init__(self) -> None:
        self.sum = torch.zeros(2, 1)

    def put(self, block: Tensor) -> Tensor:
        sums = self.sum + block.cumsum(-1)
        self.sum = sums[:, -1:]
        return (block * sums)[None]

    def end(self) -> Tensor:
        return torch.zeros(1, 2, 0)


def test_a_streaming_model_is_given_the_song_from_its_beginning(song: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Network, "streamable", True, raising=False)
    monkeypatch.setattr(Network, "stream", staticmethod(Remembering), raising=False)
    path = song("a.wav", frames=60_000, subtype="FLOAT")
    found = made(path, VOCALS, start=1.0, duration=0.2)
    mixture = torch.from_numpy(soundfile.read(path, dtype="float32")[0].T.copy())
    whole = separator.Separator(VOCALS, "cpu", threads=1).separate(mixture, 44_100)
    for stem, compared in found.stems.items():
        expected = whole[stem].numpy()[:, found.plan.begin : found.plan.end]
        assert np.allclose(compared.clips[0].samples, expected, atol=1e-6)


@pytest.mark.parametrize(("rate", "most"), [(48_000, 1e-6), (22_050, 1e-2), (96_000, 1e-6)])
def test_clips_at_other_rates_differ_only_at_the_ends_of_the_resampling(song: Write, rate: int, most: float) -> None:
    """Of a song at 22,050 Hz, the upper bands hold only what the resampling leaves; the network's norms amplify it."""
    path, model = song("a.wav", frames=2 * rate, rate=rate, subtype="FLOAT"), replace(STARTER, chunk=8_820, hop=2_205)
    found = made(path, model, start=0.75, duration=0.5)
    mixture = torch.from_numpy(soundfile.read(path, dtype="float32")[0].T.copy())
    whole = separator.Separator(model, "cpu", threads=1).separate(mixture, rate)
    for stem, compared in found.stems.items():
        expected = whole[stem].numpy()[:, found.plan.begin : found.plan.end]
        error = compared.clips[0].samples - expected
        assert np.square(error).mean() < most * np.square(expected).mean()


def test_residuals_are_compared_with_stems(song: Write) -> None:
    found = made(song("a.wav"), VOCALS, entry("b", "vocals", "instrumental"))
    assert list(found.stems) == ["vocals", "instrumental"]
    assert found.stems["vocals"].differences == {(0, 1): -200}
    assert np.allclose(
        found.stems["instrumental"].clips[0].samples,
        found.mixture.samples - found.stems["vocals"].clips[0].samples,
        atol=1e-6,
    )


def test_only_one_model_is_in_memory_at_a_time(song: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = WeakSet[Network]()

    def load(entry: ModelEntry) -> Network:
        assert not alive
        alive.add(network := Network(entry))
        return network

    monkeypatch.setattr(separator, "load_network", load)
    made(song("a.wav"), entry("a", "vocals"), entry("b", "vocals"), entry("c", "vocals"))


def test_a_silent_clip_is_left_alone_and_the_others_are_matched(song: Write) -> None:
    found = made(song("a.wav"), entry("silent", "vocals"), entry("b", "vocals"), entry("c", "drums", "vocals"))
    first, *others = found.stems["vocals"].clips.values()
    assert (first.loudness, first.gain, first.matched) == (None, 0, False)
    assert others[0].loudness is not None
    assert others[0].gain == 0
    assert others[1].gain == pytest.approx(others[0].loudness - (others[1].loudness or 0))


def test_clips_are_as_loud_as_their_reference(song: Write, tmp_path: Path) -> None:
    (tmp_path / "true").mkdir()
    soundfile.write(tmp_path / "true" / "vocals.wav", 0.5 * noise(22_050, seed=3), 44_100)
    found = made(song("a.wav"), entry("a", "vocals"), entry("b", "vocals"), reference_folder=tmp_path / "true")
    vocals = found.stems["vocals"]
    assert vocals.reference
    assert vocals.reference.loudness is not None
    assert vocals.reference.gain == 0
    for clip in vocals.clips.values():
        assert clip.loudness is not None
        assert clip.loudness + clip.gain == pytest.approx(vocals.reference.loudness)
        assert clip.scores["sdr"] is not None


def test_a_model_that_fails_ends_the_comparison(song: Write, tmp_path: Path) -> None:
    path = song("a.wav")
    with pytest.raises(StemsplitError, match="the model is broken"):
        made(path, entry("a", "vocals"), entry("broken", "vocals"))
    assert list(tmp_path.iterdir()) == [path]


def test_progress_goes_from_0_to_1_for_each_model(song: Write) -> None:
    told: list[tuple[int, float]] = []
    planned = plan.plan(song("a.wav"), [entry("a", "vocals"), entry("b", "vocals")])
    comparison.compare(planned, {"device": "cpu", "threads": 1}, lambda index, share: told.append((index, share)))
    assert [step for step in told if step[1] in (0, 1)] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert told == sorted(told)


def test_a_clip_is_named_after_song_excerpt_stem_and_model(song: Write) -> None:
    planned = plan.plan(song("a: [live] 100%.wav"), [replace(VOCALS, name="x/y")], start=0.25, duration=0.1)
    assert planned.path("vocals", " - 1", "x/y") == Path("compare/a: [live] 100% 0.00.25-0.00.35/vocals - 1 x_y.wav")


def test_speed_ignores_the_first_chunk_if_results_come_one_by_one() -> None:
    ticks = [(0.0, 100), (10.0, 200), (11.0, 300), (12.0, 400)]
    assert speed(ticks, one_by_one=True) == 100
    assert speed(ticks, one_by_one=False) == 25
    assert speed(ticks[:2], one_by_one=True) == 10
