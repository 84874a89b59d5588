"""Defines the job of splitting one song: which files it writes where, and whether that was done before."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from stemsplit.audio import WAV, Format
from stemsplit.disk.files import size_of
from stemsplit.disk.folder import is_link
from stemsplit.errors import AudioError
from stemsplit.songs import record
from stemsplit.songs.elsewhere import Elsewhere
from stemsplit.songs.naming import Names, track_of
from stemsplit.songs.outputs import Output
from stemsplit.songs.record import Record, State


@dataclass(frozen=True)
class Options:
    """The settings that all songs of a run share.

    Args:
        out: output folder.
        outputs: files to write for each song.
        model: identity of the model, as records have it.
        earlier_models: what it was in earlier versions, whose stems need not be made again.
        adds_up: whether all stems of the model together are the song.
        format: format of the files.
        like_source: whether to write each song's own format instead of `format`.
        start: start of the excerpt to split, in seconds.
        duration: length of the excerpt in seconds; None for the rest of the song.
        track: number, language or title of the audio track to split; empty for the default one.
        drop_silent: whether to leave out files of silent stems.
        force: whether to split songs again, and overwrite files that stemsplit did not write.
    """

    out: Path
    outputs: tuple[Output, ...]
    model: Mapping[str, Any] = field(default_factory=dict)
    earlier_models: tuple[Mapping[str, Any], ...] = ()
    adds_up: bool = False
    format: Format = WAV
    like_source: bool = False
    start: float = 0.0
    duration: float | None = None
    track: str = ""
    drop_silent: bool = False
    force: bool = False

    def is_model(self, found: Mapping[str, Any]) -> bool:
        """Return whether the model of a record is this one, as it is or as it was in an earlier version."""
        return any(record.same(found, model) for model in (self.model, *self.earlier_models))


@dataclass(frozen=True, slots=True)
class Job:
    """One song to split.

    Args:
        path: file of the song.
        options: settings of the run.
        folder: folder that the names of the files are relative to: the output folder, or one below it.
        names: names of the song's files.
        format: format of the outputs.
        seconds: length of the excerpt to split; None if the song's header does not give it.
        channels: number of the song's channels; 2 if the song was not looked at.
        size: upper bound on the outputs' bytes; None if the song's header does not give its length.
        done: whether the song was already split in the same way.
        problem: why the song cannot be split, as far as that is known beforehand; empty if it can.
        replaces: whether the stems of another file of the same name, or of this one before it changed, are in the way.
        told_apart: whether the names were changed so that another song of the same name keeps its own files.
        compared: state of the song, and its digest, when it was read to find that it is the one that the record names;
            None if it was not read.
        conversion: how the files differ from the song: another sample rate, or stereo; empty if they do not.
        elsewhere: where the song comes from and its stems go to; None if both are files of this machine.
    """

    path: Path
    options: Options
    folder: Path
    names: Names
    format: Format = WAV
    seconds: float | None = None
    channels: int = 2
    size: int | None = None
    done: bool = False
    problem: str = ""
    replaces: bool = False
    told_apart: bool = False
    compared: tuple[State, str] | None = None
    conversion: str = ""
    elsewhere: Elsewhere | None = None

    @property
    def song(self) -> str:
        """The song as people and scripts read it: its path, or its address elsewhere."""
        return self.elsewhere.song if self.elsewhere else str(self.path)

    def shown(self, target: Path) -> str:
        """Return one of the job's files as people and scripts read it: its path, or its address elsewhere."""
        return self.elsewhere.shown(target) if self.elsewhere else str(target)

    def size_for(self, frames: int, channels: int | None = None) -> int:
        """Return an upper bound on the outputs' bytes, for so many samples per channel; the job's channels if None."""
        channels = self.format.channels(channels or self.channels)
        return frames * channels * len(self.options.outputs) * self.format.bytes_per_sample

    @property
    def files(self) -> list[str]:
        """Path of the file of each output, relative to `folder`."""
        suffix = self.format.suffix
        if self.format.holds_all:
            return [self.names.whole + suffix] * len(self.options.outputs)
        return [path + suffix for path in self.names.paths([output.name for output in self.options.outputs])]

    def place(self, stem: str, file_format: Format) -> Path:
        """Return the file that a stem has in a format, in this run or in another."""
        name = self.names.whole if file_format.holds_all else self.names.path(stem)
        return self.folder / f"{name}{file_format.suffix}"

    @property
    def parts(self) -> list[str]:
        """What `{stem}` stands for in the name of each file: a stem, or the song where one file holds all stems."""
        if self.format.holds_all:
            return [self.names.values["track"]]
        return [output.name for output in self.options.outputs]

    # Computed each time: a plan may have hundreds of thousands of songs.
    @property
    def targets(self) -> dict[str, Path]:
        """Name of each output -> its file."""
        return {output.name: self.place(output.name, self.format) for output in self.options.outputs}

    @property
    def record(self) -> Path:
        """File of the record, which says that all targets are whole."""
        return self.folder / self.names.record

    def beside(self, name: str, suffix: str) -> Path:
        """Return a further file of the song beside its record, named as a stem of that name would be."""
        return self.record.with_name(f"{PurePosixPath(self.names.path(name)).name}{suffix}")

    @property
    def is_renamed(self) -> bool:
        """Whether a file gets another name than song and template give, because some systems do not allow that one."""
        return self.names.are_changed(self.parts)

    def below(self, target: Path) -> Path:
        """Return the path of one of the job's files, relative to the output folder."""
        return target.relative_to(self.options.out)

    @property
    def recorded_options(self) -> dict[str, Any]:
        """The options that decide what the outputs are, as records have them."""
        return {
            "format": self.format.name,
            "bit_depth": self.format.bits,
            # Records of versions without bitrates have none, and must still be those of the default.
            **({"bitrate": self.format.bitrate} if self.format.bitrate else {}),
            "start": self.options.start,
            "duration": self.options.duration,
            "drop_silent": self.options.drop_silent,
            **({"track": self.options.track} if self.options.track else {}),
        }

    def name(self, target: Path) -> str:
        """Return the name of one of the job's files in the record."""
        return Path(os.path.relpath(target, self.record.parent)).as_posix()

    def present(self, target: Path) -> int | None:
        """Return the bytes of one of the job's files, where it is to be; None if there is no such file."""
        if self.elsewhere and self.elsewhere.sends:
            return self.elsewhere.size_of(target)
        return size_of(target)

    def size_of(self, name: str) -> int | None:
        """Return the bytes of a file that the record names; None if there is no such file below the output folder."""
        # Not resolve: links are not followed.
        path, out = (Path(os.path.abspath(place)) for place in (self.record.parent / name, self.options.out))  # noqa: PTH100
        return self.present(path) if path.is_relative_to(out) else None

    def recorded(self) -> Record | None:
        """Read the present record, of this run or of an earlier one; None if there is none."""
        if self.elsewhere and self.elsewhere.sends:
            return self.elsewhere.recorded(self.record)
        return record.read(self.record)

    def is_done(self, found: Record | None) -> bool:
        """Return whether all outputs exist already, made from the same song in the same way.

        Args:
            found: present record, from `recorded`.

        Raises:
            AudioError: the song cannot be read.
        """
        if not found or not self.options.is_model(found.model):
            return False
        if not record.same(found.options, self.recorded_options):
            return False
        for output in self.options.outputs:
            facts, target = found.stems.get(output.name), self.targets[output.name]
            if facts is None or facts["weights"] != list(output.gains):
                return False
            # What was silent may have been left out.
            named = facts["file"], facts["size"]
            if facts["file"] is not None and named != (self.name(target), self.present(target)):
                return False
        try:
            if self.elsewhere:
                return self.elsewhere.is_unchanged(self.path, found, self.record)
            if self.compared and self.compared == (record.state(self.path), found.song["sha256"]):
                return True
            return record.unchanged(self.path, found, self.record)
        except OSError as error:
            raise AudioError(f"cannot read {self.path} ({error.strerror})") from error

    def other_song(self, found: Record | None) -> str:
        """Return a message if the files in this song's place are those of another song; empty if they may be replaced.

        Another song has a file of another name. One of the same name is taken for this song, changed since.

        Args:
            found: present record, from `recorded`.
        """
        if self.options.force or not found or found.song["name"] == self.path.name:
            return ""
        if all(self.size_of(name) is None for name in found.files):
            return ""
        what = f"{self.record.parent} holds the stems of another song, {found.song['name']}"
        text, advice = self.names.template.text, "choose another folder with -o"
        if "{track}" in text and track_of(Path(found.song["name"])) == track_of(self.path):
            advice = f'keep both, with --name "{text.replace("{track}", "{track}.{ext}")}"'
        return f"cannot split {self.path}: {what}; {advice}, or write over them with --force"

    def obstacle(self, found: Record | None, *targets: Path) -> str:
        """Return a message about the first output file that may not be replaced; empty if all may be.

        A file may be replaced if stemsplit wrote it and nobody changed it since; with force, any regular file may be.

        Args:
            found: present record, from `recorded`.
            targets: output files to check; without any, all of the job's.
        """
        if size_of(self.record) is None and os.path.lexists(self.record):
            return f"{self.record} is already there, and is not a file; choose another folder with -o"
        if other := self.other_song(found):
            return other
        ours = found.files if found else {}
        for target in targets or self.targets.values():
            if self.elsewhere and self.elsewhere.sends:
                if not self.options.force and self.elsewhere.is_foreign(target):
                    return f"{target} is already there, and not as stemsplit left it; --force writes over it"
                continue
            there = size_of(target)
            if there is None and os.path.lexists(target):
                return f"{target} is already there, and is not a file; choose another folder with -o"
            if there is not None and not self.options.force and there != ours.get(self.name(target)):
                return f"{target} is already there, and not as stemsplit left it; --force writes over it"
        return ""

    def link(self, targets: Iterable[Path]) -> Path | None:
        """Return a folder between the output folder and these files that is a link; None if none is."""
        for folder in dict.fromkeys(target.parent for target in targets):
            below = self.below(folder)
            for way in (*reversed(below.parents[:-1]), below) if below.parts else ():
                with suppress(OSError):
                    if is_link((self.options.out / way).lstat()):
                        return self.options.out / way
        return None
