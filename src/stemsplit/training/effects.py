"""Changes sources and whole examples as studios and files do: rooms, compressors, limiters, narrow bands, codecs.

What changes a whole example changes all of its sources by the same linear operation, so that they still add up to the
mixture. Only codecs change the mixture alone.
"""

import math
import random

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, interpolate, max_pool1d, pad

from stemsplit.audio.lossy import as_if_coded

FRAME_SECONDS = 0.01
"""Length of the frames whose peaks a compressor follows."""

QUIET = 1e-5
"""Peak (-100 dBFS) from which on down all frames are alike to a compressor."""

LONGEST_ROOM = 0.7
"""Longest impulse response, in seconds."""


def frame_levels(samples: Tensor, frame: int) -> Tensor:
    """Return the peak of each frame of `frame` samples in dBFS, all channels together: (c, t) -> (m,)."""
    peaks = pad(samples.abs().amax(0), (0, -samples.shape[-1] % frame)).view(-1, frame).amax(1)
    return 20 * peaks.clamp(min=QUIET).log10()


def followed(wanted: Tensor, fall: float, rise: float) -> Tensor:
    """Return gains (m,) in dB that go a share of the way to those wanted at each frame: down `fall`, up `rise`."""
    gain, gains = 0.0, []
    for target in wanted.tolist():
        gain += (target - gain) * (fall if target < gain else rise)
        gains.append(gain)
    return torch.tensor(gains)


def factors(gains: Tensor, frame: int, length: int) -> Tensor:
    """Interpolate the gains of frames in dB, (m,), to a factor for each sample, (length,)."""
    around = pad(gains[None, None], (1, 1), mode="replicate")
    return 10 ** (interpolate(around, scale_factor=frame, mode="linear")[0, 0, frame : frame + length] / 20)


def compression(samples: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """Return the factors (t,) by which a compressor with random settings changes samples (c, t).

    Its threshold is 3 to 15 dB below the peak, its ratio 1.5 to 5; it reacts within about 10 ms, and recovers in 50 to
    400 ms. Nothing makes up for the gain, because a random gain follows anyway.
    """
    frame = max(round(FRAME_SECONDS * sample_rate), 1)
    levels = frame_levels(samples, frame)
    threshold, ratio, recovery = rng.uniform(3, 15), rng.uniform(1.5, 5), rng.uniform(0.05, 0.4)
    wanted = (levels - levels.amax() + threshold).clamp(min=0) * (1 / ratio - 1)
    return factors(followed(wanted, 0.7, 1 - math.exp(-FRAME_SECONDS / recovery)), frame, samples.shape[-1])


def limiting(samples: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """Return the factors (t,) that keep all samples (c, t) 2 to 8 dB below their peak, as in loud masters.

    Every frame gets the lowest gain that it or a frame beside it needs, so that no sample between them gets more.
    """
    frame = max(round(FRAME_SECONDS * sample_rate), 1)
    levels = frame_levels(samples, frame)
    wanted = (levels.amax() - rng.uniform(2, 8) - levels).clamp(max=0)
    lowest = -max_pool1d(-wanted[None, None], 3, 1, 1)[0, 0]
    recovery = rng.uniform(0.03, 0.2)
    return factors(followed(lowest, 1.0, 1 - math.exp(-FRAME_SECONDS / recovery)), frame, samples.shape[-1])


def compress(source: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """A quarter of the time, compress a source."""
    if rng.random() >= 0.25:
        return source
    return source * compression(source, rng, sample_rate)


def room(rng: random.Random, sample_rate: int) -> Tensor:
    """Return the impulse response of a random room without its direct sound, (2, t), of unit energy in each channel.

    Up to eight early reflections within 50 ms, then noise that decays by 60 dB in 0.15 to 1.2 s, high frequencies twice
    as fast (Moorer 1979, "About This Reverberation Business"). Left and right differ.
    """
    decay = 0.15 * 8 ** rng.random()
    length = max(round(min(0.7 * decay, LONGEST_ROOM) * sample_rate), 16)
    noise = torch.randn(2, length, generator=torch.Generator().manual_seed(rng.getrandbits(62)))
    falling = torch.pow(10.0, torch.arange(length) * (-3 / (decay * sample_rate)))
    late = avg_pool1d(noise, 9, 1, 4) * 3 * falling + 0.5 * noise * falling.square()
    late[:, : round(rng.uniform(0.005, 0.04) * sample_rate)] = 0
    early = torch.zeros_like(late)
    for channel in range(2):
        for _ in range(rng.randrange(9)):
            after = rng.uniform(0.003, 0.05)
            early[channel, min(round(after * sample_rate), length - 1)] += rng.uniform(-1, 1) * 0.01 / (0.01 + after)
    parts = [part / part.norm(dim=1, keepdim=True).clamp(min=1e-6) for part in (early, late)]
    share = rng.random()
    return share * parts[0] + (1 - share) * parts[1]


def convolved(samples: Tensor, response: Tensor) -> Tensor:
    """Convolve samples (c, t) with impulse responses (c, r); what rings on after the end is left out."""
    length = samples.shape[-1]
    size = math.ceil((length + response.shape[-1]) / 4_096) * 4_096  # 4,096 times a small number, for the FFT
    return torch.fft.irfft(torch.fft.rfft(samples, size) * torch.fft.rfft(response, size), size)[..., :length]


def reverb(source: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """Put a source (2, t) into a random room: half of the time one in mono, which is dry, else a sixth of the time."""
    mono = torch.equal(source[0], source[1])
    if rng.random() >= (1 / 2 if mono else 1 / 6) or not source.any():
        return source
    wet = 10 ** (rng.uniform(-20, -4) / 20)
    return source + wet * convolved(source, room(rng, sample_rate))


def master(sources: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """Half of the time, compress or limit the mixture, or both: its gain changes all sources (n, 2, t) alike."""
    ways = [way for way in (compression, limiting) if rng.random() < 0.3]
    for way in ways:
        sources = sources * way(sources.sum(0), rng, sample_rate)
    return sources


def lowpass(sources: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """A sixth of the time, take what is above 4 to 18 kHz out of sources (n, 2, t), as in many files."""
    if rng.random() >= 1 / 6:
        return sources
    cutoff, length = 4_000 * 4.5 ** rng.random(), sources.shape[-1]
    spectrum = torch.fft.rfft(sources)
    frequencies = torch.arange(spectrum.shape[-1]) * (sample_rate / length)
    # A slope of a tenth of the cutoff rings less than an edge.
    slope = ((1.1 - frequencies / cutoff) / 0.1).clamp(0, 1)
    return torch.fft.irfft(spectrum * (0.5 - 0.5 * torch.cos(math.pi * slope)), length)


def pauses(sources: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """A sixth of the time, silence up to half of sources (n, 2, t): the start, the end, or a part between them.

    Half of these pauses start and end at once, as silence put beside a song does; half fade within 0.3 s.
    """
    if rng.random() >= 1 / 6:
        return sources
    length = sources.shape[-1]
    silent = max(round(rng.uniform(0.02, 0.5) * length), 1)
    start = {"start": 0, "end": length - silent, "between": rng.randrange(length - silent + 1)}[
        rng.choice(("start", "end", "between"))
    ]
    fade = max(rng.choice((0.0, rng.uniform(0.0, 0.3))) * sample_rate, 1.0)
    time = torch.arange(length)
    beside = torch.maximum(start - time, time - (start + silent - 1))
    return sources * (beside / fade).clamp(0, 1)


def codec(mixture: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """Once in sixteen times, code a mixture (2, t) as MP3 or Vorbis of about 80 to 220 kbit/s.

    The sources stay as they were: what a codec adds belongs to none of them.
    """
    if rng.random() >= 1 / 16:
        return mixture
    kind, loss = rng.choice(("mp3", "vorbis")), rng.uniform(0.2, 0.95)
    return torch.from_numpy(as_if_coded(mixture.numpy(), sample_rate, kind, loss))
