"""Makes a `.stem.mp4`, which DJ programs play: a song and its four stems as tracks of one file.

The form is that of Native Instruments, as programs read it: five stereo tracks, the song first, and in `moov.udta` a
box `stem` with the names and colours of the others in JSON.
"""

import json
from collections.abc import Sequence
from typing import IO

from stemsplit.audio.containers.joined import box, join, read_part
from stemsplit.audio.tagging.mp4 import tags_atom
from stemsplit.audio.tagging.values import Texts

TRACKS = ("mixture", "drums", "bass", "other", "vocals")
"""What the tracks hold, in order."""

COLOURS = {"Drums": "#009E73", "Bass": "#D55E00", "Other": "#CC79A7", "Vocals": "#56B4E9"}
"""Name of each stem -> the colour in which programs show it. People with any colour vision can tell these apart."""

UNCHANGED = {
    "compressor": {
        "enabled": False,
        "ratio": 3,
        "output_gain": 0.5,
        "release": 0.3,
        "attack": 0.003,
        "input_gain": 0.5,
        "threshold": 0,
        "hp_cutoff": 300,
        "dry_wet": 50,
    },
    "limiter": {"enabled": False, "release": 0.05, "threshold": 0, "ceiling": -0.35},
}
"""Settings with which a program leaves the sum of the stems as it is."""


def manifest() -> bytes:
    """Return the content of the box `stem`."""
    stems = [{"color": colour, "name": name} for name, colour in COLOURS.items()]
    content = {"mastering_dsp": UNCHANGED, "version": 1, "stems": stems}
    return json.dumps(content, separators=(",", ":")).encode()


def write_stem_file(tracks: Sequence[IO[bytes]], file: IO[bytes], tags: Texts, picture: bytes = b"") -> None:
    """Write a `.stem.mp4`.

    Args:
        tracks: finished files of one track each, for `TRACKS`, of the same length, rate and codec.
        file: empty file, open for writing.
        tags: tags of the song.
        picture: its cover art; empty for none.

    Raises:
        OSError: a file cannot be read or written.
    """
    join([read_part(track) for track in tracks], tags_atom(tags, picture) + box(b"stem", manifest()), file)
