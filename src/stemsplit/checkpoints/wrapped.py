"""Finds a network's weights among everything else that a checkpoint file holds.

Training programs nest the weights in tables, put prefixes before their keys, and store averaged copies, optimizers and
losses beside them. Networks are found by keys that every network of their architecture has.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from stemsplit import models
from stemsplit.checkpoints import pickled
from stemsplit.checkpoints.names import is_averaged, is_used, joined, rank, shown
from stemsplit.checkpoints.pickled import Inert
from stemsplit.checkpoints.unknown import unknown
from stemsplit.errors import WeightsError
from stemsplit.words import counted

Tensors = dict[str, Tensor]

MOST_DEPTH = 6
"""Levels of tables that are searched."""

MOST_NETWORKS = 16
"""Largest number of networks in a file. A hostile file may have as many as it has keys."""

DESCRIPTION = "_metadata"
"""Name under which neuralop adds its hyperparameters to a network's tensors."""

MANY = f"it holds more than {MOST_NETWORKS} networks; save the one you want by itself"

MOST_NAMES = 8
"""Names of ignored things in a message."""

MOST_COMPARED = 500
"""Letters by which ignored things are told apart: a hostile name may have a million dots."""


@dataclass(frozen=True, eq=False)
class Found:
    """A network in a file.

    Args:
        name: where it lies: the names of tables, and the prefix of its keys, with dots between them.
        tensors: its tensors by key, without that prefix.
        averaged: whether they are averages of the weights over the steps of training.
    """

    name: str
    tensors: Tensors
    averaged: bool

    @property
    def label(self) -> str:
        """Name by which it is chosen; a dot if it lies in no table and has no prefix."""
        return self.name or "."

    @property
    def rank(self) -> int:
        """How much it is to be preferred: averaged weights to the best, these to others, and all to a loss's."""
        return rank(self.name, self.averaged)


@dataclass(frozen=True)
class Contents:
    """What was found in a file.

    Args:
        tensors: the network's tensors, as they are stored.
        part: where they lie, if there was a choice; empty for the only network.
        averaged: whether they are averages of the weights over the steps of training.
        ignored: names of everything else, with numbers of tensors.
        remarks: sentences that a user should read.
    """

    tensors: Tensors
    part: str = ""
    averaged: bool = False
    ignored: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def used(self) -> str:
        """Description of the copy of the network that is used; empty if the file holds only one."""
        where = f" in {shown(self.part)}" if self.part else ""
        return f"using the averaged weights{where}" if self.averaged else f"using the weights{where}" if where else ""

    @property
    def told(self) -> tuple[str, ...]:
        """Everything that a user should read about it, a clause each."""
        ignored = f"ignoring {', '.join(self.ignored)}" if self.ignored else ""
        return tuple(filter(None, (self.used, *self.remarks, ignored)))


@dataclass
class _Search:
    """What a walk through a file finds.

    Args:
        tables: names of tables -> their tensors by key.
        others: names of everything else.
        lists: names of lists of tensors.
        whole: identities of networks that were saved whole -> their tensors by key.
    """

    tables: dict[str, Tensors] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    whole: dict[int, Tensors] = field(default_factory=dict)


def _searched(content: object) -> _Search:
    """Walk through the tables of a file, the outer ones first, and every one only once.

    Raises:
        WeightsError: it holds too many networks that were saved whole.
    """
    search = _Search()
    waiting: deque[tuple[str, object, int]] = deque([("", content, 0)])
    seen = {id(content)}
    while waiting:
        name, table, depth = waiting.popleft()
        if isinstance(table, Inert):
            if tensors := pickled.state_dict(table):
                search.tables[name] = tensors
                search.whole[id(table)] = dict(tensors)
                if len(search.whole) > MOST_NETWORKS:
                    raise WeightsError(MANY)
            continue
        if not isinstance(table, dict):
            continue
        # Not table.items: a pickle may give a dict attributes of these names.
        items = [(key, value) for key, value in dict.items(table) if isinstance(key, str) and key != DESCRIPTION]
        if tensors := {key: value for key, value in items if isinstance(value, Tensor)}:
            search.tables[name] = tensors
        for key, value in items:
            inner = joined(name, key)
            if isinstance(value, dict | Inert) and depth < MOST_DEPTH:
                if id(value) not in seen:
                    seen.add(id(value))
                    waiting.append((inner, value, depth + 1))
            elif not isinstance(value, Tensor):
                search.others.append(inner)
                if isinstance(value, list | tuple) and any(isinstance(item, Tensor) for item in value):
                    search.lists.append(inner)
    return search


def _networks(search: _Search) -> list[Found]:
    """Remove the networks from the tables, and return them.

    Raises:
        WeightsError: there are too many.
    """
    found: list[Found] = []
    for name, tensors in search.tables.items():
        prefixes = models.prefixes(tensors)
        if len(prefixes) + len(found) > MOST_NETWORKS:
            raise WeightsError(MANY)
        # Longer prefixes first, as a network's own keys may lie around another's.
        for prefix in sorted(prefixes, key=len, reverse=True):
            inside = {key.removeprefix(prefix): key for key in tensors if key.startswith(prefix)}
            own = {short: tensors.pop(key) for short, key in inside.items() if is_used(short)}
            place, outer = joined(name, prefix.rstrip(".")), prefix.removesuffix("module.")
            averaged = is_averaged(place) or (outer != prefix and f"{outer}n_averaged" in tensors)
            found.append(Found(place, own, averaged))
    return found


def _without_dots(search: _Search, plain: Found) -> list[Found]:
    """Remove averaged copies from the tables whose keys are the network's without dots, and return them."""
    keys = {key.replace(".", ""): key for key in plain.tensors}
    copies = []
    for name, tensors in search.tables.items():
        heads: dict[str, dict[str, str]] = {}
        for key in tensors:
            head, _, short = key.partition(".")
            if short in keys:
                heads.setdefault(head, {})[keys[short]] = key
        for head, known in heads.items():
            if is_averaged(joined(name, head)):
                named = {key: tensors.pop(stored) for key, stored in known.items()}
                copies.append(Found(joined(name, head), named, True))
    return copies


def _same(one: Found, other: Found) -> bool:
    """Return whether two networks are the same."""
    if one.tensors.keys() != other.tensors.keys():
        return False
    pairs = [(value, other.tensors[key]) for key, value in one.tensors.items()]
    return all(a.shape == b.shape and (a.data_ptr() == b.data_ptr() or torch.equal(a, b)) for a, b in pairs)


def _completed(copy: Found, plain: Found | None) -> tuple[Found | None, str]:
    """Return an averaged copy with what it lacks of the network, and a remark; None if it does not go with it."""
    if plain is None or plain.tensors.keys() <= copy.tensors.keys():
        return copy, ""
    common = copy.tensors.keys() & plain.tensors.keys()
    fits = all(copy.tensors[key].shape == plain.tensors[key].shape for key in common)
    if len(common) < len(copy.tensors) or 2 * len(common) < len(plain.tensors) or not fits:
        return None, f"its averaged copy {shown(copy.name)} does not have the network's tensors, and is not used"
    lacking = counted(len(plain.tensors) - len(common), "tensor")
    whose = shown(plain.name) or "the last weights"
    whole = replace(copy, tensors={**plain.tensors, **copy.tensors})
    return whole, f"{lacking} that {shown(copy.name)} lacks: taken from {whose}"


def _chosen(found: list[Found], part: str) -> tuple[Found, list[str]]:
    """Return the network to use, and remarks.

    Raises:
        WeightsError: several are equally good, or none has the name asked for.
    """
    remarks: list[str] = []
    most = max(len(each.tensors) for each in found)
    plain = sorted((each for each in found if not each.averaged), key=lambda each: -each.rank)
    largest = next((each for each in plain if 2 * len(each.tensors) > most), None)
    rivals = []
    for each in found:
        whole, remark = _completed(each, largest) if each.averaged else (each, "")
        wanted = part in ("", each.label)
        remarks += [remark] if remark and wanted else []
        if whole and wanted and 2 * len(whole.tensors) > most:
            rivals.append(whole)
    if not rivals:
        names = ", ".join(shown(each.label) for each in found)
        raise WeightsError(f"it has no network {shown(part)!r}, only {names}")
    best = max(each.rank for each in rivals)
    first, *others = [each for each in rivals if each.rank == best]
    if different := [each for each in others if not _same(first, each)]:
        names = ", ".join(shown(each.label) for each in (first, *different))
        raise WeightsError(
            f"it holds {1 + len(different)} networks, {names}; choose one with --set part={shown(first.label)}"
        )
    return first, remarks


def _ignored(search: _Search, found: list[Found], chosen: Found) -> tuple[str, ...]:
    """Return the names of everything in a file but the chosen network, with numbers of tensors; only the first few."""

    def all_tensors() -> Iterator[str]:
        for name, tensors in search.tables.items():
            yield from (joined(name, key) for key in tensors)
        for each in found:
            yield from (joined(each.name, key) for key in each.tensors if each.name != chosen.name)

    def group(name: str) -> str:
        """Return the outermost thing with this in it, but not the network."""
        name, end = name[:MOST_COMPARED], 0
        while (end := name.find(".", end + 1)) > 0:
            if not f"{chosen.name}.".startswith(name[: end + 1]):
                return name[:end]
        return name

    counts = Counter(map(group, all_tensors()))
    names = dict.fromkeys([*map(group, search.others), *counts])
    texts = [
        f"{shown(name)} ({counted(counts[name], 'tensor')})" if counts[name] > 1 else shown(name) for name in names
    ]
    more = len(texts) - MOST_NAMES
    return (*texts[:MOST_NAMES], f"{more} more") if more > 1 else tuple(texts)


def _useless(search: _Search) -> list[str]:
    """Return remarks about averaged copies that cannot be used."""
    lists = [name for name in search.lists if is_averaged(name)]
    keys = [joined(name, key) for name, tensors in search.tables.items() for key in tensors if "." in key]
    heads = {key.partition(".")[0] for key in keys}
    tables = [name for name, tensors in search.tables.items() if len(tensors) > 1 and is_averaged(name)]
    tables += [head for head in sorted(heads) if is_averaged(head) and head not in tables]
    return [
        *(f"its averaged copy {shown(name)} is a list without names, and is not used" for name in lists),
        *(f"its averaged copy {shown(name)} does not have the network's tensors, and is not used" for name in tables),
    ][:MOST_NAMES]


def contents(content: object, part: str = "") -> Contents:
    """Find the network's weights in the content of a file.

    Of several copies of the network, an average over the steps of training is taken, else the best one in validation.

    Args:
        content: nested tables with tensors.
        part: where the network lies that is wanted, as in `Contents.part`; empty for the likeliest.

    Raises:
        WeightsError: the file holds no tensors, or several networks of which none is preferred.
    """
    search = _searched(content)
    found = _networks(search)
    if not found:
        return Contents(unknown(content, search.whole))
    chosen, remarks = _chosen(found, part)
    if not chosen.averaged and not part and (copies := _without_dots(search, chosen)):
        found += copies
        chosen, remarks = _chosen(found, part)
    if not chosen.averaged and not part:
        remarks += _useless(search)
    is_choice = any(each.rank != chosen.rank for each in found) or bool(part)
    ignored = _ignored(search, found, chosen)
    return Contents(chosen.tensors, chosen.label if is_choice else "", chosen.averaged, ignored, tuple(remarks))
