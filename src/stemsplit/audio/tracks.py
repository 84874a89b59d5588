"""Chooses one of a file's audio tracks: by its number, its language or its title."""

from collections.abc import Sequence
from dataclasses import dataclass

from stemsplit.audio.source import UnreadableError


@dataclass(frozen=True, slots=True)
class Track:
    """An audio track.

    Args:
        number: its number among the audio tracks, from 1 on.
        title: its title; empty if it has none.
        language: its language, a code of three letters such as "eng"; empty if it is not known.
        is_default: whether the file marks it as the one to play.
        channels: number of its channels; 0 if it is not known.
    """

    number: int
    title: str = ""
    language: str = ""
    is_default: bool = False
    channels: int = 0

    def __str__(self) -> str:
        """Return the number, with title and language where there are any."""
        about = ", ".join(part for part in (self.title, self.language) if part)
        return f"{self.number} ({about})" if about else str(self.number)


def choose(tracks: Sequence[Track], wanted: str = "") -> Track:
    """Return the track that is wanted, or else the default one, or else the first.

    Args:
        tracks: the audio tracks of a file, in order.
        wanted: its number from 1 on, its language or its title, in any letter case; empty for the default track.

    Raises:
        UnreadableError: there is no such track, or several are meant.
    """
    if not tracks:
        raise UnreadableError("it has no audio track")
    if not wanted:
        return next((track for track in tracks if track.is_default), tracks[0])
    said = wanted.strip().casefold()
    if said.isdecimal() and 1 <= int(said) <= len(tracks):
        return tracks[int(said) - 1]
    found = [track for track in tracks if track.title.casefold() == said]
    found = found or [track for track in tracks if track.language.casefold() == said]
    if len(found) == 1:
        return found[0]
    there = ", ".join(map(str, tracks))
    if found:
        numbers = " and ".join(str(track.number) for track in found)
        raise UnreadableError(f"{wanted!r} may be one of its audio tracks {numbers}", "take one by its number: --track")
    raise UnreadableError(f"it has no audio track {wanted!r}; its tracks: {there}", "choose another --track")


def note(tracks: Sequence[Track], chosen: Track) -> str:
    """Return a sentence on which track was chosen of several; empty if there is only one."""
    if len(tracks) < 2:
        return ""
    why = "the default one" if chosen.is_default else "the first one"
    said = f"it has {len(tracks)} audio tracks; taking {why}, {chosen} (--track takes another)"
    if all(track.channels == 1 for track in tracks):
        join = f"-filter_complex amerge=inputs={len(tracks)}"
        said += f"; each has one channel: if they are left and right, join them first: ffmpeg -i IN {join} OUT.wav"
    return said
