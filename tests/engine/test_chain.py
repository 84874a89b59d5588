"""Chains: what a stem becomes is in its place, in time with all else, and adds up to it."""

import dataclasses
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stemsplit import Separator, StemsplitError
from stemsplit.audio import Block
from stemsplit.checkpoints.checkpoint import save
from stemsplit.engine.chain import Chain
from stemsplit.engine.chain_entry import ChainEntry
from stemsplit.models import build
from stemsplit.registry import ModelEntry
from stemsplit.songs.outputs import chosen
from tests.conftest import noise
from tests.engine.test_separator import quarters, separator
from tests.models.test_contract import FORMER, SMALL

RATE = 44_100
FACTS: dict[str, dict[str, Any]] = {
    "music": {
        "architecture": "bs_roformer",
        "config": {
            **FORMER,
            "depth": 1,
            "num_stems": 2,
            "stereo": True,
            "freqs_per_bands": (33, 32, 64, 128),
            "stft_n_fft": 512,
            "stft_hop_length": 256,
            "stft_win_length": 512,
        },
        "stems": ("vocals", "instrumental"),
        "sample_rate": RATE,
        "channels": 2,
        "chunk": 11_025,
        "hop": 6_000,
        "mixture_consistency": True,
    },
    "speech": {
        "architecture": "fullsubnet_plus",
        "config": {**SMALL, "n_fft": 256, "win_length": 256, "hop_length": 128, "num_freqs": 129},
        "stems": ("speech",),
        "residual": "noise",
        "sample_rate": 16_000,
        "channels": 1,
        "chunk": 4_800,
        "hop": 2_400,
    },
}


def entry(name: str, **changes: Any) -> ModelEntry:
    about = {"description": "", "author": "", "sources": (f"file:{name}.safetensors",)}
    return ModelEntry(name=name, **{**about, **FACTS[name], **changes})


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Separator]:
    """Loads a small network of no training."""

    def load(name: str, **changes: Any) -> Separator:
        path = tmp_path / f"{name}.safetensors"
        if not path.exists():
            torch.manual_seed(len(name))
            save(build(FACTS[name]["architecture"], FACTS[name]["config"]), path)
        return Separator(entry(name, sources=(f"file:{path}",), **changes), "cpu", threads=1)

    return load


def blocks_of(song: Block, size: int = 5_000) -> Iterator[Block]:
    for begin in range(0, song.shape[-1], size):
        yield song[:, begin : begin + size]


def streamed(chain: Chain, song: Block, rate: int = RATE) -> tuple[Block, dict[str, Block]]:
    """The song and its stems, as they come block by block."""
    pairs = list(chain.stream(blocks_of(song), rate, len(song)))
    stems = np.concatenate([stems for _, stems in pairs], -1)
    return np.concatenate([mixture for mixture, _ in pairs], -1), dict(zip(chain.stems, stems, strict=True))


@pytest.mark.parametrize(
    ("length", "channels", "rate"),
    [(33_075, 2, RATE), (33_075, 1, RATE), (30_000, 3, 48_000), (5_000, 2, RATE), (1, 2, RATE), (7_001, 1, 16_000)],
)
def test_all_stems_add_up_to_the_song(model: Callable[..., Separator], length: int, channels: int, rate: int) -> None:
    """Also of one shorter than a chunk, of any layout and rate; the song itself comes back untouched."""
    song = noise(length, channels).T.copy()
    chain = Chain(model("music"), "vocals", model("speech"))
    mixture, stems = streamed(chain, song, rate)
    assert tuple(stems) == ("vocals-speech", "vocals-noise", "instrumental")
    assert np.array_equal(mixture, song)
    assert all(stem.shape == song.shape for stem in stems.values())
    assert np.abs(sum(stems.values()) - song).max() < 1e-6


def test_it_is_what_two_separators_make_one_after_the_other(model: Callable[..., Separator]) -> None:
    song = noise(33_075).T.copy()
    music, speech = model("music"), model("speech")
    first = music.separate(torch.from_numpy(song), RATE)
    second = speech.separate(first["vocals"], RATE)
    wanted = {"vocals-speech": second["speech"], "vocals-noise": second["noise"], "instrumental": first["instrumental"]}
    chain = Chain(music, "vocals", speech)
    _, stems = streamed(chain, song)
    whole = chain.separate(torch.from_numpy(song), RATE)
    assert list(whole) == list(stems) == list(wanted)
    for name, stem in wanted.items():
        assert np.abs(stems[name] - stem.numpy()).max() < 1e-6
        assert torch.equal(whole[name], stem)
    assert all(float(stem.abs().max()) > 1e-3 for stem in wanted.values())


def test_the_other_stems_are_left_as_they_are(model: Callable[..., Separator]) -> None:
    song, music = noise(20_000).T.copy(), model("music")
    _, stems = streamed(Chain(music, "vocals", model("speech")), song)
    assert np.array_equal(stems["instrumental"], music.separate(torch.from_numpy(song), RATE)["instrumental"])


def test_what_no_name_is_given_to_is_the_rest(model: Callable[..., Separator]) -> None:
    song = noise(30_000).T.copy()
    chain = Chain(model("music"), "vocals", model("speech", residual=""))
    named = Chain(model("music"), "vocals", model("speech"))
    _, stems = streamed(chain, song)
    assert tuple(stems) == ("vocals-speech", "vocals-rest", "instrumental")
    assert np.array_equal(stems["vocals-rest"], streamed(named, song)[1]["vocals-noise"])
    assert torch.allclose(
        chain.separate(torch.from_numpy(song), RATE)["vocals-rest"], torch.tensor(stems["vocals-rest"])
    )


def test_a_part_of_a_stem_can_be_split_on_again(model: Callable[..., Separator]) -> None:
    """By a chain of a chain, or a chain in a chain."""
    song = noise(20_000).T.copy()
    chain = Chain(Chain(model("music"), "vocals", model("speech")), "vocals-noise", model("music"))
    other = Chain(model("music"), "vocals", Chain(model("speech"), "noise", model("music")))
    names = ("vocals-speech", "vocals-noise-vocals", "vocals-noise-instrumental", "instrumental")
    (mixture, stems), (_, same) = streamed(chain, song), streamed(other, song)
    assert tuple(stems) == tuple(same) == names
    assert np.array_equal(mixture, song)
    assert np.abs(sum(stems.values()) - song).max() < 1e-6
    assert all(np.abs(stems[name] - same[name]).max() < 1e-6 for name in names)


def test_a_stem_anywhere_among_the_others_is_replaced_in_its_place() -> None:
    """Each stem is a quarter of the song, each part half of its stem."""
    half = separator(lambda x: x[:, None] / 2, stems=("dry",), residual="reverb", mixture_consistency=False)
    song = noise(60_000).T.copy()
    names = ("drums", "bass", "other", "vocals")
    for place, stem in enumerate(names):
        chain = Chain(separator(), stem, half)
        _, stems = streamed(chain, song)
        assert chain.stems == (*names[:place], f"{stem}-dry", f"{stem}-reverb", *names[place + 1 :])
        for name, found in stems.items():
            assert np.abs(found - song / (8 if "-" in name else 4)).max() < 1e-6


def test_a_chain_adds_up_if_its_first_model_does() -> None:
    incomplete = separator(stems=("a", "b", "c", "d"), mixture_consistency=False)
    assert Chain(separator(), "bass", incomplete).adds_up
    assert not Chain(incomplete, "a", separator()).adds_up


def test_what_cannot_be_chained_is_refused() -> None:
    with pytest.raises(ValueError, match="no stem 'choir' to split on, only drums, bass, other, vocals"):
        Chain(separator(), "choir", separator())
    odd = separator(stems=("vocals", "Vocals-drums", "c", "d"))
    with pytest.raises(ValueError, match="two stems would be called 'vocals-drums'"):
        Chain(odd, "vocals", separator())


def read(seconds: int, place: list[int]) -> Iterator[Block]:
    """A song of noise in blocks of a tenth of a second; the place counts what was read of it."""
    rng = np.random.default_rng(0)
    for _ in range(10 * seconds):
        place[0] += 4_410
        yield rng.random((2, 4_410), np.float32)


def most_held(seconds: int) -> tuple[int, int]:
    """How many samples were read and not given at most, and how many bytes numpy held at most."""
    chain = Chain(Chain(separator(), "bass", separator()), "bass-bass", separator())
    read_, given, most = [0], 0, 0
    tracemalloc.start()
    try:
        for mixture, _ in chain.stream(read(seconds, read_), RATE, 2):
            given += mixture.shape[-1]
            most = max(most, read_[0] - given)
        return most, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_song() -> None:
    (lag, size), (longer_lag, longer_size) = most_held(4), most_held(12)
    assert lag == longer_lag <= 3 * RATE
    assert longer_size < 1.1 * size


def broken(mixtures: Tensor) -> Tensor:
    """Fails for what is loud."""
    if mixtures.abs().max() > 2:
        raise StemsplitError("too loud")
    return quarters(mixtures)


def takes(songs: Iterable[Block]) -> Iterator[tuple[Iterable[Block], int, int]]:
    for song in songs:
        yield blocks_of(song), RATE, len(song)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("first", [True, False])
def test_a_song_that_one_model_fails_on_ends_and_the_others_do_not(first: bool, size: int) -> None:
    songs = [noise(30_000 + 1_000 * n, seed=n).T.copy() for n in range(3)]
    songs[1][:, 20_000:] = 3 if first else 10  # of which a stem has a quarter
    models = [separator(broken), separator()] if first else [separator(), separator(broken)]
    for each in models:
        each.estimator.batch_size = size
    came: list[Block | str] = []
    for pairs in Chain(models[0], "bass", models[1]).streams(takes(songs)):
        try:
            came.append(np.concatenate([stems for _, stems in pairs], -1))
        except StemsplitError as error:
            came.append(str(error))
    assert came[1] == "too loud"
    for song, stems in ((songs[0], came[0]), (songs[2], came[2])):
        assert not isinstance(stems, str)
        assert np.abs(stems.sum(0) - song).max() < 1e-6
        assert np.abs(stems[1] - song / 16).max() < 1e-6


def test_an_error_of_reading_ends_its_song_alone() -> None:
    def cut_off() -> Iterator[Block]:
        yield noise(30_000).T.copy()
        raise OSError("cut off")

    good = noise(30_000).T.copy()
    streams = Chain(separator(), "bass", separator()).streams([(cut_off(), RATE, 2), (blocks_of(good), RATE, 2)])
    with pytest.raises(OSError, match="cut off"):
        list(next(streams))
    assert sum(mixture.shape[-1] for mixture, _ in next(streams)) == 30_000


@pytest.mark.parametrize("ahead", [True, False])
def test_a_song_that_is_given_up_does_not_disturb_the_next(ahead: bool) -> None:
    """Nor does one of no samples; also where all goes on in threads of its own, as with a GPU."""
    models = [separator(), separator()]
    for each in models if ahead else []:
        each.estimates = quarters  # type: ignore[method-assign]
        each.device = torch.device("cuda")
    songs = [noise(length, seed=length).T.copy() for length in (200_000, 0, 50_000)]
    streams = Chain(models[0], "vocals", models[1]).streams(takes(songs))
    next(next(streams))
    assert list(next(streams)) == []
    assert np.array_equal(np.concatenate([mixture for mixture, _ in next(streams)], -1), songs[2])
    assert list(streams) == []


@pytest.mark.parametrize("error", [GeneratorExit, KeyboardInterrupt])
def test_whoever_stops_early_leaves_nothing_open(error: type[BaseException]) -> None:
    """Neither model goes on, and what they read from can be closed at once."""
    computed: list[str] = []

    def seen(name: str) -> Callable[[Tensor], Tensor]:
        return lambda x: computed.append(name) or quarters(x)  # type: ignore[func-returns-value]

    source = blocks_of(noise(400_000).T.copy())
    pairs = Chain(separator(seen("first")), "bass", separator(seen("second"))).stream(source, RATE, 2)
    next(pairs)
    before = len(computed)
    assert set(computed) == {"first", "second"}
    if error is GeneratorExit:
        pairs.close()
    else:
        with pytest.raises(error):
            pairs.throw(error())
    source.close()
    assert list(pairs) == []
    assert len(computed) == before


def test_a_plan_names_what_its_chain_will_give(model: Callable[..., Separator]) -> None:
    plan = ChainEntry(entry("music"), (("vocals", entry("speech", residual="")), ("vocals-rest", entry("music"))))
    chain = Chain(Chain(model("music"), "vocals", model("speech", residual="")), "vocals-rest", model("music"))
    assert (plan.stems, plan.adds_up) == (chain.stems, chain.adds_up)
    assert plan.sums == {
        "vocals": ("vocals-speech", "vocals-rest-vocals", "vocals-rest-instrumental"),
        "vocals-rest": ("vocals-rest-vocals", "vocals-rest-instrumental"),
    }


def test_a_stem_that_was_split_on_can_be_named_where_its_parts_can() -> None:
    """It is the sum of them; what is asked for by no name is the parts alone."""
    plan = ChainEntry(entry("music"), (("vocals", entry("speech")),))
    outputs = chosen(plan.stems, ["Vocals", "vocals-noise"], ["band=mixture-vocals+vocals-noise"], None, plan.sums)
    assert {output.name: output.gains for output in outputs} == {
        "vocals-noise": (0, 0, 1, 0),
        "vocals": (0, 1, 1, 0),
        "band": (1, -1, 0, 0),
    }
    assert [output.name for output in chosen(plan.stems, None, [], None, plan.sums)] == list(plan.stems)


def test_what_identifies_a_model_alone_is_what_it_always_was() -> None:
    alone = entry("music", sha256="0" * 64)
    assert ChainEntry(alone).identity("bf16") == alone.identity("0" * 64, "bf16")
    assert (ChainEntry(alone).name, ChainEntry(alone).stems, ChainEntry(alone).sums) == ("music", alone.outputs, {})


def test_a_chain_was_in_an_earlier_version_what_its_models_were() -> None:
    first, speech = (entry(name, sha256="0" * 64) for name in ("music", "speech"))
    chain = ChainEntry(first, (("vocals", speech),))
    assert chain.earlier_identities() == ()
    before = dataclasses.replace(speech, chunk=2 * speech.chunk, hop=speech.hop + 1)
    now = dataclasses.replace(speech, earlier_chunks=(before.chunk,), earlier_hops=(before.hop,))
    changed = ChainEntry(first, (("vocals", now),))
    assert changed.identity() == chain.identity()
    assert changed.earlier_identities() == (ChainEntry(first, (("vocals", before),)).identity(),)


def test_what_identifies_a_chain_tells_all_its_models_and_stems() -> None:
    first, speech, other = (
        entry(name, sha256=digit * 64) for name, digit in zip(["music", "speech", "speech"], "012", strict=True)
    )
    plans = [
        ChainEntry(first),
        ChainEntry(first, (("vocals", speech),)),
        ChainEntry(first, (("vocals", other),)),
        ChainEntry(first, (("instrumental", speech),)),
        ChainEntry(first, (("vocals", speech), ("vocals-speech", other))),
    ]
    identities = [plan.identity() for plan in plans]
    assert all(one not in identities[:place] for place, one in enumerate(identities))
    assert {**identities[1], "then": None} == {**identities[0], "then": None}
    assert plans[1].name == "music --then vocals:speech"
