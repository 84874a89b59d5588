"""`stemsplit info`."""

from dataclasses import asdict
from typing import Annotated

import typer


def info(name: Annotated[str, typer.Argument(metavar="NAME", help="A model from `stemsplit list`.")]) -> None:
    """Show everything known of a model: stems, licence, training data, scores."""
    from stemsplit import console, registry

    entry = registry.find(name)
    facts = {key.replace("_", " "): value for key, value in asdict(entry).items() if value not in ("", {}, ())}
    facts["size"] = console.size(entry.size)
    for key in ("chunk", "hop"):
        facts[key] = f"{facts[key]} samples ({facts[key] / entry.sample_rate:g} s)"
    facts["sample rate"] = f"{entry.sample_rate} Hz"
    console.facts_table(facts)
