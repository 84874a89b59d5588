"""Overlap-add: what it must leave untouched, and what the recordings of others' loops say."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stemsplit.choices import WindowName
from stemsplit.engine.cutting import chunks, reflect
from stemsplit.engine.overlap_add import Model, overlap_add, stream
from stemsplit.models import build
from tests import golden
from tests.conftest import SHARED


def identity(mixtures: Tensor) -> Tensor:
    """One stem: the mixture."""
    return mixtures[:, None]


def ramp(mixtures: Tensor) -> Tensor:
    """Two stems whose shares depend on the place in the chunk, so that windows show."""
    chunk = mixtures.shape[-1]
    place = torch.arange(chunk, dtype=torch.float64) / chunk
    return torch.stack([mixtures * (0.25 + 0.5 * place).float(), mixtures * (0.75 - 0.5 * place).float()], 1)


def whole_file(mixture: Tensor, chunk: int, hop: int) -> Tensor:
    """The `linear` window's definition, over a song in memory and one chunk at a time, with the ramp model."""
    length, border, fade = mixture.shape[-1], chunk - hop, chunk // 10
    padded = length > 2 * border > 0
    signal = torch.nn.functional.pad(mixture[None], (border, border), mode="reflect")[0] if padded else mixture
    total, weight = torch.zeros(2, *signal.shape), torch.zeros(signal.shape[-1])
    starts = range(0, signal.shape[-1], hop)
    for start in starts:
        part = signal[:, start : start + chunk]
        size = part.shape[-1]
        mode = "reflect" if size > chunk // 2 else "constant"
        window = torch.ones(chunk)
        if start != 0:
            window[:fade] = torch.linspace(0, 1, fade)
        if start != starts[-1] or start == 0:
            window[-fade:] = torch.linspace(1, 0, fade)
        estimate = ramp(torch.nn.functional.pad(part[None], (0, chunk - size), mode=mode))[0]
        total[..., start : start + size] += estimate[..., :size] * window[:size]
        weight[start : start + size] += window[:size]
    joined = total / weight
    return joined[..., border:-border] if padded else joined


@settings(deadline=None, max_examples=300)
@given(
    length=st.integers(1, 400),
    chunk=st.integers(1, 90),
    hop_share=st.floats(0, 1),
    window=st.sampled_from(WindowName),
    block=st.integers(1, 450),
    least=st.floats(0, 1),
    beyond=st.integers(0, 50),
)
def test_chunking_leaves_no_trace(
    length: int, chunk: int, hop_share: float, window: WindowName, block: int, least: float, beyond: int
) -> None:
    """A model that returns its input gets the mixture back, however the mixture was cut."""
    hop, shortest = (max(1, math.ceil(chunk * share)) for share in (hop_share, least))
    mixture = torch.rand(2, length, generator=torch.Generator().manual_seed(length)) * 2 - 1
    settings = {"chunk": chunk, "hop": hop, "window": window, "ends": (shortest, chunk + beyond)}
    blocks = stream(mixture.split(block, -1), identity, **settings)  # type: ignore[arg-type]
    result = torch.cat(list(blocks), -1)[0]
    assert result.shape == mixture.shape
    assert (result - mixture).abs().max() <= 1e-6


@pytest.mark.parametrize("window", WindowName)
@pytest.mark.parametrize("length", [1, 176_399, 176_400, 176_401, 352_799, 352_800, 352_801, 882_000])
def test_chunking_leaves_no_trace_at_the_size_that_songs_have(window: WindowName, length: int) -> None:
    mixture = torch.rand(2, length) * 2 - 1
    result = overlap_add(mixture, identity, chunk=352_800, hop=176_400, window=window)
    assert result.shape == (1, 2, length)
    assert (result[0] - mixture).abs().max() <= 1e-6


def test_an_hour_comes_back_untouched() -> None:
    """Block by block, never in memory at once."""
    rate, chunk = 8_000, 64_000
    generator = torch.Generator().manual_seed(0)
    kept: list[Tensor] = []

    def blocks():  # type: ignore[no-untyped-def]
        for _ in range(3_600):
            kept.append(torch.rand(1, rate, generator=generator) - 0.5)
            yield kept[-1]

    done = 0
    for result in stream(blocks(), identity, chunk=chunk, hop=chunk // 2):
        done += result.shape[-1]
        while result.shape[-1]:
            size = min(result.shape[-1], kept[0].shape[-1])
            assert (result[0, :, :size] - kept[0][:, :size]).abs().max() <= 1e-6
            result, kept[0] = result[..., size:], kept[0][:, size:]
            if not kept[0].shape[-1]:
                kept.pop(0)
        assert sum(block.shape[-1] for block in kept) <= 4 * chunk
    assert done == 3_600 * rate


@pytest.mark.parametrize("window", WindowName)
@pytest.mark.parametrize("length", [1, 37, 100, 101, 333, 1_037])
def test_streaming_changes_nothing(window: WindowName, length: int) -> None:
    """The same bits, whether the song comes whole or in pieces."""
    song = torch.randn(2, length)
    whole = overlap_add(song, ramp, chunk=100, hop=50, window=window)
    for block in [1, 7, 64, 500]:
        parts = stream(song.split(block, -1), ramp, chunk=100, hop=50, window=window)
        assert torch.equal(torch.cat(list(parts), -1), whole)


@pytest.mark.parametrize("length", [20, 50, 99, 100, 101, 150, 249, 250, 1_000, 1_037])
@pytest.mark.parametrize("hop", [25, 50])
def test_linear_is_the_loop_that_the_field_uses(length: int, hop: int) -> None:
    song = torch.randn(2, length)
    result = overlap_add(song, ramp, chunk=100, hop=hop, window="linear")
    assert golden.relative_error(result, whole_file(song, 100, hop)) <= 2e-7


RECORDINGS = {
    path.stem: path
    for path in sorted((SHARED / "golden").glob("ola_*.safetensors"))
    if "audioseparator" not in path.stem and "_b4" not in path.stem
}


def recorded_model(recording: golden.Recording) -> Model:
    """A ramp, which shows every weight, or a small network."""
    if not recording.weights:
        return ramp
    network = build(recording.facts["architecture"], recording.facts["kwargs"]).eval()
    network.load_state_dict(recording.weights)
    return network


@pytest.mark.parametrize("name", RECORDINGS or ["none"])
@torch.inference_mode()
def test_joins_chunks_as_recorded(shared: Path, name: str) -> None:
    """Others' whole-song loops, recorded; `mean` is the papers' plain mean."""
    recording = golden.load(RECORDINGS[name])
    facts = recording.facts
    model, tolerance = recorded_model(recording), 5e-6 if recording.weights else 1e-6
    song = golden.parity_tools(shared).noise_audio(facts["input_tag"], *facts["input_shape"], 0.5)
    hop = facts.get("hop") or facts["chunk_size"] // facts["num_overlap"]
    window = "mean" if facts["algorithm"] == "plain_mean" else "linear"
    stems = overlap_add(song, model, chunk=facts["chunk_size"], hop=hop, window=window)
    assert golden.relative_error(stems[..., ::61], recording.tensors["decimated_61"]) <= tolerance
    for position in facts["excerpt_positions"]:
        excerpt = stems[..., position : position + 1_500]
        assert golden.relative_error(excerpt, recording.tensors[f"excerpt_{position}"]) <= tolerance


@pytest.mark.parametrize("window", ["hann", "linear"])
@pytest.mark.parametrize("length", [1_001, 1_130, 1_300, 1_999, 10_000])
@pytest.mark.parametrize("hop", [250, 500, 750])
@pytest.mark.parametrize("shortest", [1, 1_000])
def test_no_click_where_chunks_meet(window: str, length: int, hop: int, shortest: int) -> None:
    """A model that errs by a constant of its own in every chunk leaves no step in the result."""
    signs = iter([1.0, -1.0] * 100)

    def moody(mixtures: Tensor) -> Tensor:
        return torch.ones_like(mixtures)[:, None] * next(signs)

    result = overlap_add(torch.zeros(1, length), moody, chunk=1_000, hop=hop, window=window, ends=(shortest, 1_000))
    assert result.diff().abs().max() < 0.03


@pytest.mark.parametrize("length", [1, 30, 87, 88, 100, 101, 120])
def test_a_song_that_fits_into_a_chunk_is_one_chunk(length: int) -> None:
    given: list[int] = []

    def noted(mixtures: Tensor) -> Tensor:
        given.append(mixtures.shape[-1])
        return identity(mixtures)

    song = torch.rand(2, length)
    assert torch.equal(overlap_add(song, noted, chunk=100, hop=50, ends=(40, 120))[0], song)
    assert given == [max(min(length + 16, 120), 40)]


@pytest.mark.parametrize("hop", [10, 50, 75, 100])
def test_a_song_costs_little_more_than_its_chunks(hop: int) -> None:
    """Whatever its length: as much as its share of a long song, margins included. No chunk is very short for that."""
    for length in range(1, 500):
        cut = list(chunks([torch.zeros(1, length)], 100, hop, WindowName.hann, (1, 100)))
        work = sum(each.samples.shape[-1] for each in cut)
        assert work <= (length + 16) * 100 / hop + 1
        assert min(each.samples.shape[-1] for each in cut) >= min(length, 50)


def test_the_plain_mean_does_click() -> None:
    """What the test above would see, if there were steps."""
    signs = iter([1.0, -1.0] * 100)
    result = overlap_add(
        torch.zeros(1, 10_000), lambda x: torch.ones_like(x)[:, None] * next(signs), chunk=1_000, hop=500, window="mean"
    )
    assert result.diff().abs().max() >= 1


class Copies(TorchDispatchMode):
    """Stands in for a device's bus, with PyTorch's `meta` as the device: notes what is copied from there."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[torch.Size] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func is torch.ops.aten._to_copy.default and args[0].is_meta and kwargs.get("device") == torch.device("cpu"):
            self.shapes.append(args[0].shape)
            return torch.zeros(args[0].shape)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("window", WindowName)
@pytest.mark.parametrize("hop", [10, 50, 100])
def test_only_what_is_finished_leaves_the_device(window: WindowName, hop: int) -> None:
    """Of four stems with half a chunk's overlap that is half of the estimates; no operation mixes devices."""
    with Copies() as copies:
        stems = overlap_add(torch.zeros(2, 1_037), lambda x: ramp(x).to("meta"), chunk=100, hop=hop, window=window)
    assert stems.device.type == "cpu"
    assert stems.shape == (2, 2, 1_037)
    assert sum(shape.numel() for shape in copies.shapes) == stems.numel()


@pytest.mark.parametrize("window", WindowName)
def test_a_thousand_estimates_of_one_sample_do_not_round_it_away(window: WindowName) -> None:
    """Each sum of equal numbers errs in the same direction, in single precision by ten times as much in all."""
    song = torch.full((1, 10_000), 0.1)
    stems = overlap_add(song, identity, chunk=4_000, hop=4, window=window)
    assert stems.dtype == torch.float32
    assert (stems - 0.1).abs().max() <= 1e-8


def test_half_precision_estimates_are_added_up_in_single_precision() -> None:
    song = torch.rand(2, 1_037)
    stems = overlap_add(song, lambda x: ramp(x).half(), chunk=100, hop=25)
    assert stems.dtype == torch.float32
    assert golden.relative_error(stems, overlap_add(song, lambda x: ramp(x).half().float(), chunk=100, hop=25)) == 0


def test_reflection_goes_on_for_short_signals() -> None:
    assert reflect(torch.tensor([[0, 1, 2]]), 5, 4).tolist() == [[1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]]
    assert reflect(torch.tensor([[7]]), 2, 1).tolist() == [[7, 7, 7, 7]]


def test_no_song_gives_no_stems() -> None:
    assert list(stream([], identity, chunk=10, hop=5)) == []
    assert list(stream([torch.zeros(2, 0)], identity, chunk=10, hop=5)) == []


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"hop": 0}, "hop"), ({"hop": 11}, "hop"), ({"window": "boxcar"}, "one of hann, linear, mean, not 'boxcar'")],
)
def test_impossible_settings_are_refused(settings: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        overlap_add(torch.zeros(1, 20), identity, **{"chunk": 10, "hop": 5, **settings})  # type: ignore[arg-type]


def test_a_model_that_changes_the_length_is_refused() -> None:
    with pytest.raises(ValueError, match="the model gave"):
        overlap_add(torch.zeros(1, 20), lambda x: x[:, None, :, 1:], chunk=10, hop=5)
