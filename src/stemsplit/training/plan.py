"""How long and how to train."""

from dataclasses import dataclass

from stemsplit.training.losses import LOSSES
from stemsplit.training.optimizers import OPTIMIZERS


@dataclass(frozen=True)
class Plan:
    """How long and how to train.

    The defaults are those of BS-RoFormer (Lu et al. 2023, arXiv:2309.02612).

    Args:
        steps: updates in all.
        batch_size: examples a step, on each device.
        loss: one of `LOSSES`.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: at its height.
        warmup: steps over which it rises.
        decay: what it is multiplied with every `decay_steps`.
        decay_steps: see there.
        cooldown: share of all steps, at the end, over which it falls to zero.
        weight_decay: of the optimizer.
        dropout: share of a RoFormer's features that are left out at random.
        averaging: share of the old average that the averaged weights keep at each step.
        clip: norm that gradients are cut down to.
        seed: of everything random.
        report_every: steps between validations and checkpoints.

    Raises:
        ValueError: no such loss or optimizer.
    """

    steps: int
    batch_size: int = 4
    loss: str = "spectral"
    optimizer: str = "adamw"
    learning_rate: float = 5e-4
    warmup: int = 0
    decay: float = 0.9
    decay_steps: int = 40_000
    cooldown: float = 0.0
    weight_decay: float = 0.01
    dropout: float = 0.0
    averaging: float = 0.999
    clip: float = 5.0
    seed: int = 0
    report_every: int = 1_000

    def __post_init__(self) -> None:
        for kind, name, known in (("loss", self.loss, LOSSES), ("optimizer", self.optimizer, OPTIMIZERS)):
            if name not in known:
                raise ValueError(f"no {kind} {name!r}; there are {', '.join(known)}")

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        fall = min(1.0, (self.steps - step) / (self.cooldown * self.steps)) if self.cooldown else 1.0
        return self.learning_rate * rise * fall * self.decay ** (step // self.decay_steps)
