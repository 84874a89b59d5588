"""Knows which speaker each channel of a song is for, and the orders in which formats keep them.

Inside the program, channels are in WAV order: the order of the bits of WAVEFORMATEXTENSIBLE's channel mask.
"""

from collections.abc import Sequence

_IN_MASKS = "FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR"
_BEYOND = "DL DR WL WR SDL SDR LFE2 TSL TSR BFC BFL BFR SSL SSR TTL TTR BIL BIR"

BITS = tuple(_IN_MASKS.split())
"""The speakers that a channel mask has, from its lowest bit on, by ffmpeg's names."""

ORDER = (*BITS, *_BEYOND.split())
"""All speakers that have names, in WAV order; those that a channel mask does not have come last."""

ORDINARY = (("FL", "FR"), ("DL", "DR"), ("BIL", "BIR"))
"""Two channels that are ordinary stereo to a player."""

SIDES = {"BL": "SL", "BR": "SR", "SL": "BL", "SR": "BR"}
"""Speakers that most formats do not tell apart where a song has only one pair of them."""

PAIRS = {
    **{name: name[:-1] + "R" for name in ORDER if name.endswith("L") and f"{name[:-1]}R" in ORDER},
    "FLC": "FRC",
}
"""Left speaker -> the right one that belongs to it."""

STANDARD = {
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
"""Number of channels -> the speakers that players take them for if a file does not say."""

FLAC = {**STANDARD, 5: ("FL", "FR", "FC", "SL", "SR"), 6: ("FL", "FR", "FC", "LFE", "SL", "SR")}
"""Number of channels -> the speakers of a FLAC file without a channel mask."""

VORBIS = {
    3: ("FL", "FC", "FR"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FC", "FR", "BL", "BR"),
    6: ("FL", "FC", "FR", "BL", "BR", "LFE"),
    7: ("FL", "FC", "FR", "SL", "SR", "BC", "LFE"),
    8: ("FL", "FC", "FR", "SL", "SR", "BL", "BR", "LFE"),
}
"""Number of channels -> the speakers of Vorbis and Opus, in their order (Vorbis I, 4.3.9; RFC 7845, 5.1.1.2)."""


def in_order(speakers: Sequence[str]) -> list[int]:
    """Return the indices of channels in WAV order.

    >>> in_order(["FC", "FL", "FR"])
    [1, 2, 0]
    """
    return sorted(range(len(speakers)), key=lambda channel: ORDER.index(speakers[channel]))


def assumed(channels: int, speakers: Sequence[str]) -> tuple[str, ...]:
    """Return the speakers; if they are unknown, those that players assume; empty for more than 8 unknown channels."""
    return tuple(speakers) or STANDARD.get(channels, ())


def grouped(channels: int, speakers: Sequence[str] = ()) -> list[tuple[int, int]]:
    """Return the pairs of channels that a stereo network gets together; a channel without a partner gets itself.

    Args:
        channels: number of channels.
        speakers: their speakers; if they are unknown, every two channels in turn are a pair.

    >>> grouped(6, ("FL", "FR", "FC", "LFE", "BL", "BR")), grouped(3)
    ([(0, 1), (2, 2), (3, 3), (4, 5)], [(0, 1), (2, 2)])
    """
    if not speakers:
        return [(first, min(first + 1, channels - 1)) for first in range(0, channels, 2)]
    places = {name: channel for channel, name in enumerate(speakers)}
    partners = {places[left]: places[right] for left, right in PAIRS.items() if {left, right} <= places.keys()}
    rights = set(partners.values())
    return [(channel, partners.get(channel, channel)) for channel in range(channels) if channel not in rights]


def mask(speakers: Sequence[str]) -> int:
    """Return the channel mask of speakers; 0 if they are unknown, or a mask does not have one of them."""
    return sum(1 << BITS.index(name) for name in speakers) if set(speakers) <= set(BITS) else 0


def masked(bits: int) -> tuple[str, ...]:
    """Return the speakers of a channel mask; none if it has bits that stand for no speaker."""
    if bits >> len(BITS):
        return ()
    return tuple(name for place, name in enumerate(BITS) if bits >> place & 1)


def in_vorbis(channels: int, speakers: Sequence[str]) -> list[int] | None:
    """Return a song's channels in the order of Vorbis; None if Vorbis does not have these speakers.

    Vorbis has one pair of surround speakers in layouts of up to six channels, which serves for those at the back and
    for those at the sides.

    Args:
        channels: number of channels.
        speakers: their speakers; empty if unknown, see `assumed`.
    """
    named, wanted = assumed(channels, speakers), VORBIS.get(channels, ())
    if not named:
        return list(range(channels))
    for names in (named, tuple(SIDES.get(name, name) for name in named)):
        if set(names) == set(wanted):
            return [names.index(name) for name in wanted]
    return None
