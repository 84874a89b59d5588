"""Gives samples the losses of a lossy format: encodes and decodes them in memory."""

import io

import numpy as np
import soundfile

from stemsplit.audio.conversion import Block
from stemsplit.errors import AudioError

MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates in Hz that MP3 can hold."""

HIGHEST_RATE = 200_000
"""Highest sample rate in Hz that Vorbis can hold. At higher ones, libsndfile 1.2 does not refuse, it crashes."""

ROOM = 0.9
"""Peak to which louder samples are lowered while they are coded, because MP3 clips at full scale."""


def as_if_coded(samples: Block, sample_rate: int, codec: str, loss: float) -> Block:
    """Return samples as they come out of a lossy file.

    Args:
        samples: (c, t), one or two channels.
        sample_rate: Hz.
        codec: `mp3` or `vorbis`; what MP3 cannot hold is coded as Vorbis.
        loss: from 0, the best quality of the encoder (about 245 kbit/s at 44.1 kHz in stereo), to 1, its worst.

    Returns:
        (c, t), in place: neither later nor earlier.

    Raises:
        AudioError: libsndfile cannot code them, as one without MP3, or no format holds that sample rate.
    """
    advice = "leave out the augmentation codec"
    if sample_rate > HIGHEST_RATE:
        raise AudioError(f"no lossy format holds {sample_rate} Hz; {advice}")
    peak = max(float(np.abs(samples).max(initial=0.0)), ROOM)
    stream = io.BytesIO()
    kind = ("MP3", "MPEG_LAYER_III") if codec == "mp3" and sample_rate in MP3_RATES else ("OGG", "VORBIS")
    frames = np.ascontiguousarray(samples.T * (ROOM / peak))
    try:
        # libsndfile refuses 1 itself.
        soundfile.write(stream, frames, sample_rate, kind[1], format=kind[0], compression_level=min(loss, 0.99))
        stream.seek(0)
        decoded, _ = soundfile.read(stream, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, ValueError) as error:  # ValueError: a format that it does not know
        raise AudioError(f"cannot code samples as {kind[0]} ({error}); {advice}") from error
    result = np.zeros_like(frames)
    result[: len(decoded)] = decoded[: len(frames)]
    return np.ascontiguousarray(result.T) * np.float32(peak / ROOM)
