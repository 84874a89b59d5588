"""Understands models as people type them: `a`, `a+b`, `a:0.6+b:0.4`, `vocals=a,rest=b`. Needs no PyTorch."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from stemsplit import registry
from stemsplit.checkpoints.resolve import SUFFIXES, Model, registered
from stemsplit.choices import CombineName
from stemsplit.engine.combination.entry import REST, Combination, Source, ensemble, route
from stemsplit.errors import RegistryError
from stemsplit.registry import ModelEntry
from stemsplit.registry.presets import MOST, Preset, presets
from stemsplit.words import did_you_mean

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I)
"""Matches a weight, or a number that is refused as one."""

FORM = "a route is STEM=MODEL,STEM=MODEL, such as vocals=NAME,rest=NAME"


def parts(text: str, separators: str, is_whole: Callable[[str], bool]) -> list[str]:
    """Return the parts of a text between separators, without cutting through a known name that has one in it.

    Args:
        text: text to cut.
        separators: characters between two parts.
        is_whole: returns whether a text, stripped, is a part whatever is in it; the longest such text is taken.

    Raises:
        ValueError: there are too many parts.

    >>> parts("a+b+c", "+", lambda part: part == "b+c")
    ['a', 'b+c']
    """
    pieces = re.split(f"([{re.escape(separators)}])", text)
    if len(pieces) > 4 * MOST:
        raise ValueError(f"at most {MOST} models work together")
    found, begin = [], 0
    while begin < len(pieces):
        ends = range(len(pieces), begin, -2)
        end = next((end for end in ends if is_whole("".join(pieces[begin:end]).strip())), begin + 1)
        found.append("".join(pieces[begin:end]).strip())
        begin = end + 1
    return found


class Models:
    """The models that can be named: those of the registry, its presets, and files.

    Args:
        look_up: returns the entry of a single model, by its name or path, or as it is.
        more: registry file with more models.
        combine: how estimates are combined in all ensembles; None for the mean, or a preset's own way.

    Attributes:
        has_combined: whether an ensemble was made, for which `combine` has a meaning.
    """

    def __init__(
        self, look_up: Callable[[Model], ModelEntry], more: Path | None = None, combine: CombineName | None = None
    ) -> None:
        self.look_up, self.more, self.combine, self.has_combined = look_up, more, combine, False
        self._found: dict[object, ModelEntry] = {}

    @cached_property
    def entries(self) -> dict[str, ModelEntry]:
        """The models of the registry by name.

        Raises:
            RegistryError: a registry cannot be read.
        """
        return registry.entries(self.more)

    @cached_property
    def presets(self) -> dict[str, Preset]:
        """The presets by name, none of them the name of a model. They are read only if they are needed.

        Raises:
            RegistryError: a registry cannot be read, or a preset is invalid.
        """
        return presets(self.more)

    def all_presets(self, tell: Callable[[str], object]) -> list[tuple[Preset, Combination]]:
        """Return all presets with what they mean; a message says which cannot be used, and why.

        Raises:
            RegistryError: a registry cannot be read, or the table of a preset is invalid.
        """
        found = []
        for preset in self.presets.values():
            try:
                found.append((preset, self._preset(preset)))
            except RegistryError as error:
                tell(str(error))
        return found

    def registered(self, name: str) -> Source:
        """Return the model or preset of this name in the registry.

        Raises:
            RegistryError: there is none, or a registry cannot be read.
        """
        if name not in self.entries and name in self.presets:
            return self._preset(self.presets[name])
        return registered(name, self.more)

    def is_known(self, text: str) -> bool:
        """Return whether a text is the name of a model or preset, or a file, whatever is in it."""
        return text in self.entries or text in self.presets or os.path.isfile(text)  # noqa: PTH113  # as in `resolve`

    def is_known_or_several(self, text: str) -> bool:
        """Return whether a text names a known model, or several all of which are known."""
        return all(map(self._is_member, parts(text, "+", self._is_member)))

    def is_single(self, text: Model) -> bool:
        """Return whether a text, path or entry means one model, known or not."""
        if not isinstance(text, str):
            return True
        return text in self.entries or (text not in self.presets and (self.is_known(text) or "+" not in text))

    def source(self, model: Model) -> Source:
        """Return what a text means: a model, a preset, or an ensemble `a+b` or `a:0.6+b:0.4`. Others mean one model.

        Raises:
            RegistryError, WeightsError: a model does not exist, or its file cannot be used.
            ValueError: the text is malformed, or its models do not fit together.
        """
        if not isinstance(model, str):
            return self._single(model)
        text = model if self.is_known(model) else model.strip()
        if not self.is_single(text):
            return self._preset(self.presets[text]) if text in self.presets else self.ensemble(text, "+")
        name, weight = self._weighted(text)
        if weight is not None and self.is_known(name):
            raise ValueError(f"{text!r} has a weight, which needs several models: {text}+NAME:0.5")
        listed = [part.strip() for part in text.split(",")]
        if not self.is_known(text) and all(map(self._is_member, listed)):
            raise ValueError(f"no model is named {text!r}; to combine several, write {'+'.join(listed)}")
        return self._single(text)

    def ensemble(self, members: str | Sequence[Model] | Mapping[str, float], separators: str = "+,") -> Combination:
        """Return the ensemble of models.

        Args:
            members: text with commas or plus signs between the models, which may have weights: `a:0.6,b:0.4`; or such
                texts, paths and entries; or model -> weight.
            separators: characters that separate models in a text.

        Raises:
            RegistryError, WeightsError, ValueError: see `source`.
        """
        if isinstance(members, Mapping):
            return self._joined([(name, _as_weight(name, weight)) for name, weight in members.items()])
        pairs: list[tuple[Model, float | None]] = []
        for member in [members] if isinstance(members, str) else members:
            if isinstance(member, str):
                found = parts(member, separators, self._is_member)
                if "" in found:
                    raise ValueError(f"{member!r} has a plus or comma without a model beside it; write a+b")
                pairs += [self._weighted(part) for part in found]
            else:
                pairs.append((member, None))
        try:
            return self._joined(pairs)
        except RegistryError as error:
            # A path may have a plus sign in it.
            if isinstance(members, str) and Path(members).suffix in SUFFIXES and "no model" in str(error):
                raise RegistryError(f"{error}; there is no file {members!r} either") from error
            raise

    def _joined(self, pairs: Sequence[tuple[Model, float | None]]) -> Combination:
        names = [model.name if isinstance(model, ModelEntry) else os.fspath(model) for model, _ in pairs]
        weights = [weight for _, weight in pairs if weight is not None]
        if len(pairs) > MOST:
            raise ValueError(f"at most {MOST} models work together")
        if len(pairs) < 2:
            raise ValueError("an ensemble needs at least two models, such as a+b")
        if weights and len(weights) < len(pairs):
            bare = next(name for name, (_, weight) in zip(names, pairs, strict=True) if weight is None)
            raise ValueError(f"{bare} has no weight; give each model one, such as a:0.6+b:0.4, or none")
        if several := [model for model, _ in pairs if isinstance(model, str) and model in self.presets]:
            advice = f"name single ones: stemsplit info {several[0]}"
            raise ValueError(f"{several[0]} is a preset of several models; {advice}")
        return self._combined([self._single(model) for model, _ in pairs], weights)

    def route(self, routes: str | Sequence[str] | Mapping[str, str]) -> Combination:
        """Return the models that each give stems of their own.

        Args:
            routes: text of the form `vocals=a,drums=b+c,rest=d`, or several; or stem -> model, as `source` takes it.

        Raises:
            RegistryError, WeightsError, ValueError: see `source`.
        """
        if isinstance(routes, Mapping):
            pairs = [*routes.items()]
        else:
            pairs = self._pairs([routes] if isinstance(routes, str) else routes)
        sources: dict[str, Source] = {}
        for stem, text in pairs:
            if not stem or not text:
                raise ValueError(f"{f'{stem}={text}'!r} has no {'model' if stem else 'stem'}; {FORM}")
            if stem.casefold() in map(str.casefold, sources):
                raise ValueError(f"{stem!r} is named twice; a route has one model for each stem")
            sources[stem] = self.source(text)
        key = next((stem for stem in sources if stem.casefold() == REST), REST)
        rest = sources.pop(key, None)
        return route(sources, rest)

    def _pairs(self, routes: Sequence[str]) -> list[tuple[str, str]]:
        found = []
        for part in [part for text in routes for part in parts(text, ",", self._is_route)]:
            stem, equals, text = part.partition("=")
            if not equals:
                raise ValueError(f"{part!r} has no stem; {FORM}")
            found.append((stem.strip(), text.strip()))
        return found

    def _is_member(self, text: str) -> bool:
        """Return whether a text is a known model, with or without a weight."""
        head, colon, weight = text.rpartition(":")
        return self.is_known(text) or bool(colon and NUMBER.fullmatch(weight) and self.is_known(head))

    def _is_route(self, text: str) -> bool:
        """Return whether a text is a stem and known models."""
        _, _, models = text.partition("=")
        return self.is_known_or_several(models)

    def _weighted(self, text: str) -> tuple[str, float | None]:
        """Split a model from its weight; None if it has none."""
        name, colon, weight = text.rpartition(":")
        if self.is_known(text) or not colon:
            return text, None
        if NUMBER.fullmatch(weight):
            return name, float(weight)
        if self.is_known(name):
            raise ValueError(f"{weight!r} is not a weight of {name}; write a number, such as {name}:0.5")
        return text, None

    def _single(self, model: Model) -> ModelEntry:
        """Return the entry of a model; each is looked up once, as what is assumed about a file is told each time."""
        if isinstance(model, ModelEntry):
            return self.look_up(model)
        if model not in self._found:
            self._found[model] = self.look_up(model)
        return self._found[model]

    def check_combine(self, option: str = "combine") -> None:
        """Raise ValueError if a way to combine was given, and no ensemble was made."""
        if self.combine is not None and not self.has_combined:
            raise ValueError(f"{option} needs several models, such as a+b")

    def _combined(self, members: Sequence[ModelEntry], weights: Sequence[float]) -> Combination:
        self.has_combined = True
        return ensemble(members, weights, self.combine or CombineName.mean)

    def _preset(self, preset: Preset) -> Combination:
        """Return the models of a preset.

        Raises:
            RegistryError: a model of it does not exist, or they do not fit together.
            ValueError: they cannot be combined as the user wants it.
        """
        if preset.route:
            sources = {stem: self._part(preset, name) for stem, name in preset.route.items()}
            rest = sources.pop(next((stem for stem in sources if stem.casefold() == REST), REST), None)
            with _blamed(preset):
                own, usual = route(sources, rest), None
        else:
            members = [self._entry(preset, name) for name in preset.members]
            with _blamed(preset):
                own, usual = ensemble(members, preset.weights, preset.combine), preset.combine
            if self.combine not in (None, usual):
                own = self._combined(members, preset.weights)
            self.has_combined = True
        combined = self.combine and self.combine != usual and self.has_combined
        return replace(own, name=f"{preset.name} combine={self.combine}" if combined else preset.name)

    def _part(self, preset: Preset, name: str) -> Source:
        """Return what makes a stem of a preset that is a route: a model, or a preset that is an ensemble."""
        if name not in self.presets or name in self.entries:
            return self._entry(preset, name)
        if self.presets[name].route:
            raise RegistryError(f"{preset.place} names {name!r}, which is a route itself; name models or ensembles")
        return self._preset(self.presets[name])

    def _entry(self, preset: Preset, name: str) -> ModelEntry:
        if name not in self.entries:
            hint = did_you_mean(name, self.entries)
            raise RegistryError(f"{preset.place} names {name!r}, and there is no model of that name{hint}")
        return self.entries[name]


def _as_weight(name: object, weight: object) -> float:
    """Return a weight that a caller gave, as a number; ValueError if it is not one."""
    try:
        return float(weight)  # type: ignore[arg-type]  # anything, until it is tried
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{str(weight)[:50]!r} is not a weight of {name}; give a number, such as 0.5") from None


@contextmanager
def _blamed(preset: Preset) -> Iterator[None]:
    """Turn an error about models that do not fit together into one about the preset that names them."""
    try:
        yield
    except ValueError as error:
        raise RegistryError(f"{preset.place}: {error}") from error
