"""Computes SuDoRM-RF on a CPU, in tiles that fit into the cache."""

from threading import local

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.fast.cpu.pool import Pool, SerialPool
from stemsplit.fast.cpu.sudormrf_blocks import (
    ROWS,
    Block,
    Buffers,
    GroupedBlock,
    dense,
    pointwise,
    run_blocks,
    slope,
)
from stemsplit.fast.cpu.tiles import Norm, Tile, normalising
from stemsplit.models.sudormrf import SuDoRMRF

TILES = 8
"""Signals are computed together until they have this many tiles, enough for the threads of a small machine."""


def supports(network: SuDoRMRF) -> bool:
    """Return whether `FastSuDoRMRF` can compute the network's variant."""
    return network.config.variant in ("improved", "groupcomm")


class FastSuDoRMRF:
    """Computes a `SuDoRMRF` on a CPU.

    Args:
        network: the network with its weights, in float32 on the CPU; `supports` says which variants are possible.
        dtype: type of the pointwise convolutions, the last of which gives the masks, and of the decoder's input:
            float32 or bfloat16. All else is float32.
        pool: the threads that compute the tiles.

    Raises:
        ValueError: the variant is not supported.
    """

    def __init__(self, network: SuDoRMRF, dtype: torch.dtype, pool: Pool) -> None:
        if not supports(network):
            raise ValueError(f"there is no fast implementation of the {network.config.variant!r} variant")
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
        self.decoded, filters = c.num_sources, network.decoder.weight.detach()
        if c.mixture_consistency and c.num_sources > 1:
            # Of consistent stems, only the differences from their mean are used, and the last one follows from the
            # others.
            stems = filters.unflatten(1, (c.num_sources, -1))
            self.decoded, filters = c.num_sources - 1, (stems - stems.mean(1, keepdim=True))[:, :-1].flatten(1, 2)
        self.decoder = dense(filters.flatten(1).T, None, dtype)
        self._thread = local()

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
            raise ValueError(f"the number of channels must be a multiple of {c.in_audio_channels}, not {channels}")
        frames = self.network.padded_length(length) // c.hop
        signals = mixture.reshape(-1, c.in_audio_channels, length)
        estimates = mixture.new_empty(len(signals), c.num_sources, c.in_audio_channels, length)
        at_once = min(len(signals), -(-TILES * ROWS // frames))
        if 1 < self.pool.threads <= at_once:
            # The signals are short, and there is one for each thread: then no thread waits for another.
            self.pool.run(
                lambda i: self._separate(signals[i, None], estimates[i, None], frames, SerialPool()),
                range(len(signals)),
            )
        else:
            for group, result in zip(signals.split(at_once), estimates.split(at_once), strict=True):
                self._separate(group, result, frames, self.pool)
        return estimates.unflatten(0, (batch, -1)).transpose(1, 2).reshape(batch, c.num_sources, channels, length)

    def _buffers(self, signals: int, frames: int) -> Buffers:
        """Return the calling thread's buffers, made anew if the sizes differ from the last ones."""
        buffers: Buffers | None = getattr(self._thread, "buffers", None)
        if buffers is None or (buffers.signals, buffers.frames) != (signals, frames):
            self._thread.buffers = buffers = None  # frees the old ones first
            self._thread.buffers = buffers = Buffers(self.config, signals, frames)
        return buffers

    def _separate(self, signals: Tensor, estimates: Tensor, frames: int, pool: Pool) -> None:
        """Separate signals (s, c, t) all at once, and write the estimates (s, n, c, t)."""
        buffers = self._buffers(len(signals), frames)
        hop = self.config.hop
        waves = signals.new_zeros(len(signals), signals.shape[1], hop * (frames + 1) + 1)
        scales = [(0.0, 1.0)] * len(signals)

        def prepare(i: int) -> None:
            scales[i] = self._prepare(signals[i], waves[i])

        def encode(tile: Tile) -> Tensor:
            windows = waves[tile.signal].unfold(-1, 2 * hop + 1, hop)[:, tile.frames]
            return tile.frames_of(buffers.coded).copy_(self.encoder(windows.transpose(0, 1).flatten(1)))

        pool.run(prepare, range(len(signals)))
        coded = normalising(pool, encode, buffers.tiles(), self.norm)

        def begin(tile: Tile) -> None:
            tile.frames_of(buffers.stream).copy_(self.bottleneck(coded(tile.frames_of(buffers.coded), tile.signal)))

        run_blocks(pool, buffers, self.blocks, begin)
        decoded = signals.new_empty(len(signals), self.decoded * signals.shape[1], frames, hop)
        pool.run(lambda tile: self._decode(buffers, tile, decoded[tile.signal]), buffers.tiles())

        def finish(i: int) -> None:
            self._finish(decoded[i], signals[i], scales[i], estimates[i])

        pool.run(finish, range(len(signals)))

    def _prepare(self, signal: Tensor, wave: Tensor) -> tuple[float, float]:
        """Write a signal (c, t) as the encoder's padded input, normalised if the config says so.

        Returns:
            Mean and deviation that the normalisation removed; 0 and 1 without one.
        """
        mean, deviation = 0.0, 1.0
        if self.config.normalize:
            mean = float(signal.mean())
            # The estimator is unbiased, and would be NaN for a single sample.
            deviation = float(signal.std()) if signal.numel() > 1 else 0.0
            signal = (signal - mean) / (deviation + 1e-9)
        hop = self.config.hop
        wave[:, hop : hop + signal.shape[-1]] = signal
        return mean, deviation

    def _decode(self, buffers: Buffers, tile: Tile, decoded: Tensor) -> None:
        """Mask and decode a tile, and write its samples into `decoded`, (n * c, m, hop)."""
        hop, basis = self.config.hop, self.config.enc_num_basis
        # The samples of a hop come from its own frame, the one before, and the one after it: see below.
        start, stop = max(tile.start - 1, 0), min(tile.stop + 1, buffers.frames)
        x, coded = (tensor[tile.signal, start:stop] for tensor in (buffers.stream, buffers.coded))
        masks = self.masks(F.leaky_relu(x, self.mask_slope)).unflatten(1, (-1, basis))
        masks *= coded[:, None]  # in float32, rounded once
        waves = self.decoder(masks.flatten(1)).float().unflatten(1, (-1, 2 * hop + 1)).transpose(0, 1)
        own = slice(tile.start - start, tile.stop - start)
        y = decoded[:, tile.frames]
        # A frame's samples cover the hop before its own, its own hop, and the first sample of the next one.
        y.copy_(waves[:, own, hop : 2 * hop])
        y[:, : stop - 1 - tile.start] += waves[:, own.start + 1 :, :hop]
        y[:, tile.start == 0 :, 0] += waves[:, : own.stop - 1, 2 * hop]

    def _finish(self, decoded: Tensor, signal: Tensor, scale: tuple[float, float], estimates: Tensor) -> None:
        """Write the estimates (n, c, t) of a signal (c, t) from hops (decoded * c, m, hop)."""
        mean, deviation = scale
        own, last = estimates[: self.decoded], estimates[self.decoded :]
        own.copy_(decoded.flatten(1)[:, : signal.shape[-1]].view(own.shape))
        if self.config.normalize:
            own.mul_(deviation)
        if len(last):
            share = signal / self.config.num_sources
            torch.sub(share, own.sum(0), out=last[0])
            own += share
        elif self.config.mixture_consistency:
            own.copy_(signal)  # the only stem
        elif self.config.normalize:
            own += mean
