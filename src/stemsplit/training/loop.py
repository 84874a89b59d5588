"""Runs the training loop: steps, a moving average of the weights, validation, checkpoints to resume from."""

import copy
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
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
from stemsplit.registry import ModelEntry
from stemsplit.training import result
from stemsplit.training.examples import Example, Examples
from stemsplit.training.losses import LOSSES, summed
from stemsplit.training.network import add_dropout, add_pulse, compile_blocks, update_ema
from stemsplit.training.optimizers import Optimizers
from stemsplit.training.plan import EARLIER_NAMES, Plan
from stemsplit.training.progress import Progress, mean
from stemsplit.training.validation import autocast, validate
from stemsplit.training.workers import Workers
from stemsplit.words import counted

MOST_SKIPPED = 50
"""Steps in a row without a finite gradient after which a run gives up."""


class Run:
    """A training run, with all the state that it takes to resume it.

    Args:
        network: network to train, on the device to train on.
        entry: registry entry of the model that it becomes.
        examples: examples to train on.
        validation: validation songs (n, 2, t), their sources in the order of the entry's outputs.
        out: safetensors file to write; the checkpoint from which the run resumes is written beside it.
        plan: how long and how to train.
        workers: the processes that train together; None for this one alone.
        dtype: type of the network's large products.
        compiled: whether PyTorch compiles the network, which takes minutes and pays off in a long run.
        loaders: number of processes that prepare examples; with 0, this one does.
        bits: bits of each weight in the file, see `checkpoint.save`.

    Attributes:
        ema: copy of the network with the moving average of its weights.
        pulse: called again and again within a step, unless the network is compiled. If it raises, the step counts as
            not made.
        tell: called with what the run does besides steps, when it begins with it.
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
        self.ema = copy.deepcopy(network).eval().requires_grad_(False)
        self.optimizers = Optimizers(plan.optimizer, network, plan.weight_decay)
        # In float16, small gradients would become zero.
        self.scaler = GradScaler(self.device.type, enabled=dtype == torch.float16)
        add_dropout(network, plan.dropout)
        self.pulse: Callable[[], None] = lambda: None
        self.tell: Callable[[str], object] = lambda _: None
        if compiled:
            compile_blocks(network)
        else:
            add_pulse(network, lambda: self.pulse())
        self.compute: Callable[[Tensor], Tensor] = self.workers.share(network.train())
        self.step, self.running_loss, self.best, self.skipped, self.seconds = 0, 0.0, -math.inf, 0, 0.0

    @property
    def state_file(self) -> Path:
        """The checkpoint from which the run resumes."""
        return self.out.with_suffix(".training.pt")

    def _settings(self) -> dict[str, Any]:
        """Return the settings that must not change when a run resumes."""
        plan = {key: value for key, value in asdict(self.plan).items() if key not in ("steps", "report_every")}
        mixing = asdict(self.examples.mixing)
        network = {"architecture": self.entry.architecture, "config": dict(self.entry.config)}
        return {**plan, **mixing, "processes": self.workers.count, "outputs": self.entry.outputs, **network}

    def _check_settings(self, saved: Mapping[str, Any]) -> None:
        """Raise StemsplitError if a saved run had other settings."""
        before = {EARLIER_NAMES.get(key, key): value for key, value in saved.items()}
        for key, now in self._settings().items():
            was = before.get(key, now)
            if was != now:
                if isinstance(now, dict):
                    key = next(name for name in {**was, **now} if was.get(name) != now.get(name))
                    was, now = was.get(key), now.get(key)
                raise StemsplitError(
                    f"the run in {self.state_file} was started with {key} {was}, not {now}; "
                    "use that, or another --output"
                )

    def resume(self) -> bool:
        """Restore the state of an interrupted run, if there is one.

        Returns:
            Whether there is one.

        Raises:
            WeightsError: its checkpoint cannot be read.
            StemsplitError: it had other settings.
        """
        if not self.state_file.exists():
            return False
        try:
            # The file lies beside the weights, so anybody may have put it there.
            pickled.scan_zip(self.state_file)
            # To the CPU: an optimizer whose step count is on a GPU would wait for the GPU at every step.
            state = torch.load(self.state_file, weights_only=True, map_location="cpu")
            self._check_settings(state["settings"])
            self.network.load_state_dict(state["network"])
            self.ema.load_state_dict(state["averaged"])
            self.optimizers.load_state_dict(state["optimizers"])
            if state["scaler"]:
                self.scaler.load_state_dict(state["scaler"])
            self.step, self.running_loss = int(state["step"]), float(state["running"])
            self.best = float(state["best"])
            self.seconds = float(state.get("seconds", 0.0))
        except Exception as error:  # On damaged files, the reader raises nearly every type of error.
            if isinstance(error, StemsplitError) and not isinstance(error, WeightsError):
                raise  # other settings
            why = checkpoint.reason(error)
            raise WeightsError(f"cannot resume from {self.state_file} ({why}); delete it to start anew") from error
        return True

    def save_state(self) -> None:
        """Write the checkpoint from which the run resumes, whole or not at all.

        Raises:
            WeightsError: the file cannot be written.
        """
        state = {
            "settings": self._settings(),
            "network": self.network.state_dict(),
            "averaged": self.ema.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "running": self.running_loss,
            "best": self.best,
            "seconds": self.seconds,
        }
        try:
            with replacing(self.state_file) as file:
                torch.save(state, file)
        except (OSError, RuntimeError) as error:
            raise WeightsError(f"cannot write {self.state_file}: {error}") from error

    def _batches(self) -> Iterator[Example]:
        """Yield the batches of this process, from the current step on."""
        size, count = self.plan.batch_size, self.workers.count
        indices = range(self.step * size * count, self.plan.steps * size * count)
        mine = (
            list(indices[first : first + size]) for first in range(self.workers.rank * size, len(indices), size * count)
        )
        pinned = self.device.type == "cuda"
        try:
            yield from DataLoader(self.examples, batch_sampler=mine, num_workers=self.loaders, pin_memory=pinned)
        except StemsplitError as error:
            # An error from another process holds that process's whole traceback, with the message at the end.
            message = str(error).strip().rpartition("\n")[2].partition(": ")[2] if self.loaders else str(error)
            raise type(error)(message) from error

    def _update(self, batch: Example) -> None:
        """Make a step on a batch."""
        if self.plan.dropout:
            # A run that resumes must drop the same features that it would have dropped.
            index = self.step * self.workers.count + self.workers.rank
            torch.manual_seed((self.plan.seed * 1_000_003 + index) % 2**63)
        sources = batch.sources.to(self.device, non_blocking=True)
        mixture = batch.mixture.to(self.device, non_blocking=True)
        # On a CPU, a step takes twice as long with PyTorch's fused attention as with plain products.
        attention = sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext()
        with autocast(self.device, self.dtype), attention:
            estimates = self.compute(mixture)
        if estimates.requires_grad:
            estimates.register_hook(lambda _: self.pulse())
        estimates = completed(estimates.float(), mixture, self.entry)
        loss = self.loss(summed(estimates, batch.together), summed(sources, batch.together), mixture)
        self.optimizers.zero_grad()
        self.optimizers.set_learning_rate(self.plan.learning_rate_at(self.step))
        self.pulse()
        self.scaler.scale(loss).backward()
        self.pulse()
        self.optimizers.share_gradients()
        for optimizer in self.optimizers.all:
            self.scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip)
        self.skipped = 0 if norm.isfinite() else self.skipped + 1
        if self.skipped > MOST_SKIPPED:
            raise StemsplitError(f"no finite gradient in {self.skipped} steps; try a lower --learning-rate")
        if norm.isfinite():
            for optimizer in self.optimizers.all:
                self.scaler.step(optimizer)
        self.scaler.update()
        self.step += 1
        # Early on, the average must soon forget the weights that it began with.
        update_ema(self.ema, self.network, min(self.plan.ema_decay, self.step / (self.step + 9)))
        if norm.isfinite():
            self.running_loss += (loss.item() - self.running_loss) * max(0.01, 1 / self.step)

    def save_weights(self) -> bool:
        """Write the averaged weights of a run that is stopped, unless better ones are in the file.

        The best score stays as it is, so that a run that resumes ends with the weights of an undisturbed one.

        Returns:
            Whether the weights of the last step are in the file.

        Raises:
            WeightsError: the file cannot be written.
        """
        has_better = self.best > -math.inf and bool(self.validation) and self.out.exists()
        if not self.step or has_better:
            return False
        result.save(self.ema, self.entry, self.out, bits=self.bits)
        return True

    def steps(self, until: float = math.inf) -> Generator[Progress, None, None]:
        """Train, and yield the progress after every step.

        Every `report_every` steps, and at the end, the step ends in a report: the averaged weights are validated and
        written to `out`; with validation songs, only if they are the best so far. The checkpoint is written when the
        next step is asked for, so after the caller has recorded the report. A run that is killed in between makes
        these steps, and the report, again.

        Args:
            until: value of `time.monotonic` by which to end, after the first step at the earliest: a step that would
                take longer is not begun, if it takes as long as the last one.

        Raises:
            WeightsError: a file cannot be written.
            AudioError: a recording can no longer be read.
            StemsplitError: the gradient is no longer finite.
        """
        last = time.monotonic()
        began = last - self.seconds
        if self.device.type == "cpu":
            # Otherwise, the attention in `_update` would be computed in float32, whatever the precision.
            torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
        for batch in self._batches():
            self._update(batch)
            now = time.monotonic()
            ends = self.step == self.plan.steps
            if until < math.inf:
                ends |= self.workers.any(2 * now - last > until)
            # Among several processes, only the first one validates, writes files and reports.
            due = self.workers.first and (ends or self.step % self.plan.report_every == 0)
            scores = self._validated() if due else {}
            score = mean(scores.values())
            # Where there is no score to compare, the latest weights are the best.
            best = due and (math.isnan(score) or math.isnan(self.best) or score > self.best)
            if best:
                self.best = score
                result.save(self.ema, self.entry, self.out, bits=self.bits)
            self.seconds = time.monotonic() - began
            learning_rate = self.plan.learning_rate_at(self.step - 1)
            yield Progress(self.step, self.running_loss, learning_rate, self.seconds, scores, best, due)
            if due:
                self.save_state()
            if ends:
                return
            last = time.monotonic()

    def _validated(self) -> dict[str, float]:
        """Return the scores of the averaged weights."""
        if not self.validation:
            return {}
        self.tell(f"validation on {counted(len(self.validation), 'song')}")
        scores = validate(self.ema, self.validation, self.entry, self.dtype).tolist()
        return dict(zip(self.entry.outputs, scores, strict=True))
