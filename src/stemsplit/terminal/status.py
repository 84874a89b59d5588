"""Shows what has become of the songs of an output folder."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from stemsplit.songs.sharing.status import in_words
from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import aligned
from stemsplit.words import clock, counted, printable

if TYPE_CHECKING:
    from stemsplit.songs.sharing.batches import Batch
    from stemsplit.songs.sharing.place import Holding
    from stemsplit.songs.sharing.status import Status

MOST = 20
"""Largest number of songs of a kind that people are shown."""

STATES = {True: "live", False: "left behind", None: "unknown"}
"""Whether the process of a claim works -> how JSON says it."""


def claim_as_data(claim: "Holding", song: str) -> dict[str, Any]:
    """Return a claim as `status --json` prints it."""
    silent = claim.silent_seconds
    return {
        "name": claim.name,
        "song": song or None,
        "state": STATES[claim.is_live],
        "host": claim.host or None,
        "process": claim.process,
        "silent_seconds": None if silent is None else round(silent, 1),
        "takeovers": claim.takeovers,
        "whole": claim.is_whole,
    }


def batch_as_data(batch: "Batch") -> dict[str, Any]:
    """Return the totals of runs as `status --json` prints them."""
    names = ("songs", "done", "failed")
    return {
        "settings": batch.settings,
        "shards": batch.shards,
        "ended": list(batch.ended),
        "lacking": list(batch.lacking),
        "runs": batch.runs,
        "hosts": list(batch.hosts),
        **{name: getattr(batch, name) for name in names},
        "duration": round(batch.duration, 3),
        "seconds": round(batch.seconds, 3),
    }


def status_as_data(found: "Status", folder: str) -> dict[str, Any]:
    """Return what has become of songs as `status --json` prints it.

    Args:
        found: what has become of them.
        folder: path or address of the output folder.
    """
    return {
        "folder": folder,
        "songs": found.songs,
        "done": found.done,
        "failed": len(found.failures),
        "missing": None if found.songs is None else len(found.missing),
        "incomplete": len(found.incomplete),
        "others": None if found.songs is None else found.others,
        "working": sum(claim.is_live is True for claim, _ in found.claims),
        "left_behind": sum(claim.is_live is False for claim, _ in found.claims),
        "unknown": sum(claim.is_live is None for claim, _ in found.claims),
        "duration": round(found.seconds, 3),
        "failures": [
            {
                "song": failure.song,
                "record": failure.record,
                "error": failure.said[-1].error,
                "hosts": [said.host for said in failure.said],
            }
            for failure in found.failures
        ],
        "missing_songs": [{"song": each.song, "reason": each.reason} for each in found.missing],
        "incomplete_songs": [{"record": record, "reason": reason} for record, reason in found.incomplete],
        "claims": [claim_as_data(claim, song) for claim, song in found.claims],
        "batches": [batch_as_data(batch) for batch in found.batches],
        "strange": found.strange,
        "closed": found.closed or None,
        "exit_status": int(not found.is_complete),
    }


def few(numbers: Iterable[object]) -> str:
    """Name a few of many, and how many more there are."""
    texts = [str(number) for number in numbers]
    return ", ".join(texts[:MOST]) + (f" and {len(texts) - MOST} more" if len(texts) > MOST else "")


def ranges(numbers: Sequence[int]) -> str:
    """Name rising numbers: 3, 7-9, 12."""
    runs = list[tuple[int, int]]()
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return few(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def summary_in_words(found: "Status", folder: str) -> str:
    """Return the numbers of songs as a line for people."""
    text = f"{folder}: {counted(found.done, 'song')} split ({clock(found.seconds)} of music)"
    text += f", {len(found.failures)} failed"
    if found.songs is not None:
        text += f", {len(found.missing)} missing, of {found.songs}"
    if found.incomplete:
        text += f"; {len(found.incomplete)} with stems that are missing or changed"
    if found.others:
        text += f"; besides, {counted(found.others, 'other song')} split"
    for claims, what in (
        (sum(claim.is_live is True for claim, _ in found.claims), "being split"),
        (sum(claim.is_live is False for claim, _ in found.claims), "left behind by processes that ended"),
        (sum(claim.is_live is None for claim, _ in found.claims), "claimed, perhaps by other machines"),
    ):
        text += f"; {claims} {what}" if claims else ""
    return text


def batch_in_words(batch: "Batch") -> str:
    """Return the totals of runs as a line for people."""
    text = counted(batch.runs, "run")
    if batch.shards:
        text = f"shards: {len(batch.ended)} of {batch.shards} ended"
        if batch.lacking:
            text += f"; no word of shard{'' if len(batch.lacking) == 1 else 's'} {ranges(batch.lacking)}"
        text += f"; {counted(batch.runs, 'run')}"
    text += f" on {counted(len(batch.hosts), 'machine')}"
    text += f": {counted(batch.songs, 'song')}, {batch.done} split, {batch.failed} failed"
    return f"{text}; {clock(batch.duration)} of music in {clock(batch.seconds)} of work"


def claim_in_words(claim: "Holding") -> str:
    """Return who has a claim, for how long without a sign of life, and after how many others."""
    facts = [in_words(claim)]
    if claim.process is not None and claim.is_live is not False:
        facts.append(f"process {claim.process}")
    if claim.silent_seconds is not None:
        facts.append(f"last sign of life {clock(claim.silent_seconds)} ago")
    if claim.takeovers:
        facts.append(f"{counted(claim.takeovers, 'process')} lost on it before")
    return ", ".join(facts)


def rows(found: "Status") -> list[tuple[str, str, str]]:
    """Return a row for each song that is not simply done: what it is, its name, and what is known of it."""
    kinds: dict[str, list[tuple[str, str]]] = {
        "failed": [
            (failure.song, f"{failure.said[-1].error} ({few(dict.fromkeys(said.host for said in failure.said))})")
            for failure in found.failures
        ],
        "missing": [(each.song, each.reason) for each in found.missing],
        "incomplete": [*found.incomplete],
        "claim": [(song or claim.name, claim_in_words(claim)) for claim, song in found.claims],
        "strange": [(name, "not as stemsplit writes it") for name in found.strange],
    }
    shown = list[tuple[str, str, str]]()
    for kind, songs in kinds.items():
        shown += [(kind, name, what) for name, what in songs[:MOST]]
        if len(songs) > MOST:
            shown.append((kind, f"and {len(songs) - MOST} more", "--json names them all"))
    return shown


def print_status(found: "Status", folder: str) -> None:
    """Print what has become of songs, for people."""
    lines = [summary_in_words(found, folder), *map(batch_in_words, found.batches)]
    print_text(*map(printable, lines))
    if table := rows(found):
        print_text(*aligned([tuple(map(printable, row)) for row in table]))
