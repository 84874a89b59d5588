"""Separator: load a model once, take many mixtures apart."""

import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemsplit import registry
from stemsplit.audio import Block
from stemsplit.checkpoints.loading import load_network
from stemsplit.choices import WindowName
from stemsplit.engine.base import Mixture, Pair
from stemsplit.engine.batching import Gathering, Song
from stemsplit.engine.estimator import BATCHES, finite
from stemsplit.engine.passage import Passage
from stemsplit.engine.streaming import Streaming
from stemsplit.errors import DeviceError, StemsplitError
from stemsplit.fast import Pool, accelerated, chosen
from stemsplit.fast.cuda.transfer import Transfer
from stemsplit.fast.device import memory_errors, pick_device


class Separator:
    """A loaded model.

    A network that hears nothing of what comes later is given songs as they come; chunks, where they begin and how they
    are joined then mean nothing but how much is computed at once, always in float32.

    Args:
        model: a name from the registry, or an entry.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        chunk_seconds: given to the network at once; None for what it was trained on.
        overlap: share of a chunk that the next one covers again, 0 up to (not including) 1; None for the entry's own.
        window: how overlapping estimates are joined, one of `WindowName`; None for the entry's own.
        batch_size: chunks computed together; None for what suits the device. Changes memory and speed, not the result.
        precision: of the network's large products: "fp32", "bf16", "fp16", or "auto" for what suits the device: on a
            CPU float32, on a CUDA device half precision. A chunk that this fails on is computed again in float32.
        threads: that compute, on a CPU; None for as many as there are cores.
        compiled: let PyTorch compile the network at the first chunk, which takes minutes.
        tell: is told what a user should know of, such as a smaller batch.

    Raises:
        RegistryError: no such model.
        WeightsError: its weights cannot be had, or do not fit.
        DeviceError: no such device, or not with this precision.
        ValueError: an impossible chunk, overlap, window, batch size or number of threads.
    """

    def __init__(
        self,
        model: str | registry.ModelEntry = registry.DEFAULT_MODEL,
        device: str = "auto",
        *,
        chunk_seconds: float | None = None,
        overlap: float | None = None,
        window: str | None = None,
        batch_size: int | None = None,
        precision: str = "auto",
        threads: int | None = None,
        compiled: bool = False,
        tell: Callable[[str], object] = warnings.warn,
    ) -> None:
        known = registry.find(model) if isinstance(model, str) else model
        self.entry = entry = known.with_chunks(chunk_seconds, overlap, window)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.window = WindowName(entry.window)
        self.device = pick_device(device)
        self.batch_size = batch_size or BATCHES.get(self.device.type, 1)
        self.transfer = Transfer(self.device)
        self.pool, self.tell = Pool(threads), tell
        try:
            self.dtype = chosen(precision, self.device)
        except ValueError as error:
            raise DeviceError(str(error)) from error
        self.network = load_network(entry)
        with memory_errors(f"loading {entry.name} on {device}", "try --device cpu"):
            self.compute = accelerated(
                self.network, self.dtype, self.device, self.pool, chunk=entry.chunk, compiled=compiled, tell=tell
            )

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in the order in which they come."""
        return self.entry.outputs

    @property
    def adds_up(self) -> bool:
        """Whether all stems together are the mixture."""
        return self.entry.adds_up

    @property
    def streams_songs(self) -> bool:
        """Whether all of a song that came before has a say in what comes."""
        return bool(getattr(self.network, "streamable", False))

    @cached_property
    def _in_float32(self) -> Callable[[Tensor], Tensor]:
        return accelerated(self.network, torch.float32, self.device, self.pool)

    def _batched(self, mixtures: Tensor) -> Tensor:
        """(b, c, t) -> (b, n, c, t), in smaller batches once the device was found too small."""
        try:
            parts = [self.compute(part) for part in mixtures.split(self.batch_size)]
            return torch.cat(parts) if len(parts) > 1 else parts[0]
        except torch.OutOfMemoryError:
            if self.batch_size == 1 or len(mixtures) == 1:
                raise
            self.batch_size = min(self.batch_size, len(mixtures)) // 2
            self.tell(f"{self.device} ran out of memory; going on with --batch-size {self.batch_size}")
        return self._batched(mixtures)

    def _heard(self, mixtures: Tensor) -> Tensor:
        """(b, c, t) -> (b, n, c, t) of mixtures that are not silent."""
        estimates = self._batched(mixtures)
        if self.dtype != torch.float32 and not finite(estimates):
            # Numbers may have become too large for the type.
            pairs = zip(estimates, mixtures, strict=True)
            estimates = torch.stack([e if finite(e) else self._in_float32(mixture[None])[0] for e, mixture in pairs])
        return self._checked(estimates)

    def _checked(self, estimates: Tensor) -> Tensor:
        if not finite(estimates):
            raise StemsplitError(f"{self.entry.name} gave NaN or infinity instead of samples; are its weights sound?")
        return estimates

    @torch.inference_mode()
    def estimates(self, mixtures: Tensor) -> Tensor:
        """(b, c, t) -> (b, n, c, t), on the device; each group of the network's channels is seen on its own."""
        # At least two channels together, as nearly all songs have; one of many needs no more memory than that.
        together = max(self.entry.channels, 2)
        groups = [self._group(group) for group in mixtures.split(together, 1)]
        return torch.cat(groups, 2) if len(groups) > 1 else groups[0]

    def _group(self, mixtures: Tensor) -> Tensor:
        """(b, c, t) -> (b, n, c, t); silence is not computed where the network would keep it."""
        keeps_silence = getattr(self.network, "keeps_silence", False)
        heard = mixtures.flatten(1).any(1) if keeps_silence else mixtures.new_ones(len(mixtures), dtype=torch.bool)
        if heard.all():
            return self._heard(mixtures)
        batch, channels, length = mixtures.shape
        estimates = mixtures.new_zeros(batch, len(self.entry.stems), channels, length)
        if heard.any():
            estimates[heard] = self._heard(mixtures[heard])
        return estimates

    def streams(self, mixtures: Iterable[Mixture]) -> Generator[Generator[Pair, None, None], None, None]:
        """Take songs apart one after the other; what one leaves of a batch is filled up with those that follow.

        Args:
            mixtures: the songs; the next is asked for when all that is wanted of the one before was read.

        Yields:
            For each song in turn what `stream` gives, with its errors. Whatever of it is not used is lost when the next
            one's is asked for.
        """
        entry, passages = self.entry, deque[Passage]()

        def songs() -> Iterator[Song]:
            for blocks, sample_rate, channels in mixtures:
                passages.append(Passage(blocks, sample_rate, channels, entry.sample_rate, entry.channels))
                yield Song(passages[-1].into())

        with closing(self._computing().streams(songs())) as found:
            for estimates in found:
                with closing(self._taken_apart(passages.popleft(), estimates)) as pairs:
                    yield pairs

    def _computing(self) -> Gathering | Streaming:
        """What computes songs: as one each where the network can, else chunk by chunk."""
        if self.streams_songs:
            network: Any = self.network.to(self.device)
            return Streaming(
                network.stream,
                block=self.entry.chunk,
                device=self.device,
                threads=self.pool.threads,
                checked=self._checked,
            )
        return Gathering(
            self.estimates,
            chunk=self.entry.chunk,
            hop=self.entry.hop,
            window=self.window,
            batch_size=self.batch_size,
            transfer=self.transfer,
            at_once=self.device.type == "cuda",
        )

    def _taken_apart(self, song: Passage, estimates: Generator[Tensor, None, None]) -> Generator[Pair, None, None]:
        what = f"on a {self.entry.chunk / self.entry.sample_rate:.1f} s chunk on {self.device}"
        advice = "try --batch-size 1, a smaller --chunk-seconds or --device cpu"
        with memory_errors(what, advice), closing(estimates):
            for mixture, stems in song.out(estimates):
                yield mixture, self._completed(mixture, stems)
        rest = song.take()
        if rest.shape[-1]:
            silence = np.zeros((len(self.entry.stems), *rest.shape), np.float32)
            yield rest, self._completed(rest, silence)

    def stream(self, blocks: Iterable[Block], sample_rate: int, channels: int) -> Generator[Pair, None, None]:
        """Take a song apart block by block, in memory that does not grow with it.

        Args:
            blocks: float32 (c, any number of samples) each.
            sample_rate: Hz, of the song and of its stems.
            channels: of the song and of each stem.

        Yields:
            Pairs of mixture (c, t) and stems (n, c, t), in the order of `stems`; all t together are the song's length.
            The stems of a complete model, and those of a model with a residual, add up to the mixture.
        """
        with closing(self.streams([(blocks, sample_rate, channels)])) as songs:
            for results in songs:
                yield from results

    def _completed(self, mixture: Block, estimates: Block) -> Block:
        """The estimates (n, c, t), with what they leave of the mixture spread over them or as a stem of its own."""
        left = mixture - estimates.sum(0)
        if self.entry.residual:
            return np.concatenate([estimates, left[None]])
        return estimates + left / len(estimates) if self.entry.complete else estimates

    def separate(self, mixture: Tensor, sample_rate: int) -> dict[str, Tensor]:
        """Take a mixture in memory apart.

        Args:
            mixture: (c, t), any number of channels.
            sample_rate: Hz.

        Returns:
            Stem name -> (c, t), at the mixture's rate and of its length.

        Raises:
            ValueError: the mixture has no samples or another shape, or holds NaN or infinity.
            DeviceError: out of memory.
        """
        if mixture.ndim != 2 or not mixture.numel():
            raise ValueError(f"a mixture is (channels, samples) with at least one of each, not {tuple(mixture.shape)}")
        if not mixture.isfinite().all():
            raise ValueError("the mixture holds NaN or infinity")
        samples = mixture.detach().to("cpu", torch.float32).numpy()
        parts = [stems for _, stems in self.stream([samples], sample_rate, mixture.shape[0])]
        whole = torch.from_numpy(np.concatenate(parts, -1))
        return dict(zip(self.stems, whole, strict=True))
