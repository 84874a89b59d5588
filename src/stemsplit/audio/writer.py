"""Stems to files of exactly the format asked for."""

import os
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile

from stemsplit.audio.conversion import Block
from stemsplit.audio.decoders import BLOCK_FRAMES, native, reason
from stemsplit.errors import AudioError

FORMATS = ("wav", "flac", "ogg", "mp3")
BIT_DEPTHS = ("16", "24", "32f")

MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}
RIFF_LIMIT = 4_000_000_000
"""Bytes from which on a WAV file is written as RF64: RIFF counts in 32 bits."""


def unsupported(format_: str, bit_depth: str | None, sample_rate: int, channels: int) -> str:
    """Why a format cannot hold a song; empty if it can."""
    if bit_depth is not None and format_ in ("ogg", "mp3"):
        return f"{format_} has no bit depth; leave out --bit-depth"
    if bit_depth == "32f" and format_ == "flac":
        return "flac holds 16 or 24 bits, not floating point; use wav, or --bit-depth 24"
    most = {"wav": 1024, "flac": 8, "ogg": 255, "mp3": 2}[format_]
    if channels > most:
        return f"{format_} holds at most {most} channels, not {channels}; use wav"
    # Beyond 200 kHz libsndfile's Vorbis encoder does not refuse but crashes.
    rates = {"wav": range(1, 1 << 31), "flac": range(1, 655_351), "ogg": range(6_000, 200_001), "mp3": MP3_RATES}
    if sample_rate not in rates[format_]:
        return f"{format_} cannot hold a sample rate of {sample_rate} Hz; use wav"
    return ""


def bytes_per_sample(format_: str, bit_depth: str | None) -> int:
    """An upper bound on what one sample of one channel takes in a file."""
    if format_ in ("ogg", "mp3"):
        return 1
    return {"16": 2, "24": 3, "32f": 4}[bit_depth or ("32f" if format_ == "wav" else "24")]


def forget_time(path: Path) -> None:
    """Take the time of writing out of a float WAV's PEAK chunk, so that the same samples give the same bytes."""
    with path.open("r+b") as file:
        header, _, _ = file.read(4096).partition(b"data")
        chunk = header.find(b"PEAK")
        if chunk >= 0:
            file.seek(chunk + 12)  # name, size, version, then the time
            file.write(bytes(4))


class Writer:
    """Writes blocks (channels, samples) to a file of exactly the format asked for.

    16-bit files are dithered (triangular, 2 LSB wide, the same noise for the same file name); samples beyond full scale
    are clipped and counted, never rescaled.

    Args:
        path: file to write.
        format_: one of `FORMATS`.
        bit_depth: one of `BIT_DEPTHS`, or None for 32-bit float wav, 24-bit flac.
        sample_rate: Hz.
        channels: how many.
        frames: samples that will be written, for choosing a container that can count them.

    Attributes:
        clipped: samples beyond full scale so far, in files that cannot hold them.

    Raises:
        AudioError: the file cannot be written.
    """

    def __init__(
        self, path: Path, format_: str, bit_depth: str | None, sample_rate: int, channels: int, frames: int
    ) -> None:
        self.path, self.clipped, self.frames = path, 0, 0
        self.bits = None if format_ in ("ogg", "mp3") else bit_depth or ("32f" if format_ == "wav" else "24")
        container, options = format_.upper(), {}
        if format_ == "wav" and frames * channels * bytes_per_sample(format_, bit_depth) > RIFF_LIMIT:
            container = "RF64"
        if format_ == "mp3":
            options = {"bitrate_mode": "CONSTANT", "compression_level": 0.0}  # 320 kbit/s where the rate allows it
        elif format_ == "ogg":
            options = {"compression_level": 0.2}  # about 270 kbit/s for dense stereo
        subtype = SUBTYPES.get(self.bits or "")
        # Always the same for a stem, and another for each: the same noise in all would add up in their sum.
        self.noise = np.random.default_rng(zlib.crc32(os.fsencode(path.name)))
        try:
            self.file = soundfile.SoundFile(
                native(path), "w", sample_rate, channels, subtype, format=container, **options
            )
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError(f"cannot write {path} ({reason(error)})") from error

    @property
    def exact(self) -> bool:
        """Whether `write` returns what the file holds: lossy formats cannot tell."""
        return self.bits is not None

    def _stored(self, block: Block) -> Block:
        """What the file will hold of a block, as float32; lossy formats aside."""
        if not np.isfinite(block).all():
            raise AudioError(
                f"cannot write {self.path.name} (the model gave a sample that is not a number or infinite)"
            )
        if self.bits == "32f":
            return block
        if self.bits is None:
            # Also because LAME aborts the whole process on what is far beyond.
            self.clipped += int((np.abs(block) > 1).sum())
            return np.clip(block, -1, 1)
        scale = 1 << (int(self.bits) - 1)
        levels = block.astype(np.float64) * scale
        self.clipped += int(((levels < -scale) | (levels > scale)).sum())
        if self.bits == "16":
            levels += self.noise.random(block.shape) - self.noise.random(block.shape)
        return (np.clip(np.round(levels), -scale, scale - 1) / scale).astype(np.float32)

    def write(self, block: Block) -> Block:
        """Append a block.

        Returns:
            The block as the file holds it, quantised and clipped (for lossy formats, as it goes into the encoder).
        """
        stored = self._stored(block)
        for start in range(0, stored.shape[1], BLOCK_FRAMES):
            part = np.ascontiguousarray(stored[:, start : start + BLOCK_FRAMES].T)
            if self.bits in ("16", "24"):
                # Left-aligned integers: libsndfile keeps exactly the bits that the file has.
                exact = np.round(part.astype(np.float64) * (1 << 31)).astype(np.int64)
                part = exact.astype(np.int32)
            try:
                self.file.write(part)
            except (soundfile.SoundFileError, OSError) as error:
                raise AudioError(f"cannot write {self.path} ({reason(error)}); is the disk full?") from error
        self.frames += stored.shape[1]
        return stored

    def abandon(self) -> None:
        """Let go of the file, whole or not."""
        with suppress(soundfile.SoundFileError, OSError):
            self.file.close()

    def close(self) -> None:
        """Finish the file and make sure that it is whole.

        Raises:
            AudioError: it is not, as on a full disk.
        """
        try:
            self.file.close()
            if self.bits == "32f":
                forget_time(self.path)
            found = soundfile.info(native(self.path)).frames
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError(f"cannot finish {self.path} ({reason(error)}); is the disk full?") from error
        if found != self.frames:
            raise AudioError(f"{self.path} holds {found} of {self.frames} samples; is the disk full?")
