"""Estimates the stems of chunks with a network on a device, in batches and in half precision where that holds."""

import math
import warnings
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn

from stemsplit.engine.memory import Memory
from stemsplit.engine.passes import augmented
from stemsplit.errors import StemsplitError
from stemsplit.fast import Pool, accelerated
from stemsplit.fast.device import memory_errors
from stemsplit.fast.forks import Turns
from stemsplit.registry import ModelEntry

BATCHES = {"cuda": 4}
"""Kind of device -> usual batch size. Other devices are busy with a single chunk."""


LOUDEST = 1e6
"""Sample beyond which a song is to blame for estimates that are not finite; full scale is 1."""


def finite(x: Tensor) -> bool:
    """Return whether a tensor holds neither NaN nor infinity."""
    # The sum shows them in a fraction of the time; but it may also be too large by itself.
    return bool(x.sum().isfinite()) or bool(x.isfinite().all())


def too_loud(*mixtures: Tensor) -> StemsplitError | None:
    """Return the error for mixtures whose samples are beyond any scale, whatever network is given them; else None."""
    peak = max((float(mixture.abs().max()) for mixture in mixtures if mixture.numel()), default=0.0)
    if not LOUDEST < peak < math.inf:
        return None
    gain = f"1e-{math.ceil(math.log10(peak)):02}"
    return StemsplitError(
        f"the song has samples of {peak:.0e}, where 1 is full scale, so no estimate is a number; "
        f"lower its gain first: ffmpeg -i SONG -af volume={gain} -c:a pcm_f32le quieter.wav"
    )


class Estimator:
    """A network on a device, which estimates the stems of chunks. Several threads may call it; they take turns.

    Args:
        network: the network with its weights, in float32 on the CPU.
        entry: entry of the model.
        device: the device that computes.
        dtype: type of the network's large products. A chunk that half precision fails on is computed again in float32.
        pool: the threads that compute on a CPU.
        batch_size: largest number of chunks computed together; None for what suits the device.
        compiled: whether PyTorch compiles the network at the first chunk, which takes minutes.
        tell: called with a message that a user should see, such as one about a smaller batch.
        memory: room for the weights; the network then leaves it for others. None if it may stay.
        again: function that loads the network again after it left.

    Attributes:
        batch_size: present batch size; it is halved when memory runs out.
        network: the network; None while it is not in memory.
        streamable: whether the network can stream songs.
        needs: bytes that the weights take, with the copy of them that computes.

    Raises:
        DeviceError: the device's memory is too small for the network.
    """

    def __init__(
        self,
        network: nn.Module,
        entry: ModelEntry,
        *,
        device: torch.device,
        dtype: torch.dtype,
        pool: Pool,
        batch_size: int | None = None,
        compiled: bool = False,
        tell: Callable[[str], object] = warnings.warn,
        memory: Memory | None = None,
        again: Callable[[], nn.Module] | None = None,
    ) -> None:
        self.entry, self.device, self.dtype, self.pool = entry, device, dtype, pool
        self.batch_size, self.tell = batch_size or BATCHES.get(device.type, 1), tell
        self.compiled, self.memory, self.again, self.name = compiled, memory, again, entry.name
        self.streamable = bool(getattr(network, "streamable", False))
        self.needs = sum(each.numel() for each in network.parameters()) * (4 + dtype.itemsize)
        # A recorded graph has one place for its input and one for its result.
        self._turns = Turns()
        self.network: nn.Module | None = network
        if memory:
            memory.add(self)
        else:
            self._prepare(network)

    def _prepare(self, network: nn.Module) -> None:
        with memory_errors(f"loading {self.entry.name} on {self.device}", "try --device cpu"):
            self.compute = accelerated(
                network,
                self.dtype,
                self.device,
                self.pool,
                chunk=self.entry.chunk,
                compiled=self.compiled,
                tell=self.tell,
            )

    def load(self) -> None:
        """Load the network again, unless it is in memory.

        Raises:
            WeightsError: its file is not there any more, or has changed.
            DeviceError: the device's memory is too small.
        """
        if self.network is None:
            assert self.again
            self.network = self.again()
            self._prepare(self.network)

    def unload(self) -> None:
        """Free the memory of the weights."""
        self.network = None
        for name in ("compute", "_in_float32"):
            self.__dict__.pop(name, None)

    @torch.inference_mode()
    def __call__(self, mixtures: Tensor) -> Tensor:
        """Estimate the stems of chunks, each group of the network's channels by itself.

        Args:
            mixtures: (b, c, t), float32 on the device.

        Returns:
            (b, n, c, t), float32 on the device.

        Raises:
            StemsplitError: the network gave NaN or infinity.
        """
        # At least two at a time, as nearly all songs have two. More would take more memory than a stereo song does.
        together = max(self.entry.channels, 2)
        with self.memory.holding(self) if self.memory else self._turns:
            groups = [self._group(group) for group in mixtures.split(together, 1)]
        return torch.cat(groups, 2) if len(groups) > 1 else groups[0]

    def _group(self, mixtures: Tensor) -> Tensor:
        """Estimate some channels, (b, c, t) -> (b, n, c, t); silence is skipped where the network would keep it."""
        keeps_silence = getattr(self.network, "keeps_silence", False)
        loud = mixtures.flatten(1).any(1) if keeps_silence else mixtures.new_ones(len(mixtures), dtype=torch.bool)
        if loud.all():
            return self._loud(mixtures)
        batch, channels, length = mixtures.shape
        estimates = mixtures.new_zeros(batch, len(self.entry.stems), channels, length)
        if loud.any():
            estimates[loud] = self._loud(mixtures[loud])
        return estimates

    def _loud(self, mixtures: Tensor) -> Tensor:
        """Estimate mixtures that are not silent, (b, c, t) -> (b, n, c, t)."""
        names = self.entry.augmentations
        return augmented(self._finite, mixtures, names) if names else self._finite(mixtures)

    def _finite(self, mixtures: Tensor) -> Tensor:
        """Estimate mixtures, (b, c, t) -> (b, n, c, t), in float32 where half precision fails."""
        estimates = self._batched(mixtures)
        if self.dtype != torch.float32 and not finite(estimates):
            # Numbers may have become too large for the type.
            pairs = zip(estimates, mixtures, strict=True)
            estimates = torch.stack([e if finite(e) else self._in_float32(mixture[None])[0] for e, mixture in pairs])
        try:
            return self.checked(estimates)
        except StemsplitError as error:
            if loud := too_loud(mixtures):
                raise loud from error
            raise

    def _batched(self, mixtures: Tensor) -> Tensor:
        """Compute (b, c, t) -> (b, n, c, t), in smaller batches once memory ran out."""
        try:
            parts = [self.compute(part) for part in mixtures.split(self.batch_size)]
            return torch.cat(parts) if len(parts) > 1 else parts[0]
        except torch.OutOfMemoryError:
            if self.batch_size == 1 or len(mixtures) == 1:
                raise
            self.batch_size = min(self.batch_size, len(mixtures)) // 2
            self.tell(f"{self.device} ran out of memory; going on with --batch-size {self.batch_size}")
        return self._batched(mixtures)

    @cached_property
    def _in_float32(self) -> Callable[[Tensor], Tensor]:
        assert self.network is not None
        return accelerated(self.network, torch.float32, self.device, self.pool)

    def checked(self, estimates: Tensor) -> Tensor:
        """Return the estimates if they are finite.

        Raises:
            StemsplitError: they hold NaN or infinity.
        """
        if not finite(estimates):
            raise StemsplitError(f"{self.entry.name} gave NaN or infinity instead of samples; are its weights sound?")
        return estimates
