"""What a player has to play, sample for sample, and what a browser renders of it."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import stemsplit

if TYPE_CHECKING:
    from playwright.sync_api import Page

SCRIPTS = Path(stemsplit.__file__).parent / "listening" / "page"

Action = tuple[int, str, list[Any]]
"""When (a sample of the clock, a multiple of 128), which method of the player, and what it is given."""


def load(page: "Page", *names: str) -> None:
    """Load scripts of the page, and the noise, into an empty page."""
    for name in names or ("timeline.js", "deck.js", "speakers.js", "player.js"):
        page.add_script_tag(path=SCRIPTS / name)
    page.add_script_tag(path=Path(__file__).with_name("noise.js"))


def render(page: "Page", song: Sequence[int], length: int, script: Sequence[Action], **more: Any) -> dict[str, Any]:
    """Return what a browser renders of a song (rate, frames, channels, tracks) while a script runs."""
    told = page.evaluate(
        "([song, length, script, before]) => rendered(pieceOf(...song), length, script, before)",
        [list(song), length, [list(step) for step in script], more.get("before", [])],
    )
    assert isinstance(told, dict)
    told["heard"] = np.stack([np.frombuffer(base64.b64decode(channel), np.float32) for channel in told["heard"]])
    return told


def noise(track: int, channel: int, samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return samples of a track, as noise.js makes them."""
    x = (samples + (track + 1) * 0x9E3779B1 + (channel + 1) * 0x85EBCA6B).astype(np.uint32)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return ((x ^ (x >> np.uint32(16))) >> np.uint32(14)) / 2**20 - 0.125


@dataclass
class Stretch:
    """What is heard without a break.

    Args:
        began: first sample of the clock.
        path: sample of the song at each sample of the clock.
        faded: how many samples are heard before it fades out; None if it does not.
    """

    began: int
    path: list[int] = field(default_factory=list)
    faded: int | None = None

    @property
    def end(self) -> int:
        """Sample of the clock after the last."""
        return self.began + len(self.path)

    def gain(self, fade: int) -> NDArray[np.float64]:
        """Return the gain of each sample: it rises unless the song begins there, and falls where it is faded out."""
        times = np.arange(len(self.path) + 1)
        gain = np.minimum(times / fade, 1) if self.path[0] > 0 else np.ones(len(times))
        if self.faded is not None:
            gain[self.faded :] = gain[self.faded] * np.maximum(1 - (times[self.faded :] - self.faded) / fade, 0)
        return gain[:-1]


class Listener:
    """Follows a script one sample after another, as plainly as it can be said, for a song of one track.

    Args:
        rate: Hz.
        frames: length of the song.
    """

    def __init__(self, rate: int, frames: int) -> None:
        self.frames = frames
        self.lead, self.fade = math.ceil(0.01 * rate), math.ceil(0.005 * rate)
        self.loop: tuple[int, int] | None = None
        self.position = 0
        self.playing = False
        self.stretches: list[Stretch] = []

    def start(self, at: int) -> None:
        """Begin a stretch."""
        self.playing = True
        self.stretches.append(Stretch(at + self.lead))

    def advance(self, loop: tuple[int, int] | None) -> None:
        """Hear one sample, and go to the next one."""
        if self.position < self.frames:
            self.stretches[-1].path.append(self.position)
            self.position += 1
            if loop and self.position == loop[1]:
                self.position = loop[0]

    def until(self, clock: int) -> None:
        """Play until a sample of the clock."""
        while self.playing and self.stretches[-1].end < clock + self.lead and self.position < self.frames:
            self.advance(self.loop)
        if self.playing and self.position == self.frames:
            self.playing = bool(self.stretches[-1].path) and self.stretches[-1].end > clock

    def stop(self, loop: tuple[int, int] | None) -> None:
        """Fade out; the position stays."""
        position = self.position
        self.stretches[-1].faded = len(self.stretches[-1].path)
        for _ in range(self.fade):
            self.advance(loop)
        self.position, self.playing = position, False

    def does(self, at: int, method: str, given: Sequence[Any]) -> None:
        """Do one step of a script."""
        self.until(at)
        playing, loop = self.playing, self.loop
        if method == "loop":
            self.loop = None if given[0] is None else (given[0], given[1])
            if self.loop and self.position >= self.loop[1]:
                method, given = "seek", [self.loop[0]]
        if playing and method in ("pause", "seek"):
            self.stop(loop)
        if method == "seek":
            self.position = given[0]
        if method == "play" and not playing:
            self.position %= self.frames
        if (method == "play" and not playing) or (method == "seek" and playing):
            self.start(at)

    def hears(self, script: Sequence[Action], length: int, channel: int) -> NDArray[np.float64]:
        """Return what one channel has to sound like."""
        for step in script:
            self.does(*step)
        self.until(length)
        sound = np.zeros(length + self.lead + self.fade)
        for one in self.stretches:
            if one.path:
                sound[one.began : one.end] += one.gain(self.fade) * noise(0, channel, np.asarray(one.path))
        return sound[:length]


def fades(length: int) -> NDArray[np.float64]:
    """Return the gains of a fade-in."""
    return np.arange(length) / length
