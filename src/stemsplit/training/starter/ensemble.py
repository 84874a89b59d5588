"""Makes one model of several that were trained here: `python -m stemsplit.training.ensemble A B -o BOTH`."""

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
"""What an entry says of a model beyond how to use it."""


def members(entry: ModelEntry, outputs: Sequence[str], share: float) -> list[dict[str, Any]]:
    """A model as an ensemble's config has it: as one member, or as its own members if it is an ensemble itself.

    Args:
        entry: of the model.
        outputs: the ensemble's stems.
        share: weight of its estimates.

    Raises:
        RegistryError: its stems are others, or its members' mean is not all that it is.
    """
    if {*entry.outputs} != {*outputs}:
        raise RegistryError(f"{entry.name} gives {', '.join(entry.outputs)}, not {', '.join(outputs)}")
    config = dict(entry.config)
    if entry.architecture != "ensemble":
        places = [outputs.index(stem) for stem in entry.stems]
        return [{"architecture": entry.architecture, "config": config, "places": places, "share": share}]
    if config.get("wiener"):
        raise RegistryError(f"{entry.name} is filtered already, which is done to the whole ensemble")
    whole = sum(table.get("share", 1.0) for table in config["members"])
    return [
        {
            **table,
            "places": [outputs.index(entry.outputs[place]) for place in table["places"]],
            "share": share * table.get("share", 1.0) / whole,
        }
        for table in config["members"]
    ]


def named(entries: Sequence[ModelEntry]) -> str:
    """Models' names, in a sentence."""
    return " and ".join(entry.name for entry in entries)


def joined(entries: Sequence[ModelEntry], shares: Sequence[float], wiener: float = 0.0) -> tuple[ModelEntry, nn.Module]:
    """The entry and the network of an ensemble.

    Args:
        entries: of its members, the first of which says in which order the stems come.
        shares: weight of each.
        wiener: share of the result that is filtered, see `stemsplit.models.wiener`.

    Raises:
        RegistryError: they do not go together.
        WeightsError: the weights of one cannot be read.
    """
    first = entries[0]
    if any(entry.sample_rate != first.sample_rate for entry in entries):
        raise RegistryError("the members of an ensemble are all for the same sample rate")
    if left := [entry.name for entry in entries if not entry.adds_up]:
        raise RegistryError(f"the stems of {left[0]} do not add up to the mixture, as those of an ensemble do")
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
        raise RegistryError(f"these make no ensemble: {error}") from error
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
        complete=True,
        channels=network.config.channels,
        score={},
    )
    return entry, network


def blended(entries: Sequence[ModelEntry], shares: Sequence[float]) -> tuple[ModelEntry, nn.Module]:
    """One network whose weights are the mean of several's, all of them fine-tuned from the same one.

    Wortsman et al. 2022, "Model soups" (arXiv:2203.05482).

    Args:
        entries: of the networks.
        shares: weight of each.

    Raises:
        RegistryError: they are not of the same config and stems.
        WeightsError: the weights of one cannot be read.
    """
    first = entries[0]
    for entry in entries:
        if (entry.architecture, entry.config, entry.outputs) != (first.architecture, first.config, first.outputs):
            raise RegistryError(f"the weights of {entry.name} are not of the same network and stems as {first.name}'s")
    network = load_network(first)
    mean = {key: torch.zeros_like(value, dtype=torch.float64) for key, value in network.state_dict().items()}
    for entry, share in zip(entries, shares, strict=True):
        for key, value in load_network(entry).state_dict().items():
            mean[key] += share / sum(shares) * value
    network.load_state_dict({key: mean[key].to(value.dtype) for key, value in network.state_dict().items()})
    return replace(first, description=f"the mean of the weights of {named(entries)}", score={}), network


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m stemsplit.training.ensemble`; the exit status is 1 if there is no such ensemble."""
    parser = argparse.ArgumentParser("python -m stemsplit.training.ensemble", description="Average several models.")
    parser.add_argument("members", nargs="+", type=Path, metavar="WEIGHTS", help="files that `stemsplit train` wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="NAME.safetensors")
    parser.add_argument("--shares", help="weight of each, with commas; default: alike")
    parser.add_argument("--wiener", type=float, default=0.0, metavar="SHARE", help="of the result that is filtered")
    parser.add_argument("--weights", action="store_true", help="average weights: one network, of several of the same")
    parser.add_argument("--facts-of", metavar="NAME", help="the entry says what that model's in the registry says")
    bits = [*map(int, WeightBits)]
    parser.add_argument("--bits", type=int, choices=bits, default=32, help="of each weight in the file")
    args = parser.parse_args(arguments)
    try:
        shares = [float(share) for share in args.shares.split(",")] if args.shares else [1.0] * len(args.members)
    except ValueError:
        parser.error("--shares are numbers with commas")
    if len(shares) != len(args.members):
        parser.error("--shares has to have a number for each member")
    if not all(0 < share < math.inf for share in shares):
        parser.error("--shares are above 0 and finite")
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
