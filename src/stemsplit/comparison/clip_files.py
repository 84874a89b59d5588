"""Folders of clips: whole or not at all, and never in place of what somebody else put there."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stemsplit.audio import Format, Writer
from stemsplit.comparison.clips import Clip
from stemsplit.disk import Folder, remove_empty_folder
from stemsplit.disk.claim import Claim, claim
from stemsplit.disk.files import existing_ancestor
from stemsplit.disk.folder import is_plain
from stemsplit.errors import AudioError

RECORD = "comparison.json"
"""Lies beside the clips: their figures, and what their files are called."""

LIMIT = 16_000_000
"""Bytes of such a record."""

NEW, OLD = "new", "old"
"""Folders in the hidden one: the clips that are made, and those that they replace."""


def _recorded(folder: Folder) -> set[str]:
    """The files of a comparison: its record, and those that this names.

    Raises:
        ValueError: there is no such record.
        OSError: it cannot be read.
    """
    content = json.loads(folder.read(RECORD, LIMIT))
    names = content.get("files") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) and is_plain(name) for name in names):
        raise ValueError("no list of files")
    return {RECORD, *names}


def check(folder: Path, force: bool) -> frozenset[str]:
    """See whether a folder of clips can be made, or with `force` made anew.

    Returns:
        The names of all that is in it now: clips, and hidden files of other programs, which stay.

    Raises:
        AudioError: it cannot, or it is there and force is not, or holds what is not of a comparison.
    """
    parent = existing_ancestor(folder.parent)
    effective = os.access in os.supports_effective_ids
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
        raise AudioError(f"cannot write into {parent} (no permission, or not a folder); choose another with -o")
    if not os.path.lexists(folder):
        return frozenset()
    if not force:
        raise AudioError(f"{folder} is there already; --force makes it anew, -o chooses another place")
    try:
        with Folder(parent) as around, around.enter(folder.name) as inside:
            ours, names = _recorded(inside), inside.names()
            others = [
                name
                for name in names
                if not stat.S_ISREG(inside.stat(name).st_mode) or (name not in ours and not name.startswith("."))
            ]
    except (OSError, ValueError, RecursionError):
        raise AudioError(f"{folder} is no comparison; move it away, or choose another place with -o") from None
    if others:
        raise AudioError(f"{folder / min(others)} is no clip of a comparison; move it away, or choose another with -o")
    return frozenset(names)


def _settle(held: Claim, name: str) -> None:
    """Put what was in the place of new clips back there: all of it if there are no new ones, else what is not ours.

    Args:
        held: the hidden folder.
        name: of the folder of clips beside it.

    Raises:
        OSError: something cannot be moved.
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
            return  # half of it was removed already, and only of what is ours
        for each in set(old.names()) - ours:
            if not new.has(each):
                old.move(each, new, each)


@contextmanager
def _working_beside(folder: Path) -> Iterator[Claim]:
    """The hidden folder beside another, which goes at the end; so do empty ones on the way that were made for it."""
    out = folder.parent
    made = [way for way in (out, *out.parents) if not way.exists()]
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
                held.leave()  # for the next one to put back
            raise
        finally:
            held.release()
    except BlockingIOError:
        raise AudioError(f"another process makes {folder}; wait for it, or choose another place with -o") from None
    except OSError as error:
        raise AudioError(f"cannot write into {out} ({error.strerror})") from error
    finally:
        for way in made:
            remove_empty_folder(way)


def write(
    folder: Path,
    clips: Sequence[Clip],
    sample_rate: int,
    file_format: Format,
    figures: Mapping[str, Any],
    force: bool = False,
) -> None:
    """Write clips with their gains, and figures beside them.

    Args:
        folder: gets the clips, whose paths are in it.
        clips: of one number of channels.
        sample_rate: Hz.
        file_format: format of the clips.
        figures: of the clips, as JSON has them.
        force: in place of a comparison that is there.

    Raises:
        AudioError: something cannot be written.
    """
    names = [clip.path.name for clip in clips]
    record = json.dumps({**figures, "files": names}, indent=2) + "\n"
    with _working_beside(folder) as held:
        before = check(folder, force)  # once more: time has passed
        held.begin([f"{NEW}/{name}" for name in (*names, RECORD)] + [f"{OLD}/{name}" for name in before])
        held.folder.make(NEW)
        for clip in clips:
            file = held.create(f"{NEW}/{clip.path.name}")
            channels, frames = clip.samples.shape
            writer = Writer(clip.path, file_format, sample_rate, channels, frames, file=file)
            try:
                writer.write(clip.samples * np.float32(10 ** (clip.gain / 20)))
                writer.close()
            finally:
                writer.abandon()
        with held.create(f"{NEW}/{RECORD}") as file:
            file.write(record.encode())
            file.flush()
            os.fsync(file.fileno())
        if check(folder, force) != before:
            raise AudioError(f"{folder} was changed meanwhile; try again")
        if held.out.has(folder.name):
            held.out.move(folder.name, held.folder, OLD)
        held.folder.move(NEW, held.out, folder.name)
        held.out.sync()
