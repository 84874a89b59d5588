"""The player in a browser: rendered faster than real time by its own scheduler, and compared with arithmetic."""

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .rendering import Action, Listener, fades, load, noise, render

if TYPE_CHECKING:
    from playwright.sync_api import Page

SILENCE = 10 ** (-120 / 20)
"""Largest sample that counts as silence: -120 dB."""
ROUNDING = 1e-6
"""Largest error of a sum or a fade in 32-bit floats."""


def whims(rate: int, frames: int, length: int, seed: int) -> list[Action]:
    """Return what an impatient listener may do."""
    chance = random.Random(seed)
    script: list[Action] = [(0, "play", [])]
    times = chance.sample(range(128, length - 128, 128), 6)
    # Some things are done before the last one was heard.
    for at in sorted({*times, *(time + 128 for time in times[:4])}):
        start = chance.randrange(frames)
        # Loops of one sample, shorter than a chunk, as long as one, and longer.
        end = min(start + chance.choice([1, 3, 100, rate // 7, rate, 3 * rate, 3 * rate + 1]), frames)
        moves: list[tuple[str, list[int | None]]] = [("play", []), ("pause", []), ("loop", [None])]
        moves += 2 * [("loop", [start, end])] + [("seek", [start]), ("seek", [end]), ("seek", [frames - rate // 3])]
        script.append((at, *chance.choice(moves)))
    return script


def test_whatever_is_done_each_sample_is_heard_when_arithmetic_says(page: "Page") -> None:
    load(page)
    for rate, channels, seeds in [(8_000, 1, 8), (44_100, 2, 1), (48_000, 6, 1), (96_000, 1, 1)]:
        frames, length = 4 * rate + 17, 5 * rate // 128 * 128
        for seed in range(seeds):
            script = whims(rate, frames, length, seed)
            told = render(page, (rate, frames, channels, 1), length, script)
            expected = [Listener(rate, frames).hears(script, length, channel) for channel in range(channels)]
            assert np.abs(told["heard"] - expected).max() < ROUNDING, (rate, seed)


def test_what_another_loop_cut_short_stays_cut_when_it_fades_out(page: "Page") -> None:
    load(page)
    script: list[Action] = [(0, "loop", [1_000, 1_130]), (0, "play", [])]
    script += [(8_064, "loop", [500, 30_000]), (8_192, "seek", [20]), (8_320, "loop", [None]), (8_448, "pause", [])]
    told = render(page, (8_000, 32_000, 1, 1), 9_984, script)
    assert np.abs(told["heard"][0] - Listener(8_000, 32_000).hears(script, 9_984, 0)).max() < ROUNDING


def test_chunks_and_passes_of_a_loop_join_without_any_difference(page: "Page") -> None:
    load(page)
    frames = 80_011
    told = render(page, (8_000, frames, 2, 1), 120_064, [(0, "loop", [32_001, 70_003]), (0, "play", [])])
    heard = told["heard"][:, 80:]
    path = np.arange(heard.shape[1])
    path = np.where(path < 70_003, path, 32_001 + (path - 32_001) % (70_003 - 32_001))
    assert all(np.array_equal(heard[channel], noise(0, channel, path)) for channel in range(2))


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 6), (44_100, 2), (96_000, 1)])
def test_the_stems_cancel_the_song_through_play_seek_loop_and_gain(page: "Page", rate: int, channels: int) -> None:
    load(page)
    null = {"0": 1, "1": -1, "2": -1, "3": -1, "4": -1}
    script: list[Action] = [
        (0, "play", []),
        (1_280, "seek", [2 * rate + 1]),
        (rate // 2 // 128 * 128, "loop", [2 * rate, 2 * rate + rate // 9]),
        (rate // 128 * 128, "gains", [{track: gain / 3 for track, gain in null.items()}]),
        (3 * rate // 2 // 128 * 128, "pause", []),
        (3 * rate // 2 // 128 * 128 + 12_800, "play", []),
    ]
    told = render(page, (rate, 4 * rate, channels, 5), 2 * rate + 12_800, script, before=[["gains", [null]]])
    assert np.abs(told["heard"]).max() < SILENCE
    alone = render(page, (rate, 4 * rate, channels, 5), rate, [(0, "play", [])], before=[["gains", [{"1": 0}]]])
    assert np.abs(alone["heard"]).max() > 0.1


def test_a_gain_moves_without_a_jump(page: "Page") -> None:
    load(page)
    page.evaluate("() => { Noise.prototype.value = () => 0.5; }")
    script: list[Action] = [(0, "play", []), (2_560, "gains", [{"0": -1}]), (2_688, "gains", [{"0": 0.25}])]
    heard = render(page, (8_000, 80_000, 1, 1), 8_064, script)["heard"][0][80:]
    assert np.abs(np.diff(heard)).max() <= 0.5 * 2 / 40 + ROUNDING
    assert heard[0] == 0.5
    assert heard.min() == pytest.approx(-0.5)
    assert heard[-1] == pytest.approx(0.125)


def test_a_track_comes_in_step_with_the_others_and_costs_nothing_before(page: "Page") -> None:
    load(page)
    rate, length = 8_000, 40_064
    script: list[Action] = [(0, "play", []), (16_000, "use", [[1, 2]]), (28_800, "use", [[2]])]
    told = render(page, (rate, 90_000, 1, 3), length, script, before=[["use", [[1]]]])
    assert 0 not in {track for track, _, _ in told["asked"]}
    clock = np.arange(length) - 80
    enters, leaves = 16_000, 28_800
    rise = np.clip((clock - enters) / 40, 0, 1)
    expected = noise(1, 0, clock) * (1 - np.clip((clock - leaves) / 40, 0, 1)) + noise(2, 0, clock) * rise
    assert np.abs(told["heard"][0] - np.where(clock < 0, 0, expected)).max() < ROUNDING


def test_samples_that_come_too_late_stop_all_tracks_and_none_is_left_behind(page: "Page") -> None:
    load(page)
    # Of the second chunk, the first track's samples arrive in time, and those of the others do not.
    script: list[Action] = [(0, "hold", [4]), (0, "play", []), (16_000, "use", [[0, 1, 2]]), (24_064, "release", [])]
    told = render(page, (8_000, 80_000, 1, 3), 40_064, script)
    first, second = np.arange(8_000), np.arange(40_064 - 24_144)
    expected = np.zeros(40_064)
    expected[80:8_080] = 2 * noise(1, 0, first) + 2 * noise(2, 0, first)
    expected[8_040:8_080] *= 1 - fades(40)
    expected[24_144:] = 2 * noise(1, 0, 8_000 + second) + 2 * noise(2, 0, 8_000 + second)
    expected[24_144:24_184] *= fades(40)
    assert np.abs(told["heard"][0] - expected).max() < ROUNDING
    assert [detail for name, detail in told["said"] if name == "starved"] == [True, False]


def test_samples_of_a_place_that_was_left_are_never_heard(page: "Page") -> None:
    load(page)
    script: list[Action] = [(0, "hold", [0]), (0, "play", []), (1_280, "seek", [50_000]), (2_560, "seek", [60_000])]
    told = render(page, (8_000, 80_000, 1, 1), 8_064, [*script, (2_688, "release", [])])
    heard = told["heard"][0]
    assert not heard[:2_768].any()
    assert np.array_equal(heard[2_808:], noise(0, 0, 60_040 + np.arange(8_064 - 2_808)).astype(np.float32))
    paused = render(page, (8_000, 80_000, 1, 1), 8_064, [*script, (2_688, "pause", []), (2_688, "release", [])])
    assert not paused["heard"].any()
    assert (paused["position"], paused["playing"]) == (60_000, False)


def test_the_song_ends_with_its_last_sample_and_begins_anew(page: "Page") -> None:
    load(page)
    told = render(page, (8_000, 4_001, 1, 1), 16_000, [(0, "play", []), (6_400, "fill", []), (8_960, "play", [])])
    once = noise(0, 0, np.arange(4_001))
    expected = np.zeros(16_000)
    expected[80:4_081] = once
    expected[9_040:13_041] = once
    assert np.array_equal(told["heard"][0], expected)
    assert [detail for _, detail in told["said"]] == ["play", "end", "play", "end"]
    assert (told["position"], told["playing"]) == (4_001, False)


@pytest.mark.parametrize("given", ["throw new Error('the disk is gone')", "return [new Float32Array(7)]"])
def test_a_source_that_fails_pauses_the_player_and_says_why(page: "Page", given: str) -> None:
    load(page)
    page.evaluate(f"() => {{ Noise.prototype.block = async () => {{ {given}; }}; }}")
    told = render(page, (8_000, 80_000, 1, 1), 1_280, [(0, "seek", [900]), (0, "play", [])])
    (reason,) = [detail for name, detail in told["said"] if name == "failed"]
    assert reason == "the disk is gone" or "track 0" in reason
    assert (told["playing"], told["position"]) == (False, 900)


def test_positions_and_loops_are_whole_and_within_the_song(page: "Page") -> None:
    load(page)
    told = page.evaluate("""() => {
        const piece = pieceOf(8000, 1000, 1, 1);
        const [player] = playerOf(new OfflineAudioContext(1, 128, 8000), piece);
        const after = (action) => { action(); return [player.position, player.looped]; };
        const refused = (action) => { try { action(); } catch (error) { return error instanceof RangeError; } };
        return [
            after(() => player.seek(12.6)), after(() => player.seek(-5)), after(() => player.seek(1e9)),
            after(() => player.loop(900.4, 20)), after(() => player.loop(500, 500)), after(() => player.loop(1e9, 1e9)),
            after(() => player.loop(null)),
            (player.loop(3, 4), null),
            refused(() => player.seek(NaN)), refused(() => player.loop(0, undefined)),
            refused(() => player.gains({ 0: NaN })), refused(() => player.gains({ 7: 1 })),
            player.looped,
        ];
    }""")
    assert told[:3] == [[13, None], [0, None], [1_000, None]]
    assert told[3:7] == [[20, [20, 900]], [20, [500, 501]], [20, [999, 1_000]], [20, None]]
    assert told[8:] == [True, True, True, True, [3, 4]]


@pytest.mark.parametrize("channels", [1, 3, 5, 6, 7, 8, 9])
def test_two_speakers_play_all_that_is_in_front(page: "Page", channels: int) -> None:
    """Vocals are often in the centre alone, the third channel: it must not get lost for want of a speaker."""
    load(page)
    page.evaluate("() => { Noise.prototype.value = (_, channel) => [1, 2, 4][channel] ?? 0; }")
    heard = page.evaluate(
        """async (channels) => {
        const context = new OfflineAudioContext(2, 800, 8000);
        const [player] = playerOf(context, pieceOf(8000, 800, channels, 1));
        await player.play();
        const sound = await context.startRendering();
        return [0, 1].map((side) => sound.getChannelData(side)[400]);
    }""",
        channels,
    )
    centre = 4 * 2**-0.5
    expected = {1: [1, 1], 9: [1 + centre, 2]}.get(channels, [1 + centre, 2 + centre])
    assert heard == pytest.approx(expected)


def test_chunks_join_without_a_gap_where_the_browser_converts_the_rate(page: "Page") -> None:
    load(page)
    page.evaluate("() => { Noise.prototype.value = () => 0.5; }")
    lowest = page.evaluate("""async () => {
        const context = new OfflineAudioContext(1, 240000, 48000);
        const [player] = playerOf(context, pieceOf(44100, 441000, 1, 1));
        player.loop(50000, 60001);
        await player.play();
        await player.fill();
        const sound = await context.startRendering();
        return sound.getChannelData(0).slice(600).reduce((least, sample) => Math.min(least, sample), 1);
    }""")
    assert lowest == 0.5


def test_a_page_with_a_sound_card_hears_what_the_position_says(page: "Page") -> None:
    load(page)
    told = page.evaluate("""async () => {
        const { context, exact } = contextFor(8000);
        const [player, said] = playerOf(context, pieceOf(8000, 4000, 1, 2));
        const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
        const ended = new Promise((resolve) => player.addEventListener("state", (event) => {
            if (event.detail === "end") resolve();
        }));
        player.seek(100);
        await player.play();
        const playing = player.playing;
        const seen = [player.position];
        for (let n = 0; n < 10; n += 1) { await wait(0.02); seen.push(player.position); }
        await ended;
        const atEnd = [player.position, player.playing];
        player.loop(1000, 1200);
        await player.play();
        await wait(0.4);
        const inLoop = player.position;
        player.pause();
        const paused = player.position;
        await wait(0.05);
        player.close();
        await context.close();
        return { exact, seen, playing, atEnd, inLoop, paused, still: player.position, said };
    }""")
    seen = told["seen"]
    assert told["exact"]
    assert told["playing"]
    assert seen == sorted(seen)
    assert 100 <= seen[0] < seen[-1] <= 4_000
    assert told["atEnd"] == [4_000, False]
    assert 1_000 <= told["inLoop"] < 1_200
    assert told["paused"] == told["still"]
    assert "failed" not in {name for name, _ in told["said"]}


def test_a_rate_that_the_browser_refuses_is_admitted(page: "Page") -> None:
    load(page)
    rates = [8_000, 44_100, 48_000, 96_000, 192_000, 10]
    assert page.evaluate("(rates) => rates.map((rate) => contextFor(rate).exact)", rates) == 5 * [True] + [False]
