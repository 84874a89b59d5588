"""Finds the models that a caller in Python means, one or several, before they are loaded. Needs no PyTorch."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemsplit.checkpoints.resolve import Model, find
from stemsplit.choices import CombineName
from stemsplit.engine.chain_entry import ChainEntry
from stemsplit.engine.combination.entry import Source, adjusted
from stemsplit.engine.combination.typed import Models
from stemsplit.registry import DEFAULT_MODEL
from stemsplit.words import bytes_in

if TYPE_CHECKING:
    from stemsplit.engine.base import Splitter

AnyPath = str | os.PathLike[str]


def combine_name(name: str | None) -> CombineName | None:
    """Return the way to combine of this name; ValueError if there is none."""
    if name is not None and name not in list(CombineName):
        raise ValueError(f"combine must be one of {', '.join(CombineName)}, not {name!r}")
    return None if name is None else CombineName(name)


def chain_of(
    model: Model | None = None,
    *,
    ensemble: str | Sequence[Model] | Mapping[str, float] | None = None,
    combine: str | None = None,
    route: str | Sequence[str] | Mapping[str, str] | None = None,
    then: Sequence[tuple[str, Model]] = (),
    estimates: str = "consistent",
    tta: bool = False,
    shifts: int | None = None,
    config: AnyPath | None = None,
    settings: Mapping[str, Any] | None = None,
    registry: AnyPath | None = None,
    tell: Callable[[str], object],
) -> ChainEntry:
    """Return the models that the arguments of `stemsplit.split` mean, which are described there.

    Raises:
        RegistryError: a model does not exist, or a config is invalid.
        WeightsError: the file of a checkpoint cannot be used.
        ValueError: the arguments contradict each other, or one makes no sense.
    """
    given = {"model": model is not None, "ensemble": ensemble is not None, "route": route is not None}
    if len(both := [name for name, is_there in given.items() if is_there]) > 1:
        raise ValueError(f"{both[0]} and {both[1]} both choose the models; leave out one of them")
    more = None if registry is None else Path(registry)
    models = Models(lambda one: find(one, registry, config, settings, tell), more, combine_name(combine))
    chosen = DEFAULT_MODEL if model is None else model
    several = ensemble is not None or route is not None or not models.is_single(chosen)
    if several and (config is not None or settings):
        raise ValueError("config and settings are about one checkpoint; with several models, describe it in a registry")
    first: Source
    if route is not None:
        first = models.route(route)
    else:
        first = models.source(chosen) if ensemble is None else models.ensemble(ensemble)
    models.check_combine()
    chain = ChainEntry(adjusted(first, "with_passes", tta or None, shifts).with_estimates(estimates))
    others = Models(lambda one: find(one, registry, tell=tell), more) if then else models
    for stem, one in then:
        if stem not in chain.stems:
            raise ValueError(f"there is no stem {stem!r} to split further, only {', '.join(chain.stems)}")
        chain = replace(chain, then=(*chain.then, (stem, others.source(one).with_estimates(estimates))))
    return chain


def load_splitter(
    model: Model | None = None,
    device: str = "auto",
    *,
    ensemble: str | Sequence[Model] | Mapping[str, float] | None = None,
    combine: str | None = None,
    route: str | Sequence[str] | Mapping[str, str] | None = None,
    then: Sequence[tuple[str, Model]] = (),
    estimates: str = "consistent",
    tta: bool = False,
    shifts: int | None = None,
    fit_memory: int | str | None = None,
    batch_size: int | None = None,
    precision: str = "auto",
    threads: int | None = None,
    config: AnyPath | None = None,
    settings: Mapping[str, Any] | None = None,
    registry: AnyPath | None = None,
    tell: Callable[[str], object] = warnings.warn,
) -> "Splitter":
    """Return one model or several together, loaded; they take songs apart as a `Separator` does.

    Args:
        model: as in `split`, and so are the other arguments that are not described here.
        device: as in `split`.
        ensemble: as in `split`.
        combine: as in `split`.
        route: as in `split`.
        then: as in `split`.
        estimates: as in `split`.
        tta: as in `split`.
        shifts: as in `split`.
        fit_memory: as in `split`.
        batch_size: number of chunks computed together; None for what suits the device.
        precision: "auto", "fp32", "bf16" or "fp16"; see `Separator`.
        threads: number of threads that compute on a CPU; None for one per core.
        config: as in `split`.
        settings: as in `split`.
        registry: as in `split`.
        tell: as in `split`.

    Raises:
        RegistryError, WeightsError, DeviceError, ValueError: as in `split`.

    >>> import numpy as np
    >>> import stemsplit
    >>> both = stemsplit.load_splitter("starter+starter")
    >>> stems = both.separate(np.zeros((2, 22_050), np.float32), sample_rate=44_100)
    >>> both.stems
    ('drums', 'bass', 'other', 'vocals')
    """
    from stemsplit.engine.chain import load  # only now: it imports PyTorch, which takes seconds

    chain = chain_of(
        model,
        ensemble=ensemble,
        combine=combine,
        route=route,
        then=then,
        estimates=estimates,
        tta=tta,
        shifts=shifts,
        config=config,
        settings=settings,
        registry=registry,
        tell=tell,
    )
    limit = None if fit_memory is None else bytes_in(str(fit_memory))
    return load(chain, batch_size, limit, device=device, precision=precision, threads=threads, tell=tell)
