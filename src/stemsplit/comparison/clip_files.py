"""Writes a folder of clips, whole or not at all, and never over files that others put there."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np

from stemsplit.audio import Format, Song, Writer
from stemsplit.comparison.clips import Clip
from stemsplit.disk import Folder, flush, remove_empty_folder
from stemsplit.disk.claim import BusyError, Claim, claim
from stemsplit.disk.folder import is_plain
from stemsplit.disk.limits import is_refused, why
from stemsplit.disk.space import existing_ancestor
from stemsplit.errors import AudioError
from stemsplit.songs.beside import is_ours

RECORD = "comparison.json"
"""Name of the record beside the clips, which holds their figures and file names."""

VOTES = "votes.json"
"""Name of the file beside the record that holds votes of blind comparisons, which `stemsplit listen` writes."""

VOTES_MARK = b'{"stemsplit_votes": 1,'
"""Stands at the beginning of every such file."""

LIMIT = 16_000_000
"""Largest size of a record, in bytes."""

NEW, OLD = "new", "old"
"""Names of two folders in the hidden folder: one for the clips being written, one for the clips they replace."""


def _recorded(folder: Folder) -> set[str]:
    """Return the names of a comparison's files: its record, and the files that the record lists.

    Raises:
        ValueError: the record is not one of a comparison.
        OSError: the record cannot be read.
    """
    content = json.loads(folder.read(RECORD, LIMIT))
    names = content.get("files") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) and is_plain(name) for name in names):
        raise ValueError("no list of files")
    return {RECORD, *names} - {VOTES}


def _stays(inside: Folder, name: str) -> bool:
    """Return whether a file may stay beside new clips: a hidden one, or votes on the old clips.

    Raises:
        OSError: it cannot be read.
    """
    return name.startswith(".") or (name == VOTES and is_ours(inside, name, VOTES_MARK))


def check(folder: Path, force: bool) -> frozenset[str]:
    """Check that a folder of clips can be written, or with `force` replaced.

    Returns:
        Names of all files in the folder now: clips, and votes and hidden files of other programs, which will stay.

    Raises:
        AudioError: the folder cannot be written, exists without `force`, or holds files that are not a comparison's.
    """
    parent = existing_ancestor(folder.parent)
    effective = os.access in os.supports_effective_ids
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
        raise AudioError(f"cannot write into {parent} (no permission, or not a folder); choose another folder with -o")
    if is_refused(parent, folder.name):
        raise AudioError(f"the disk of {parent} does not allow the name {folder.name}; choose another disk with -o")
    if not os.path.lexists(folder):
        return frozenset()
    if not force:
        raise AudioError(f"{folder} already exists; replace it with --force, or choose another folder with -o")
    try:
        with Folder(parent) as around, around.enter(folder.name) as inside:
            ours, names = _recorded(inside), inside.names()
            others = [
                name
                for name in names
                if not stat.S_ISREG(inside.stat(name).st_mode) or (name not in ours and not _stays(inside, name))
            ]
    except (OSError, ValueError, RecursionError):
        raise AudioError(f"{folder} is not a comparison; move it away, or choose another folder with -o") from None
    if others:
        other = folder / min(others)
        raise AudioError(f"{other} is not a clip of a comparison; move it away, or choose another folder with -o")
    return frozenset(names)


def _settle(held: Claim, name: str) -> None:
    """Move files that were set aside back: all of them if no new clips took their place, else only those of others.

    Args:
        held: the hidden folder.
        name: name of the folder of clips beside it.

    Raises:
        OSError: a file cannot be moved.
    """
    if not held.folder.has(OLD):
        return
    if not held.out.has(name):
        held.folder.move(OLD, held.out, name)
        return
    with held.folder.enter(OLD) as old, held.out.enter(name) as new:
        try:
            ours = _recorded(old)
        except (OSError, ValueError, RecursionError):
            return  # A killed run had begun to remove our files; it had moved the files of others back before.
        for each in set(old.names()) - ours:
            if not new.has(each):
                old.move(each, new, each)


@contextmanager
def _working_beside(folder: Path) -> Iterator[Claim]:
    """Open the hidden folder beside a folder of clips, and remove it at the end, with the empty parents made for it."""
    out = folder.parent
    missing = [parent for parent in (out, *out.parents) if not parent.exists()]
    key = hashlib.sha256(b"comparison " + os.fsencode(folder.name)).hexdigest()[:16]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with Folder(out) as around:
            held = claim(around, key)
        try:
            _settle(held, folder.name)
            yield held
            _settle(held, folder.name)
        except BaseException:
            if held.folder.has(OLD):
                held.leave()  # the next run moves the old clips back
            raise
        finally:
            held.release()
    except BusyError as error:
        busy, advice = f"another process is writing {folder}", "wait for it, or choose another folder with -o"
        if error.owner and not error.alive:  # on another machine, as far as this one can tell
            busy = f"a process on {error.owner.host} is writing {folder}"
            advice += f"; if that process is gone, remove {error.filename}"
        raise AudioError(f"{busy}; {advice}") from None
    except OSError as error:
        raise AudioError(f"cannot write into {out} ({why(error)})") from error
    finally:
        for parent in missing:
            remove_empty_folder(parent)


def write(
    folder: Path,
    clips: Sequence[Clip],
    song: Song,
    file_format: Format,
    figures: Mapping[str, Any],
    force: bool = False,
    further: Mapping[str, Callable[[Path, IO[bytes]], object]] = MappingProxyType({}),
) -> None:
    """Write clips with their gains applied, and a record of their figures beside them.

    Args:
        folder: folder of the clips; their paths lie in it.
        clips: clips to write, all with the same number of channels.
        song: the song that they are of.
        file_format: format of the clips.
        figures: figures of the clips, ready for JSON.
        force: whether to replace an earlier comparison.
        further: name of a further file -> function that writes it, from the folder of clips and record, to a file.

    Raises:
        AudioError: a file cannot be written.
    """
    names = [*(clip.path.name for clip in clips), *further]
    record = json.dumps({**figures, "files": names}, indent=2) + "\n"
    with _working_beside(folder) as held:
        before = check(folder, force)  # again: the folder may have changed since the plan was made
        held.begin([f"{NEW}/{name}" for name in (*names, RECORD)] + [f"{OLD}/{name}" for name in before])
        held.folder.make(NEW)
        for clip in clips:
            file = held.create(f"{NEW}/{clip.path.name}")
            channels, frames = clip.samples.shape
            path, rate, speakers = held.folder.path / NEW / clip.path.name, song.sample_rate, song.speakers
            writer = Writer(path, file_format, rate, channels, frames, file=file, speakers=speakers)
            try:
                writer.write(clip.samples * np.float32(10 ** (clip.gain / 20)))
                writer.close()
            finally:
                writer.abandon()
        for name, made in {RECORD: lambda _, file: file.write(record.encode()), **further}.items():
            with held.create(f"{NEW}/{name}") as file:
                made(held.folder.path / NEW, file)
                file.flush()
                flush(file.fileno())
        if check(folder, force) != before:
            raise AudioError(f"{folder} was changed while the clips were written; try again")
        if held.out.has(folder.name):
            held.out.move(folder.name, held.folder, OLD)
        held.folder.move(NEW, held.out, folder.name)
        held.out.sync()
