"""Plans a comparison: the excerpt of a song, the models and their stems, and where the clips are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stemsplit.audio import WAV, Block, Format, Song, examine
from stemsplit.choices import BitDepth, Estimates
from stemsplit.comparison import clip_files
from stemsplit.comparison.excerpt import bounds, references
from stemsplit.disk.space import check_space
from stemsplit.engine.combination.entry import Source, adjusted
from stemsplit.errors import AudioError
from stemsplit.songs.naming import Template, track_of
from stemsplit.words import clock

DEFAULT_SECONDS = 20.0
"""Length of an excerpt, unless another is asked for."""

LONGEST_SECONDS = 600.0
"""Length of the longest excerpt: all clips of all models are in memory together."""


CHUNKS = ("chunk_seconds", "overlap", "window")
"""Settings that `ModelEntry.with_chunks` takes."""

COMPUTING = ("batch_size", "precision")
"""Settings that say how to compute. All others are in the entries."""


def _in_words(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Plan:
    """A comparison to make.

    Args:
        song: the whole song.
        begin: index of the excerpt's first sample in the song.
        end: index of the sample after its last.
        entries: the models, with their chunks; each may be several that work together.
        settings: settings of each model that are its own, see `plan`.
        stems: stems to compare: name -> indices of the models that have it.
        left_out: stems that are not compared, in the same form.
        references: true samples (c, t) of stems in the excerpt, by name.
        out: folder in which the folder of clips is made.
        format: format of the clips.
    """

    song: Song
    begin: int
    end: int
    entries: tuple[Source, ...]
    settings: tuple[Mapping[str, Any], ...]
    stems: Mapping[str, tuple[int, ...]]
    left_out: Mapping[str, tuple[int, ...]]
    references: Mapping[str, Block]
    out: Path
    format: Format

    @property
    def labels(self) -> list[str]:
        """Name of each model, with its own settings: `starter overlap=0.75`. One model may be compared with itself."""
        return [
            # How an ensemble is combined is in its name.
            " ".join(
                [
                    entry.name,
                    *(f"{name.replace('_', '-')}={_in_words(own[name])}" for name in own if name != "combine"),
                ]
            )
            for entry, own in zip(self.entries, self.settings, strict=True)
        ]

    def computing(self, index: int) -> dict[str, Any]:
        """Return the settings of a model's own that say how to compute."""
        return {name: value for name, value in self.settings[index].items() if name in COMPUTING}

    @property
    def start(self) -> float:
        """Start of the excerpt in seconds."""
        return self.begin / self.song.sample_rate

    @property
    def duration(self) -> float:
        """Length of the excerpt in seconds."""
        return (self.end - self.begin) / self.song.sample_rate

    @property
    def span(self) -> str:
        """The excerpt in words: 1:00-1:20."""
        return f"{clock(self.start, 3)}-{clock(self.start + self.duration, 3)}"

    def path(self, stem: str, maker: str = "", model: str = "") -> Path:
        """Return the path of a clip, such as `song 1.00-1.20/vocals - 1 starter.wav`: players list a stem's together.

        Args:
            stem: name of the stem, or `mixture`.
            maker: text that tells the stem's clips apart, such as ` - 1` for the first model's.
            model: label of the model.
        """
        text = f"{{track}} {self.span.replace(':', '.')}/{{stem}}{maker}{' {model}' if model else ''}"
        song = self.song.path
        values = {"track": track_of(song), "stem": stem, "model": model, "parent": "", "ext": ""}
        path = self.out / Template(text).path(**values, artist=None, title=None)
        return path.with_name(f"{path.name}{self.format.suffix}")

    @property
    def folder(self) -> Path:
        """Folder of the clips."""
        return self.path("mixture").parent


def choose_stems(
    entries: Sequence[Source], wanted: Sequence[str] | None
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Choose the stems to compare.

    Args:
        entries: the models.
        wanted: names of stems, in any letter case; None for all stems that at least two models have, or for all stems
            of a single model.

    Returns:
        The chosen stems: name -> indices of the models that have it; and the other stems in the same form.

    Raises:
        ValueError: no stem is left to compare, no model has a wanted stem, or a model has none of the stems.
    """
    names: dict[str, str] = {}
    models: dict[str, tuple[int, ...]] = {}
    for index, entry in enumerate(entries):
        for name in entry.outputs:
            first_spelling = names.setdefault(name.casefold(), name)
            models[first_spelling] = (*models.get(first_spelling, ()), index)
    if wanted is None:
        chosen = [name for name, indices in models.items() if len(indices) > 1 or len(entries) == 1]
    else:
        if unknown := [name for name in wanted if name.strip().casefold() not in names]:
            raise ValueError(f"there is no stem {unknown[0].strip()!r}; these models have {', '.join(models)}")
        asked = {names[name.strip().casefold()] for name in wanted}
        chosen = [name for name in models if name in asked]
    if not chosen:
        stems = "; ".join(f"{entry.name} has {', '.join(entry.outputs)}" for entry in entries)
        raise ValueError(f"these models have no stem in common: {stems}; name stems with --stems")
    for index, entry in enumerate(entries):
        if not any(index in models[name] for name in chosen):
            has = f"has {', '.join(entry.outputs)}, none of which is compared"
            raise ValueError(f"{entry.name} {has}; leave it out, or name stems with --stems")
    return {name: models[name] for name in chosen}, {name: models[name] for name in models if name not in chosen}


def _with(entry: Source, own: Mapping[str, Any]) -> Source:
    """Return a model with settings of its own."""
    entry = adjusted(entry, "with_chunks", **{name: value for name, value in own.items() if name in CHUNKS})
    entry = adjusted(entry, "with_passes", own.get("tta"), own.get("shifts"))
    return entry.with_estimates(own.get("estimates", Estimates.consistent))


def plan(
    path: Path,
    entries: Sequence[Source],
    *,
    settings: Sequence[Mapping[str, Any]] = (),
    start: float | None = None,
    duration: float = DEFAULT_SECONDS,
    stems: Sequence[str] | None = None,
    reference_folder: Path | None = None,
    out: Path = Path("compare"),
    file_format: Format = WAV,
    force: bool = False,
) -> Plan:
    """Plan a comparison, and make every check that needs no model.

    Args:
        path: file of the song.
        entries: the models; one may be there several times, with other settings.
        settings: for each model, settings of its own, by the names that `Separator` has for them: `chunk_seconds`,
            `overlap`, `window`, `tta`, `shifts`, `estimates`, `batch_size`, `precision`; and `combine`, which the entry
            has already. Without any, all models have those of the run.
        start: start of the excerpt, as `bounds` takes it.
        duration: length of the excerpt in seconds.
        stems: names of the stems to compare, as `choose_stems` takes them.
        reference_folder: folder of true stems, as `references` takes it.
        out: folder in which the folder of clips is made.
        file_format: format of the clips; without a bit depth, wav, flac and aiff get 24 bits.
        force: whether to replace an earlier comparison.

    Raises:
        ValueError: the request is impossible for any song.
        AudioError: the request is impossible for this song, or the clips cannot be written.
    """
    if file_format.holds_all:
        raise ValueError(f"{file_format.name} holds a song and its stems, not clips; choose another --format")
    if file_format.bits is None and file_format.depth is not None:
        file_format = replace(file_format, bits=BitDepth.b24)
    if reason := file_format.unavailable():
        raise ValueError(reason)
    own = tuple(settings) or tuple({} for _ in entries)
    entries = [_with(entry, each) for entry, each in zip(entries, own, strict=True)]
    chosen, left_out = choose_stems(entries, stems)
    song = examine(path)
    if reason := file_format.refusal(song.sample_rate, song.channels, song.speakers, song.frames):
        raise AudioError(f"cannot write clips of {path}: {reason}")
    begin, end = bounds(song, start, duration)
    true = references(reference_folder, list(chosen), song, begin, end) if reference_folder else {}
    made = Plan(song, begin, end, tuple(entries), own, chosen, left_out, true, out, file_format)
    clip_files.check(made.folder, force)
    files = 1 + len(true) + sum(map(len, chosen.values()))
    check_space(out, files * (end - begin) * song.channels * file_format.bytes_per_sample)
    return made
