"""The training loop: steps, averaged weights, reports, checkpoints."""

import copy
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader

from stemsplit.checkpoints import checkpoint, pickled
from stemsplit.disk import replacing
from stemsplit.engine.completion import completed
from stemsplit.errors import StemsplitError, WeightsError
from stemsplit.models.roformer_layers import FeedForward, Transformer
from stemsplit.models.sudormrf import UConvBlock
from stemsplit.registry import ModelEntry
from stemsplit.training import result
from stemsplit.training.data import Examples
from stemsplit.training.losses import LOSSES
from stemsplit.training.optimizers import Optimizers
from stemsplit.training.plan import Plan
from stemsplit.training.validation import autocast, validate
from stemsplit.training.workers import Workers

MOST_LOST = 50
"""Steps in a row without a finite gradient, after which a run gives up."""


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Args:
        step: updates made.
        loss: running mean.
        rate: learning rate of the last step.
        seconds: of training, in all.
        scores: stem -> SDR in dB, the mean over the validation songs, NaN if none has it; empty without such songs.
        best: whether the mean over the stems is the highest so far.
        reported: whether what was trained so far is measured, and about to be kept.
    """

    step: int
    loss: float
    rate: float
    seconds: float
    scores: Mapping[str, float] = field(default_factory=dict)
    best: bool = False
    reported: bool = False

    @property
    def mean(self) -> float:
        """SDR in dB, the mean over the stems; NaN if there is none."""
        return mean(self.scores.values())


def mean(scores: Iterable[float]) -> float:
    """Of those that are numbers; NaN if none is."""
    known = [score for score in scores if not math.isnan(score)]
    return sum(known) / len(known) if known else math.nan


def average(averaged: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the averaged weights towards the network's."""
    with torch.no_grad():
        for old, new in zip(averaged.parameters(), network.parameters(), strict=True):
            old.lerp_(new, 1 - keep)


def droppable(network: nn.Module) -> list[FeedForward]:
    """The layers that `drop_out` is about."""
    return [layer for layer in network.modules() if isinstance(layer, FeedForward)]


def drop_out(network: nn.Module, share: float) -> None:
    """Leave out that share of what a RoFormer's feed-forward layers compute inside; a place of its own waits there."""
    for layer in droppable(network) if share else ():
        layer.net[3] = nn.Dropout(share)


def compile_parts(network: nn.Module) -> None:
    """Let PyTorch compile a network at its first call: its blocks, which are alike and so compiled once.

    What comes before and after them, such as Fourier transforms, it would only slow down.
    """
    blocks: list[nn.Module] = [module for module in network.modules() if isinstance(module, Transformer | UConvBlock)]
    for part in blocks or [network]:
        part.compile()


def let_in(network: nn.Module, pulse: Callable[[], None]) -> None:
    """Have something called again and again while a network computes, forward and backward; it may raise."""
    for module in network.modules():
        module.register_forward_pre_hook(lambda *_: pulse())
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda _: pulse())


class Run:
    """A training run: all that has to be kept of it to go on where it was.

    Args:
        network: on the device to train on.
        entry: of the model that it is to become.
        examples: to train on.
        validation: songs (n, 2, t) that are never trained on, their sources in the order of the entry's outputs.
        out: safetensors file to write; what the run needs to go on lies beside it.
        plan: how to train.
        workers: the processes that train together.
        dtype: of the network's large products.
        compiled: let PyTorch compile the network, which takes minutes and saves more in a long run.
        loaders: processes that prepare examples; 0 for none.
        bits: of each number of the weights that are written, see `checkpoint.save`.

    Attributes:
        pulse: called again and again within a step, unless the network is compiled; what it raises ends the step, which
            then was not made.
    """

    def __init__(
        self,
        network: nn.Module,
        entry: ModelEntry,
        examples: Examples,
        validation: Sequence[Tensor],
        out: Path,
        plan: Plan,
        *,
        workers: Workers | None = None,
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
        loaders: int = 0,
        bits: int = 32,
    ) -> None:
        self.network, self.entry, self.examples, self.validation = network, entry, examples, validation
        self.out, self.plan, self.dtype, self.loaders, self.bits = out, plan, dtype, loaders, bits
        self.device = next(network.parameters()).device
        self.workers = workers or Workers(self.device)
        self.loss = LOSSES[plan.loss]
        self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        self.optimizers = Optimizers(plan.optimizer, network, plan.weight_decay)
        # Gradients in float16 may be too small for it.
        self.scaler = GradScaler(self.device.type, enabled=dtype == torch.float16)
        drop_out(network, plan.dropout)
        self.pulse: Callable[[], None] = lambda: None
        if compiled:
            compile_parts(network)
        else:
            let_in(network, lambda: self.pulse())
        self.compute: Callable[[Tensor], Tensor] = self.workers.share(network.train())
        self.step, self.running, self.best, self.lost, self.seconds = 0, 0.0, -math.inf, 0, 0.0

    @property
    def state_file(self) -> Path:
        """What the run goes on from."""
        return self.out.with_suffix(".training.pt")

    def _settings(self) -> dict[str, Any]:
        """What must not change when a run goes on."""
        plan = {key: value for key, value in asdict(self.plan).items() if key not in ("steps", "report_every")}
        mixing = asdict(self.examples.mixing)
        network = {"architecture": self.entry.architecture, "config": dict(self.entry.config)}
        return {**plan, **mixing, "processes": self.workers.count, "outputs": self.entry.outputs, **network}

    def _compare(self, begun: Mapping[str, Any]) -> None:
        """Raises StemsplitError if a run was begun with other settings."""
        for key, value in self._settings().items():
            was = begun.get(key, value)
            if was != value:
                pair = [was, value]
                if isinstance(value, dict):
                    key = next(name for name in {**was, **value} if was.get(name) != value.get(name))
                    pair = [was.get(key), value.get(key)]
                raise StemsplitError(
                    f"the run in {self.state_file} was begun with {key} {pair[0]}, not {pair[1]}; "
                    "use that, or another --output"
                )

    def go_on(self) -> bool:
        """Take up the run that was cut off, if there is one; whether there is.

        Raises:
            WeightsError: what it left cannot be read.
            StemsplitError: it had other settings.
        """
        if not self.state_file.exists():
            return False
        try:
            # It lies where the weights go, and so may be anybody's.
            pickled.scan_zip(self.state_file)
            # To the CPU: an optimizer that counts its steps on a GPU would wait for it at each of them.
            state = torch.load(self.state_file, weights_only=True, map_location="cpu")
            self._compare(state["settings"])
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizers.load_state_dict(state["optimizers"])
            if state["scaler"]:
                self.scaler.load_state_dict(state["scaler"])
            self.step, self.running, self.best = int(state["step"]), float(state["running"]), float(state["best"])
            self.seconds = float(state.get("seconds", 0.0))
        except Exception as error:  # Over damaged files, the reader raises nearly every kind there is.
            if isinstance(error, StemsplitError) and not isinstance(error, WeightsError):
                raise  # the settings are other ones
            why = checkpoint.reason(error)
            raise WeightsError(f"cannot go on from {self.state_file} ({why}); delete it to begin again") from error
        return True

    def keep(self) -> None:
        """Write what the run goes on from, whole or not at all.

        Raises:
            WeightsError: it cannot be written.
        """
        state = {
            "settings": self._settings(),
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "running": self.running,
            "best": self.best,
            "seconds": self.seconds,
        }
        try:
            with replacing(self.state_file) as file:
                torch.save(state, file)
        except (OSError, RuntimeError) as error:
            raise WeightsError(f"cannot write {self.state_file}: {error}") from error

    def _batches(self) -> Iterator[Tensor]:
        """The batches (b, n, 2, t) of this process, from the present step on."""
        size, count = self.plan.batch_size, self.workers.count
        numbers = range(self.step * size * count, self.plan.steps * size * count)
        mine = (
            list(numbers[first : first + size]) for first in range(self.workers.rank * size, len(numbers), size * count)
        )
        pinned = self.device.type == "cuda"
        try:
            yield from DataLoader(self.examples, batch_sampler=mine, num_workers=self.loaders, pin_memory=pinned)
        except StemsplitError as error:
            # What comes out of another process holds that one's whole traceback, the message at its end.
            said = str(error).strip().rpartition("\n")[2].partition(": ")[2] if self.loaders else str(error)
            raise type(error)(said) from error

    def _update(self, sources: Tensor) -> None:
        if self.plan.dropout:
            # So that a run that goes on leaves out what it would have left out.
            place = self.step * self.workers.count + self.workers.rank
            torch.manual_seed((self.plan.seed * 1_000_003 + place) % 2**63)
        sources = sources.to(self.device, non_blocking=True)
        mixture = sources.sum(1)
        # On a CPU, PyTorch's own attention takes twice as long over a step as plain products do.
        attention = sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext()
        with autocast(self.device, self.dtype), attention:
            estimates = self.compute(mixture)
        if estimates.requires_grad:
            estimates.register_hook(lambda _: self.pulse())
        loss = self.loss(completed(estimates.float(), mixture, self.entry), sources, mixture)
        self.optimizers.zero_grad()
        self.optimizers.set_rate(self.plan.rate(self.step))
        self.pulse()
        self.scaler.scale(loss).backward()
        self.pulse()
        self.optimizers.take_gradients()
        for optimizer in self.optimizers.all:
            self.scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip)
        self.lost = 0 if norm.isfinite() else self.lost + 1
        if self.lost > MOST_LOST:
            raise StemsplitError(f"no finite gradient in {self.lost} steps; try a lower --learning-rate")
        if norm.isfinite():
            for optimizer in self.optimizers.all:
                self.scaler.step(optimizer)
        self.scaler.update()
        self.step += 1
        average(self.averaged, self.network, min(self.plan.averaging, self.step / (self.step + 9)))
        if norm.isfinite():
            self.running += (loss.item() - self.running) * max(0.01, 1 / self.step)

    def steps(self) -> Generator[Progress, None, None]:
        """Train; tells of progress after every step, with scores after every `report_every` and at the end.

        Before such a report the averaged weights are written to `out`, of a run with validation songs only while they
        are the best so far. What the run goes on from is kept when the next step is asked for, and so after the report
        was written down: a run that is killed in between makes these steps, and the report, again.

        Raises:
            WeightsError: a file cannot be written.
            AudioError: a recording cannot be read any more.
            StemsplitError: the network's numbers are not finite any more.
        """
        began = time.monotonic() - self.seconds
        if self.device.type == "cpu":
            # Else the attention of `_update` would be computed in float32 whatever was asked for.
            torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
        for sources in self._batches():
            self._update(sources)
            # Of several processes, the first alone measures, keeps and tells.
            due = self.workers.first and (self.step % self.plan.report_every == 0 or self.step == self.plan.steps)
            scores = self._measured() if due else {}
            # Without a score, the last is the best.
            best = due and not mean(scores.values()) <= self.best
            if best:
                self.best = mean(scores.values())
                result.save(self.averaged, self.entry, self.out, bits=self.bits)
            self.seconds = time.monotonic() - began
            rate = self.plan.rate(self.step - 1)
            yield Progress(self.step, self.running, rate, self.seconds, scores, best, due)
            if due:
                self.keep()

    def _measured(self) -> dict[str, float]:
        """The scores of the averaged weights."""
        if not self.validation:
            return {}
        measured = validate(self.averaged, self.validation, self.entry, self.dtype).tolist()
        return dict(zip(self.entry.outputs, measured, strict=True))
