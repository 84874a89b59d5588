"""Gives each of several models the context that it needs before an excerpt."""

from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import chain

from stemsplit.audio import Block, Song
from stemsplit.comparison.excerpt import context, samples
from stemsplit.engine.base import Pair, Splitter
from stemsplit.engine.combination.combined import Combined
from stemsplit.engine.mixture import Mixture
from stemsplit.engine.separator import Separator
from stemsplit.engine.spectra import HOP, N_FFT

MARGIN = 4 * N_FFT
"""Samples around an excerpt that decide what it is where stems are combined or divided in a spectrogram: those of the
frames that reach into it, for an ensemble in a route twice.
"""


def models_of(splitter: Splitter) -> list[Separator]:
    """Return the models that a splitter consists of."""
    if isinstance(splitter, Combined):
        return [model for member in splitter.members for model in models_of(member)]
    return [splitter] if isinstance(splitter, Separator) else []


class Leading(Splitter):
    """A model that is also given samples before the song's first, whose stems nobody gets.

    Args:
        splitter: the model.
        lead: these samples (c, t).
    """

    def __init__(self, splitter: Splitter, lead: Block) -> None:
        self.splitter, self.lead = splitter, lead

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in the order in which they come."""
        return self.splitter.stems

    @property
    def adds_up(self) -> bool:
        """Whether all stems together are the mixture."""
        return self.splitter.adds_up

    def streams(self, mixtures: Iterable[Mixture]) -> Generator[Generator[Pair, None, None], None, None]:
        """Take songs apart one after the other; see `Splitter.streams`."""
        led = (mixture._replace(blocks=chain([self.lead], mixture.blocks)) for mixture in mixtures)
        with closing(self.splitter.streams(led)) as songs:
            for pairs in songs:
                with closing(self._after(pairs)) as rest:
                    yield rest

    def _after(self, pairs: Generator[Pair, None, None]) -> Generator[Pair, None, None]:
        left = self.lead.shape[-1]
        with closing(pairs):
            for mixture, stems in pairs:
                skipped = min(left, mixture.shape[-1])
                left -= skipped
                if skipped < mixture.shape[-1]:
                    yield mixture[..., skipped:], stems[..., skipped:]


def _led(splitter: Splitter, song: Song, first: int, end: int) -> Splitter:
    """Return a splitter whose models get all that they need before index `first` of a song."""
    if isinstance(splitter, Combined):
        splitter.members = tuple(_led(member, song, first, end) for member in splitter.members)
    if not isinstance(splitter, Separator):
        return splitter
    own = 0 if splitter.streams_songs else context(splitter.entry, song, first, end)[0]
    return Leading(splitter, samples(song.path, song.sample_rate, own, first)) if own < first else splitter


def with_context(splitter: Splitter, song: Song, begin: int, end: int) -> tuple[Splitter, int, int]:
    """Find what several models, or one, need to give an excerpt the same stems as in the whole song.

    Args:
        splitter: the models.
        song: the whole song.
        begin: index of the excerpt's first sample.
        end: index of the sample after its last.

    Returns:
        The splitter to use, and which samples of the song to give it: index of the first, and of the one after the
        last.
    """
    if isinstance(splitter, Separator):
        first, last = context(splitter.entry, song, begin, end)
        return splitter, 0 if splitter.streams_songs else first, last
    # Frames of a spectrogram begin where they do in the whole song.
    first, end = max(begin - MARGIN, 0) // HOP * HOP, min(end + MARGIN, song.frames)
    last = max(context(model.entry, song, first, end)[1] for model in models_of(splitter))
    return _led(splitter, song, first, end), first, last
