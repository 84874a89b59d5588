"""Knows models.toml: which checkpoints there are, and everything about each that can be written down."""

import math
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from stemsplit.disk import read_text
from stemsplit.disk.folder import is_plain
from stemsplit.disk.folders import user_folder
from stemsplit.errors import RegistryError
from stemsplit.words import did_you_mean

DEFAULT_MODEL = "starter"
"""The model that ships inside the package."""

WINDOWS = ("hann", "linear", "mean")
"""As `stemsplit.engine.overlap_add` has them, whose import takes seconds."""

SCHEMES = ("package:", "file:", "hf://", "https://", "http://")
"""Where weights can come from: `package:FILE` of this package, `file:PATH` beside the registry that names it,
`hf://OWNER/REPO@REVISION/FILE` on the Hugging Face Hub (without @REVISION: its main branch), or a web address."""

LIMIT = 1_000_000
"""Bytes of a registry, which makes for some thousand models."""

DOTS = 500
"""Of a line of TOML: one key of 20,000 parts takes Python's reader seconds, and of twice as many four times as long."""

LARGEST = 10**15
"""Bytes of weights, beyond which a size is a slip."""

DEPTH = 20
"""How deep a config's tables may be nested."""

LINE = 60
"""Characters of a recommendation, which has to fit on a line beside the model's name."""

SHOWN = 200
"""Characters of a value that are shown in a message."""


def redacted(source: str) -> str:
    """Return a source as it may be shown: what may be a password or a token in it is replaced by `***`.

    That is what is before an @ in front of the host, and what is behind a question mark or #.
    """
    if source.startswith(("package:", "file:")):
        return source[:SHOWN]
    scheme, slashes, rest = source.partition("://")
    if "@" in (scheme if slashes else source):
        return "***"
    address = re.split("[?#]", rest if slashes else source, maxsplit=1)[0]
    hidden = "?***" if len(address) < len(rest if slashes else source) else ""
    if not slashes:
        return address[:SHOWN] + hidden
    place, slash, path = address.partition("/")
    _, at, host = place.rpartition("@")
    # Of a password with a / or ? in it, the beginning looks like a port, and the end like a path.
    if not re.fullmatch(r"(\[[^]]*\]|[^:]*)(:\d*)?", host) or (":" in host and "@" in rest[len(place) :]):
        return f"{scheme}://***"
    return f"{scheme}://{'***@' if at else ''}{host}{slash}{path}"[:SHOWN] + hidden


@dataclass(frozen=True)
class ModelEntry:
    """One table of models.toml.

    Args:
        name: what a user types.
        description: one line on what it is for.
        architecture: key of `stemsplit.models.ARCHITECTURES`.
        config: the network's hyperparameters.
        stems: names of the network's outputs, in its order.
        sample_rate: Hz the network was trained at.
        channels: channels it takes together.
        chunk: samples given to it at once.
        hop: samples between two chunks' starts.
        sources: where its weights are, in order of preference, each of one of the `SCHEMES`.
        author: who trained it.
        sha256: of the weights; empty if none was published: what is got first is then remembered on this machine.
        git_sha1: of the weights as a git blob, where that is the published digest.
        size: of the weights, in bytes; 0 if unknown.
        license: of the weights, as an SPDX name; empty if their author states none.
        license_note: what is known of a licence that is not stated, or changed.
        license_url: where the licence stands.
        page: where the checkpoint is published.
        window: how overlapping estimates are joined (see `stemsplit.engine.overlap_add`).
        complete: whether its stems are meant to make up the mixture; what they leave is then spread evenly over them.
        residual: name of the stem "mixture minus all estimates"; empty if there is none.
        training_data: what it was trained on.
        score: its published figures and how they were measured.
        recommended: one line on why a user should try it before others of its stems; empty for most.
    """

    name: str
    description: str
    architecture: str
    config: Mapping[str, Any]
    stems: tuple[str, ...]
    sample_rate: int
    channels: int
    chunk: int
    hop: int
    sources: tuple[str, ...]
    author: str
    sha256: str = ""
    git_sha1: str = ""
    size: int = 0
    license: str = ""
    license_note: str = ""
    license_url: str = ""
    page: str = ""
    window: str = "hann"
    complete: bool = False
    residual: str = ""
    training_data: str = ""
    score: Mapping[str, Any] = field(default_factory=dict)
    recommended: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all stems that can be written."""
        return (*self.stems, self.residual) if self.residual else self.stems

    @property
    def adds_up(self) -> bool:
        """Whether all stems together are what the model was given."""
        return self.complete or bool(self.residual)

    def with_chunks(
        self, chunk_seconds: float | None = None, overlap: float | None = None, window: str | None = None
    ) -> "ModelEntry":
        """The entry with another plan of chunks.

        Args:
            chunk_seconds: given to the network at once; None for the entry's own.
            overlap: share of a chunk that the next one covers again, 0 up to (not including) 1; None for its own.
            window: how overlapping estimates are joined (see `stemsplit.engine.overlap_add`); None for the entry's own.

        Raises:
            ValueError: an impossible chunk or overlap.
        """
        if chunk_seconds is not None and not 1 <= chunk_seconds * self.sample_rate < math.inf:
            raise ValueError(f"chunk_seconds must be positive and finite, not {chunk_seconds}")
        chunk = self.chunk if chunk_seconds is None else round(chunk_seconds * self.sample_rate)
        share = 1 - self.hop / self.chunk if overlap is None else overlap
        if not 0 <= share < 1:
            raise ValueError(f"overlap must be at least 0 and below 1, not {overlap}")
        return replace(self, chunk=chunk, hop=max(round(chunk * (1 - share)), 1), window=window or self.window)

    def identity(self, digest: str, precision: str = "auto") -> dict[str, Any]:
        """What decides what the model makes of a song.

        Args:
            digest: of its weights.
            precision: that was asked for. What "auto" means differs from device to device, and is left to them.
        """
        names = (
            "architecture",
            "config",
            "stems",
            "sample_rate",
            "channels",
            "chunk",
            "hop",
            "window",
            "complete",
            "residual",
        )
        asked = {} if precision == "auto" else {"precision": precision}
        return {"name": self.name, "weights": digest, **{name: getattr(self, name) for name in names}, **asked}

    @property
    def license_notice(self) -> str:
        """What to know before publishing or selling what this model made; empty for a free licence."""
        if not self.license:
            note = f" ({self.license_note})" if self.license_note else ""
            return f"the author of {self.name} states no licence for its weights{note}: no use is expressly allowed"
        if "NC" in self.license.split("-"):
            return f"the weights of {self.name} are under {self.license}: not for commercial use"
        return ""


REQUIRED = tuple(
    field.name
    for field in fields(ModelEntry)
    if field.name != "name" and field.default is MISSING and field.default_factory is MISSING
)
"""What every table has to say."""


@cache
def _types() -> dict[str, Any]:
    """Type of each key that a table may have."""
    return {name: kind for name, kind in get_type_hints(ModelEntry).items() if name != "name"}


def _fits(value: object, wanted: Any) -> bool:
    """Whether a TOML value is of an entry field's type."""
    if get_origin(wanted) is tuple:
        return isinstance(value, list) and all(type(item) is get_args(wanted)[0] for item in value)
    if get_origin(wanted) is not None:
        return isinstance(value, dict)
    return type(value) is wanted


def _source_problem(source: str) -> str:
    """What is wrong with a source; empty if nothing is."""
    if not source.isprintable():
        return "a source holds a character that no address has"
    if not source.startswith(SCHEMES):
        return f"the source {redacted(source)!r} starts with none of {', '.join(SCHEMES)}"
    if source.startswith("package:") and not is_plain(source.removeprefix("package:")):
        return f"the source {source[:SHOWN]!r} is not the name of a file in stemsplit's own folder"
    return ""


def problem(entry: ModelEntry) -> str:
    """What makes no sense about an entry whose values are all of the right types; empty if nothing does."""
    for key, most in {"sample_rate": 1_000_000, "channels": 64, "chunk": 2**28, "hop": 2**28}.items():
        if not 1 <= getattr(entry, key) <= most:
            return f"{key} must be between 1 and {most}"
    if entry.window not in WINDOWS:
        return f"window must be one of {', '.join(WINDOWS)}, not {_shown(entry.window)}"
    if entry.hop > entry.chunk:
        return "hop must not be longer than chunk"
    if not entry.stems or not all(entry.stems) or len({name.casefold() for name in entry.outputs}) < len(entry.outputs):
        return "stems and residual must be different names, at least one"
    if unsafe := [stem for stem in entry.outputs if not re.fullmatch(r"[\w][\w .+-]*", stem)]:
        return f"a stem is a file's name, which {_shown(unsafe[0])} cannot be"
    if complaints := list(filter(None, map(_source_problem, entry.sources))):
        return complaints[0]
    if not re.fullmatch("([0-9a-f]{64})?", entry.sha256) or not re.fullmatch("([0-9a-f]{40})?", entry.git_sha1):
        return "sha256 must be 64 and git_sha1 40 lower-case hexadecimal digits"
    if not entry.recommended.isprintable() or len(entry.recommended) > LINE:
        return f"recommended must be one line of at most {LINE} characters"
    return "" if 0 <= entry.size <= LARGEST else f"size must be between 0 and {LARGEST}"


def _shown(value: object) -> str:
    """A value as a message shows it: not at length, and without passwords."""
    if isinstance(value, str):
        return repr(redacted(value))
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    return repr(value)[:SHOWN]


def _kind(wanted: Any) -> str:
    """What a key's value has to be, in words."""
    if get_origin(wanted) is tuple:
        return "a list of texts"
    return {str: "a text", int: "a whole number", bool: "true or false"}.get(wanted, "a table")


def _is_deep(value: object) -> bool:
    """Whether a value is nested so deeply that who shows or writes it would run out of stack."""
    level = [value]
    for _ in range(DEPTH):
        tables = [inner for inner in level if isinstance(inner, dict | list)]
        level = [item for inner in tables for item in (inner.values() if isinstance(inner, dict) else inner)]
    return bool(level)


def entry_of(name: str, table: object, origin: Path) -> ModelEntry:
    """The entry that a table describes.

    Args:
        name: of the model.
        table: its values, as TOML or JSON has them.
        origin: the file that it stands in.

    Raises:
        RegistryError: a key is unknown, missing or of the wrong type, or a value makes no sense.
    """
    if not isinstance(table, dict):
        raise RegistryError(f"{origin}: {name!r} is not a table")
    known = _types()
    for key, value in table.items():
        if key not in known:
            raise RegistryError(f"{origin}: [{name}] has an unknown key {key!r}{did_you_mean(key, known)}")
        if not _fits(value, known[key]):
            wrong = f"{key} has the wrong type: {_shown(value)}; it must be {_kind(known[key])}"
            raise RegistryError(f"{origin}: [{name}] {wrong}")
        if _is_deep(value):
            raise RegistryError(f"{origin}: [{name}] {key} is nested too deeply")
    if missing := [key for key in REQUIRED if key not in table]:
        raise RegistryError(f"{origin}: [{name}] lacks {', '.join(missing)}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    entry = ModelEntry(name=name, **values)
    if complaint := problem(entry):
        raise RegistryError(f"{origin}: [{name}] {complaint}")
    return replace(entry, sources=tuple(_beside(origin, source) for source in entry.sources))


def _beside(origin: Path, source: str) -> str:
    """A source whose path, if it is one of a file, counts from the registry's own folder."""
    path = source.removeprefix("file:")
    return source if path == source else f"file:{origin.absolute().parent / path}"


def table_of(entry: ModelEntry) -> dict[str, Any]:
    """An entry as a table: what it says besides its name, and nothing that would be taken for granted."""
    usual = {known.name: known.default for known in fields(entry) if known.default is not MISSING}
    values = {known.name: getattr(entry, known.name) for known in fields(entry) if known.name != "name"}
    values |= {key: dict(value) for key, value in values.items() if isinstance(value, Mapping)}
    return {key: value for key, value in values.items() if value != usual.get(key) and value != {}}


def as_toml(entry: ModelEntry) -> str:
    """An entry as models.toml has it."""
    import tomli_w  # only here: nobody who only reads the registry needs it

    text = tomli_w.dumps({entry.name: table_of(entry)})
    # Lists of plain values come with one on each line. No text has a line break in it: that is written as \\n.
    return re.sub(r"\[\n((?: +[^\s\[\]{}][^\n]*,\n)+) *\]", lambda found: f"[{_on_one_line(found[1])}]", text)


def _on_one_line(items: str) -> str:
    # Not splitlines, to which some characters of a text are line breaks too.
    return ", ".join(line.strip(" ").removesuffix(",") for line in items.rstrip("\n").split("\n"))


def read(path: Path) -> dict[str, ModelEntry]:
    """All entries of a registry file, in its order.

    Raises:
        RegistryError: it is missing, no TOML, or a table does not fit.
    """
    import tomllib  # only here: `--version` is to start fast

    try:
        text = read_text(path, LIMIT)
        if any(line.count(".") > DOTS for line in text.splitlines()):
            raise RegistryError(f"{path} has a line with more than {DOTS} dots, too many for TOML to be read in time")
        document = tomllib.loads(text)
    except OSError as error:
        raise RegistryError(f"cannot read the registry {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of numbers too long to read
        raise RegistryError(f"{path} is not valid TOML: {error}") from error
    return {name: entry_of(name, table, path) for name, table in document.items()}


def packaged_path() -> Path:
    """The package's own models.toml: beside this file in a wheel, at the root in a checkout."""
    here = Path(__file__).parent
    inside = here / "models.toml"
    return inside if inside.is_file() else here.parents[1] / "models.toml"


def entries(more: Path | None = None) -> dict[str, ModelEntry]:
    """All models, by name: the package's, then the user's own, then those of the file given.

    Raises:
        RegistryError: a registry cannot be read; only the package's and the one given have to be there.
    """
    files = [packaged_path()]
    with suppress(RegistryError):
        own = user_folder() / "models.toml"
        # os.path: to a folder that may not be entered, it says no instead of raising.
        files += [own] if os.path.isfile(own) else []  # noqa: PTH113
    files += [more] if more else []
    return {name: entry for file in files for name, entry in read(file).items()}


def select(
    known: Iterable[ModelEntry], stems: str | None = None, architecture: str | None = None, licence: str | None = None
) -> list[ModelEntry]:
    """Those of the entries that have all that is asked for.

    Args:
        known: entries to choose from.
        stems: names with commas, all of which the model gives.
        architecture: words of its architecture's name, in any spelling: "mel-roformer".
        licence: part of its licence's name, in any letter case; "none" for weights whose licence is not stated.
    """
    names = {name.strip().lower() for name in (stems or "").split(",")} - {""}
    words = set(re.findall(r"[a-z0-9]+", (architecture or "").lower()))
    return [
        entry
        for entry in known
        if names <= {name.lower() for name in entry.outputs}
        and words <= set(entry.architecture.split("_"))
        and (licence is None or licence.lower() in (entry.license.lower() or "none"))
    ]


def find(name: str, more: Path | None = None) -> ModelEntry:
    """The model of that name; `more` as in `entries`.

    Raises:
        RegistryError: there is none.
    """
    known = entries(more)
    if name not in known:
        hint = did_you_mean(name, known) or "; see them all with: stemsplit list"
        raise RegistryError(f"no model named {name!r}{hint}")
    return known[name]
