"""Writes tags and cover art into finished files."""

from typing import IO

from stemsplit.audio.tagging.chunks import write_aiff, write_wav
from stemsplit.audio.tagging.comments import totals
from stemsplit.audio.tagging.flac import write_flac
from stemsplit.audio.tagging.id3 import id3
from stemsplit.audio.tagging.moving import replace_head
from stemsplit.audio.tagging.mp4 import write_mp4
from stemsplit.audio.tagging.ogg_tags import write_ogg
from stemsplit.audio.tagging.values import Texts, counted, joined
from stemsplit.choices import FormatName

PLAIN = ("title", "artist", "album", "tracknumber", "date", "genre")
"""The tags that libsndfile writes, one value each."""


def plain(name: str, tags: Texts) -> dict[str, str]:
    """Return the tags that libsndfile is to write while it writes the sound.

    Args:
        name: one of `FormatName`.
        tags: tags, each with its values.
    """
    # libsndfile hands the tags of an MP3 to LAME as if all text were Latin-1.
    if name not in (FormatName.wav, FormatName.flac, FormatName.ogg):
        return {}
    return {key: joined(values) for key, values in counted(tags).items() if key in PLAIN}


def write_tags(file: IO[bytes], name: str, tags: Texts, picture: bytes = b"") -> None:
    """Write into a finished file what libsndfile did not write: several values, further tags, and cover art.

    Args:
        file: file that can be read and written.
        name: one of `FormatName`; the pages of an ogg or opus have to be numbered anew afterwards.
        tags: tags, each with its values.
        picture: cover art; empty for none.

    Raises:
        OSError: the file cannot be written.
    """
    if name == FormatName.mp3:
        if head := id3(tags, picture):
            replace_head(file, head)
        return
    said = {key: (value,) for key, value in plain(name, tags).items()}
    if not picture and said == (counted(tags) if name == FormatName.wav else totals(tags)):
        return
    if name in (FormatName.m4a, FormatName.stem_mp4):
        write_mp4(file, tags, picture)
    elif name == FormatName.wav:
        write_wav(file, tags, picture)
    elif name == FormatName.flac:
        write_flac(file, tags, picture)
    elif name == FormatName.aiff:
        write_aiff(file, tags, picture)
    elif name in (FormatName.ogg, FormatName.opus):
        write_ogg(file, tags, picture)
