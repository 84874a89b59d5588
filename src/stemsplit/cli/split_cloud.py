"""Defines the options for songs and stems at addresses such as `s3://bucket/album/`, and opens what they need."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli.options import usage_errors, writable
from stemsplit.cli.split_shards import MACHINES
from stemsplit.cloud.address import ADDRESS, STORES

if TYPE_CHECKING:
    from stemsplit.cloud.finding import Finder
    from stemsplit.cloud.place import StorePlace
    from stemsplit.songs.find import Search
    from stemsplit.songs.found import Distant

STORE = re.compile(rf"(?i)({'|'.join(STORES)})://")
"""Matches the beginning of an address that stems can go to."""

OTHER = re.compile(r"(?i)\s*([a-z][a-z0-9+.-]+:/+|(s3|gs|az):)")
"""Matches the beginning of any address, also of one that was taken for a path, which has single slashes."""

Output = Annotated[
    str,  # not a path, which would have one slash where an address has two
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        callback=writable,
        help="Folder, or address such as s3://bucket/stems, to write to; each song gets a subfolder.",
    ),
]
STAGING_SIZE = "10GB"
"""Usual largest size of the folder for staging."""

Staging = Annotated[
    Path | None,
    typer.Option(
        "--staging",
        metavar="FOLDER",
        readable=False,
        callback=writable,
        help="Folder of this machine that holds songs and stems at addresses while they are split. Default: one in "
        "the system's folder for temporary files.",
        rich_help_panel=MACHINES,
    ),
]
StagingSize = Annotated[
    str,
    typer.Option(
        "--staging-size", metavar="SIZE", help="Largest size of the --staging folder.", rich_help_panel=MACHINES
    ),
]


def finder(output: "Path | str", staging: Path | None, limit: int, force: bool) -> "Finder":
    """Return what finds songs at addresses.

    Args:
        output: output folder, or address as typed.
        staging: folder for staging; None for the usual one.
        limit: bytes that may be staged.
        force: whether objects that stemsplit did not write are replaced.

    Raises:
        typer.BadParameter: the address is not one, or a package is not installed.
    """
    try:
        from stemsplit.cloud import address, finding, sources
        from stemsplit.cloud import output as outputs
        from stemsplit.cloud import staging as stages
    except ImportError as error:
        more = "addresses such as s3://bucket/song.flac need one more package: pip install 'stemsplit[cloud]'"
        raise typer.BadParameter(more) from error

    place = stages.Stage(staging or stages.usual(), limit, staging is not None)
    if isinstance(output, Path):
        return finding.Finder(output, None, place, force)
    with usage_errors("-o"):
        target = address.parse(output)
    out = place.root / f"out-{sources.digest(str(target))[:16]}"
    return finding.Finder(out, outputs.Output(target, out), place, force)


@dataclass
class Addresses:
    """The addresses of a run, if there are any.

    Args:
        typed: output folder or address, as typed.
        staging: folder for staging, if the user names one.
        limit: bytes that may be staged.
        force: whether objects that stemsplit did not write are replaced.
    """

    typed: str
    staging: Path | None
    limit: int
    force: bool
    finder: "Finder | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.is_sent:
            self.finder = finder(self.typed, self.staging, self.limit, self.force)

    @property
    def is_sent(self) -> bool:
        """Whether the stems go to an address."""
        return STORE.match(self.typed) is not None

    @property
    def out(self) -> Path:
        """Output folder, or the folder that stands for the address that stems go to."""
        return self.finder.out if self.finder else Path(self.typed)

    @property
    def place(self) -> "StorePlace | None":
        """The place that stems go to, if it is an address."""
        return self.finder.output.place if self.finder and self.finder.output else None

    def find(self, texts: Sequence[str]) -> "Distant":
        """Find the songs at addresses among the arguments; nothing is imported if there are none."""
        from stemsplit.songs.found import Distant

        if not any(ADDRESS.match(text) for text in texts):
            return Distant()
        self.finder = self.finder or finder(self.out, self.staging, self.limit, self.force)
        return self.finder(texts)

    def wrapped(self, found: "Search") -> "Search":
        """Return what was found; its songs know where their stems go to."""
        return self.finder.wrapped(found) if self.finder else found

    def refuse(self, *, page: bool, known: bool, session: bool) -> None:
        """Refuse options that need files of this machine.

        Args:
            page: whether a page is asked for.
            known: whether failures are to be remembered.
            session: whether a session is asked for.

        Raises:
            typer.BadParameter: one is given, and songs come from addresses or stems go to one.
        """
        if not (self.finder and self.finder.is_used):
            return
        what = "stems go to an address" if self.is_sent else "songs come from addresses"
        for name, given in (("--page", page), ("--skip-known-failures", known), ("--session", session)):
            if given and (self.is_sent or name != "--session"):
                raise typer.BadParameter(f"{name} needs files of this machine, but {what}; leave it out")

    def check(self) -> None:
        """Find out, before the first song, whether stems can be written where they go to.

        Raises:
            AudioError: they cannot.
        """
        if self.finder and self.finder.output:
            self.finder.output.check()

    @property
    def opening(self) -> "Callable[[], object] | None":
        """A function that makes the folder for staging, here or on another machine; None if none is needed."""
        if not (self.finder and self.finder.is_used):
            return None
        from stemsplit.cloud import staging

        return partial(staging.opened, self.finder.place)

    @contextmanager
    def staged(self) -> Iterator[None]:
        """Keep a folder for staging, if it is needed; remove at last what a run made of it."""
        if not (self.finder and self.finder.is_used):
            yield
            return
        from stemsplit.cloud import staging
        from stemsplit.disk import remove_empty_folder

        place = self.finder.place
        staging.opened(place)
        try:
            yield
        finally:
            if self.finder.output:
                self.finder.output.sweep()
            if self.is_sent:
                remove_empty_folder(self.out)
            if not place.is_given:
                remove_empty_folder(place.root)


def addresses(output: str, staging: Path | None, size: str, force: bool, csv: Path | None) -> Addresses:
    """Return the addresses of a run.

    Args:
        output: output folder or address.
        staging: folder for staging, if the user names one.
        size: largest size of it, as typed.
        force: whether files that stemsplit did not write are replaced.
        csv: file of the table, if one is asked for.

    Raises:
        typer.BadParameter: an option makes no sense, or a package is not installed.
    """
    from stemsplit.words import bytes_in

    if csv and OTHER.match(str(csv)) and not csv.parent.exists():
        raise typer.BadParameter("--csv writes a file of this machine, not one at an address; name a file")
    if staging and OTHER.match(str(staging)) and not staging.exists():
        raise typer.BadParameter("--staging is a folder of this machine, not an address; name a folder")
    if OTHER.match(output) and not STORE.match(output) and not Path(output).exists():
        from stemsplit.songs.near import STORE as NEARLY

        if match := NEARLY.fullmatch(output):
            meant = f"{match[1].lower()}://{match[2]}"
            raise typer.BadParameter(f"{output} is not an address; did you mean {meant!r}?", param_hint="-o")
        raise typer.BadParameter(f"stems cannot go to {output.partition(':')[0]}://; use s3://, gs:// or az://")
    with usage_errors("--staging-size"):
        limit = bytes_in(size)
    return Addresses(output, staging, limit, force)
