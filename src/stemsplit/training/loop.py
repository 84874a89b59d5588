"""The training loop: steps, learning rate, averaged weights, validation, checkpoints."""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from stemsplit.metrics import sdr
from stemsplit.training import data
from stemsplit.training.losses import relative_error
from stemsplit.weights import checkpoint


@dataclass(frozen=True)
class Plan:
    """How long and how to train.

    Args:
        steps: updates in all; the learning rate falls to zero over the last two fifths.
        batch_size: examples a step.
        length: samples of an example.
        learning_rate: at its height.
        weight_decay: of AdamW.
        averaging: share of the old average that the averaged weights keep at each step.
        seed: of everything random.
        report_every: steps between validations and checkpoints.
        autocast: bfloat16 arithmetic; needs a GPU or a CPU that has it.
    """

    steps: int
    batch_size: int = 4
    length: int = 3 * 44_100
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    averaging: float = 0.998
    seed: int = 0
    report_every: int = 200
    autocast: bool = True


def learning_rate(plan: Plan, step: int) -> float:
    """A short rise, a plateau, a straight fall to zero."""
    rise = min(1.0, (step + 1) / 50)
    fall = min(1.0, (plan.steps - step) / (0.4 * plan.steps))
    return plan.learning_rate * rise * fall


@torch.no_grad()
def validate(network: nn.Module, songs: Sequence[Tensor], autocast: bool) -> Tensor:
    """SDR in dB of every stem, averaged over the songs (n, 2, t), each taken whole."""
    device = next(network.parameters()).device
    scores = []
    for sources in songs:
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            estimates = network(sources.sum(0, keepdim=True).to(device))
        scores.append(sdr(estimates[0].float().cpu(), sources))
    return torch.stack(scores).mean(0)


def average(averaged: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the averaged weights towards the network's."""
    with torch.no_grad():
        for old, new in zip(averaged.parameters(), network.parameters(), strict=True):
            old.lerp_(new, 1 - keep)


def train(
    network: nn.Module,
    tracks: data.Multitracks,
    validation: Sequence[Tensor],
    out: Path,
    plan: Plan,
    report: Callable[[str], None],
) -> None:
    """Train, and leave the averaged weights in `out` as safetensors.

    A run that was cut off goes on from the checkpoint it left beside `out`.

    Args:
        network: on the device to train on.
        tracks: what to draw examples from.
        validation: songs (n, 2, t) that are never trained on.
        out: safetensors file to write.
        plan: how.
        report: takes a line of progress.
    """
    device = next(network.parameters()).device
    averaged = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(
        network.parameters(), plan.learning_rate, betas=(0.9, 0.99), weight_decay=plan.weight_decay
    )
    resume_file = out.with_suffix(".training.pt")
    done = 0
    if resume_file.exists():
        state = torch.load(resume_file, weights_only=True, map_location=device)
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["step"]
        report(f"goes on from step {done}")
    # A resumed run draws other examples than the ones before it.
    examples = data.batches(tracks, plan.length, plan.batch_size, random.Random(plan.seed + done))
    running = 0.0
    for step in range(done, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(plan, step)
        sources = next(examples).to(device)
        mixture = sources.sum(1)
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.autocast):
            estimates = network(mixture)
        loss = relative_error(estimates.float(), sources, mixture)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        average(averaged, network, min(plan.averaging, (step + 1) / (step + 10)))
        running += (loss.item() - running) * max(0.01, 1 / (step - done + 1))
        if (step + 1) % plan.report_every == 0 or step + 1 == plan.steps:
            line = f"step {step + 1} loss {running:.2f}"
            if validation:
                scores = validate(averaged, validation, plan.autocast)
                figures = " ".join(f"{name} {score:.2f}" for name, score in zip(tracks.stems, scores, strict=True))
                line += f" SDR {figures} mean {scores.mean():.3f}"
            report(line)
            state = {"network": network.state_dict(), "averaged": averaged.state_dict()}
            part = resume_file.with_suffix(".partial")
            torch.save({**state, "optimizer": optimizer.state_dict(), "step": step + 1}, part)
            part.replace(resume_file)
    checkpoint.save(averaged, out)
