"""Separator: what goes in comes out in the same layout, in place, and adds up."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from stemsplit import DeviceError, RegistryError, Separator, StemsplitError, WeightsError, registry
from stemsplit.audio import Block
from stemsplit.models import build
from tests.cli.processes import registry as small_network
from tests.conftest import DATA, noise
from tests.models.test_contract import SMALL

STARTER = registry.find("starter")
FOLDER = TemporaryDirectory()
LIGHT = registry.read(small_network(Path(FOLDER.name) / "model", "starter"))["starter"]
"""A small network of the same stems, which is soon loaded, where another takes its place or any will do."""


def quarters(mixtures: Tensor) -> Tensor:
    """A network whose four stems are each a quarter of the mixture."""
    return (mixtures / 4)[:, None].expand(-1, 4, -1, -1)


@pytest.fixture(scope="module")
def starter() -> Separator:
    return Separator(device="cpu")


@pytest.fixture(scope="module")
def shorter() -> Separator:
    """The starter with short chunks: a chunk costs the same however little of it a song fills."""
    return Separator(device="cpu", chunk_seconds=0.2)


def separator(network=quarters, **changes) -> Separator:  # type: ignore[no-untyped-def]
    """The starter's settings, changed, around another network."""
    result = Separator(LIGHT, "cpu", chunk_seconds=0.5)
    result.entry = dataclasses.replace(STARTER.with_chunks(0.5), **changes)
    result.estimator.compute = network
    return result


def test_the_readme_song_comes_apart() -> None:
    """Two seconds of it, in short chunks."""
    samples, rate = soundfile.read(DATA / "lithium.flac", 2 * 44_100, dtype="float32")
    mixture = torch.from_numpy(samples.T.copy())
    stems = Separator(device="cpu", chunk_seconds=1).separate(mixture, rate)
    assert list(stems) == ["drums", "bass", "other", "vocals"]
    assert all(stem.shape == mixture.shape for stem in stems.values())
    assert (sum(stems.values()) - mixture).abs().max() <= 1e-6
    loudness = {name: float(stem.square().mean()) for name, stem in stems.items()}
    assert min(loudness.values()) > 0.001 * float(mixture.square().mean())


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("together", [1, 2])
def test_stems_have_the_songs_layout_and_place(rate: int, channels: int, together: int) -> None:
    """Each stem is a quarter of the song, sample by sample and channel by channel: nothing moved, lost or swapped."""
    # Slow tones, one a channel: they survive any resampling.
    times = np.arange(rate * 2 + 13) / rate
    song = np.stack([np.sin(2 * np.pi * (200 + 50 * c) * times) for c in range(channels)]).astype(np.float32)
    stems = separator(mixture_consistency=False, channels=together).separate(torch.from_numpy(song), rate)
    for stem in stems.values():
        assert stem.shape == song.shape
        inner = slice(rate // 10, -rate // 10)
        assert np.abs(stem.numpy() - song / 4)[:, inner].max() < 1e-4


@pytest.mark.parametrize("length", [1, 2, 100, 22_049, 22_050, 22_051, 44_100, 50_000])
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_any_length_comes_back(length: int, rate: int) -> None:
    mixture = torch.from_numpy(noise(length).T.copy())
    stems = separator().separate(mixture, rate)
    assert all(stem.shape == (2, length) for stem in stems.values())
    assert torch.allclose(sum(stems.values()), mixture, atol=1e-6)


def test_stems_of_a_complete_model_add_up_whatever_it_leaves() -> None:
    """Its leavings are spread evenly; also what a lower rate of the model cannot hold."""
    half = separator(lambda x: quarters(x) / 2)
    mixture = torch.from_numpy(noise(30_000).T.copy())
    stems = half.separate(mixture, 96_000)
    assert torch.allclose(sum(stems.values()), mixture, atol=1e-6)
    assert torch.allclose(stems["drums"], stems["vocals"], atol=1e-6)


def test_an_incomplete_model_is_left_as_it_is() -> None:
    mixture = torch.from_numpy(noise(30_000).T.copy())
    stems = separator(lambda x: quarters(x) / 2, mixture_consistency=False).separate(mixture, 44_100)
    assert torch.allclose(sum(stems.values()), mixture / 2, atol=1e-6)


def test_raw_estimates_are_the_stems() -> None:
    mixture = torch.from_numpy(noise(30_000).T.copy())
    raw = Separator(STARTER, "cpu", chunk_seconds=0.5, estimates="raw")
    raw.estimator.compute = lambda x: quarters(x) / 2
    assert torch.allclose(sum(raw.separate(mixture, 44_100).values()), mixture / 2, atol=1e-6)
    assert not raw.adds_up
    with pytest.raises(ValueError, match="estimates must be one of raw, consistent"):
        Separator(STARTER, "cpu", estimates="cooked")


def test_a_residual_is_what_the_estimates_leave() -> None:
    mixture = torch.from_numpy(noise(30_000).T.copy())
    model = separator(lambda x: x[:, None] * 0.7, mixture_consistency=False, stems=("vocals",), residual="instrumental")
    stems = model.separate(mixture, 44_100)
    assert list(stems) == ["vocals", "instrumental"]
    assert torch.allclose(stems["instrumental"], 0.3 * mixture, atol=1e-6)


def test_settings_of_the_chunks_do_not_change_the_length() -> None:
    mixture = torch.from_numpy(noise(40_000).T.copy())
    for chunk_seconds, overlap, window, batch_size in [(0.3, 0, "mean", 3), (0.5, 0.75, "linear", 1)]:
        other = Separator(
            LIGHT, "cpu", chunk_seconds=chunk_seconds, overlap=overlap, window=window, batch_size=batch_size
        )
        assert other.separate(mixture, 44_100)["bass"].shape == (2, 40_000)


def test_batches_change_nothing(shorter: Separator) -> None:
    mixture = torch.from_numpy(noise(24_000).T.copy())
    one = shorter.separate(mixture, 44_100)
    many = Separator(device="cpu", chunk_seconds=0.2, batch_size=4).separate(mixture, 44_100)
    for stem, result in one.items():
        assert torch.allclose(result, many[stem], atol=1e-5)


def test_the_same_song_gives_the_same_stems(shorter: Separator) -> None:
    mixture = torch.from_numpy(noise(8_000).T.copy())
    first, second = shorter.separate(mixture, 44_100), shorter.separate(mixture, 44_100)
    assert all(torch.equal(first[stem], second[stem]) for stem in first)


@pytest.mark.parametrize(
    ("mixture", "complaint"),
    [
        (torch.zeros(2, 0), "at least one"),
        (torch.zeros(2, 2, 2, 100), "channels, samples"),
        (torch.full((2, 100), float("nan")), "NaN"),
    ],
)
def test_what_is_no_mixture_is_refused(starter: Separator, mixture: Tensor, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        starter.separate(mixture, 44_100)


@pytest.mark.parametrize(
    "settings",
    [{"overlap": 1}, {"chunk_seconds": 0}, {"chunk_seconds": float("inf")}, {"batch_size": 0}, {"window": "box"}],
)
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(settings))} must be"):
        Separator(device="cpu", **settings)  # type: ignore[arg-type]


def test_an_unknown_model_is_named_with_its_neighbour() -> None:
    with pytest.raises(RegistryError, match="no model named 'stater'; did you mean 'starter'"):
        Separator("stater")


@pytest.mark.parametrize("device", ["cuda:97", "gpu", "cpu:x", "meta"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(DeviceError, match=f"device '{device}'"):
        Separator(device=device)


def test_a_config_that_makes_no_network_is_refused() -> None:
    other = dataclasses.replace(STARTER, config={**STARTER.config, "num_block": 3})
    with pytest.raises(RegistryError, match=r"makes no network: .* has no hyperparameter 'num_block'"):
        Separator(other, "cpu")


def test_a_config_that_does_not_fit_the_weights_is_refused() -> None:
    small = registry.find("sudormrf-speech").config
    other = dataclasses.replace(STARTER, architecture="sudormrf", config={**small, "num_sources": 4}, channels=1)
    with pytest.raises(WeightsError, match="do not fit its network"):
        Separator(other, "cpu")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError(), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_running_out_of_memory_says_what_to_try(error: Exception) -> None:
    def greedy(_: Tensor) -> Tensor:
        raise error

    with pytest.raises(DeviceError, match=r"ran out of memory on a 0\.5 s chunk on cpu; try --batch-size 1"):
        separator(greedy).separate(torch.ones(2, 100), 44_100)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes"), NotImplementedError("no kernel"), RuntimeError("an illegal memory access")]
)
def test_other_errors_of_a_network_are_not_taken_for_it(error: Exception) -> None:
    def broken(_: Tensor) -> Tensor:
        raise error

    with pytest.raises(type(error), match=str(error)):
        separator(broken).separate(torch.ones(2, 100), 44_100)


def test_channels_taken_together_reach_the_network_together() -> None:
    """A song of three channels goes in as two pairs, the last with itself."""
    seen = []

    def spy(mixtures: Tensor) -> Tensor:
        seen.append(mixtures.mean(-1)[0].round().tolist())
        return quarters(mixtures)

    song = torch.tensor([1.0, 2.0, 3.0])[:, None].expand(-1, 1_000)
    separator(spy, channels=2).separate(song, 44_100)
    assert seen[:2] == [[1, 2], [3, 3]]


def test_a_song_beyond_any_scale_is_to_blame_and_not_the_weights() -> None:
    """Whole numbers that were saved as floats, or a broken plug-in; the gain that is advised is enough."""
    model = separator(lambda x: torch.stack([x, x, x, x * x], 1))
    song = torch.full((1, 44_100), 2e30)
    with pytest.raises(StemsplitError, match=r"the song has samples of 2e\+30, where 1 is full scale.*volume=1e-31 "):
        model.separate(song, 44_100)
    assert float((song * 1e-31).abs().max()) <= 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_sample_is_an_error_and_never_a_stem(bad: float) -> None:
    model = separator(lambda x: torch.full((len(x), 4, *x.shape[1:]), bad))
    with pytest.raises(StemsplitError, match="starter gave NaN or infinity instead of samples"):
        model.separate(torch.ones(1, 44_100), 44_100)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"stems": ("speech",)}, "estimates 4 stems, but the number of stem names is 1"),
        ({"stems": ("a", "b", "c", "d", "e")}, "estimates 4 stems, but the number of stem names is 5"),
        ({"channels": 1}, "the number of channels must be a multiple of 2, not 1"),
    ],
)
def test_an_entry_that_does_not_go_with_its_network_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(RegistryError, match=complaint):
        Separator(dataclasses.replace(STARTER, **changes), "cpu")  # type: ignore[arg-type]


class Spy:
    """A network that remembers how many chunks it was given at once."""

    def __init__(self, most: int = 1_000) -> None:
        self.most = most
        self.batches: list[int] = []

    def __call__(self, mixtures: Tensor) -> Tensor:
        if len(mixtures) > self.most:
            raise torch.OutOfMemoryError
        self.batches.append(len(mixtures))
        return quarters(mixtures)


def test_digital_silence_is_not_computed() -> None:
    """Two seconds of sound, six of silence, two of sound, in chunks of half a second."""
    spy, song = Spy(), torch.randn(2, 10 * 44_100)
    song[:, 2 * 44_100 : 8 * 44_100] = 0
    model = separator(spy)
    stems = model.separate(song, 44_100)
    whole = len(spy.batches)
    model.estimator.network = torch.nn.Identity()  # of which nothing is known
    model.separate(song, 44_100)
    assert whole < 0.5 * (len(spy.batches) - whole)
    assert (stems["bass"] - song / 4).abs().max() < 1e-6


def test_silence_is_computed_where_the_network_makes_something_of_it() -> None:
    spy = Spy()
    model = separator(spy)
    model.estimator.network = torch.nn.Identity()  # of which nothing is known
    model.separate(torch.zeros(2, 44_100), 44_100)
    assert spy.batches


def test_within_a_batch_only_what_is_silent_is_left_out() -> None:
    spy, song = Spy(), torch.zeros(2, 4 * 44_100)
    song[:, :22_050] = 1
    model = separator(spy)
    model.estimator.batch_size = 4
    stems = model.separate(song, 44_100)
    assert max(spy.batches) < 4
    assert (stems["drums"] - song / 4).abs().max() < 1e-6


def test_a_full_memory_halves_the_batch_and_says_so() -> None:
    spy, told, song = Spy(most=1), list[str](), torch.randn(2, 3 * 44_100)
    model = separator(spy)
    model.estimator.batch_size, model.estimator.tell = 8, told.append
    stems = model.separate(song, 44_100)
    assert [line.rpartition(" ")[2] for line in told] == ["4", "2", "1"]
    assert set(spy.batches) == {1}
    assert (stems["vocals"] - song / 4).abs().max() < 1e-6


def test_a_chunk_that_half_precision_fails_on_is_computed_again_in_float32() -> None:
    def overflowing(mixtures: Tensor) -> Tensor:
        return quarters(mixtures).where(mixtures.abs().amax((1, 2)) < 2, torch.inf)

    song = torch.ones(1, 44_100)
    song[:, 30_000:] = 3
    model = separator(overflowing)
    model.estimator.dtype, model.estimator.__dict__["_in_float32"] = torch.bfloat16, quarters
    assert (model.separate(song, 44_100)["vocals"] - song / 4).abs().max() < 1e-6


def test_of_a_batch_only_what_half_precision_fails_on_is_computed_again() -> None:
    again = Spy()
    song = 0.1 * torch.ones(1, 4 * 44_100)
    song[:, 23 * 4_410 : 23 * 4_410 + 100] = 3

    def overflowing(mixtures: Tensor) -> Tensor:
        return quarters(mixtures).where((mixtures.abs().amax((1, 2)) < 2)[:, None, None, None], torch.inf)

    model = separator(overflowing, hop=16_538)
    model.estimator.batch_size, model.estimator.dtype, model.estimator.__dict__["_in_float32"] = (
        4,
        torch.bfloat16,
        again,
    )
    assert (model.separate(song, 44_100)["vocals"] - song / 4).abs().max() < 1e-6
    assert again.batches == [1, 1]  # the two chunks that overlap there


@pytest.mark.parametrize(
    ("precision", "complaint"),
    [("fp16", "fp16 is for CUDA devices, not for cpu"), ("int4", "no precision 'int4'; there are auto, fp32, bf16")],
)
def test_a_precision_that_the_device_has_not_is_refused(precision: str, complaint: str) -> None:
    with pytest.raises(DeviceError, match=complaint):
        Separator(device="cpu", precision=precision)


def test_a_cpu_that_is_slower_in_bfloat16_is_not_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(DeviceError, match="no instructions for bfloat16, and would be slower"):
        Separator(device="cpu", precision="bf16")


@pytest.mark.parametrize(
    ("able", "as_good", "expected"),
    [
        ({"avx512_bf16": True}, True, torch.bfloat16),
        ({"avx512_bf16": True}, False, torch.float32),
        ({}, True, torch.float32),
    ],
)
def test_bfloat16_is_usual_where_it_is_faster_and_as_good(
    able: dict[str, bool], as_good: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    entry = dataclasses.replace(LIGHT, bfloat16=as_good)
    assert Separator(entry, device="cpu").estimator.dtype == expected
    assert Separator(entry, device="cpu", precision="fp32").estimator.dtype == torch.float32
    assert Separator(entry, device="cpu", compiled=True).estimator.dtype == torch.float32


def as_on_a_gpu() -> Separator:
    """Computes on the CPU, but as it would on a CUDA device: ahead of what is asked for."""
    model = separator()
    model.device = torch.device("cuda")
    return model


def test_results_made_ahead_are_the_same() -> None:
    song = torch.randn(2, 5 * 48_000)
    stems, ahead = (model.separate(song, 48_000) for model in (separator(), as_on_a_gpu()))
    assert all(torch.equal(stems[name], ahead[name]) for name in stems)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_whoever_stops_early_can_close_what_was_read_ahead(error: type[BaseException]) -> None:
    """Nothing goes on reading in another thread."""

    def slow() -> Iterator[Block]:
        for _ in range(100):
            time.sleep(0.02)
            yield np.ones((2, 11_025), np.float32)

    blocks = slow()
    results = as_on_a_gpu().stream(blocks, 44_100, 2)
    next(results)
    with pytest.raises((error, DeviceError)):
        results.throw(error())
    blocks.close()


# A network that hears no future


@pytest.fixture
def causal(tmp_path: Path) -> Separator:
    """A network to which a song is given as it comes."""
    torch.manual_seed(0)
    config = {**SMALL, "variant": "base", "fb_model_hidden_size": 8, "norm_type": "cumulative_laplace_norm"}
    weights = build("fullsubnet_plus", config).state_dict()
    weights["sb_model.fc_output_layer.bias"] = torch.tensor([0.4, 0.0])  # or masks are next to nothing
    torch.save(weights, tmp_path / "causal.pt")
    speech = {"architecture": "fullsubnet_plus", "config": config, "stems": ("speech",), "residual": "noise"}
    plan = {
        "sample_rate": 16_000,
        "channels": 1,
        "chunk": 800,
        "hop": 400,
        "mixture_consistency": False,
        "bfloat16": False,
    }
    source = {"sources": (f"file:{tmp_path / 'causal.pt'}",), "sha256": "", "size": 0}
    return Separator(dataclasses.replace(STARTER, **speech, **plan, **source), "cpu", threads=1)  # type: ignore[arg-type]


def test_it_gives_what_it_would_of_the_whole_song(causal: Separator) -> None:
    """Wherever the song is cut, and to the song's last sample."""
    song = torch.from_numpy(noise(10_007).T.copy())
    song[:, :3_000] *= 0.01
    with torch.inference_mode():
        whole = causal.estimator.network(song[None])[0, 0]
    for chunk in (800, 1_111, 20_000):
        causal.entry = dataclasses.replace(causal.entry, chunk=chunk)
        stems = causal.separate(song, 16_000)
        assert (stems["speech"] - whole).norm() <= 1e-6 * whole.norm()
        assert (stems["speech"] + stems["noise"] - song).abs().max() <= 1e-7
    chunks = causal.estimator(song[None])  # as one chunk, what it gives is the same
    assert (chunks[0, 0] - whole).norm() <= 1e-6 * whole.norm()


def test_it_takes_songs_of_any_rate_and_channels_one_after_the_other(causal: Separator) -> None:
    mixtures = [noise(length, channels).T for length, channels in ((30_000, 2), (1, 1), (9_999, 3))]
    found = causal.streams((iter([mixture]), 44_100, len(mixture)) for mixture in mixtures)
    for mixture, pairs in zip(mixtures, found, strict=True):
        parts = [stems for _, stems in pairs]
        whole = np.concatenate(parts, -1)
        assert whole.shape == (2, *mixture.shape)
        assert np.abs(whole.sum(0) - mixture).max() <= 1e-6


@pytest.mark.parametrize(
    ("error", "raised"), [(torch.OutOfMemoryError(), DeviceError), (MemoryError(), DeviceError), (OSError(), OSError)]
)
def test_what_fails_with_one_song_leaves_the_next_as_it_is(
    causal: Separator, error: Exception, raised: type[Exception]
) -> None:
    def failing() -> Iterator[Block]:
        yield noise(2_000).T
        raise error

    song = noise(2_000).T
    found = causal.streams([(failing(), 16_000, 2), (iter([song]), 16_000, 2)])
    with pytest.raises(raised):
        list(next(found))
    assert sum(mixture.shape[-1] for mixture, _ in next(found)) == 2_000


def test_there_too_what_is_no_sample_is_an_error(causal: Separator) -> None:
    next(causal.estimator.network.parameters()).data.fill_(torch.nan)
    with pytest.raises(StemsplitError, match="gave NaN or infinity instead of samples"):
        causal.separate(torch.ones(1, 3_000), 16_000)


def test_there_too_a_song_beyond_any_scale_is_to_blame(causal: Separator) -> None:
    with pytest.raises(StemsplitError, match=r"the song has samples of 2e\+38, where 1 is full scale"):
        causal.separate(torch.full((1, 3_000), 2e38), 16_000)
