"""Finds what has become of songs, from what lies in an output folder: records, notes and claims."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stemsplit.disk.digest import sha256
from stemsplit.songs.apart import digested, renamed, with_suffix
from stemsplit.songs.found import Found
from stemsplit.songs.hidden import key_of
from stemsplit.songs.job import Options
from stemsplit.songs.naming import Template
from stemsplit.songs.plan import planned
from stemsplit.songs.sharing import notes
from stemsplit.songs.sharing.batches import Batch, batches
from stemsplit.songs.sharing.kept import Contents, key_in, normal
from stemsplit.songs.sharing.note_forms import Failure
from stemsplit.songs.sharing.place import Holding, Place

NOT_BEGUN = "not begun, or failed without a note of it"
"""Reason of a missing song of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A song that is neither split nor said to have failed.

    Args:
        song: the song.
        reason: what is known of it.
    """

    song: str
    reason: str


@dataclass
class Status:
    """What has become of songs.

    Args:
        songs: number of the songs that were asked about; None for all that the folder knows of.
        done: number of songs that are split.
        seconds: seconds of music in these.
        failures: songs that failed, and were not split since.
        missing: songs that were asked about, and are neither split nor failed.
        incomplete: names of records whose stems are missing or changed, and what is the matter.
        others: number of songs that are split, but were not asked about.
        claims: claims on songs, and the song of each if that is known.
        batches: totals of the runs on many machines.
        strange: names of what looks like a note, a record or a claim, but is not.
        closed: why a part of the folder was not looked at; empty if all was.
    """

    songs: int | None = None
    done: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    incomplete: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0
    claims: list[tuple[Holding, str]] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    closed: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether all songs are split, as far as that is known, and no process works or has left anything.

        If no songs were asked about, there has to be one, and the shards of the last batch have to have ended.
        """
        if self.failures or self.missing or self.incomplete or self.claims or self.strange:
            return False
        if self.songs is not None:
            return True
        return self.done > 0 and not self.closed and not (self.batches and self.batches[-1].lacking)


def in_words(claim: Holding) -> str:
    """Return whose a claim is, and whether its process works."""
    host = f" on {claim.host}" if claim.host else ""
    if claim.is_whole and not claim.is_live:
        return f"whole, but not yet moved to its place{host}"
    if claim.is_live is None:
        return f"claimed{host}"
    return f"being split{host}" if claim.is_live else f"left behind{host}"


def places_of(song: Found, options: Options, template: Template) -> Iterator[str]:
    """Yield the names that a song's record may have, by what other songs of its name there are."""
    job = planned(song, options, template, "")
    below = f"{song.below.as_posix()}/" if song.below.parts else ""
    yield below + job.names.record
    for name in (with_suffix, digested):
        yield below + renamed(job, template, name(song.path)).names.record


class Search:
    """Finds what has become of songs that are asked about.

    Args:
        folder: what lies in the output folder.
        options: settings, of which only the output folder counts.
        template: template by which the files are named.
    """

    def __init__(self, folder: Contents, options: Options, template: Template) -> None:
        self.folder, self.options, self.template = folder, options, template
        self.taken = set[str]()
        self.failed: dict[str, Failure] = {}
        self.alike: dict[tuple[str, int], list[str]] = defaultdict(list)
        for name, kept in folder.kept.items():
            self.alike[kept.song, kept.size].append(name)
        self.claims = {key_in(claim.name): claim for claim in folder.claims}
        self.asked: dict[str, str] = {}
        """Key of a claim -> the song that it is on, of those that are asked about."""

    def find(self, song: Found) -> str:
        """Look for a song. A record or a failure that is found is taken, so that no other song has it.

        Returns:
            Why it is missing; empty if it is not.
        """
        state = notes.state_of(song)
        size = state.partition(" ")[0]
        if not size.isdecimal():
            return song.problem or "it cannot be found, or not be read"
        known, places, reason = (normal(song.path.name), int(size)), list[str](), NOT_BEGUN
        for exact in places_of(song, self.options, self.template):
            places.append(exact)
            place = normal(exact)
            failure, kept = self.folder.failures.get(place), self.folder.kept.get(place)
            if failure and failure.state == state:
                self.failed[place] = failure
                self.taken.add(place)
                return ""
            if failure and reason == NOT_BEGUN and failure.song != notes.shown(song):
                reason = f"not begun, or failed like {failure.song}, whose files would have the same names"
            if not kept or kept.song != known[0] or place in self.taken:
                continue
            if kept.size == known[1] and not kept.problem:
                self.taken.add(place)
                return ""
            reason = f"its stems are not whole: {kept.problem}" if kept.problem else "changed since it was split"
        if self.elsewhere(song, known):
            return ""
        return self.claimed(song, places) or reason

    def elsewhere(self, song: Found, known: tuple[str, int]) -> bool:
        """Return whether a song is split under another name; its content tells, as another's size may be the same."""
        others = [name for name in self.alike.get(known, ()) if name not in self.taken]
        others = [name for name in others if not self.folder.kept[name].problem]
        if not others or notes.is_away(song):
            return False
        try:
            digest = sha256(song.path)
        except OSError:
            return False
        same = next((name for name in others if self.folder.kept[name].sha256 == digest), None)
        if same is not None:
            self.taken.add(same)
        return same is not None

    def claimed(self, song: Found, places: Sequence[str]) -> str:
        """Return who works on a song, or left it behind; empty if nobody did."""
        for key in map(key_of, places) if self.claims else ():
            if key in self.claims:
                self.asked[key] = notes.shown(song)
                return in_words(self.claims[key])
        return ""


def status(place: Place, songs: Sequence[Found] | None, options: Options, template: Template) -> Status:
    """Return what has become of songs.

    Args:
        place: output folder.
        songs: songs that are asked about; None for all that the folder knows of.
        options: settings, of which only the output folder counts.
        template: template by which the files are named.

    Raises:
        AudioError: the folder does not exist, or cannot be read.
    """
    folder = Contents(place)
    found = Status(batches=batches(folder.runs), strange=folder.strange, closed=folder.closed)
    search = Search(folder, options, template)
    whole = {name: kept for name, kept in folder.kept.items() if not kept.problem and not kept.failure}
    found.incomplete = [(name, kept.problem) for name, kept in folder.kept.items() if kept.problem]
    if songs is None:
        done, found.failures = set(whole), list(folder.failures.values())
    else:
        found.songs = len(songs)
        reasons = [(song, search.find(song)) for song in songs]
        found.missing = [Missing(notes.shown(song), reason) for song, reason in reasons if reason]
        found.failures = list(search.failed.values())
        done = search.taken - search.failed.keys()
        found.others = len(whole.keys() - done)
    found.done, found.seconds = len(done), sum(folder.kept[name].seconds for name in done)
    if folder.claims:
        known = {key_of(name): kept.song for name, kept in folder.kept.items()}
        known |= {key_of(name): failure.song for name, failure in folder.failures.items()} | search.asked
        found.claims = [(claim, known.get(key_in(claim.name), "")) for claim in folder.claims]
    return found
