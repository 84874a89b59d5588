"""Writes audio files of exactly the format that was asked for."""

import errno
import math
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import soundfile

from stemsplit.audio.bitrates import default_aac, encoder_options
from stemsplit.audio.channels.positions import place_for_mask, write_mask
from stemsplit.audio.channels.speakers import in_vorbis, mask
from stemsplit.audio.containers.ogg import renumber
from stemsplit.audio.containers.riff import forget_time
from stemsplit.audio.conversion import Block, Resampler
from stemsplit.audio.encoder import Encoder
from stemsplit.audio.formats import BY_FFMPEG, VORBIS_ORDER, Format
from stemsplit.audio.libsndfile import opened, reason
from stemsplit.audio.source import BLOCK_FRAMES
from stemsplit.audio.tagging.values import KEYS, cleaned
from stemsplit.audio.tagging.writing import plain, write_tags
from stemsplit.choices import BitDepth, FormatName
from stemsplit.disk.folder import flush
from stemsplit.errors import AudioError

SUBTYPES: dict[str | None, str] = {BitDepth.b16: "PCM_16", BitDepth.b24: "PCM_24", BitDepth.b32f: "FLOAT"}
FULL = {errno.ENOSPC, errno.EDQUOT}
"""The system's errors for a disk that is full, or as full as this user may make it."""

RIFF_LIMIT = 4_000_000_000
"""Bytes above which a WAV file is written as RF64, because RIFF counts in 32 bits."""


LARGER = "it is larger than the disk, or `ulimit -f`, allows"


def _cause(error: Exception, stream: IO[bytes]) -> OSError | None:
    """Return the system's error behind one of libsndfile's, which does not tell: write to the file's end once more."""
    if isinstance(error, OSError):
        return error
    try:
        os.lseek(stream.fileno(), 0, os.SEEK_END)
        os.write(stream.fileno(), b"\0")
    except OSError as cause:
        return cause
    except ValueError:  # the file is closed
        return None
    return None


def _told(error: Exception, stream: IO[bytes], name: str) -> str:
    """Return why writing a file failed, and what to do; the file is given up and may be written to."""
    cause = _cause(error, stream)
    if cause and (cause.errno == errno.EFBIG or "too large" in str(cause)):
        return f"; {LARGER}; {'try --format flac, or ' if name == FormatName.wav else ''}choose another disk with -o"
    if cause and cause.errno:
        return f" ({cause.strerror}); {'is the disk full?' if cause.errno in FULL else 'try another disk with -o'}"
    failed = isinstance(error, ChildProcessError) and "space" not in str(error)
    return f" ({reason(error)}); {'choose another --format' if failed else 'is the disk full?'}"


class Writer:
    """Writes blocks (channels, samples) to a file of exactly the format that was asked for.

    16-bit files are dithered (triangular, 2 LSB wide, the same noise for the same file name); samples beyond full scale
    are clipped and counted, never rescaled. The same samples and file name always give the same bytes, in blocks of any
    size and in any thread. One thread at a time may use a writer. The file has the sample rate and the channels that
    `Format.rate` and `Format.channels` say: samples are resampled, and mono is written twice, where they differ.

    Args:
        path: file to write; an existing file is replaced.
        file_format: format of the file.
        sample_rate: sample rate of the blocks in Hz.
        channels: number of channels of the blocks.
        frames: number of samples per channel that will be written, for choosing a container that can count them.
        tags: tags of the file, each one of `TAGS`, with one value or several.
        file: empty file, open for reading and writing, to write into; `path` is then only its name. It is closed with
            the writer.
        picture: cover art, as the content of a picture's file; empty for none.
        speakers: the speaker of each channel, which come in WAV order; empty if unknown, and for mono and stereo.

    Attributes:
        clipped: number of samples so far that were beyond full scale, in files that cannot hold them.
        peak: largest absolute sample so far, before clipping and rounding; full scale is 1.
        energy: sum of the squares of all samples so far, as `write` returned them, at the sample rate of the blocks.
        size: size of the file in bytes, once it is closed.

    Raises:
        AudioError: the file cannot be written.
        ValueError: a tag's name is unknown.
    """

    def __init__(
        self,
        path: Path,
        file_format: Format,
        sample_rate: int,
        channels: int,
        frames: int,
        tags: Mapping[str, str | Iterable[str]] | None = None,
        file: IO[bytes] | None = None,
        picture: bytes = b"",
        speakers: Sequence[str] = (),
    ) -> None:
        if unknown := set(tags or ()) - set(KEYS):
            raise ValueError(f"no tag is named {min(unknown)!r}; there are {', '.join(KEYS)}")
        if file_format.name == FormatName.aiff and (
            refused := file_format.refusal(sample_rate, channels, speakers, frames)
        ):
            raise AudioError(f"cannot write {path}: {refused}")
        self.path, self.format, self.tags, self.picture = path, file_format, cleaned(tags or {}), picture
        self.clipped, self.frames, self.peak, self.energy, self.size = 0, 0, 0.0, 0.0, 0
        name, self.bits = file_format.name, file_format.depth
        container, options = name.upper(), dict[str, Any]()
        if name == FormatName.wav and frames * channels * file_format.bytes_per_sample > RIFF_LIMIT:
            container = "RF64"
        elif name == FormatName.wav and speakers:
            container = "WAVEX"
        elif name == FormatName.opus:
            container = "OGG"
        if name in (FormatName.mp3, *VORBIS_ORDER):
            options = encoder_options(name, file_format.bitrate, sample_rate, channels)
        self.speakers, self.order = tuple(speakers), list(range(channels))
        if name in VORBIS_ORDER:
            self.order = in_vorbis(channels, speakers) or self.order
        elif channels == 1:
            self.order *= file_format.channels(1)
        subtype = "OPUS" if name == FormatName.opus else SUBTYPES.get(self.bits)
        rate = file_format.rate(sample_rate)
        self.speed = rate / sample_rate
        self.resampler = Resampler(sample_rate, rate, channels) if rate != sample_rate else None
        channels = len(self.order)
        # Always the same for a stem, and another for each: the same noise in all would add up in their sum.
        self.seed = zlib.crc32(os.fsencode(path.name))
        self.noise = np.random.default_rng(self.seed)
        # Always handed on in blocks of this size, because the Vorbis encoder's output depends on it.
        self.waiting, self.filled = np.empty((BLOCK_FRAMES, channels), np.float32), 0
        try:
            self.stream = file or path.open("w+b")
            if name in BY_FFMPEG:
                kbit, bits = int(file_format.bitrate or default_aac(rate, channels)), int(self.bits or 0)
                self.file: Any = Encoder(self.stream, path, rate, channels, kbit, mask(speakers), bits)
            else:
                self.file = self._opened("w", rate, channels, subtype, format=container, **options)
            if place := place_for_mask(name, channels, self.speakers):
                self.file.license = place
            for key, text in plain(name, self.tags).items():
                setattr(self.file, key, text)
        except (soundfile.SoundFileError, OSError) as error:
            self.abandon()
            raise AudioError(f"cannot write {path} ({reason(error)})") from error

    def _opened(self, *args: Any, **options: Any) -> soundfile.SoundFile:
        """Open the file with libsndfile, at its beginning."""
        self.stream.flush()
        if os.name == "nt":  # where libsndfile cannot be handed a descriptor
            self.stream.seek(0)
            return opened(self.stream, *args, **options)
        os.lseek(self.stream.fileno(), 0, os.SEEK_SET)
        return opened(self.stream.fileno(), *args, closefd=False, **options)

    @property
    def exact(self) -> bool:
        """Whether `write` returns exactly what the file holds of each block; for lossy formats, it cannot."""
        return self.bits is not None and self.resampler is None

    def _stored(self, block: Block) -> Block:
        """Return a block as the file will hold it, in float32; for lossy formats, only clipped."""
        peak = float(np.abs(block).max(initial=0))  # NaN if any sample is NaN
        if not math.isfinite(peak):
            raise AudioError(
                f"cannot write {self.path.name} (the model gave a sample that is not a number or infinite)"
            )
        self.peak = max(self.peak, peak)
        if self.bits == BitDepth.b32f:
            return block
        if peak > 1:
            self.clipped += int((np.abs(block) > 1).sum())
        if self.bits is None:
            return np.clip(block, -1, 1)  # also because LAME aborts the whole process on what is far beyond
        # In single precision, which holds 24 bits; one array all along, as new memory costs more than arithmetic.
        scale = 1 << (int(self.bits) - 1)
        levels = block * np.float32(scale)
        if self.bits == BitDepth.b16:
            # Sample after sample, so that it does not depend on where blocks end. A draw gives four numbers of 16 bits.
            channels, frames = block.shape
            draws = self.noise.integers(0, 1 << 64, (frames, -(-channels // 2)), np.uint64).view(np.int16)
            numbers = draws[:, : 2 * channels].astype(np.float32)
            levels += (numbers[:, ::2] - numbers[:, 1::2]).T / np.float32(1 << 16)
        np.clip(np.rint(levels, out=levels), -scale, scale - 1, out=levels)
        return np.divide(levels, np.float32(scale), out=levels)

    def _hand_on(self) -> None:
        """Hand the waiting samples to libsndfile."""
        part = self.waiting[: self.filled]
        if self.bits in (BitDepth.b16, BitDepth.b24):
            # Left-aligned integers: libsndfile keeps exactly the bits that the file has.
            part = (part * np.float32(1 << 31)).astype(np.int32)
        self.file.write(part)
        self.filled = 0

    def write(self, block: Block) -> Block:
        """Append a block.

        Returns:
            The block as the file holds it, quantised and clipped (for lossy formats, as it goes into the encoder). If
            it is resampled, what is ready so far.
        """
        return self._append(block if self.resampler is None else self.resampler(block))

    def _append(self, block: Block) -> Block:
        """Append a block that has the sample rate of the file, and return it as the file holds it."""
        stored = self._stored(block)
        self.energy += float(np.square(stored, dtype=np.float64).sum()) / self.speed
        done, size = 0, stored.shape[1]
        while done < size:
            step = min(BLOCK_FRAMES - self.filled, size - done)
            # One by one: to transpose them together takes four times as long.
            for place, channel in enumerate(self.order):
                self.waiting[self.filled : self.filled + step, place] = stored[channel, done : done + step]
            self.filled, done = self.filled + step, done + step
            if self.filled == BLOCK_FRAMES:
                try:
                    self._hand_on()
                except (soundfile.SoundFileError, OSError) as error:
                    raise AudioError(
                        f"cannot write {self.path}{_told(error, self.stream, self.format.name)}"
                    ) from error
        self.frames += size
        return stored

    def abandon(self) -> None:
        """Close the file, whether it is whole or not."""
        for name in ("file", "stream"):
            with suppress(soundfile.SoundFileError, OSError, AttributeError):
                held = getattr(self, name)
                held.kill() if isinstance(held, Encoder) else held.close()

    def _found(self) -> int:
        """Return the number of samples per channel that the finished file holds."""
        if isinstance(self.file, Encoder):
            found = self.file.count()
            self.file.kill()
            return found
        with self._opened() as file:
            return int(file.frames)

    def close(self) -> None:
        """Finish the file, flush it to the disk, and check that it is whole.

        Raises:
            AudioError: it is not whole, as on a full disk.
        """
        try:
            if self.resampler is not None:
                self._append(self.resampler.rest())
            self._hand_on()
            self.file.close()
            write_mask(self.stream, self.format.name, len(self.order), self.speakers)
            write_tags(self.stream, self.format.name, self.tags, self.picture)
            if self.format.name in VORBIS_ORDER:
                renumber(self.stream, self.seed)
            elif self.bits == BitDepth.b32f:
                forget_time(self.stream)
            found = self._found()
            # No power cut may leave zeros under its name.
            flush(self.stream.fileno())
            self.size = os.fstat(self.stream.fileno()).st_size
            self.stream.close()
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError(f"cannot finish {self.path}{_told(error, self.stream, self.format.name)}") from error
        if found != self.frames:
            raise AudioError(f"{self.path} holds {found} of {self.frames} samples; is the disk full?")
