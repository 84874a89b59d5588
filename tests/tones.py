"""Songs in which each speaker plays its own tone, and what ffmpeg plays from each."""

import re
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

from tests.conftest import Samples

RATE = 44_100
NAMES = "FL FR FC LFE BL BR FLC FRC BC SL SR".split()  # noqa: SIM905
TONES = {name: 60 if name == "LFE" else 300 + 100 * place for place, name in enumerate(NAMES)}
"""Speaker -> the tone that it plays, in Hz; a subwoofer gets a low one."""


@cache
def known(ffmpeg: Path) -> dict[str, list[str]]:
    """All layouts that ffmpeg knows, with their speakers."""
    text = subprocess.run([ffmpeg, "-hide_banner", "-layouts"], capture_output=True, check=True, text=True).stdout
    return {name: speakers.split("+") for name, speakers in re.findall(r"^(\S+) +([A-Z]+\+\S+)$", text, re.M)}


def layouts(ffmpeg: Path) -> dict[str, list[str]]:
    """The layouts of 3 to 8 of our speakers that ffmpeg knows, with their speakers."""
    return {name: those for name, those in known(ffmpeg).items() if 3 <= len(those) <= 8 and {*those} <= {*TONES}}


def tones(speakers: list[str]) -> Samples:
    """Half a second in which each speaker plays its tone, (frames, channels)."""
    times = np.arange(RATE // 2) / RATE
    return np.stack([0.3 * np.sin(2 * np.pi * TONES[name] * times) for name in speakers], 1).astype(np.float32)


def made(ffmpeg: Path, layout: str, path: Path, *options: str) -> Path:
    """Encode the tones of a layout with ffmpeg."""
    those = layouts(ffmpeg)[layout]
    raw = ["-f", "f32le", "-ar", str(RATE), "-ac", str(len(those)), "-ch_layout", layout, "-i", "-"]
    command = [ffmpeg, "-v", "error", "-y", *raw, *options, path]
    subprocess.run(command, input=tones(those).tobytes(), check=True)
    return path


def heard(samples: Samples, speakers: list[str]) -> dict[str, str]:
    """Speaker -> the speaker whose tone it plays, or the frequency of what it plays instead."""
    spectrum = np.abs(np.fft.rfft(samples[RATE // 10 : RATE // 10 + RATE // 4], axis=0))
    found = {}
    for name, peak, height in zip(speakers, 4 * spectrum.argmax(0), spectrum.max(0), strict=True):
        nearest = min(TONES, key=lambda speaker: abs(TONES[speaker] - peak))
        found[name] = nearest if height > 300 and abs(TONES[nearest] - peak) < 10 else f"{peak} Hz"
    return found


def played(ffmpeg: Path, path: Path) -> dict[str, str]:
    """Speaker -> the speaker whose tone it plays, as ffmpeg decodes a file."""
    command = [ffmpeg, "-hide_banner", "-nostdin", "-i", path, "-ar", str(RATE), "-f", "f32le", "-"]
    result = subprocess.run(command, capture_output=True, check=True)
    layout = re.search(r"Stream #0:0.* Hz, ([^,]*)", result.stderr.decode())
    assert layout
    listed = re.fullmatch(r"\d channels \((.*)\)", layout[1])
    speakers = listed[1].split("+") if listed else known(ffmpeg)[layout[1]]
    return heard(np.frombuffer(result.stdout, np.float32).reshape(-1, len(speakers)), speakers)
