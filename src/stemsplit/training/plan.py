"""Holds the settings of a training run and their defaults: how to train, how to mix examples. Imports no PyTorch."""

from dataclasses import dataclass

LOSS_NAMES = ("spectral", "sdr")
OPTIMIZER_NAMES = ("adamw", "muon")
AUGMENTATION_NAMES = (
    "swap",
    "polarity",
    "equalise",
    "speed",
    "pitch",
    "compress",
    "reverb",
    "levels",
    "master",
    "lowpass",
    "pauses",
    "codec",
)
TORCHAUDIO_NAMES = {"equalise", "speed", "pitch"}
"""The augmentations that need torchaudio."""

EARLIER_NAMES = {"averaging": "ema_decay", "levels": "gain", "silence": "source_dropout", "doubled": "mixup"}
"""Settings' names in earlier versions -> their names today. Old options, and runs begun by old versions, still work."""


def check_name(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Raise ValueError if a name is unknown."""
    if name not in known:
        raise ValueError(f"no {kind} {name!r}; there are {', '.join(known)}")


@dataclass(frozen=True)
class Plan:
    """The settings of the training itself.

    The defaults are those of BS-RoFormer (Lu et al. 2023, arXiv:2309.02612).

    Args:
        steps: number of training steps, each an update of the weights.
        batch_size: examples per step, on each device.
        loss: one of `LOSS_NAMES`.
        optimizer: one of `OPTIMIZER_NAMES`.
        learning_rate: peak learning rate.
        warmup: steps over which the learning rate rises to its peak.
        decay: factor by which the learning rate decays every `decay_steps`.
        decay_steps: steps between decays of the learning rate.
        cooldown: share of all steps, at the end, over which the learning rate falls to zero.
        weight_decay: weight decay of the optimizer.
        dropout: dropout rate inside a RoFormer's feed-forward layers.
        ema_decay: decay per step of the moving average of the weights (EMA).
        clip: largest norm of the gradient; larger gradients are scaled down to it.
        seed: random seed.
        report_every: steps between checkpoints, and between validations.

    Raises:
        ValueError: the loss or the optimizer does not exist.
    """

    steps: int = 400_000
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
    ema_decay: float = 0.999
    clip: float = 5.0
    seed: int = 0
    report_every: int = 1_000

    def __post_init__(self) -> None:
        check_name("loss", self.loss, LOSS_NAMES)
        check_name("optimizer", self.optimizer, OPTIMIZER_NAMES)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        fall = min(1.0, (self.steps - step) / (self.cooldown * self.steps)) if self.cooldown else 1.0
        return self.learning_rate * rise * fall * self.decay ** (step // self.decay_steps)


@dataclass(frozen=True)
class Mixing:
    """The settings of mixing examples from recordings.

    The defaults are those of BS-RoFormer (Lu et al. 2023, arXiv:2309.02612).

    Args:
        length: length of an example, in samples.
        gain: largest random gain of a source, in dB, up or down.
        source_dropout: share of sources that are silenced.
        remix: share of examples whose sources come from different songs, or from different positions.
        mixup: in these, share of sources that are the sum of two recordings: two singers, two bands.
        loudness: level in dBFS that a drawn source should exceed; quieter ones are drawn anew a few times.
        augmentations: further augmentations, from `AUGMENTATION_NAMES`.

    Raises:
        ValueError: an augmentation does not exist, or a share is not between 0 and 1.
        LibraryError: torchaudio, which some augmentations need, does not load.
    """

    length: int
    gain: float = 3.0
    source_dropout: float = 0.1
    remix: float = 0.5
    mixup: float = 0.0
    loudness: float = -50.0
    augmentations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in sorted(self.augmentations):
            check_name("augmentation", name, AUGMENTATION_NAMES)
        if TORCHAUDIO_NAMES & {*self.augmentations}:
            from stemsplit.libraries import load_torchaudio  # imported here: `--help` must be fast

            load_torchaudio()
        if not all(0 <= share <= 1 for share in (self.source_dropout, self.remix, self.mixup)):
            raise ValueError("source_dropout, remix and mixup must be between 0 and 1")
