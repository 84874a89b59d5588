"""Holds the progress of a training run after a step."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """The progress of a run after a step.

    Args:
        step: number of steps made.
        loss: running mean of the loss.
        learning_rate: learning rate of the last step.
        seconds: total training time.
        scores: stem -> SDR in dB, averaged over the validation songs, NaN if none has the stem; empty without such
            songs.
        best: whether the mean of the scores is the highest so far.
        reported: whether this step ends in a report: the weights were validated and a checkpoint follows.
    """

    step: int
    loss: float
    learning_rate: float
    seconds: float
    scores: Mapping[str, float] = field(default_factory=dict)
    best: bool = False
    reported: bool = False

    @property
    def mean(self) -> float:
        """Mean SDR over the stems in dB; NaN without scores."""
        return mean(self.scores.values())


def mean(scores: Iterable[float]) -> float:
    """Return the mean of the scores that are not NaN, or NaN if there are none."""
    known = [score for score in scores if not math.isnan(score)]
    return sum(known) / len(known) if known else math.nan
