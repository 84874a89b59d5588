"""Describes a user's own checkpoint as a registry entry, from its weights, its config and the command line."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from stemsplit import models
from stemsplit.checkpoints import checkpoint
from stemsplit.disk import read_text
from stemsplit.errors import RegistryError, WeightsError
from stemsplit.models.keys import Inferred
from stemsplit.registry import ModelEntry, entry_of, entry_problem, table_of

USUAL_STEMS = {
    1: ("vocals",),
    2: ("vocals", "instrumental"),
    4: ("drums", "bass", "other", "vocals"),
    6: ("bass", "drums", "other", "vocals", "guitar", "piano"),
}
"""Number of outputs -> their usual names, in the usual order."""

USUAL_FACTS: dict[str, dict[str, Any]] = {
    "fullsubnet_plus": {
        "stems": ("speech",),
        "residual": "noise",
        "sample_rate": 16_000,
        "chunk": 163_840,
        "hop": 81_920,
    }
}
"""Architecture -> its usual facts, for those that are not for music."""

OWN_KEYS = ("stems", "residual", "sample_rate", "chunk", "hop")
"""Facts about a model that can be set, besides its network's hyperparameters."""

PART = "part"
"""Setting that chooses one of several networks in a file; see `ModelEntry.part`."""


@dataclass(frozen=True)
class Described:
    """A checkpoint's registry entry, and which parts of it are assumed.

    Args:
        entry: registry entry.
        defaults: values that neither the weights nor the user gave, set to their defaults.
        overruled: values of the config that contradict the weights: name -> (config, weights).
        remarks: clauses about which tensors of the file are used.
        ignored: names of everything else in the file, with numbers of tensors.
    """

    entry: ModelEntry
    defaults: Mapping[str, Any]
    overruled: Mapping[str, tuple[Any, Any]]
    remarks: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class _Loader(yaml.SafeLoader):
    """Loads plain data only, and Python tuples, which published configs use for some lists."""


def _tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node))


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _tuple)


Facts = dict[str, Any]
"""Names and values, of hyperparameters or of `OWN_KEYS`."""


def read_config(path: Path) -> tuple[Facts, Facts]:
    """Read a config file in the field's usual YAML.

    Returns:
        Hyperparameters, and the facts of `OWN_KEYS` that it gives.

    Raises:
        RegistryError: it cannot be read, or has no `model` section.
    """
    try:
        document = yaml.load(read_text(path), _Loader)
    except OSError as error:
        raise RegistryError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise RegistryError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    sections = {name: part for name, part in document.items() if isinstance(part, dict)} if _named(document) else {}
    if not _named(sections.get("model")):
        raise RegistryError(f"{path} has no 'model' section with the network's hyperparameters")
    if odd := [name for name, value in sections["model"].items() if value is not None and not _plain(value)]:
        raise RegistryError(f"{path}: {odd[0]!r} must be a number, a text or a short list of these")
    audio, training, inference = (sections.get(name, {}) for name in ("audio", "training", "inference"))
    facts: Facts = {"sample_rate": audio["sample_rate"]} if "sample_rate" in audio else {}
    if chunk := inference.get("chunk_size", audio.get("chunk_size")):
        facts["chunk"] = chunk
        overlaps = inference.get("num_overlap")
        if isinstance(chunk, int) and isinstance(overlaps, int | float) and overlaps >= 1:
            facts["hop"] = int(chunk // overlaps)
    return sections["model"], {**facts, **_named_stems(training)}


def _plain(value: object) -> bool:
    """Return whether a value is a number, a text or a short list of these."""
    if isinstance(value, list | tuple):
        return len(value) <= 1_000 and all(not isinstance(item, list | tuple) and _plain(item) for item in value)
    return isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63)


def _named(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _named_stems(training: Mapping[str, Any]) -> Facts:
    """Return stems and residual by the names in a config's training section."""
    instruments = training.get("instruments")
    names = tuple(str(name).lower() for name in instruments) if isinstance(instruments, list | tuple) else ()
    target = training.get("target_instrument")
    if not target:
        return {"stems": names} if names else {}
    stem = str(target).lower()
    others = [name for name in names if name != stem]
    if len(others) != 1:
        return {"stems": (stem,)}
    return {"stems": (stem,), "residual": "instrumental" if (stem, *others) == ("vocals", "other") else others[0]}


def read_settings(settings: Sequence[str]) -> Facts:
    """Read NAME=VALUE pairs from the command line. Values are YAML; stems are names with commas.

    Raises:
        ValueError: one is not such a pair.
    """
    facts: Facts = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        try:
            value = yaml.load(text, _Loader)
        except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
            raise ValueError(f"cannot understand the setting {setting!r}") from error
        if not name or not _plain(value):
            raise ValueError(f"a setting has the form NAME=VALUE, such as stft_hop_length=512, not {setting!r}")
        facts[name] = tuple(part.strip() for part in text.split(",")) if name == "stems" else value
    return facts


ABOUT = "stemsplit"
"""Metadata key under which a checkpoint that was trained here stores its entry."""


def own_entry(path: Path) -> ModelEntry | None:
    """Return the entry in a checkpoint's own metadata; None if it has none.

    Raises:
        RegistryError: the metadata is invalid.
    """
    text = checkpoint.metadata(path, ABOUT)
    if not text:
        return None
    try:
        entry = entry_of(path.stem, json.loads(text), path)
        models.check(entry.architecture, entry.config, len(entry.stems), entry.channels)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"the metadata in {path} is invalid: {error}") from error
    return replace(entry, sources=(f"file:{path.absolute()}",))


def _changed(entry: ModelEntry, settings: Facts) -> ModelEntry:
    """Return the entry with the settings applied.

    Raises:
        RegistryError: they are invalid.
    """
    if not settings:
        return entry
    facts = {name: value for name, value in settings.items() if name in OWN_KEYS}
    config = {name: value for name, value in settings.items() if name not in OWN_KEYS}
    table = {**table_of(entry), **facts, "config": {**entry.config, **config}}
    table = {name: list(value) if isinstance(value, tuple) else value for name, value in table.items()}
    changed = entry_of(entry.name, table, _file(entry))
    _check(changed)
    return changed


def _file(entry: ModelEntry) -> Path:
    return Path(entry.sources[0].removeprefix("file:"))


def _check(entry: ModelEntry) -> None:
    """Raise RegistryError if an entry's config is invalid for its network."""
    try:
        models.check(entry.architecture, entry.config, len(entry.stems), entry.channels)
    except ValueError as error:
        raise RegistryError(f"{_file(entry).name}: {error}") from error


def describe(path: Path, config: Path | None = None, settings: Sequence[str] = ()) -> Described:
    """Make a registry entry of a checkpoint file.

    Hyperparameters that can be inferred from the weights' shapes are taken from there, even if the config contradicts
    them. Settings that contradict them are refused.

    Args:
        path: checkpoint file.
        config: YAML file that the checkpoint was published with, if there is one.
        settings: NAME=VALUE pairs: hyperparameters, or one of `OWN_KEYS`.

    Raises:
        WeightsError: the file cannot be read, or is for a network that is not supported.
        RegistryError: config or settings are invalid, or contradict each other.
        ValueError: a setting is malformed, or contradicts the weights.
    """
    if (own := own_entry(path)) and not config:
        return Described(_changed(own, read_settings(settings)), {}, {})
    written, facts = read_config(config) if config else ({}, {})
    chosen = read_settings(settings)
    held = checkpoint.read_contents(path, str(chosen.pop(PART, "")))
    try:
        network = models.infer(held.tensors)
    except ValueError as error:
        raise WeightsError(f"cannot use {path}: {error}") from error
    inferred, defaults = network.inferred, models.usual(network, held.tensors, {**written, **chosen})
    overruled = {
        name: (written[name], value) for name, value in inferred.items() if not _fits(network, name, written)
    } | {name: (written.pop(name), "none") for name in network.foreign & written.keys()}
    # Only the mel bands depend on the sample rate.
    written.pop("sample_rate", None)
    if "sample_rate" in inferred:
        facts.setdefault("sample_rate", inferred["sample_rate"])
    facts |= {name: chosen.pop(name) for name in OWN_KEYS if name in chosen}
    for name in (inferred.keys() | network.foreign) & chosen.keys():
        if name in network.foreign or not _fits(network, name, chosen):
            raise ValueError(f"{name} cannot be {chosen[name]!r}: the weights have {inferred.get(name, 'none')}")
    given = {**written, **inferred, **chosen}
    of_architecture = USUAL_FACTS.get(network.architecture, {})
    if {"chunk", "sample_rate"} & facts.keys():
        of_architecture = {name: value for name, value in of_architecture.items() if name not in ("chunk", "hop")}
    outputs = given.get("num_stems", given.get("num_sources"))
    usual = _usual_facts(outputs, {**of_architecture, **facts}) | of_architecture
    assumed = {name: value for name, value in {**defaults, **usual}.items() if name not in {**given, **facts}}
    entry = _entry(path, network.architecture, {**defaults, **given}, {**usual, **facts})
    return Described(replace(entry, part=held.part), assumed, overruled, held.told, held.ignored)


def _fits(network: Inferred, name: str, given: Facts) -> bool:
    """Return whether the weights have a given value of a hyperparameter, or none is given."""
    value = given.get(name, network.inferred[name])
    same = tuple(value) if isinstance(value, list) else value
    return bool(same == network.inferred[name] or same in network.also.get(name, ()))


def _usual_facts(outputs: Any, facts: Facts) -> Facts:
    """Return the usual values of `OWN_KEYS`: chunks of eight seconds that overlap by half."""
    count = outputs if isinstance(outputs, int) else 1
    stems = facts.get("stems") or USUAL_STEMS.get(count) or tuple(f"stem{n + 1}" for n in range(count))
    rate = facts.get("sample_rate", 44_100)
    chunk = facts.get("chunk", 8 * rate if isinstance(rate, int) else 0)
    usual = {"stems": stems, "sample_rate": rate, "chunk": chunk, "hop": chunk // 2 if isinstance(chunk, int) else 0}
    if not _whole(stems):
        usual["residual"] = "instrumental" if stems == ("vocals",) else "residual"
    return usual


def _whole(stems: Sequence[str]) -> bool:
    """Return whether stems of these names should add up to the mixture."""
    return len(stems) > 1 and bool({"other", "instrumental", "noise"} & set(stems))


def _entry(path: Path, architecture: str, config: Facts, facts: Facts) -> ModelEntry:
    """Make the entry.

    Raises:
        RegistryError: a value is invalid.
    """
    types = {"stems": tuple, "residual": str, "sample_rate": int, "chunk": int, "hop": int}
    for name, value in facts.items():
        if type(value) is not types[name]:
            raise RegistryError(f"{path.name}: {name} cannot be {value!r}")
    entry = ModelEntry(
        name=path.stem,
        description="a checkpoint of your own",
        architecture=architecture,
        config=config,
        channels=2 if config.get("stereo") else config.get("in_audio_channels", 1),
        sources=(f"file:{path.absolute()}",),
        author="",
        mixture_consistency=_whole(facts["stems"]) and not facts.get("residual"),
        **facts,
    )
    if problem := entry_problem(entry):
        raise RegistryError(f"{path.name}: {problem}")
    _check(entry)
    return entry
