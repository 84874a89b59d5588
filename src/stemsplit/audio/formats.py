"""Knows the formats that can be written, what each can hold, and which keeps all of a song."""

import shutil
from collections.abc import Container, Sequence
from dataclasses import dataclass

from stemsplit.audio import bitrates, encoder
from stemsplit.audio.channels.speakers import assumed, in_vorbis, mask
from stemsplit.choices import BitDepth, FormatName

LOSSY = (FormatName.ogg, FormatName.opus, FormatName.mp3, FormatName.m4a, FormatName.stem_mp4)
"""Formats that are lossy unless `BY_FFMPEG` has them and they have a bit depth."""

BY_FFMPEG = (FormatName.m4a, FormatName.stem_mp4)
"""Formats that ffmpeg encodes: with AAC, or with Apple Lossless (ALAC) if a bit depth is asked for."""

VORBIS_ORDER = (FormatName.ogg, FormatName.opus)
"""Formats whose channels are in the order of Vorbis, which has few layouts."""

CHANNELS: dict[str, int] = {
    FormatName.wav: 1024,
    FormatName.flac: 8,
    FormatName.ogg: 255,
    FormatName.mp3: 2,
    FormatName.m4a: 8,
    FormatName.aiff: 1024,
    FormatName.opus: 255,
    FormatName.stem_mp4: 2,
}
"""Format -> the most channels that it holds."""

AAC_RATES = (7_350, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)

RATES: dict[str, Container[int]] = {
    FormatName.wav: range(1, 1 << 31),
    FormatName.flac: range(1, 655_351),
    # Above 200 kHz, libsndfile's Vorbis encoder crashes.
    FormatName.ogg: range(6_000, 200_001),
    FormatName.mp3: (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    FormatName.m4a: AAC_RATES,
    FormatName.aiff: range(1, 1 << 31),
    # Songs of other rates are resampled.
    FormatName.opus: range(1, 1 << 31),
    FormatName.stem_mp4: range(1, 1 << 31),
}
"""Format -> the sample rates of songs that it takes, in Hz."""

OPUS_RATE = 48_000
"""Sample rate of Opus in Hz. It has lower ones too, but decoders give 48 kHz."""

PLAYED_RATES = tuple(rate for rate in AAC_RATES if rate <= 48_000)
"""Sample rates of a `stem.mp4` in Hz, as DJ programs play them."""

LARGEST_AIFF = 2_000_000_000
"""Bytes of sound that an AIFF file holds, because it counts in 32 bits with a sign."""

BYTES: dict[str, int] = {BitDepth.b16: 2, BitDepth.b24: 3, BitDepth.b32f: 4}
"""Bit depth -> bytes of a sample."""

SIXTEEN = (
    "PCM_S8 PCM_U8 PCM_16 ULAW ALAW IMA_ADPCM MS_ADPCM GSM610 VOX_ADPCM NMS_ADPCM_16 NMS_ADPCM_24 NMS_ADPCM_32 "
    "G721_32 G723_24 G723_40 DPCM_8 DPCM_16 DWVW_12 DWVW_16 ALAC_16"
)
DEPTHS = {
    **dict.fromkeys(SIXTEEN.split(), BitDepth.b16),
    **dict.fromkeys(("PCM_24", "DWVW_24", "ALAC_20", "ALAC_24"), BitDepth.b24),
    # Of 32-bit integers, float keeps 25 bits: more than any converter has.
    **dict.fromkeys(("PCM_32", "ALAC_32", "FLOAT", "DOUBLE"), BitDepth.b32f),
}
"""libsndfile's name of a coding -> the smallest bit depth that keeps all of it. Codings that are not here are lossy."""


@dataclass(frozen=True, slots=True)
class Format:
    """Describes how a file holds samples: its format, its bit depth or its bitrate.

    Args:
        name: one of `FormatName`.
        bits: one of `BitDepth`; None for the format's best, and for lossy formats, which have none. With 16 or 24 bits,
            m4a and stem.mp4 are lossless (ALAC).
        bitrate: bitrate in kbit/s, as text, or quality of an mp3 (V0 to V9), as `bitrates.parsed` returns them; None
            for the default of a lossy format, and for wav, flac and aiff, which have none.
    """

    name: str
    bits: str | None = None
    bitrate: str | None = None

    @property
    def suffix(self) -> str:
        """Return the suffix of a file's name, with its dot."""
        return f".{self.name}"

    @property
    def depth(self) -> str | None:
        """Return the bit depth that a file gets; None for lossy formats."""
        if self.name in LOSSY:
            return self.bits if self.name in BY_FFMPEG else None
        return self.bits or (BitDepth.b32f if self.name == FormatName.wav else BitDepth.b24)

    @property
    def bytes_per_sample(self) -> int:
        """Return an upper bound on the bytes that one sample of one channel takes in a file."""
        return BYTES[self.depth] if self.depth else 1

    @property
    def holds_all(self) -> bool:
        """Whether one file holds the song and all of its stems."""
        return self.name == FormatName.stem_mp4

    def rate(self, sample_rate: int) -> int:
        """Return the sample rate in Hz that the files of a song of some sample rate have."""
        if self.name == FormatName.opus:
            return OPUS_RATE
        if self.name == FormatName.stem_mp4 and sample_rate not in PLAYED_RATES:
            return 44_100 if sample_rate % 11_025 == 0 else 48_000
        return sample_rate

    def frames(self, frames: int, sample_rate: int) -> int:
        """Return the samples per channel of the files of a song: as long in seconds, rounded up to a sample."""
        return -(-frames * self.rate(sample_rate) // sample_rate)

    def channels(self, channels: int) -> int:
        """Return the number of channels that the files of a song of some number of channels have."""
        return 2 if self.holds_all else channels

    def conversion(self, sample_rate: int, channels: int) -> str:
        """Say how the files differ from a song; the text is empty if they do not.

        Args:
            sample_rate: Hz.
            channels: number of channels.
        """
        rate, told = self.rate(sample_rate), []
        if rate != sample_rate:
            told.append(f"resampled from {sample_rate} to {rate} Hz")
        if self.channels(channels) != channels:
            told.append("made stereo from mono")
        return f"{self.name} is {' and '.join(told)}" if told else ""

    @property
    def contradiction(self) -> str:
        """Say why no song at all can be written in the format; the text is empty if some can."""
        if self.name in BY_FFMPEG and self.bits and self.bitrate:
            what = f"with a bit depth, {self.name} is lossless (ALAC) and has no bitrate"
            return f"{what}; leave out --bit-depth or --bitrate"
        if self.bits is not None and self.name in LOSSY and self.name not in BY_FFMPEG:
            return f"{self.name} has no bit depth; leave out --bit-depth"
        if self.bits == BitDepth.b32f and self.name in (FormatName.flac, *BY_FFMPEG):
            alac = " (as ALAC)" if self.name in BY_FFMPEG else ""
            return f"{self.name} holds 16 or 24 bits{alac}, not floating point; use wav, or --bit-depth 24"
        if self.name in BY_FFMPEG and not shutil.which("ffmpeg"):
            written = f"{self.name} is written by ffmpeg, which was not found"
            return f"{written}; install ffmpeg, or choose --format mp3, ogg or flac"
        return bitrates.contradiction(self.name, self.bitrate) if self.bitrate else ""

    def unavailable(self) -> str:
        """Say why this machine cannot write the format, after trying that; the text is empty if it can."""
        if reason := self.contradiction:
            return reason
        ffmpeg = shutil.which("ffmpeg") if self.name in BY_FFMPEG else None
        if ffmpeg and (reason := encoder.trial(ffmpeg, int(self.bits or 0))):
            failed = f"{self.name} is written by {ffmpeg}, which failed on a trial ({reason})"
            return f"{failed}; update it, or choose another --format"
        return ""

    def refusal(self, sample_rate: int, channels: int, speakers: Sequence[str] = (), frames: int | None = None) -> str:
        """Say why the format cannot hold a song; the text is empty if it can.

        Args:
            sample_rate: Hz.
            channels: number of channels.
            speakers: their speakers, as `Reader` has them; empty if unknown.
            frames: number of samples per channel; None if unknown.
        """
        if reason := self.contradiction:
            return reason
        if self.holds_all and channels > 2:
            how = "mix it down first (ffmpeg -i song.wav -ac 2 stereo.wav), or choose another --format"
            return f"{self.name} holds stereo, not {channels} channels; {how}"
        if self.name == FormatName.aiff and (frames or 0) * channels * self.bytes_per_sample > LARGEST_AIFF:
            return "aiff holds at most 2 GB, which its sound exceeds; use wav or flac"
        if channels > CHANNELS[self.name]:
            return f"{self.name} holds at most {CHANNELS[self.name]} channels, not {channels}; use wav"
        if sample_rate not in RATES[self.name]:
            return f"{self.name} cannot hold a sample rate of {sample_rate} Hz; use wav"
        if self.name in VORBIS_ORDER and in_vorbis(channels, speakers) is None:
            return f"{self.name} has no layout of channels for the speakers {' '.join(speakers)}; use wav or flac"
        if self.name not in (FormatName.wav, *VORBIS_ORDER) and speakers and not mask(speakers):
            return f"{self.name} has no layout of channels for the speakers {' '.join(speakers)}; use wav"
        if self.name == FormatName.m4a and self.bits and channels > 2:
            # ffmpeg's encoder crashes in some versions.
            return f"m4a with a bit depth (ALAC) holds at most 2 channels, not {channels}; use wav or flac"
        if not self.bitrate:
            return ""
        return bitrates.refusal(self.name, self.bitrate, self.rate(sample_rate), self.channels(channels))

    def caution(self, channels: int, speakers: Sequence[str]) -> str:
        """Say what the format makes of a song that does not say its speakers; the text is empty if it is harmless."""
        # With six channels, and no other number, the encoder takes everything but bass from the one for the subwoofer.
        taken = assumed(channels, speakers)
        if self.name not in VORBIS_ORDER or speakers or len(taken) != 6:
            return ""
        what = f"its 6 channels are taken for {' '.join(taken)}, so the fourth keeps only low frequencies"
        return f"it does not say its speakers: in {self.name}, {what}; if that is wrong, use wav"

    @classmethod
    def like(
        cls,
        container: str,
        coding: str,
        sample_rate: int,
        channels: int,
        speakers: Sequence[str] = (),
        frames: int | None = None,
    ) -> "Format":
        """Return the format that is most like a song's own and loses nothing of it.

        It is the song's own format if that can be written, else flac, or wav if flac cannot hold the samples.

        Args:
            container: libsndfile's name for the type of file.
            coding: libsndfile's name for the coding of its samples, or ffmpeg's.
            sample_rate: sample rate in Hz.
            channels: number of channels.
            speakers: their speakers, as `Reader` has them; empty if unknown.
            frames: number of samples per channel; None if unknown.
        """
        depth = DEPTHS.get(coding)
        if (container, coding) == ("OGG", "VORBIS"):
            wishes = [cls(FormatName.ogg)]
        elif (container, coding) == ("MP3", "MPEG_LAYER_III"):
            wishes = [cls(FormatName.mp3)]
        elif coding in ("OPUS", "opus"):
            wishes = [cls(FormatName.opus)]
        elif coding == "aac":
            wishes = [cls(FormatName.m4a)]
        elif container == "AIFF" and depth:
            wishes = [cls(FormatName.aiff, depth)]
        else:
            wishes = [cls(FormatName.wav, depth)] if container in ("WAV", "WAVEX", "RF64") and depth else []
        # Other lossy codecs cannot be written. 24 bits are finer than what such a codec keeps, and a flac is small and
        # has tags; float wavs would be ten times as large as the song. A flac clips above full scale, which single
        # stems seldom exceed; clipped samples are counted and reported.
        wishes += [cls(FormatName.flac, depth or BitDepth.b24), cls(FormatName.wav, depth or BitDepth.b32f)]
        return next(wish for wish in wishes if not wish.refusal(sample_rate, channels, speakers, frames))


WAV = Format(FormatName.wav)
"""The default format."""
