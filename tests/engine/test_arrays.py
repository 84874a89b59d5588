"""What Python callers have is taken wherever its meaning is clear, in its own layout, and else refused by its shape."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stemsplit import Chain, Separator
from stemsplit.engine.arrays import as_mixtures, as_rate
from stemsplit.training import result
from tests.conftest import noise
from tests.training.conftest import TINY, network

SONG = noise(5_000).T.copy()
"""A stereo song, (channels, samples)."""


@pytest.fixture(scope="module")
def separator(tmp_path_factory: pytest.TempPathFactory) -> Separator:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    result.save(network(TINY, seed=1), TINY, path)
    return Separator(path, "cpu", threads=1)


@pytest.fixture(scope="module")
def wanted(separator: Separator) -> dict[str, Tensor]:
    return separator.separate(torch.from_numpy(SONG), 8_000)


def equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], stem) for name, stem in wanted.items())


class Foreign:
    """An array of another library, which NumPy can read."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return SONG


class Exchanged:
    """An array of another library, which only offers the exchange protocol."""

    def __dlpack__(self, **options: Any) -> Any:
        return torch.from_numpy(SONG).__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return torch.from_numpy(SONG).__dlpack_device__()


def read_only() -> np.ndarray:
    song = SONG.copy()
    song.flags.writeable = False
    return song


def mapped(folder: Path) -> np.ndarray:
    np.save(folder / "song.npy", SONG)
    return np.load(folder / "song.npy", mmap_mode="r")


KINDS: dict[str, Callable[[Path], Any]] = {
    "array": lambda _: SONG,
    "float64": lambda _: SONG.astype(np.float64),
    "big-endian": lambda _: SONG.astype(">f4"),
    "read-only": lambda _: read_only(),
    "column by column": lambda _: np.asfortranarray(SONG),
    "every other sample": lambda _: np.repeat(SONG, 2, 1)[:, ::2],
    "backwards": lambda _: SONG[:, ::-1].copy()[:, ::-1],
    "mapped": mapped,
    "lists": lambda _: SONG.tolist(),
    "foreign": lambda _: Foreign(),
    "exchanged": lambda _: Exchanged(),
    "tensor of doubles": lambda _: torch.from_numpy(SONG).double(),
    "tensor with gradient": lambda _: torch.from_numpy(SONG).clone().requires_grad_(),
    "parameter": lambda _: torch.nn.Parameter(torch.from_numpy(SONG)),
    "tensor of strides": lambda _: torch.from_numpy(SONG).T.contiguous().T,
    "negated lazily": lambda _: torch.complex(torch.zeros(SONG.shape), -torch.from_numpy(SONG)).conj().imag,
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_of_any_kind_gives_the_same_stems(
    separator: Separator, wanted: dict[str, Tensor], kind: str, tmp_path: Path
) -> None:
    given = KINDS[kind](tmp_path)
    assert equal(separator.separate(given, 8_000), wanted)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_floating_point_numbers_of_any_size_are_taken(separator: Separator, dtype: Any) -> None:
    song = SONG.astype(np.float16)
    expected = separator.separate(song.astype(np.float32), 8_000)
    assert equal(separator.separate(song.astype(dtype), 8_000), expected)


def test_what_is_given_is_not_changed(separator: Separator) -> None:
    for given in (SONG.copy(), SONG.T.copy(), torch.from_numpy(SONG.copy())):
        separator.separate(given, 8_000)
        assert np.array_equal(np.asarray(given), SONG if given.shape[0] == 2 else SONG.T)


@pytest.mark.parametrize("turn", [np.transpose, lambda song: torch.from_numpy(song).T])
def test_samples_before_channels_come_back_so(
    separator: Separator, wanted: dict[str, Tensor], turn: Callable[[Any], Any]
) -> None:
    """As soundfile reads and writes them."""
    found = separator.separate(turn(SONG), 8_000)
    assert all(stem.shape == (5_000, 2) for stem in found.values())
    assert equal({name: stem.T for name, stem in found.items()}, wanted)


def test_mono_needs_no_axis_of_channels(separator: Separator) -> None:
    expected = separator.separate(SONG[:1], 8_000)
    for given in (SONG[0], torch.from_numpy(SONG[0])):
        found = separator.separate(given, 8_000)
        assert all(stem.shape == (5_000,) for stem in found.values())
        assert equal({name: stem[None] for name, stem in found.items()}, expected)


def test_a_batch_gives_the_stems_of_each(separator: Separator) -> None:
    batch = np.stack([SONG, 0.5 * SONG[::-1], SONG])
    chain = Chain(separator, "low", Separator(separator.entry, "cpu", threads=1))
    for each in (separator, chain):
        found = each.separate(batch, 8_000)
        turned = each.separate(batch.swapaxes(1, 2), 8_000)
        for index, song in enumerate(batch):
            assert equal({name: stem[index] for name, stem in found.items()}, each.separate(song, 8_000))
            assert equal({name: stem[index].T for name, stem in turned.items()}, each.separate(song, 8_000))
        assert all(stem.shape == batch.shape for stem in found.values())
    assert all(stem.shape == (1, 2, 5_000) for stem in separator.separate(SONG[None], 8_000).values())


@pytest.mark.parametrize(
    ("shape", "turned"),
    [((1, 1), False), ((8, 3), False), ((64, 65), False), ((65, 64), True), ((5_000, 1), True), ((2, 1), False)],
)
def test_an_axis_too_long_for_channels_is_one_of_samples(shape: tuple[int, int], turned: bool) -> None:
    mixtures, layout = as_mixtures(np.zeros(shape, np.float32))
    assert layout.turned == turned
    assert tuple(mixtures.shape) == (1, *(shape[::-1] if turned else shape))
    assert tuple(layout.restored(mixtures).shape) == shape


@pytest.mark.parametrize(
    "shape", [(), (0,), (2, 0), (0, 2), (0, 2, 9), (1, 1, 2, 9), (9, 8), (64, 1), (65, 65), (100, 44_100)], ids=str
)
@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_a_shape_that_is_unclear_or_impossible_is_named(
    separator: Separator, shape: tuple[int, ...], make: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match=r"^a mixture is \(channels, samples\)[^\n]*") as refusal:
        separator.separate(make(shape, dtype=np.float32 if make is np.zeros else torch.float32), 8_000)
    assert str(refusal.value).endswith(str(shape))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (np.zeros((2, 9), np.int16), r"int16 of shape \(2, 9\); divide by 32768 first"),
        (torch.zeros(2, 9, dtype=torch.int16), r"int16 of shape \(2, 9\); divide by 32768 first"),
        (np.zeros((2, 9), np.int32), "int32 .* divide by 2147483648 first"),
        (np.zeros((2, 9), np.uint8), r"uint8 of shape \(2, 9\)$"),
        (torch.zeros(2, 9, dtype=torch.bool), r"bool of shape \(2, 9\)$"),
        (np.zeros((2, 9), np.complex64), "complex64"),
        (torch.zeros(2, 9, dtype=torch.complex64), "complex64"),
        (torch.eye(9).to_sparse(), r"float32 of shape \(9, 9\)"),
        ([[0, 1], [2, 3]], "int64"),
        ([[0.0, 1.0], [2.0]], "not a list that makes no array"),
        ("song.wav", "str|<U8"),
        (None, "object"),
        ({"a": 1}, "object"),
        (np.ma.masked_less(SONG, 0), r"\(2, 5000\), has masked samples"),
        (np.full((2, 9), np.nan, np.float32), r"\(2, 9\), holds NaN or infinity"),
        (np.full((2, 9), np.inf), r"\(2, 9\), holds NaN or infinity"),
        (np.full((2, 9), 1e300), r"\(2, 9\), holds NaN or infinity"),
    ],
    ids=str,
)
def test_what_are_not_samples_is_named(separator: Separator, given: object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        separator.separate(given, 8_000)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [8_000, np.int64(8_000), np.float32(8_000), 8_000.0])
def test_a_sample_rate_is_a_whole_number_of_any_type(rate: Any) -> None:
    assert as_rate(rate) == 8_000
    assert type(as_rate(rate)) is int


@pytest.mark.parametrize(
    "rate", [0, -1, 44_100.5, float("nan"), float("inf"), None, "44100", True, 10**12, [8_000], 1j]
)
def test_a_sample_rate_that_is_not_one_is_refused(separator: Separator, rate: Any) -> None:
    with pytest.raises(ValueError, match=r"^sample_rate must be a whole number of Hz from 1 to"):
        separator.separate(SONG, rate)
    with pytest.raises(ValueError, match=r"^sample_rate must be a whole number of Hz from 1 to"):
        list(separator.stream([SONG], rate, 2))


@pytest.mark.parametrize(
    ("block", "named"),
    [
        (SONG.T, r"float32 of shape \(5000, 2\)"),
        (SONG[:1], r"float32 of shape \(1, 5000\)"),
        (SONG[0], r"float32 of shape \(5000,\)"),
        (SONG.astype(np.float64), r"float64 of shape \(2, 5000\)"),
        (torch.from_numpy(SONG), "Tensor"),
        (np.full((2, 9), np.nan, np.float32), r"\(2, 9\), holds NaN"),
    ],
    ids=str,
)
def test_a_block_of_another_kind_is_refused(separator: Separator, block: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        list(separator.stream([SONG, block], 8_000, 2))
