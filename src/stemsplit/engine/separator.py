"""Loads a model once, and takes many songs apart with it."""

import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from stemsplit.audio import Block
from stemsplit.checkpoints.loading import load_network, remark_on
from stemsplit.checkpoints.resolve import Model, find
from stemsplit.choices import WindowName
from stemsplit.engine.adapter import Adapter
from stemsplit.engine.base import Pair, Splitter
from stemsplit.engine.batching import Batcher, Signal
from stemsplit.engine.combination.combined import mean_of
from stemsplit.engine.completion import completed
from stemsplit.engine.cutting import Ends
from stemsplit.engine.estimator import Estimator
from stemsplit.engine.memory import Memory
from stemsplit.engine.mixture import Mixture
from stemsplit.engine.passes import led_in, offsets, without_lead
from stemsplit.engine.streaming import Streaming
from stemsplit.errors import DeviceError
from stemsplit.fast import Pool, dtype_of
from stemsplit.fast.cpu.pool import torch_threads
from stemsplit.fast.cuda.transfer import Transfer
from stemsplit.fast.device import memory_errors, pick_device
from stemsplit.registry import DEFAULT_MODEL, ModelEntry


def _loaded(entry: ModelEntry, tell: Callable[[str], object]) -> nn.Module:
    """Load a network, without PyTorch's threads: if this process was forked, they may wait for its parent's."""
    with torch_threads(1):
        network = load_network(entry)
    if remark := remark_on(network):
        tell(remark)
    return network


class Separator(Splitter):
    """A loaded model, which takes songs apart.

    Several threads may use it at once; they take turns. On a CPU it also works in processes that are forked from its
    own, each with new threads. To be sent to another process, it is pickled without its weights, which are loaded from
    their file again there; so is a copy of it.

    A causal network is streamed: `chunk_seconds` then only sets how much is computed at once, `overlap` and `window`
    have no effect, and it computes in float32.

    Args:
        model: a name from the registry, the path of a checkpoint of your own, or an entry.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        chunk_seconds: length of a chunk; None for the entry's own, which the network was trained on.
        overlap: share of a chunk that the next one covers too, at least 0 and below 1; None for the entry's own.
        window: how overlapping estimates are joined, one of `WindowName`; None for the entry's own.
        tta: whether to take the mean with the estimates of transformed chunks, which takes up to four times as long;
            None for the entry's own.
        shifts: number of passes with chunks at other places, of which the mean is taken; None for the entry's own.
        estimates: what becomes of the network's estimates, one of `stemsplit.choices.Estimates`: "consistent" stems add
            up to the mixture where the model's should, "raw" ones are left as they are.
        batch_size: number of chunks computed together, which changes memory and speed but not the result; None for
            what suits the device.
        precision: precision of the network's large products: "fp32", "bf16", "fp16", or "auto" for half precision on
            devices that are faster in it, on CPUs only if the entry says so, else float32. A chunk that half precision
            fails on is computed again in float32.
        threads: number of threads that compute on a CPU; None for one per core.
        compiled: whether PyTorch compiles the network at the first chunk, which takes minutes.
        registry: file with more models, in the format of models.toml.
        tell: called with a message that a user should see, such as one about a smaller batch.
        memory: room that the weights share with those of other models; None if there is enough for all.

    Attributes:
        entry: the model's entry, with the chunks asked for.
        estimator: the network on the device.

    Raises:
        RegistryError: the model does not exist, or a registry cannot be read.
        WeightsError: the weights cannot be obtained, or do not fit the network.
        DeviceError: the device does not exist, or cannot compute in this precision.
        ValueError: the chunk, overlap, window, batch size or number of threads is impossible.
    """

    def __init__(
        self,
        model: Model = DEFAULT_MODEL,
        device: str = "auto",
        *,
        chunk_seconds: float | None = None,
        overlap: float | None = None,
        window: str | None = None,
        tta: bool | None = None,
        shifts: int | None = None,
        estimates: str = "consistent",
        batch_size: int | None = None,
        precision: str = "auto",
        threads: int | None = None,
        compiled: bool = False,
        registry: str | PathLike[str] | None = None,
        tell: Callable[[str], object] = warnings.warn,
        memory: Memory | None = None,
    ) -> None:
        entry = find(model, registry, tell=tell).with_chunks(chunk_seconds, overlap, window)
        self.entry = entry = entry.with_passes(tta, shifts).with_estimates(estimates)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.window = WindowName(entry.window)
        self._settings = {
            "device": device,
            "batch_size": batch_size,
            "precision": precision,
            "threads": threads,
            "compiled": compiled,
            "tell": tell,
        }
        self.device, self._process = pick_device(device), os.getpid()
        self.transfer = Transfer(self.device)
        # Before the weights are read, so that an impossible precision is reported at once.
        dtype = dtype_of(precision, self.device, bfloat16=entry.bfloat16, compiled=compiled)
        pool = Pool(threads)
        self.estimator = Estimator(
            _loaded(entry, tell),
            entry,
            device=self.device,
            dtype=dtype,
            pool=pool,
            batch_size=batch_size,
            compiled=compiled,
            tell=tell,
            memory=memory,
            again=partial(load_network, entry),
        )
        if self.streams_songs and (entry.tta or entry.shifts > 1):
            tell(f"{entry.name} streams songs, so test-time augmentation and shifts have no effect")

    def __getstate__(self) -> dict[str, Any]:
        """Return what loads the model again."""
        return {"model": self.entry, **self._settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the model."""
        Separator.__init__(self, **state)

    def __copy__(self) -> "Separator":
        """Load the model once more, from its file."""
        copy = type(self).__new__(type(self))
        copy.__setstate__(self.__getstate__())
        return copy

    def __deepcopy__(self, _: object) -> "Separator":
        """Load the model once more, from its file."""
        return self.__copy__()

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
        """Whether songs are streamed through the network instead of chunked."""
        return self.estimator.streamable

    def streams(self, mixtures: Iterable[Mixture]) -> Generator[Generator[Pair, None, None], None, None]:
        """Take songs apart one after the other; see `Splitter.streams`."""
        self._check_process()
        shifts = 1 if self.streams_songs else self.entry.shifts
        if shifts == 1:
            return self._pass(0, mixtures)
        passes = [partial(self._pass, offset) for offset in offsets(self.entry.hop, shifts)]
        return mean_of(passes, mixtures)

    def _pass(self, offset: int, mixtures: Iterable[Mixture]) -> Generator[Generator[Pair, None, None], None, None]:
        """Take songs apart once, with their chunks `offset` samples earlier."""
        entry, adapters = self.entry, deque[Adapter]()

        def signals() -> Iterator[Signal]:
            for blocks, sample_rate, channels, speakers in (Mixture(*mixture) for mixture in mixtures):
                adapters.append(Adapter(blocks, sample_rate, channels, entry.sample_rate, entry.channels, speakers))
                yield Signal(led_in(adapters[-1].into(), offset) if offset else adapters[-1].into())

        with closing(self._computing().streams(signals())) as results:
            for estimates in results:
                own = without_lead(estimates, offset) if offset else estimates
                with closing(self._taken_apart(adapters.popleft(), own)) as pairs:
                    yield pairs

    def _check_process(self) -> None:
        """Raise DeviceError if the device belongs to the process that this one was forked from."""
        if self.device.type != "cpu" and os.getpid() != self._process:
            name = self.device.type.upper()
            raise DeviceError(
                f"{self.entry.name} was loaded on {self.device} before this process was forked, and {name} does not "
                "work in both; load it after the fork, or start processes with the method 'spawn'"
            )

    def _computing(self) -> Batcher | Streaming:
        """Return a `Streaming` for a network that can stream songs, else a `Batcher`, which cuts them into chunks."""
        estimator = self.estimator
        if self.streams_songs:
            estimator.load()  # such a network is small: it stays in memory once it was used
            network: Any = estimator.network
            network = network.to(self.device)
            return Streaming(
                network.stream,
                block=self.entry.chunk,
                device=self.device,
                threads=estimator.pool.threads,
                checked=estimator.checked,
            )
        return Batcher(
            estimator,
            chunk=self.entry.chunk,
            hop=self.entry.hop,
            window=self.entry.window,
            ends=self._ends(),
            batch_size=estimator.batch_size,
            transfer=self.transfer,
            # In parallel, networks that share too little memory would push each other out.
            at_once=self.device.type == "cuda" and not estimator.memory,
        )

    def _ends(self) -> Ends | None:
        """Return the lengths of chunks at a song's ends; None for whole chunks."""
        if self.estimator.compiled:
            return None  # for each length, the network would be compiled again
        shortest, longest = self.entry.ends
        # Batches, and recorded graphs, are of chunks of one length.
        return (shortest if self.device.type == "cpu" else self.entry.chunk), longest

    def _taken_apart(self, adapter: Adapter, estimates: Generator[Tensor, None, None]) -> Generator[Pair, None, None]:
        """Yield the song with its completed stems, at the song's own rate and channels."""
        what = f"on a {self.entry.chunk / self.entry.sample_rate:.1f} s chunk on {self.device}"
        advice = "try --batch-size 1, a smaller --chunk-seconds or --device cpu"
        with memory_errors(what, advice), closing(estimates):
            for mixture, stems in adapter.out(estimates):
                yield mixture, self._completed(mixture, torch.from_numpy(stems))
        rest = adapter.take()
        if rest.shape[-1]:
            yield rest, self._completed(rest, torch.zeros(len(self.entry.stems), *rest.shape))

    def _completed(self, mixture: Block, estimates: Tensor) -> Block:
        return completed(estimates, torch.from_numpy(mixture), self.entry).numpy()
