"""Tells which files may hold audio, by their extension or by their first bytes."""

import os
import re
from pathlib import Path

AUDIO = (
    "wav wave bwf rf64 w64 flac ogg oga opus spx mp1 mp2 mp3 mpga m4a m4b m4r aac adts alac aif aiff aifc caf au snd"
    " wma ape wv tta tak shn mpc ac3 eac3 ec3 mlp thd dts dsf dff amr 3ga ra mka weba voc sph"
)

VIDEO = "mp4 m4v mkv webm mov qt avi wmv asf flv f4v mpg mpeg vob m2ts mts ogv 3gp 3g2 rm"

EXTENSIONS = frozenset(f"{AUDIO} {VIDEO}".split())
"""Extensions of files that may hold audio. `.ts` is not one: most such files are programs."""

UNFINISHED = frozenset(
    (
        "part",
        "crdownload",
        "download",
        "partial",
        "filepart",
        "tmp",
        "temp",
        "ytdl",
        "opdownload",
        "aria2",
        "!ut",
        "!qb",
    )
)
"""Extensions of downloads that are not complete."""

OTHERS = {
    "a picture": "jpg jpeg jpe jfif png gif bmp tif tiff webp heic heif avif svg ico psd xcf cr2 nef dng",
    "a text": "txt text log nfo diz md rst rtf tex lrc csv tsv json jsonl yaml yml toml xml html htm css js py sh bat"
    " ps1 ini cfg conf url webloc desktop sfv md5 sha1 sha256 ffp accurip sig asc",
    "a document": "pdf doc docx odt xls xlsx ods ppt pptx epub mobi pages",
    "a file of subtitles": "srt vtt ass ssa sub idx smi sbv",
    "notes, not sound": "mid midi kar musicxml mxl mscz gp gp3 gp4 gp5 gpx",
    "a project, not its sound": "als asd flp rpp cpr ptx logicx aup aup3 sesx reapeaks pkf band",
    "not audio": "exe dll so dylib db db3 sqlite torrent lnk nib class o pyc dmg iso msi apk",
    "": "m3u m3u8 pls cue xspf wpl asx zip rar 7z gz tgz bz2 xz tar zst",  # described when they are opened
}
"""What a file is that is plainly not audio -> its extensions."""

KINDS = {extension: kind for kind, extensions in OTHERS.items() for extension in extensions.split()}
"""Extension -> what such a file is."""

BEGINNINGS = re.compile(
    rb"""(?sx)
    (RIFF|RIFX|RF64|BW64)....WAVE | RIFF....AVI\x20 | FORM....(AIFF|AIFC|8SVX) | FRM8.{8}DSD\x20 | DSD\x20\x1c\x00
    | riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00 | fLaC[\x00\x80] | OggS\x00 | caff\x00 | \.snd\x00
    | wvPK..[\x00-\x0f]\x00 | TTA1[\x01\x02]\x00 | MAC\x20.[\x0c-\x0f] | MPCK | MP\+[\x07\x17] | tBaK | ajkg | \#!AMR
    | ID3[\x02-\x04].[\x00-\xf0][\x00-\x7f]{4}                         # a tag, with which MP3 files begin
    | \xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xef]                     # MPEG, but layer I: UTF-16 text begins like it
    | \xff[\xf0\xf1\xf8\xf9][\x00-\x33\x40-\x73\x80-\xb3]            # AAC
    | ....ftyp(M4[ABPV]\x20|F4[AV]\x20|mp4|iso[m2-9]|qt\x20|dash|3g)    # MP4, but not images, which begin with ftyp too
    | \x1a\x45\xdf\xa3 | \x30\x26\xb2\x75\x8e\x66\xcf\x11             # Matroska, Windows Media
    """
)
"""Matches the first bytes of audio and video files."""


def is_audio(path: Path) -> bool:
    """Return whether a file is audio or video by its extension, or else by its first bytes."""
    extension = path.suffix[1:].lower()
    if extension in EXTENSIONS or extension in UNFINISHED:
        return extension in EXTENSIONS
    try:
        # Reading from a pipe or a device could block.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return bool(BEGINNINGS.match(file.read(32)))
    except OSError:
        return False


def other_kind(path: Path) -> str | None:
    """Return what a file is that is plainly not audio, by its extension; empty if it is described when it is opened.

    Returns:
        None if it may be audio, is not a regular file, or does not exist.
    """
    kind = KINDS.get(path.suffix[1:].lower())
    return kind if kind is not None and os.path.isfile(path) and not is_audio(path) else None  # noqa: PTH113
