"""How long a song is said to take on this machine."""

from dataclasses import replace

import pytest

from stemsplit import registry
from stemsplit.engine.chain_entry import ChainEntry
from stemsplit.songs.durations import RATE, RATES, SLOWER, Duration, How, durations
from stemsplit.songs.speeds import Settings, Speed, remember

STARTER = replace(registry.find("starter"), cost=10.0)
LARGE = replace(STARTER, name="large", cost=100.0)
FOREIGN = replace(LARGE, name="foreign", architecture="bs_roformer")
UNKNOWN = replace(STARTER, name="unknown", cost=0.0)
MODELS = {entry.name: entry for entry in (STARTER, LARGE, FOREIGN, UNKNOWN)}
CHUNKS = STARTER.chunks_in(240)


def ran(per_chunk: float, start_up: float = 3.0, chunks: int = 60) -> None:
    remember(ChainEntry(STARTER), [Settings(), Settings("cpu", 2, "fp32", 1)], Speed(start_up, per_chunk, chunks))


def times(cores: int | None = None) -> dict[str, Duration]:
    return durations(MODELS.values(), MODELS, cores)


def test_a_model_that_ran_here_takes_as_long_again_and_others_in_proportion() -> None:
    ran(per_chunk=0.5)
    found = times()
    assert found["starter"] == Duration(3 + CHUNKS * 0.5, How.measured)
    assert found["large"].how is How.scaled
    assert found["large"].seconds == pytest.approx(CHUNKS * 5.0)
    # Small networks reach a smaller share of what the machine can do.
    assert found["foreign"].seconds == pytest.approx(CHUNKS * 5.0 * RATES["ensemble"] / RATE)
    assert "unknown" not in found


def test_without_any_run_the_cores_are_counted_or_nothing_is_said() -> None:
    assert times() == {}
    found = times(cores=4)
    assert found["large"].how is How.guessed
    assert found["large"].seconds == pytest.approx(10 * found["starter"].seconds)
    seconds = CHUNKS * STARTER.chunk / STARTER.sample_rate
    assert found["starter"].seconds == pytest.approx(10.0 * seconds / RATES["ensemble"] * SLOWER / 4)
    assert "unknown" not in found


def test_what_a_short_song_took_tells_nothing_of_a_long_one() -> None:
    """Its only chunk is the first, which takes longer."""
    ran(per_chunk=50.0, chunks=1)
    assert times() == {}
    assert times(cores=4)["starter"].how is How.guessed


def test_a_model_of_the_same_name_is_another_one() -> None:
    ran(per_chunk=0.5)
    other = {"starter": replace(STARTER, config={**STARTER.config, "wiener": 0.0})}
    assert durations(other.values(), other) == {}
