"""Tells which audio track of a `.stem.mp4` is which stem: by its title, or else by its place."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stemsplit.audio.containers.mp4 import read_boxes
from stemsplit.errors import AudioError

MIXTURE = "mixture"
"""Name of the file, or of the track, with all stems together."""

SUFFIX = ".stem.mp4"

PLACES = (MIXTURE, "drums", "bass", "other", "vocals")
"""Audio tracks of a `.stem.mp4` without titles, in order, as in MUSDB18 (Rafii et al. 2017) and most other datasets."""

OTHER_NAMES = {
    **dict.fromkeys(("mix", "master", "main", "full mix", "main mix", "original"), MIXTURE),
    **dict.fromkeys(("vox", "vocal", "voice", "voices", "lead vocals"), "vocals"),
    **dict.fromkeys(("drum", "percussion"), "drums"),
    **dict.fromkeys(("others", "rest", "music"), "other"),
}
"""Titles that mean a stem of another name."""


def named(titles: Sequence[str], path: Path) -> dict[str, str]:
    """Return the number of the track of each stem, from 1 on, by the titles of all tracks.

    The first track may lack a title: it is the mixture.

    Raises:
        AudioError: the titles do not tell which track is which stem.
    """
    tracks: dict[str, str] = {}
    for number, title in enumerate(titles, 1):
        said = title.strip().casefold()
        stem = OTHER_NAMES.get(said, said) or (MIXTURE if number == 1 else "")
        if not stem:
            raise AudioError(f"cannot tell the stems of {path} apart: its audio track {number} has no title")
        if stem in tracks:
            both = f"{tracks[stem]} and {number}"
            raise AudioError(f"cannot tell the stems of {path} apart: its audio tracks {both} are both titled {stem}")
        tracks[stem] = str(number)
    if not set(tracks) & set(PLACES[1:]):
        names = ", ".join(titles)
        raise AudioError(f"cannot tell the stems of {path} apart: none of its titles is that of a stem ({names})")
    return tracks


def track_numbers(path: Path) -> Mapping[str, str]:
    """Return the number, from 1 on, of the audio track of each stem and of the mixture.

    Titles decide: those of the tracks, or those in the list that Native Instruments' programs write. Without any,
    places decide.

    Raises:
        AudioError: the file cannot be read, or its titles do not tell which track is which stem.
    """
    try:
        boxes = read_boxes(path)
    except OSError as error:
        raise AudioError(f"cannot read {path} ({(error.strerror or 'the system refuses').lower()})") from error
    places = {stem: str(number) for number, stem in enumerate(PLACES, 1)}
    if boxes is None:
        return places
    ways, mixed_up = [], f"cannot tell the stems of {path} apart"
    if any(boxes.titles):
        ways.append(named(boxes.titles, path))
    if boxes.stems and len(boxes.stems) == len(boxes.titles) - 1:
        ways.append(named(["", *boxes.stems], path))
    if len(ways) == 2 and ways[0] != ways[1]:
        raise AudioError(f"{mixed_up}: the titles of its tracks and its list of stems differ")
    if not ways and boxes.titles and len(boxes.titles) != len(PLACES):
        raise AudioError(f"{mixed_up}: it has {len(boxes.titles)} audio tracks without titles")
    return ways[0] if ways else places
