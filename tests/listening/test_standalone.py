"""Pages that hold the sound they play, opened from a disk in a real browser."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from stemsplit.choices import PageAudio
from stemsplit.listening import chunks, standalone
from stemsplit.listening.piece import Piece, Role, Track
from tests.conftest import Samples, noise

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SAMPLES = """async ([index, step]) => {
  const { samples, piece } = window.listening.desk;
  const channels = Array.from({ length: piece.tracks[index].channels }, () => new Float32Array(piece.frames));
  for (let start = 0; start < piece.frames; start += step) {
    const block = await samples.block(index, start, Math.min(step, piece.frames - start));
    block.forEach((part, channel) => channels[channel].set(part, start));
  }
  const text = (array) => {
    let bytes = "";
    for (const byte of new Uint8Array(array.buffer)) bytes += String.fromCharCode(byte);
    return btoa(bytes);
  };
  return [channels.map(text), Array.from(await samples.peaks(index))];
}"""
"""Reads a whole track of a page, in steps that do not fit its chunks, and its peaks."""


def tone(frames: int, channels: int, rate: int) -> Samples:
    """A deep loud tone and a soft high one, another in each channel, (frames, channels)."""
    times = np.arange(frames)[:, None] / rate
    number = np.arange(1, channels + 1)
    deep, high = np.sin(2 * np.pi * 90 * number * times), np.sin(2 * np.pi * 1_900 * times + number)
    return (0.5 * deep + 0.1 * high).astype(np.float32)


def piece(folder: Path, *tracks: Samples, rate: int = 44_100, title: str = "song") -> Piece:
    """Write tracks (frames, channels) as floats; the first is the song, and the others are its stems."""
    made = []
    for number, samples in enumerate(tracks):
        path = folder / f"{number}.wav"
        soundfile.write(path, samples, rate, subtype="FLOAT")
        role = Role.stem if number else Role.song
        made.append(Track(f"{title} {number}", path, role, samples.shape[1], stem=f"stem {number}" if number else ""))
    return Piece(title, "song", rate, len(tracks[0]), tuple(made), folder / "stemsplit.json", "0" * 64, adds_up=True)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a page with short chunks, and return its file."""
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 0.2)

    def make(of: Piece, audio: PageAudio = PageAudio.flac) -> Path:
        path = tmp_path / "listen.html"
        standalone.save(of, audio, path)
        return path

    return make


def opened(page: "Page", path: Path) -> "Page":
    page.goto(path.as_uri())
    assert page.evaluate("!!window.listening.desk")
    return page


def held(page: "Page", index: int = 0, step: int = 7_001) -> tuple[Samples, Any]:
    """The samples (frames, channels) and the peaks of a track, as the page gives them."""
    channels, peaks = page.evaluate(SAMPLES, [index, step])
    return np.stack([np.frombuffer(base64.b64decode(text), "<f4") for text in channels], -1), peaks


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (8_000, 3)])
def test_flac_gives_the_very_samples_also_beyond_full_scale(
    page: "Page", made: Callable[..., Path], tmp_path: Path, rate: int, channels: int
) -> None:
    """A float's 24 bits up to full scale, all of those that a file of 16 has; what is louder has as many bits."""
    quiet = noise(round(0.5 * rate) + 7, channels)
    coarse, loud = np.round(quiet * 2**15) / 2**15, 30 * quiet
    opened(page, made(piece(tmp_path, quiet, coarse, loud, rate=rate)))
    assert np.array_equal(held(page, 1)[0], coarse)
    for index, samples in ((0, quiet), (2, loud)):
        found, peaks = held(page, index)
        assert found.shape == samples.shape
        assert np.abs(found - samples).max() <= 2**-24 * max(2 ** np.ceil(np.log2(np.abs(samples).max())), 1)
        lowest = [np.clip(samples[first : first + 1_024].min(), -1, 1) for first in range(0, len(samples), 1_024)]
        assert np.abs(np.array(peaks[::2]) - np.array(lowest) * 32_767).max() <= 0.51


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (22_050, 1), (44_101, 1)])
def test_opus_lies_where_the_song_does_and_does_not_click(
    page: "Page", made: Callable[..., Path], tmp_path: Path, rate: int, channels: int
) -> None:
    """The second difference of a click is much larger than that of a tone and of what Opus adds.

    Where the song itself begins and ends with a click, Opus may make another of it.
    """
    song = tone(round(0.9 * rate) + 11, channels, rate)
    found, _ = held(opened(page, made(piece(tmp_path, song, rate=rate), PageAudio.opus)))
    assert found.shape == song.shape
    inner = slice(200, -200)
    for channel in range(channels):
        score = [np.dot(song[inner, channel], np.roll(found[:, channel], lag)[inner]) for lag in range(-20, 21)]
        assert int(np.argmax(score)) == 20
    assert np.square(found - song).mean() < 0.01 * np.square(song).mean()
    inner = slice(rate // 20, -rate // 20)
    usual = np.abs(np.diff(song[inner], 2, axis=0)).max()
    assert np.abs(np.diff(found[inner], 2, axis=0)).max() < 1.5 * usual


def test_a_page_opened_from_a_disk_plays_and_asks_for_nothing(
    page: "Page", made: Callable[..., Path], tmp_path: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    path = made(piece(tmp_path, noise(30_000), noise(30_000, seed=1)), PageAudio.opus)
    opened(page, path)
    page.locator("#play").click()
    page.evaluate(
        "async () => { while (listening.desk.player.position < 4000) await new Promise(requestAnimationFrame); }"
    )
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {path.as_uri()}


HOSTILE = "</script><script>window.hurt=1</script><!-- <img src=x onerror=window.hurt=1> \u2028'\"&amp;"


def test_names_are_no_markup(page: "Page", made: Callable[..., Path], tmp_path: Path) -> None:
    path = made(piece(tmp_path, noise(3_000), noise(3_000), title=HOSTILE))
    opened(page, path)
    assert page.evaluate("window.hurt") is None
    assert page.evaluate("window.listening.desk.piece.title") == HOSTILE
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("img").count() == 0


def test_no_other_script_runs(browser: "Browser", made: Callable[..., Path], tmp_path: Path) -> None:
    path = made(piece(tmp_path, noise(3_000)))
    path.write_bytes(path.read_bytes().replace(b"<header", b"<script>window.hurt=1</script><header", 1))
    page = browser.new_page()
    try:
        page.goto(path.as_uri())
        assert page.evaluate("[!!window.listening.desk, window.hurt]") == [True, None]
        refused = "async () => { try { await fetch('https://example.com'); return false; } catch { return true; } }"
        assert page.evaluate(refused)
    finally:
        page.close()


def test_a_page_is_the_same_wherever_its_stems_lie(made: Callable[..., Path], tmp_path: Path) -> None:
    found = []
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        found.append(made(piece(tmp_path / name, noise(20_000)), PageAudio.opus).read_bytes())
    assert found[0] == found[1]
    assert str(tmp_path).encode() not in found[0]


def test_a_file_that_changed_makes_no_page(made: Callable[..., Path], tmp_path: Path) -> None:
    of = piece(tmp_path, noise(20_000))
    soundfile.write(tmp_path / "0.wav", noise(19_999), 44_100)
    with pytest.raises(standalone.AudioError, match="has changed"):
        made(of)
    assert [path.name for path in tmp_path.iterdir()] == ["0.wav"]


@pytest.mark.parametrize("audio", PageAudio)
def test_the_size_is_known_before(made: Callable[..., Path], tmp_path: Path, audio: PageAudio) -> None:
    """Of dense sound; what is sparse takes less."""
    frames = 3 * 44_100
    path = made(piece(tmp_path, noise(frames), noise(frames, seed=1)), audio)
    expected = standalone.expected_size(frames, 44_100, 2, 2, audio)
    assert 0.6 < path.stat().st_size / expected < 1.6


def test_what_no_browser_plays_is_known() -> None:
    assert "browsers play" in standalone.refusal(1_000, 2)
    assert "at most 32 channels" in standalone.refusal(44_100, 33)
    assert not standalone.refusal(44_100, 6)


def test_json_in_a_page_is_the_data() -> None:
    text = standalone.in_script({"name": HOSTILE})
    assert json.loads(text) == {"name": HOSTILE}
    assert not set(text) & set("<>&\u2028")
