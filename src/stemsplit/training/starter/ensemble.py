"""Combines trained models into one: `python -m stemsplit.training.starter.ensemble WEIGHTS ... -o NAME.safetensors`."""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stemsplit import models, registry
from stemsplit.checkpoints.describe import describe
from stemsplit.checkpoints.loading import load_network
from stemsplit.choices import WeightBits
from stemsplit.errors import RegistryError, StemsplitError
from stemsplit.models.ensemble import Ensemble
from stemsplit.registry import ModelEntry
from stemsplit.training import result

FACTS = ("description", "author", "license", "license_note", "license_url", "page", "training_data", "score")
"""Fields of an entry that describe a model, and that are not needed to use it."""


def members(entry: ModelEntry, outputs: Sequence[str], share: float) -> list[dict[str, Any]]:
    """Return a model as members for an ensemble's config: one member, or its own members if it is an ensemble.

    Args:
        entry: entry of the model.
        outputs: the ensemble's stems.
        share: weight of the model's estimates.

    Raises:
        RegistryError: the model has other stems, or is an ensemble with a filter after the mean of its members.
    """
    if {*entry.outputs} != {*outputs}:
        raise RegistryError(f"{entry.name} gives {', '.join(entry.outputs)}, not {', '.join(outputs)}")
    config = dict(entry.config)
    if entry.architecture != "ensemble":
        indices = [outputs.index(stem) for stem in entry.stems]
        return [{"architecture": entry.architecture, "config": config, "places": indices, "share": share}]
    if config.get("wiener"):
        raise RegistryError(f"{entry.name} has a Wiener filter already, and only a whole ensemble can be filtered")
    total = sum(table.get("share", 1.0) for table in config["members"])
    return [
        {
            **table,
            "places": [outputs.index(entry.outputs[index]) for index in table["places"]],
            "share": share * table.get("share", 1.0) / total,
        }
        for table in config["members"]
    ]


def named(entries: Sequence[ModelEntry]) -> str:
    """Return the models' names as part of a sentence."""
    return " and ".join(entry.name for entry in entries)


def joined(entries: Sequence[ModelEntry], shares: Sequence[float], wiener: float = 0.0) -> tuple[ModelEntry, nn.Module]:
    """Return the entry and the network of an ensemble.

    Args:
        entries: entries of its members; the first one gives the order of the stems.
        shares: weight of each member.
        wiener: share of the result that is filtered, see `stemsplit.models.wiener`.

    Raises:
        RegistryError: the members do not fit together.
        WeightsError: a member's weights cannot be read.
    """
    first = entries[0]
    if any(entry.sample_rate != first.sample_rate for entry in entries):
        raise RegistryError("the members of an ensemble must have the same sample rate")
    if left := [entry.name for entry in entries if not entry.adds_up]:
        raise RegistryError(f"the stems of {left[0]} do not add up to the mixture, as an ensemble's must")
    config = {
        "num_stems": len(first.outputs),
        "members": [
            table
            for entry, share in zip(entries, shares, strict=True)
            for table in members(entry, first.outputs, share)
        ],
        **({"wiener": wiener} if wiener else {}),
    }
    try:
        network = models.build("ensemble", config)
    except ValueError as error:
        raise RegistryError(f"these models cannot be combined into an ensemble: {error}") from error
    assert isinstance(network, Ensemble)
    loaded = (load_network(entry) for entry in entries)
    parts = (part for whole in loaded for part in (whole.members if isinstance(whole, Ensemble) else [whole]))
    for member, part in zip(network.members, parts, strict=True):
        member.load_state_dict(part.state_dict())
    entry = replace(
        first,
        description=f"the mean of {named(entries)}",
        architecture="ensemble",
        config=config,
        stems=first.outputs,
        residual="",
        mixture_consistency=True,
        channels=network.config.channels,
        score={},
    )
    return entry, network


def blended(entries: Sequence[ModelEntry], shares: Sequence[float]) -> tuple[ModelEntry, nn.Module]:
    """Return a network whose weights are the mean of several networks', fine-tuned from the same one.

    Wortsman et al. 2022, "Model soups" (arXiv:2203.05482).

    Args:
        entries: entries of the networks.
        shares: weight of each network.

    Raises:
        RegistryError: the networks differ in config or stems.
        WeightsError: a network's weights cannot be read.
    """
    first = entries[0]
    for entry in entries:
        if (entry.architecture, entry.config, entry.outputs) != (first.architecture, first.config, first.outputs):
            raise RegistryError(f"{entry.name} and {first.name} differ in network or stems; their weights have no mean")
    network = load_network(first)
    mean = {key: torch.zeros_like(value, dtype=torch.float64) for key, value in network.state_dict().items()}
    for entry, share in zip(entries, shares, strict=True):
        for key, value in load_network(entry).state_dict().items():
            mean[key] += share / sum(shares) * value
    network.load_state_dict({key: mean[key].to(value.dtype) for key, value in network.state_dict().items()})
    return replace(first, description=f"the mean of the weights of {named(entries)}", score={}), network


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m stemsplit.training.starter.ensemble`; the exit status is 1 if the models do not fit together."""
    program = "python -m stemsplit.training.starter.ensemble"
    parser = argparse.ArgumentParser(program, description="Combine several models into one.")
    parser.add_argument("members", nargs="+", type=Path, metavar="WEIGHTS", help="weights that `stemsplit train` wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="NAME.safetensors")
    parser.add_argument("--shares", help="weight of each model, separated by commas; default: all equal")
    parser.add_argument("--wiener", type=float, default=0.0, metavar="SHARE", help="share that is Wiener-filtered")
    parser.add_argument("--weights", action="store_true", help="average weights; the networks are fine-tuned from one")
    parser.add_argument("--facts-of", metavar="NAME", help="registry entry to copy description, licence and score from")
    bits = [*map(int, WeightBits)]
    parser.add_argument("--bits", type=int, choices=bits, default=32, help="bits per weight in the file")
    args = parser.parse_args(arguments)
    try:
        shares = [float(share) for share in args.shares.split(",")] if args.shares else [1.0] * len(args.members)
    except ValueError:
        parser.error("--shares must be numbers separated by commas")
    if len(shares) != len(args.members):
        parser.error("--shares must have one number per member")
    if not all(0 < share < math.inf for share in shares):
        parser.error("--shares must be finite and above 0")
    if args.weights and args.wiener:
        parser.error("--wiener is for the mean of estimates, not of weights")
    try:
        entries = [describe(path).entry for path in args.members]
        entry, network = blended(entries, shares) if args.weights else joined(entries, shares, args.wiener)
        if args.facts_of:
            known = registry.find(args.facts_of)
            entry = replace(entry, **{name: getattr(known, name) for name in FACTS})
        written = result.save(network, entry, args.output, bits=args.bits)
    except StemsplitError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{args.output}: {written.size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
