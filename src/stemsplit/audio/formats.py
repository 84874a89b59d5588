"""Knows the formats that can be written, what each can hold, and which keeps all of a song."""

FORMATS = ("wav", "flac", "ogg", "mp3")
BIT_DEPTHS = ("16", "24", "32f")

MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

SIXTEEN = (
    "PCM_S8 PCM_U8 PCM_16 ULAW ALAW IMA_ADPCM MS_ADPCM GSM610 VOX_ADPCM NMS_ADPCM_16 NMS_ADPCM_24 NMS_ADPCM_32 "
    "G721_32 G723_24 G723_40 DPCM_8 DPCM_16 DWVW_12 DWVW_16 ALAC_16"
)
DEPTHS = {
    **dict.fromkeys(SIXTEEN.split(), "16"),
    **dict.fromkeys(("PCM_24", "DWVW_24", "ALAC_20", "ALAC_24"), "24"),
    # Of 32-bit integers, float keeps 25 bits: more than any converter has.
    **dict.fromkeys(("PCM_32", "ALAC_32", "FLOAT", "DOUBLE"), "32f"),
}
"""libsndfile's name of a coding -> the smallest bit depth that keeps all of it. Codings that are not here are lossy."""


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


def alike(container: str, coding: str, sample_rate: int, channels: int) -> tuple[str, str | None]:
    """The format and bit depth to write what is to be like a song's own file, and lose nothing that it had.

    That is its own format where it can be written; another lossless file's samples go into flac, or wav where flac
    cannot hold them.

    Args:
        container: kind of file, in libsndfile's words.
        coding: how it holds samples, in libsndfile's words.
        sample_rate: Hz.
        channels: how many.

    Returns:
        One of `FORMATS` and one of `BIT_DEPTHS`, None for ogg and mp3.
    """
    depth = DEPTHS.get(coding)
    wishes: list[tuple[str, str | None]]
    if (container, coding) == ("OGG", "VORBIS"):
        wishes = [("ogg", None)]
    elif (container, coding) == ("MP3", "MPEG_LAYER_III"):
        wishes = [("mp3", None)]
    else:
        wishes = [("wav", depth)] if container in ("WAV", "WAVEX", "RF64") and depth else []
    # An m4a or Opus cannot be written. 24 bits are finer than anything such a codec keeps, and a flac is small and
    # carries tags, as its owner is used to; float wavs would be ten times the song. What it lacks is room above full
    # scale, which single stems seldom need, and which is counted and said where they do.
    wishes += [("flac", depth or "24"), ("wav", depth or "32f")]
    return next(wish for wish in wishes if not unsupported(*wish, sample_rate, channels))
