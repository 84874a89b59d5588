"""SuDoRM-RF on a CPU: what the network computes, in tiles that stay in the cache."""

from threading import local

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.fast.cpu.pool import Alone, Pool
from stemsplit.fast.cpu.sudormrf_blocks import (
    ROWS,
    Block,
    Buffers,
    GroupedBlock,
    dense,
    one_after_another,
    pointwise,
    slope,
)
from stemsplit.fast.cpu.tiles import Norm, Tile, normalising
from stemsplit.models.sudormrf import SuDoRMRF

TILES = 8
"""Signals are computed together until they have so many tiles: enough for the threads of a small machine to share."""


def supports(network: SuDoRMRF) -> bool:
    """Whether the network is of a variant that `FastSuDoRMRF` knows."""
    return network.config.variant in ("improved", "groupcomm")


class FastSuDoRMRF:
    """What a `SuDoRMRF` computes, faster.

    Args:
        network: loaded, float32, on the CPU; `supports` says which.
        dtype: of the pointwise convolutions, the last of which gives the masks, and of what the decoder reads: float32
            or bfloat16; all else is float32.
        pool: works on the tiles.

    Raises:
        ValueError: a variant that is not supported.
    """

    def __init__(self, network: SuDoRMRF, dtype: torch.dtype, pool: Pool) -> None:
        if not supports(network):
            raise ValueError(f"there is no fast form of the {network.config.variant!r} variant")
        self.network, self.config, self.pool, self.dtype = network, network.config, pool, dtype
        c = network.config
        self.encoder = pointwise(network.encoder, torch.float32)
        self.norm = Norm(network.ln)
        self.bottleneck = pointwise(network.bottleneck, dtype)
        self.blocks: list[Block] = [
            GroupedBlock(block, dtype) if c.variant == "groupcomm" else Block(block, dtype) for block in network.sm
        ]
        act, masks = network.mask_net
        self.mask_slope = slope(act)
        self.masks = pointwise(masks, dtype, "relu")
        self.decoder = dense(network.decoder.weight.flatten(1).T, None, dtype)
        self._kept = local()

    @torch.inference_mode()
    def __call__(self, mixture: Tensor) -> Tensor:
        """Estimate the stems.

        Args:
            mixture: float32 (b, c, t), c a multiple of the network's channels.

        Returns:
            (b, n, c, t), as long as the mixture.

        Raises:
            ValueError: the channels do not divide into groups of the network's.
        """
        c = self.config
        batch, channels, length = mixture.shape
        if channels % c.in_audio_channels:
            raise ValueError(f"this model takes {c.in_audio_channels} channels at once, not {channels}")
        frames = self.network.padded_length(length) // c.hop
        signals = mixture.reshape(-1, c.in_audio_channels, length)
        estimates = mixture.new_empty(len(signals), c.num_sources, c.in_audio_channels, length)
        at_once = min(len(signals), -(-TILES * ROWS // frames))
        if 1 < self.pool.threads <= at_once:
            # Short, and one for each thread: then none ever waits for another.
            self.pool.run(
                lambda i: self._separate(signals[i, None], estimates[i, None], frames, Alone()), range(len(signals))
            )
        else:
            for some, into in zip(signals.split(at_once), estimates.split(at_once), strict=True):
                self._separate(some, into, frames, self.pool)
        return estimates.unflatten(0, (batch, -1)).transpose(1, 2).reshape(batch, c.num_sources, channels, length)

    def _buffers(self, signals: int, frames: int) -> Buffers:
        """Those of the calling thread."""
        kept: Buffers | None = getattr(self._kept, "buffers", None)
        if kept is None or (kept.signals, kept.frames) != (signals, frames):
            self._kept.buffers = None  # the old ones' memory first
            self._kept.buffers = kept = Buffers(self.config, signals, frames)
        return kept

    def _separate(self, signals: Tensor, estimates: Tensor, frames: int, pool: Pool) -> None:
        """Signals (s, c, t) taken apart into estimates (s, n, c, t), all at once."""
        buffers = self._buffers(len(signals), frames)
        hop = self.config.hop
        waves = signals.new_zeros(len(signals), signals.shape[1], hop * (frames + 1) + 1)
        levels = [(0.0, 1.0)] * len(signals)

        def prepare(i: int) -> None:
            levels[i] = self._prepare(signals[i], waves[i])

        def encode(tile: Tile) -> Tensor:
            windows = waves[tile.signal].unfold(-1, 2 * hop + 1, hop)[:, tile.frames]
            return tile.of(buffers.coded).copy_(self.encoder(windows.transpose(0, 1).flatten(1)))

        pool.run(prepare, range(len(signals)))
        coded = normalising(pool, encode, buffers.tiles(), self.norm)

        def begin(tile: Tile) -> None:
            tile.of(buffers.stream).copy_(self.bottleneck(coded(tile.of(buffers.coded), tile.signal)))

        one_after_another(pool, buffers, self.blocks, begin)
        decoded = signals.new_empty(len(signals), estimates[0].flatten(0, 1).shape[0], frames, hop)
        pool.run(lambda tile: self._decode(buffers, tile, decoded[tile.signal]), buffers.tiles())

        def finish(i: int) -> None:
            self._finish(decoded[i], signals[i], levels[i], estimates[i])

        pool.run(finish, range(len(signals)))

    def _prepare(self, signal: Tensor, wave: Tensor) -> tuple[float, float]:
        """Lay a signal (c, t) out for the encoder; its mean and deviation, if the network wants them gone."""
        mean, deviation = 0.0, 1.0
        if self.config.normalize:
            mean = float(signal.mean())
            # Unbiased; a single sample deviates by nothing, not by NaN.
            deviation = float(signal.std()) if signal.numel() > 1 else 0.0
            signal = (signal - mean) / (deviation + 1e-9)
        hop = self.config.hop
        wave[:, hop : hop + signal.shape[-1]] = signal
        return mean, deviation

    def _decode(self, buffers: Buffers, tile: Tile, decoded: Tensor) -> None:
        """Mask and decode what becomes the tile's hops of samples (n * c, m, hop)."""
        hop, basis = self.config.hop, self.config.enc_num_basis
        # A hop has samples of its own frame, the one before, and one sample of the one after it: see below.
        start, stop = max(tile.start - 1, 0), min(tile.stop + 1, buffers.frames)
        x, coded = (part[tile.signal, start:stop] for part in (buffers.stream, buffers.coded))
        masks = self.masks(F.leaky_relu(x, self.mask_slope)).unflatten(1, (-1, basis))
        masks *= coded[:, None]  # in float32, and rounded once
        waves = self.decoder(masks.flatten(1)).float().unflatten(1, (-1, 2 * hop + 1)).transpose(0, 1)
        own = slice(tile.start - start, tile.stop - start)
        y = decoded[:, tile.frames]
        # A frame's samples begin a hop before its own: they are the hop before, its own, and the next one's first.
        y.copy_(waves[:, own, hop : 2 * hop])
        y[:, : stop - 1 - tile.start] += waves[:, own.start + 1 :, :hop]
        y[:, tile.start == 0 :, 0] += waves[:, : own.stop - 1, 2 * hop]

    def _finish(self, decoded: Tensor, signal: Tensor, level: tuple[float, float], estimates: Tensor) -> None:
        """Estimates (n, c, t) of a signal (c, t) from hops (n * c, m, hop)."""
        mean, deviation = level
        estimates.copy_(decoded.flatten(1)[:, : signal.shape[-1]].view(estimates.shape))
        if self.config.normalize:
            estimates.mul_(deviation).add_(mean)
        if self.config.mixture_consistency:
            estimates += (signal - estimates.sum(0)) / self.config.num_sources
