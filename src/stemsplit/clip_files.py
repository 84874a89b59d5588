"""Folders of clips: whole or not at all, and never in place of what somebody else put there."""

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from stemsplit.audio import Writer
from stemsplit.claim import PREFIX, Claim
from stemsplit.clips import Clip
from stemsplit.errors import AudioError
from stemsplit.job import existing_ancestor

RECORD = "comparison.json"
"""Lies beside the clips: their figures, and what their files are called."""


def check(folder: Path, force: bool) -> None:
    """See whether a folder of clips can be made, or with `force` made anew.

    Raises:
        AudioError: it cannot, or it is there and force is not, or holds what is not of a comparison.
    """
    parent = existing_ancestor(folder.parent)
    effective = os.access in os.supports_effective_ids
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
        raise AudioError(f"cannot write into {parent} (no permission, or not a folder); choose another with -o")
    if not os.path.lexists(folder):
        return
    if not force:
        raise AudioError(f"{folder} is there already; --force makes it anew, -o chooses another place")
    try:
        ours = {RECORD, *json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]}
        others = [path.name for path in folder.iterdir() if path.name not in ours and not path.name.startswith(".")]
    except (OSError, ValueError, KeyError, TypeError):
        raise AudioError(f"{folder} is no comparison; move it away, or choose another place with -o") from None
    if others:
        raise AudioError(f"{folder / min(others)} is no clip of a comparison; move it away, or choose another with -o")


@contextmanager
def _working_beside(folder: Path) -> Iterator[Path]:
    """A hidden folder beside another, which goes at the end; so do empty ones on the way that were made for it."""
    out = folder.parent
    made = [way for way in (out, *out.parents) if not way.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = Claim(out / f"{PREFIX}{zlib.crc32(os.fsencode(folder.name)):08x}")
        try:
            held.clear()
            yield held.folder
        finally:
            held.release()
    except BlockingIOError:
        raise AudioError(f"another process makes {folder}; wait for it, or choose another place with -o") from None
    except OSError as error:
        raise AudioError(f"cannot write into {out} ({error.strerror})") from error
    finally:
        with suppress(OSError):
            for way in made:
                way.rmdir()


def write(
    folder: Path,
    clips: Sequence[Clip],
    sample_rate: int,
    format_: str,
    bit_depth: str | None,
    figures: Mapping[str, Any],
    force: bool = False,
) -> None:
    """Write clips with their gains, and figures beside them.

    Args:
        folder: gets the clips, whose paths are in it.
        clips: of one number of channels.
        sample_rate: Hz.
        format_: one of `stemsplit.audio.FORMATS`.
        bit_depth: one of `stemsplit.audio.BIT_DEPTHS`, or None.
        figures: of the clips, as JSON has them.
        force: in place of a comparison that is there.

    Raises:
        AudioError: something cannot be written.
    """
    with _working_beside(folder) as hidden:
        new = hidden / "new"
        new.mkdir()
        for clip in clips:
            writer = Writer(new / clip.path.name, format_, bit_depth, sample_rate, *clip.samples.shape)
            try:
                writer.write(clip.samples * np.float32(10 ** (clip.gain / 20)))
                writer.close()
            finally:
                writer.abandon()
        record = {**figures, "files": [clip.path.name for clip in clips]}
        (new / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        # Once more: time has passed.
        check(folder, force)
        if os.path.lexists(folder):
            folder.replace(hidden / "old")
        new.replace(folder)
