"""Encodes short excerpts of sound, each on its own, as browsers decode them: FLAC or Opus, in memory."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from stemsplit.audio.containers.ogg import renumber
from stemsplit.audio.conversion import Block
from stemsplit.audio.libsndfile import opened, reason
from stemsplit.choices import PageAudio
from stemsplit.errors import AudioError

RATE = 48_000
"""Sample rate in Hz that every encoded excerpt says it has. Opus has no other; FLAC keeps the same samples at any."""

BITS = 24
"""Bits of a sample in FLAC, even of sound that has 16: FLAC spends nothing on bits that are always zero, and Chromium
scales positive and negative samples of 16 bits by different factors.
"""

OPUS_LEVEL = 0.77
"""libsndfile's level of compression for Opus: about 64 kbit/s for each channel."""

OPUS_BITRATE = round((1 - OPUS_LEVEL) * 250_000 + 6_000)
"""Bits per second of each channel that libsndfile asks the encoder for at this level."""


def unavailable(audio: PageAudio) -> str:
    """Say why this machine's libsndfile cannot encode excerpts; the text is empty if it can."""
    if audio == PageAudio.opus and "OPUS" not in soundfile.available_subtypes("OGG"):
        return "the installed libsndfile cannot write Opus; try --page-audio flac"
    return ""


def headroom(samples: Block) -> float:
    """Return the smallest power of two, at least 1, by which samples (c, t) must be divided so that none is clipped."""
    scale, factor = float(1 << (BITS - 1)), 1.0
    highest, lowest = float(samples.max(initial=0)), float(samples.min(initial=0))
    while np.rint(highest / factor * scale) > scale - 1 or np.rint(lowest / factor * scale) < -scale:
        factor *= 2
    return factor


def encoded(samples: Block, audio: PageAudio) -> tuple[bytes, float]:
    """Encode an excerpt; the same samples always give the same bytes.

    Args:
        samples: (c, t), one or two channels, as if at 48 kHz.
        audio: codec.

    Returns:
        The file's content; and the gain, a power of two, to apply to the samples once they are decoded.

    Raises:
        AudioError: the encoder failed.
    """
    gain, file = headroom(samples), io.BytesIO()
    frames = samples.T / np.float32(gain)
    try:
        if audio == PageAudio.opus:
            options: dict[str, Any] = {"subtype": "OPUS", "format": "OGG", "compression_level": OPUS_LEVEL}
            written: npt.NDArray[Any] = np.ascontiguousarray(frames)
        else:
            options = {"subtype": f"PCM_{BITS}", "format": "FLAC"}
            # Left-aligned integers: libsndfile keeps exactly the bits that the file has.
            levels = np.rint(frames * np.float64(1 << (BITS - 1)))
            written = np.ascontiguousarray(levels.astype(np.int32) << (32 - BITS))
        with opened(file, "w", RATE, samples.shape[0], **options) as sound:
            sound.write(written)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"cannot encode sound as {audio} ({reason(error)}); try the other --page-audio") from error
    if audio == PageAudio.opus:
        renumber(file, 0)
    return file.getvalue(), gain
