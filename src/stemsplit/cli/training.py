"""Carries out a training run: resumes it, shows its progress, and stops it in order."""

import math
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import typer

from stemsplit.cli import process
from stemsplit.cli.signals import AskedError, Stop
from stemsplit.words import counted

if TYPE_CHECKING:
    from stemsplit.terminal.training import TrainReport
    from stemsplit.training.loop import Run


def saved(run: "Run") -> str:
    """Write the checkpoint and the weights of a run that is stopped, and say so."""
    if not run.step:
        return "interrupted before the first step was made"
    run.save_state()
    weights = f"its weights so far are in {run.out}; " if run.save_weights() else ""
    return f"interrupted; {weights}start it again to resume from step {run.step}"


def carry_out(
    run: "Run", report: "TrainReport", until: float = math.inf, begun: Callable[[], object] = lambda: None
) -> None:
    """Resume or begin a run, train to its end, and report its progress.

    Args:
        run: the run.
        report: shows the progress.
        until: value of `time.monotonic` by which to end.
        begun: called after each step.

    Raises:
        typer.Exit: a signal asked to stop; the run can be resumed.
        StemsplitError: see `Run`; or the device ran out of memory.
    """
    from stemsplit.errors import StemsplitError
    from stemsplit.fast.device import memory_errors
    from stemsplit.training.history import History

    stems, first = run.entry.outputs if run.validation else (), run.workers.first
    advice = "try a smaller --batch-size or --seconds"
    process.settle()
    with Stop() as stop:
        if run.resume():
            report.note(f"{run.out} resumes from step {run.step} of {run.plan.steps}")
        run.tell = report.stage
        if run.step < run.plan.steps:
            length = run.examples.mixing.length / run.entry.sample_rate
            report.stage(f"first step: {counted(run.plan.batch_size, 'example')} of {length:g} s")
        history = History(run.out.with_suffix(".csv"), stems, run.step) if first else None
        if history:
            report.remember(history.reports())
        if run.workers.count == 1:
            run.pulse = stop.check  # with several, the others would wait for a process that gives up its step
        try:
            with memory_errors(f"while training on {run.device}", advice), closing(run.steps(until)) as steps:
                for progress in steps:
                    report.step(progress)
                    begun()
                    if history and progress.reported:
                        history.add(progress)
                    if stop.number:
                        break
        except AskedError:
            pass  # the step was not made; those before it are saved below
        except RuntimeError as error:
            if "DataLoader worker" in str(error):
                raise StemsplitError("a process that prepares examples was killed; try fewer --workers") from error
            # Another process, which this one waited for, stopped a step earlier.
            if run.workers.count == 1 or not stop.number:
                raise
        except KeyboardInterrupt:
            report.note("interrupted; start it again to resume from its last checkpoint")
            raise typer.Exit(130) from None
        if stop.number:
            if first:
                report.note(saved(run))
            raise typer.Exit(128 + stop.number)
        if first and run.step < run.plan.steps:
            report.note(f"stopped after {run.step} of {run.plan.steps} steps; start it again to resume from there")
