"""Tells by the names in a checkpoint what is the network, a copy of it, or something else that training stored."""

import re

MOST_LETTERS = 60
"""Letters of a name that are looked at, and shown in a message."""

AVERAGED = re.compile(r"(^|_)(ema|emas|averaged?|averages|averaging|avg|swa|polyak|shadow)(_|\d|$)")
"""Names, split into words, of averages of the weights over the steps of training."""

BEST = re.compile(r"(^|_)best(_|$)")
"""Names of the weights that were best in validation."""

LESSER = re.compile(r"(^|_)(current|online|raw|initial|init|pretrained)(_|$)")
"""Names of copies that are kept beside the weights that count."""

UNUSED = re.compile(
    r"(^|_)(optim|optimi[sz]ers?|schedulers?|sched|loss|losses|criterion|criterions|disc|discs|discriminators?|critic"
    r"|metrics?|scaler|grads?|gradients?|momentum)(_|\d|$)|^(optimi[sz]er|scheduler|loss|criterion|metric|discriminator)"
)
"""Names of what training needs besides the network."""

COUNTERS = {"epoch", "step", "global_step", "iteration", "num_updates", "n_averaged", "initted", "decay", "lr"}
"""Names of single numbers about training, which may stand beside a network's tensors."""

PROFILED = {"total_ops", "total_params"}
"""Names of counts that a profiler adds to every layer."""


def words(name: str) -> str:
    """Return a name in small letters, with underscores between its words: EMACallback becomes ema_callback."""
    name = name[:MOST_LETTERS]
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"\W+", "_", name).lower()


def joined(*names: str) -> str:
    """Return the name of something in a table, or under a prefix, of that name."""
    return ".".join(filter(None, names))


def is_averaged(name: str) -> bool:
    """Return whether this is, or is part of, an average of the weights over the steps of training."""
    return any(AVERAGED.search(words(part)) for part in name.split("."))


def is_used(key: str) -> bool:
    """Return whether a tensor is the network's, by its key; training puts others among them."""
    head = key.partition(".")[0]
    return not (
        key.rpartition(".")[2] in PROFILED or key in COUNTERS or UNUSED.search(words(head)) or is_averaged(head)
    )


def rank(name: str, averaged: bool) -> int:
    """Return how much a copy is to be preferred: averaged weights to the best, these to others, and all to a loss's.

    Args:
        name: where it lies.
        averaged: whether it is an average.
    """
    parts = [words(part) for part in name.split(".")]
    if any(UNUSED.search(part) and not BEST.search(part) for part in parts):
        return -2
    best, lesser = (any(names.search(part) for part in parts) for names in (BEST, LESSER))
    return 2 * averaged + best if averaged or best else -lesser


def shown(name: str) -> str:
    """Return a name, shortened and escaped for a terminal."""
    short = name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 3]}..."
    return short if short.isprintable() else ascii(short)[1:-1][:MOST_LETTERS]
