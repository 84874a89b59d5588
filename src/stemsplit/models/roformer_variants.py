"""Lists the published variants of the RoFormers, and tells by its keys which of them a checkpoint is.

Each variant is defined in a file of its own by one or two `Variant` values: the pattern of its keys, its
hyperparameters, how these are inferred from shapes, and its network, a subclass of `RoFormer`. A network may replace
the attention layers (`RoFormer.attention`), what computes a stem's mask (`RoFormer.mask_estimator`), or how blocks are
applied (`RoFormer.transformed`). Attribute names are the published keys.
"""

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any

from stemsplit.models.keys import Shapes
from stemsplit.models.network import Network
from stemsplit.models.roformer import RoFormer
from stemsplit.models.roformer_config import Config, Variant
from stemsplit.models.roformer_fno import FNO
from stemsplit.models.roformer_hyperace import HYPERACE_V1, HYPERACE_V2
from stemsplit.models.roformer_large_inst import LARGE_INST_V2
from stemsplit.models.roformer_shared_bias import SHARED_BIAS
from stemsplit.models.roformer_value_residual import VALUE_RESIDUAL
from stemsplit.models.roformer_windowed import WINDOWED
from stemsplit.words import did_you_mean

PLAIN = Variant(name="", title="nothing but the plain network", network=RoFormer, usual_hop=441)

VARIANTS = {
    variant.name: variant
    for variant in (PLAIN, LARGE_INST_V2, VALUE_RESIDUAL, HYPERACE_V1, HYPERACE_V2, FNO, SHARED_BIAS, WINDOWED)
}
"""Value of the hyperparameter `variant` -> the variant."""

MAX_TENSORS = 20_000
"""Largest number of tensors in a network; building one with more would take too long. Published ones have up to 2,500.
"""

USUAL = {field.name: field.default for field in fields(Config)}


def variant_of(keys: Collection[str]) -> Variant:
    """Return the variant that a checkpoint is, by its keys (after `adapt_keys`).

    Raises:
        ValueError: they are of several variants at once.
    """
    found = [variant for variant in VARIANTS.values() if variant.is_in(keys)] or [PLAIN]
    if len(found) > 1:
        titles = " and ".join(variant.title for variant in found)
        raise ValueError(f"this is a RoFormer with {titles} at once, which stemsplit does not support")
    return found[0]


def infer(shapes: Shapes, architecture: str) -> tuple[Variant, dict[str, Any], dict[str, Any]]:
    """Infer what a checkpoint has of a variant.

    Args:
        shapes: shapes of its tensors, by key (after `adapt_keys`).
        architecture: its architecture.

    Returns:
        The variant, the hyperparameters that the shapes determine, and the usual values of others.

    Raises:
        KeyError: a key is missing.
        ValueError: no such checkpoint was ever published.
    """
    variant = variant_of(shapes)
    if variant.architecture not in ("", architecture):
        raise ValueError(f"this is a {architecture} with {variant.title}, which stemsplit does not support")
    inferred = {"variant": variant.name} if variant.name else {}
    inferred |= variant.infer(shapes) if variant.infer else {}
    usual = {name: USUAL[name] for name in variant.own} | dict(variant.defaults)
    return variant, inferred, {name: value for name, value in usual.items() if name not in inferred}


def check(config: Config, architecture: str) -> None:
    """Check a config's variant and its hyperparameters.

    Args:
        config: hyperparameters.
        architecture: the architecture whose they are.

    Raises:
        ValueError: there is no such variant of the architecture, or no network can be built from the values.
    """
    if config.variant not in VARIANTS:
        names = [name for name in VARIANTS if name]
        hint = did_you_mean(config.variant, names) or f"; choose from {', '.join(names)}"
        raise ValueError(f"unknown variant {config.variant!r}{hint}")
    variant = VARIANTS[config.variant]
    if variant.architecture not in ("", architecture):
        raise ValueError(f"there is no {architecture} of the variant {variant.name!r}, only a {variant.architecture}")
    for other in VARIANTS.values():
        for name in other.own:
            value = getattr(config, name)
            usual = (tuple(value) if isinstance(value, list) else value) == USUAL[name]
            if name not in variant.own and not usual:
                raise ValueError(f"{name} belongs to the variant {other.name!r}, and the network is {_named(variant)}")
    if variant.name and config.use_pope:
        raise ValueError(f"use_pope cannot be combined with the variant {variant.name!r}")
    if variant.changes_attention and config.linear_transformer_depth:
        raise ValueError(f"linear_transformer_depth must be 0 in the variant {variant.name!r}")
    if variant.check:
        variant.check(config)
    if (tensors := _tensors(config, variant)) > MAX_TENSORS:
        raise ValueError(f"the network would have about {tensors:,} tensors; the limit is {MAX_TENSORS:,}")


def _tensors(c: Config, variant: Variant) -> int:
    """Return about how many tensors a network has."""
    layers = c.depth * (c.linear_transformer_depth + c.time_transformer_depth + c.freq_transformer_depth)
    masks = 2 * c.mask_estimator_depth * c.num_stems * c.band_count if variant.has_mlps else 0
    return 12 * layers + masks + 3 * c.band_count + (variant.tensors(c) if variant.tensors else 0)


def _named(variant: Variant) -> str:
    return f"of the variant {variant.name!r}" if variant.name else "plain"


def build(config: Config, bands: Sequence[range], hidden_layers: int, norm_output: bool) -> Network:
    """Build the network with fresh weights; the arguments are those of `RoFormer`."""
    return VARIANTS[config.variant].network(config, bands, hidden_layers, norm_output)
