"""Combinations: stems of several models become one set of stems, in place, and add up to the song."""

import dataclasses
from collections.abc import Callable, Iterator
from copy import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from stemsplit import Separator, StemsplitError, registry
from stemsplit.audio import Block
from stemsplit.choices import CombineName
from stemsplit.engine.combination.combined import Combined
from stemsplit.engine.combination.entry import Combination, ensemble, identity_of, route
from stemsplit.engine.mixture import Mixture
from stemsplit.registry import ModelEntry
from tests.conftest import noise

STARTER = registry.find("starter")
RATE = STARTER.sample_rate
LOADED = Separator(STARTER, "cpu", chunk_seconds=0.5)


def entry(name: str, stems: tuple[str, ...], residual: str = "", whole: bool = False) -> ModelEntry:
    return dataclasses.replace(STARTER, name=name, stems=stems, residual=residual, mixture_consistency=whole)


FOUR = entry("four", ("drums", "bass", "other", "vocals"), whole=True)
SIX = entry("six", ("drums", "bass", "other", "vocals", "guitar", "piano"), whole=True)
VOCALS = entry("voc", ("vocals",), "instrumental")
INSTRUMENTAL = entry("inst", ("instrumental",), "vocals")


def gains(*values: float) -> Callable[[Tensor], Tensor]:
    """A network whose estimates are the mixture at these gains."""
    factors = torch.tensor(values)[:, None, None]
    return lambda mixtures: mixtures[:, None] * factors


def separator(about: ModelEntry, *values: float) -> Separator:
    made, loaded = Separator.__new__(Separator), LOADED
    made.__dict__ |= loaded.__dict__
    made.entry = dataclasses.replace(about, chunk=loaded.entry.chunk, hop=loaded.entry.hop)
    made.estimator = copy(loaded.estimator)
    made.estimator.entry, made.estimator.compute = made.entry, gains(*values)
    return made


def combined(how: Combination, *values: tuple[float, ...], turn_seconds: float = 0.0) -> Combined:
    members = [separator(member, *own) for member, own in zip(how.members, values, strict=True)]  # type: ignore[arg-type]
    return Combined(how, members, turn_seconds)


def heard(splitter: Combined | Separator, song: Block) -> dict[str, float]:
    """Gain of the song in each stem, the same everywhere in it."""
    stems = splitter.separate(torch.from_numpy(song), RATE)
    found = {}
    for name, stem in stems.items():
        factor = float((stem.numpy() * song).sum() / (song * song).sum())
        np.testing.assert_allclose(stem, factor * song, atol=2e-6)
        found[name] = round(factor, 5)
    return found


@pytest.fixture(scope="module")
def song() -> Block:
    return np.ascontiguousarray(noise(2, RATE + 77), np.float32)


def test_stems_are_the_weighted_mean_of_those_of_the_same_name(song: Block) -> None:
    other = entry("b", ("vocals", "other", "bass", "drums"), whole=True)
    how = ensemble([FOUR, other], [3, 1])
    assert how.name == "four:3+b:1"
    means = heard(combined(how, (0.4, 0.3, 0.2, 0.1), (0.0, 0.0, 0.0, 1.0)), song)
    assert means == {"drums": 0.55, "bass": 0.225, "other": 0.15, "vocals": 0.075}


@pytest.mark.parametrize("combine", list(CombineName))
def test_equal_members_give_what_each_gives(combine: CombineName, song: Block) -> None:
    how = ensemble([FOUR, FOUR, FOUR], combine=combine)
    one = separator(FOUR, 0.4, 0.3, 0.2, 0.1).separate(torch.from_numpy(song), RATE)
    three = combined(how, *[(0.4, 0.3, 0.2, 0.1)] * 3).separate(torch.from_numpy(song), RATE)
    for name, stem in one.items():
        assert (three[name] - stem).abs().max() <= 1e-6


def test_the_median_is_the_middle_estimate(song: Block) -> None:
    how = ensemble([VOCALS] * 3, combine=CombineName.median)
    assert heard(combined(how, (0.9,), (0.1,), (0.3,)), song) == {"vocals": 0.3, "instrumental": 0.7}


@pytest.mark.parametrize(("combine", "expected"), [("max-magnitude", -0.9), ("min-magnitude", 0.1)])
def test_magnitudes_decide_in_each_bin_whatever_the_sign(combine: str, expected: float, song: Block) -> None:
    how = ensemble([VOCALS] * 3, combine=CombineName(combine))
    assert heard(combined(how, (-0.9,), (0.1,), (0.3,)), song) == {
        "vocals": expected,
        "instrumental": pytest.approx(1 - expected, abs=1e-5),
    }


def test_magnitudes_decide_in_each_bin_by_itself() -> None:
    """Of a low and a high tone, each from another model: both are in the largest, none in the smallest."""
    times = np.arange(2 * RATE) / RATE
    low, high = (np.sin(2 * np.pi * f * times).astype(np.float32)[None].repeat(2, 0) for f in (441, 4_410))
    for combine, expected in (("max-magnitude", low + high), ("min-magnitude", 0 * low)):
        how = ensemble([VOCALS] * 2, combine=CombineName(combine))
        both = combined(how, (1.0,), (1.0,))
        for member, tone in zip(both.members, (low, high), strict=True):
            member.streams = given(tone)  # type: ignore[method-assign]
        found = both.separate(torch.from_numpy(low + high), RATE)["vocals"].numpy()
        middle = slice(RATE // 2, -RATE // 2)
        assert abs(found - expected)[:, middle].max() < 1e-3


def given(stem: Block):  # type: ignore[no-untyped-def]
    """A method `streams` that finds this stem in every song."""

    def streams(mixtures):  # type: ignore[no-untyped-def]
        for mixture in mixtures:

            def pairs(blocks=mixture.blocks):  # type: ignore[no-untyped-def]
                done = 0
                for block in blocks:
                    own = stem[:, done : done + block.shape[-1]]
                    done += block.shape[-1]
                    yield block, np.stack([own, block - own])

            yield pairs()

    return streams


def test_a_model_contributes_its_residual_where_that_is_the_stem(song: Block) -> None:
    assert heard(combined(ensemble([VOCALS, INSTRUMENTAL]), (0.4,), (0.8,)), song) == {
        "vocals": 0.3,
        "instrumental": 0.7,
    }
    bare = entry("bare", ("instrumental",))
    assert heard(combined(ensemble([VOCALS, bare]), (0.4,), (0.8,)), song) == {"vocals": 0.3, "instrumental": 0.7}
    four_and_inst = ensemble([INSTRUMENTAL, FOUR])
    means = heard(combined(four_and_inst, (0.8,), (0.3, 0.2, 0.1, 0.4)), song)
    assert means == {"drums": 0.33333, "bass": 0.22222, "other": 0.11111, "vocals": 0.33333}  # 0.3 and what is left


def test_other_is_combined_only_with_what_means_the_same(song: Block) -> None:
    """In one model, guitar and piano are in `other`."""
    how = ensemble([FOUR, SIX])
    assert how.outputs == SIX.outputs
    assert dict(how.takes)["other"] == (1,)
    assert dict(how.takes)["drums"] == (0, 1)
    stems = combined(how, (0.25, 0.25, 0.25, 0.25), (0.2, 0.2, 0.2, 0.2, 0.1, 0.1)).separate(
        torch.from_numpy(song), RATE
    )
    assert (sum(stems.values()) - torch.from_numpy(song)).abs().max() <= 1e-6


@pytest.mark.parametrize(
    ("members", "weights", "combine", "message"),
    [
        ([FOUR, entry("g", ("guitar",), "no guitar")], (), "mean", "nothing to combine"),
        ([FOUR, FOUR], (1, -1), "mean", "above 0"),
        ([FOUR, FOUR], (1, float("nan")), "mean", "above 0"),
        ([FOUR, FOUR], (1, 2), "median", "only for the mean"),
    ],
)
def test_senseless_ensembles_are_refused(
    members: list[ModelEntry], weights: tuple[float, ...], combine: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ensemble(members, weights, CombineName(combine))


def test_a_route_takes_each_stem_from_its_model(song: Block) -> None:
    how = route({"vocals": VOCALS}, rest=FOUR)
    assert how.outputs == FOUR.outputs
    found = heard(combined(how, *[(0.1, 0.2, 0.3, 0.4) if m == FOUR else (0.8,) for m in how.members]), song)
    # 0.4 too much: of each of the other stems in proportion to its size.
    assert found == {"drums": 0.03333, "bass": 0.06667, "other": 0.1, "vocals": 0.8}


def test_one_other_stem_is_not_merely_the_rest_of_the_song(song: Block) -> None:
    how = route({"vocals": FOUR, "drums": FOUR, "bass": FOUR}, rest=entry("b", FOUR.stems, whole=True))
    values = {"four": (0.1, 0.2, 0.3, 0.4), "b": (0.0, 0.0, 0.4, 0.6)}
    found = heard(combined(how, *(values[member.name] for member in how.members)), song)
    assert found == {"drums": 0.09091, "bass": 0.18182, "other": 0.36364, "vocals": 0.36364}  # 0.1 too much


def test_raw_estimates_stay_as_they_are(song: Block) -> None:
    """Those of each model, and those of all together; a remainder is one even then."""
    how = route({"vocals": VOCALS}, rest=FOUR).with_estimates("raw")
    values = {"four": (0.1, 0.1, 0.1, 0.1), "voc": (0.8,)}
    found = heard(combined(how, *(values[member.name] for member in how.members)), song)
    assert found == {"drums": 0.1, "bass": 0.1, "other": 0.1, "vocals": 0.8}
    assert not how.adds_up
    assert route({"vocals": VOCALS}).with_estimates("raw").outputs == ("vocals", "instrumental")
    assert identity_of(how) != identity_of(route({"vocals": VOCALS}, rest=FOUR))


@pytest.mark.parametrize(
    ("routes", "rest", "outputs", "remainder"),
    [
        ({"vocals": VOCALS}, None, ("vocals", "instrumental"), "instrumental"),
        ({"vocals": VOCALS, "drums": FOUR}, None, ("vocals", "drums", "rest"), "rest"),
        ({"vocals": VOCALS, "drums": FOUR, "bass": FOUR}, None, ("vocals", "drums", "bass", "other"), "other"),
        ({"vocals": VOCALS, "other": FOUR}, None, ("vocals", "other"), ""),
        ({"guitar": SIX}, FOUR, ("drums", "bass", "vocals", "guitar", "other"), "other"),
        ({"drums": FOUR}, VOCALS, ("vocals", "drums", "instrumental"), "instrumental"),
        ({"instrumental": INSTRUMENTAL}, VOCALS, ("vocals", "instrumental"), ""),
        ({"Vocals": VOCALS}, FOUR, FOUR.outputs, ""),
    ],
)
def test_a_routes_stems_are_the_song(
    routes: dict[str, ModelEntry], rest: ModelEntry | None, outputs: tuple[str, ...], remainder: str, song: Block
) -> None:
    how = route(routes, rest)
    assert (how.outputs, how.remainder) == (outputs, remainder)
    values = {"four": (0.1, 0.2, 0.3, 0.5), "six": (0.1, 0.2, 0.1, 0.4, 0.3, 0.1), "voc": (0.3,), "inst": (0.6,)}
    stems = combined(how, *(values[member.name] for member in how.members)).separate(torch.from_numpy(song), RATE)
    assert tuple(stems) == outputs
    assert (sum(stems.values()) - torch.from_numpy(song)).abs().max() <= 1e-6


@pytest.mark.parametrize(
    ("routes", "rest", "message"),
    [
        ({}, None, "at least one"),
        ({"guitar": FOUR}, None, "does not give 'guitar'"),
        ({"other": FOUR, "guitar": SIX}, FOUR, "unclear"),
    ],
)
def test_senseless_routes_are_refused(routes: dict[str, ModelEntry], rest: ModelEntry | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        route(routes, rest)


def test_a_model_named_twice_is_there_once() -> None:
    how = route({"vocals": FOUR, "drums": FOUR}, rest=SIX)
    assert [member.name for member in how.members] == ["four", "six"]


def test_turns_change_nothing(song: Block) -> None:
    how, values = ensemble([FOUR, SIX]), ((0.4, 0.3, 0.2, 0.1), (0.2, 0.2, 0.2, 0.2, 0.1, 0.1))
    mixture = torch.from_numpy(song)
    one = combined(how, *values).separate(mixture, RATE)
    for seconds in (0.3, 100.0):
        other = combined(how, *values, turn_seconds=seconds).separate(mixture, RATE)
        assert all((other[name] == stem).all() for name, stem in one.items())


def test_a_song_that_breaks_leaves_the_others_whole(song: Block) -> None:
    """Whichever song breaks, in reading or in one of the models."""

    def broken() -> Iterator[Block]:
        yield song
        raise StemsplitError("the disk is gone")

    both = combined(ensemble([FOUR, FOUR]), *[(0.25,) * 4] * 2)
    loud = np.full_like(song, np.inf)
    songs = [Mixture(iter([song]), RATE, 2), Mixture(broken(), RATE, 2), Mixture(iter([loud]), RATE, 2)]
    songs.append(Mixture(iter(np.split(song, [100, 5_000], 1)), RATE, 2))
    results = []
    for pairs in both.streams(songs):
        try:
            results.append(np.concatenate([stems for _, stems in pairs], -1))
        except StemsplitError as error:
            results.append(error)  # type: ignore[arg-type]
    assert [type(result) is np.ndarray for result in results] == [True, False, False, True]
    np.testing.assert_array_equal(results[0], results[3])


def test_a_given_up_song_leaves_the_others_whole(song: Block) -> None:
    both = combined(ensemble([FOUR, SIX]), (0.25,) * 4, (0.2, 0.2, 0.2, 0.2, 0.1, 0.1))
    long = np.tile(song, 20)
    found = []
    for pairs in both.streams([Mixture(iter([each]), RATE, 2) for each in (song, long, song, long)]):
        block, _ = next(pairs)
        found.append(block.shape[-1])
    assert len(found) == 4


def test_the_identity_tells_what_decides_the_stems() -> None:
    ways = [
        ensemble([FOUR, SIX]),
        ensemble([FOUR, SIX], [1, 2]),
        ensemble([FOUR, SIX], [2, 1]),
        ensemble([SIX, FOUR]),
        ensemble([FOUR, SIX], combine=CombineName.median),
        ensemble([FOUR, SIX]).changed("with_passes", True),
        ensemble([FOUR, SIX]).changed("with_passes", shifts=2),
        route({"vocals": FOUR}, rest=SIX),
        route({"vocals": SIX}, rest=FOUR),
    ]
    found = [identity_of(way) for way in ways]
    assert all(one != other for one, other in pairwise(sorted(found, key=str)))
