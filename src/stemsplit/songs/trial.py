"""Finds out, before anything is computed, whether the disk can hold the names and the sizes of a song's files.

It says what to do instead: a song must not be computed whose stems cannot get their names.
"""

import re
from contextlib import suppress

from stemsplit.choices import FormatName
from stemsplit.disk.claim import Claim
from stemsplit.disk.limits import BAD_NAME, BARRED, exceeded, is_refused
from stemsplit.errors import AudioError
from stemsplit.songs.job import Job
from stemsplit.songs.naming import cut, size

TRIAL, PLAIN = "names", "plain"
"""Folder in the hidden folder in which a song's names are tried, and a name that every disk can hold."""

USUAL = re.compile(r"[\w .()-]{0,99}[\w()-]", re.ASCII)
"""Names that every disk can hold."""

UNSHELLED = re.compile(r"[^\w ./{}()&'+,~-]")
"""Characters that a suggested name does not have, because a disk or a shell might not take them."""

STEM = "\ue000"
"""Stands in for the stem in a suggested name until the rest is shortened: a character that no name has."""

SHORT = 60
"""Bytes of a suggested name's parts."""


def unusual(job: Job) -> list[str]:
    """Return the names of a song's files, and of the folders that they lie in, that some disks cannot hold."""
    places = [job.below(place) for place in (*job.targets.values(), job.record)]
    names = dict.fromkeys(name for place in places for name in place.parts)
    return [name for name in names if not USUAL.fullmatch(name)]


def listed(job: Job) -> list[str]:
    """Return the names, relative to the hidden folder, of the files by which a song's names are tried."""
    names = unusual(job)
    return [f"{TRIAL}/{name}" for name in dict.fromkeys([*names, PLAIN])] if names else []


def _suggestion(job: Job) -> str:
    """Return a template by which the song's files get names that every disk can hold; empty if there is none."""
    if any(set(output.name) & set(BARRED) or size(output.name) > SHORT for output in job.options.outputs):
        return ""
    text = job.names.path(STEM).replace("{", "(").replace("}", ")")
    steps = [[cut(UNSHELLED.sub("_", part), SHORT) for part in step.split(STEM)] for step in text.split("/")]
    return "/".join("{stem}".join(parts) for parts in steps)


def refusal(job: Job, name: str) -> str:
    """Return the message about a name that the disk cannot hold."""
    if barred := [character for character in BARRED if character in name]:
        why = f"its disk does not allow {' '.join(barred)} in names, as in {cut(name, SHORT)}"
    elif size(name) > len(cut(name, SHORT)):
        why = f"its disk does not allow a name of {size(name)} bytes, {cut(name, SHORT)}..."
    else:
        why = f"its disk does not allow the name {name}"
    suggestion = _suggestion(job)
    other = f'split it by itself with --name "{suggestion}", or ' if suggestion else ""
    return f"cannot write the stems of {job.path} into {job.options.out}: {why}; {other}choose another disk with -o"


def refused(job: Job, error: OSError) -> str:
    """Return the message about a name that the disk refused with an error; empty if the error is not about a name."""
    names = set(unusual(job)) & {error.filename, error.filename2}
    return refusal(job, min(names)) if names and error.errno in BAD_NAME else ""


def known_problem(job: Job) -> str:
    """Return a message about the first name that the disk is known not to hold; empty if none is. Nothing is written.

    Args:
        job: job of the song.
    """
    return next((refusal(job, name) for name in unusual(job) if is_refused(job.record.parent, name)), "")


def too_large(job: Job, needed: int) -> str:
    """Return a message about files that are too large for the disk, or for a limit of the system; empty if none is.

    Args:
        job: job of the song.
        needed: bytes of each file.
    """
    if job.format.name != FormatName.wav:  # nobody knows beforehand how much the others need
        return ""
    limit = exceeded(job.options.out, needed)
    if limit is None:
        return ""
    sizes = f"each stem of {job.path} needs {needed / 1e6:,.0f} MB"
    allowed = f"its disk, or `ulimit -f`, allows files of at most {limit / 1e6:,.0f} MB"
    return f"{sizes}, but {allowed}; try --format flac, or choose another disk with -o"


def _make(held: Claim, name: str) -> None:
    """Make a file in the hidden folder, and remove it."""
    held.create(f"{TRIAL}/{name}").close()
    with held.folder.enter(TRIAL) as folder:
        folder.remove(name)


def try_names(held: Claim, job: Job) -> None:
    """Make files of the song's names in its hidden folder, which lies on the same disk, and remove them.

    Args:
        held: hidden folder of the song, begun with the names in `listed`.
        job: job of the song.

    Raises:
        AudioError: the disk cannot hold a name.
        OSError: nothing can be written.
    """
    names = unusual(job)
    if not names:
        return
    held.folder.make(TRIAL, exist_ok=True)
    try:
        for name in names:
            try:
                _make(held, name)
            except OSError as error:
                if error.errno not in BAD_NAME:
                    raise
                _make(held, PLAIN)  # fails if it is not the name that is wrong
                raise AudioError(refusal(job, name)) from error
    finally:
        with suppress(OSError):
            held.folder.remove_folder(TRIAL)
