"""Which part of a song, which models and which of their stems are compared, and where the clips go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stemsplit.audio import WAV, Block, Format, Song, examine
from stemsplit.choices import BitDepth
from stemsplit.comparison import clip_files
from stemsplit.comparison.excerpt import part, references
from stemsplit.disk.files import check_space
from stemsplit.errors import AudioError
from stemsplit.registry import ModelEntry
from stemsplit.songs.naming import Template, track_of
from stemsplit.words import stamp

USUAL_SECONDS = 20.0
LONGEST_SECONDS = 600.0
"""All clips of all models are in memory together."""


@dataclass(frozen=True)
class Plan:
    """What is to be compared.

    Args:
        song: as it was examined, whole.
        begin: sample of the song that the part begins with.
        end: the one after the part's last.
        entries: the models.
        stems: name -> places among the models of those whose clips of it are compared.
        left_out: the same of stems that are not.
        references: stem -> its true samples in the part, (c, t).
        out: folder that gets a folder of clips.
        format: format of the clips.
    """

    song: Song
    begin: int
    end: int
    entries: tuple[ModelEntry, ...]
    stems: Mapping[str, tuple[int, ...]]
    left_out: Mapping[str, tuple[int, ...]]
    references: Mapping[str, Block]
    out: Path
    format: Format

    @property
    def start(self) -> float:
        """Seconds into the song at which the part begins."""
        return self.begin / self.song.sample_rate

    @property
    def duration(self) -> float:
        """Seconds of the part."""
        return (self.end - self.begin) / self.song.sample_rate

    @property
    def span(self) -> str:
        """The part for people: 1:00-1:20."""
        return f"{stamp(self.start)}-{stamp(self.start + self.duration)}"

    def path(self, stem: str, maker: str = "", model: str = "") -> Path:
        """The file of a clip: `song 1.00-1.20/vocals - 1 starter.wav`, so that a player shows a stem's together."""
        text = f"{{track}} {self.span.replace(':', '.')}/{{stem}}{maker}{' {model}' if model else ''}"
        song = self.song.path
        values = {"track": track_of(song), "stem": stem, "model": model, "parent": "", "ext": ""}
        path = self.out / Template(text).path(**values, artist=None, title=None)
        return path.with_name(f"{path.name}{self.format.suffix}")

    @property
    def folder(self) -> Path:
        """Where the clips go."""
        return self.path("mixture").parent


def compared(
    entries: Sequence[ModelEntry], wanted: Sequence[str] | None
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """The stems to compare, and those that are left out, with the places of the models that give them.

    Args:
        entries: the models.
        wanted: names, in any letter case; None for all that at least two of the models give, or that the only one does.

    Raises:
        ValueError: there is none, or no model gives one that is wanted, or a model gives none of them.
    """
    names: dict[str, str] = {}
    places: dict[str, tuple[int, ...]] = {}
    for place, entry in enumerate(entries):
        for name in entry.outputs:
            first = names.setdefault(name.casefold(), name)
            places[first] = (*places.get(first, ()), place)
    if wanted is None:
        chosen = [name for name, makers in places.items() if len(makers) > 1 or len(entries) == 1]
    else:
        if unknown := [name for name in wanted if name.strip().casefold() not in names]:
            raise ValueError(f"there is no stem {unknown[0].strip()!r}; these models give {', '.join(places)}")
        asked = {names[name.strip().casefold()] for name in wanted}
        chosen = [name for name in places if name in asked]
    if not chosen:
        told = "; ".join(f"{entry.name} gives {', '.join(entry.outputs)}" for entry in entries)
        raise ValueError(f"these models have no stem in common: {told}; name stems with --stems")
    for place, entry in enumerate(entries):
        if not any(place in places[name] for name in chosen):
            gives = f"gives {', '.join(entry.outputs)}, none of which is compared"
            raise ValueError(f"{entry.name} {gives}; leave it out, or name stems with --stems")
    return {name: places[name] for name in chosen}, {name: places[name] for name in places if name not in chosen}


def plan(
    path: Path,
    entries: Sequence[ModelEntry],
    *,
    start: float | None = None,
    duration: float = USUAL_SECONDS,
    stems: Sequence[str] | None = None,
    reference_folder: Path | None = None,
    out: Path = Path("compare"),
    file_format: Format = WAV,
    force: bool = False,
) -> Plan:
    """See that all that can be known of a comparison before any model is loaded speaks for it.

    Args:
        path: the song.
        entries: the models.
        start: see `part`.
        duration: seconds.
        stems: see `compared`.
        reference_folder: see `references`.
        out: folder that gets the folder of clips.
        file_format: format of the clips; without a bit depth, wav and flac get 24 bits.
        force: make a folder of clips anew.

    Raises:
        ValueError: what was asked for cannot be done with any song.
        AudioError: it cannot be done with this one, or here.
    """
    if file_format.bits is None and file_format.depth is not None:
        file_format = replace(file_format, bits=BitDepth.b24)
    if reason := file_format.refusal(44_100, 2):
        raise ValueError(reason)
    chosen, left_out = compared(entries, stems)
    song = examine(path)
    if reason := file_format.refusal(song.sample_rate, song.channels):
        raise AudioError(f"cannot write clips of {path}: {reason}")
    begin, end = part(song, start, duration)
    true = references(reference_folder, list(chosen), song, begin, end) if reference_folder else {}
    made = Plan(song, begin, end, tuple(entries), chosen, left_out, true, out, file_format)
    clip_files.check(made.folder, force)
    files = 1 + len(true) + sum(map(len, chosen.values()))
    check_space(out, files * (end - begin) * song.channels * file_format.bytes_per_sample)
    return made


def check_device(device: str, precision: str) -> None:
    """See whether there is a device, with a precision, as `Separator` takes them.

    Raises:
        DeviceError: there is not.
    """
    from stemsplit.fast import chosen
    from stemsplit.fast.device import pick_device

    chosen(precision, pick_device(device))
