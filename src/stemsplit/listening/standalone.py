"""Writes a page that holds the sound it plays, in one file that opens from a disk and can be mailed."""

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from stemsplit.audio import Block
from stemsplit.audio.excerpts import OPUS_BITRATE
from stemsplit.choices import PageAudio
from stemsplit.disk import Folder
from stemsplit.errors import AudioError
from stemsplit.listening import pages
from stemsplit.listening.chunks import Cut, Peaks, chunks, files
from stemsplit.listening.decoding import Decoding
from stemsplit.listening.piece import BIN, Piece, as_data
from stemsplit.songs import beside
from stemsplit.songs.record import LIMIT as LARGEST_RECORD

MARK = "<!-- stemsplit listen 1 "
"""Beginning of the line by which a page is known as one of ours."""

LIMIT = 400_000_000
"""Largest page, in bytes, that is written without --force. A browser needs more memory than that for it."""

LOWEST_RATE, HIGHEST_RATE, MOST_CHANNELS = 3_000, 768_000, 32
"""Sample rates in Hz, and numbers of channels, that browsers can play."""

PACKED = {16: 0.6, 24: 0.7}
"""Bits of a sample in a file -> share of its bytes that FLAC needs, about."""

POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""The page's security policy: it runs its own script and no other, and loads nothing from elsewhere."""


def mark(digest: str, audio: PageAudio) -> bytes:
    """Return the line that says what a page was made from.

    Args:
        digest: sha256 of the record's content.
        audio: codec of the sound.
    """
    return f"{MARK}{digest} {audio} -->".encode()


def digest_of(record: Path) -> str:
    """Return the sha256 of a record's content, as marks have it.

    Raises:
        AudioError: the record cannot be read.
    """
    try:
        with Folder(record.parent) as folder:
            return hashlib.sha256(folder.read(record.name, LARGEST_RECORD)).hexdigest()
    except OSError as error:
        raise AudioError(f"cannot read {record} ({error.strerror or error})") from error


def holds(path: Path, text: bytes) -> bool:
    """Return whether a file is a page of ours that has a text, such as a mark, at its beginning."""
    try:
        with Folder(path.parent) as folder:
            return beside.is_ours(folder, path.name, MARK.encode()) and beside.is_ours(folder, path.name, text)
    except OSError:
        return False


def refusal(sample_rate: int, channels: int) -> str:
    """Say why no browser plays a song; the text is empty if they can.

    Args:
        sample_rate: Hz.
        channels: number of channels.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        return f"browsers play {LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz, not {sample_rate:,} Hz; leave out --page"
    if channels > MOST_CHANNELS:
        return f"browsers play at most {MOST_CHANNELS} channels, not {channels}; leave out --page"
    return ""


def expected_size(frames: int, sample_rate: int, channels: int, tracks: int, audio: PageAudio, bits: int = 24) -> int:
    """Return about how many bytes a page takes.

    Args:
        frames: length of the tracks, in samples per channel.
        sample_rate: Hz.
        channels: number of channels of each track.
        tracks: number of tracks.
        audio: codec of the sound.
        bits: bits of a sample of their files, 16 or 24; Opus has none.
    """
    if audio == PageAudio.opus:
        cut = Cut.of(audio, sample_rate)
        each = frames / sample_rate * OPUS_BITRATE / 8 * channels * (1 + 2 * cut.margin / cut.chunk)
    else:
        each = frames * channels * bits / 8 * PACKED[bits]
    peaks = 4 * frames / BIN
    return sum(map(len, _frame())) + round(tracks * (each + peaks) * 4 / 3)


def _blocks(decoding: Decoding, frames: int, peaks: Peaks) -> Iterator[Block]:
    """Yield a track's blocks (c, t), and collect its peaks.

    Args:
        decoding: decodes the track.
        frames: length of the piece. A song that has another rate than its stems may miss a sample, or have one more.
        peaks: collects the peaks.

    Raises:
        AudioError: the file is not the one that the record names any more.
    """
    track, done = decoding.track, 0
    for block in decoding:
        part = block[:, : frames - done] if decoding.is_resampled else block
        done += block.shape[1]
        peaks.add(part)
        yield part
    missing = frames - done
    if abs(missing) > (1 if decoding.is_resampled else 0):
        raise AudioError(f"{track.path} has changed since its record was written; split the song again with --force")
    if missing > 0:
        peaks.add(rest := np.zeros((track.channels, missing), np.float32))
        yield rest


def _held(name: str, content: bytes, gain: float = 1.0) -> bytes:
    """Return an element that holds bytes, which the browser does not run."""
    attribute = f' data-gain="{gain:.0f}"' if gain != 1 else ""
    return f'<script type="text/plain" id="{name}"{attribute}>'.encode() + base64.b64encode(content) + b"</script>\n"


def _track(index: int, piece: Piece, cut: Cut) -> Iterator[bytes]:
    """Yield the elements that hold a track: its chunks, then its peaks."""
    track, peaks = piece.tracks[index], Peaks()
    with Decoding(track, piece.sample_rate) as decoding:
        blocks = _blocks(decoding, piece.frames, peaks)
        cut_out = chunks(blocks, track.channels, piece.frames, cut)
        for number, parts in enumerate(files(cut_out, cut.audio)):
            for part, (content, gain) in enumerate(parts):
                yield _held(f"audio-{index}-{number}-{part}", content, gain)
    yield _held(f"peaks-{index}", peaks.content())


def in_script(data: Any) -> str:
    """Return data as JSON that is safe in a page: no text in it can end the element, or begin another."""
    text = json.dumps(data, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _source(content: str) -> str:
    """Return a script's or a style's source as the policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@cache
def _frame() -> tuple[str, str]:
    """Return the page's text before and after what it plays, with its script, style and policy in it."""
    script, style = ("\n".join(map(pages.text, names)) for names in (pages.SCRIPTS, pages.STYLES))
    policy = POLICY.format(script=_source(script), style=_source(style))
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    here = "<!-- here -->"
    whole = pages.index(f"{meta}\n<style>{style}</style>", f"<script>{script}</script>", here)
    begin, _, end = whole.partition(f"{here}\n")
    return begin, end


def page(piece: Piece, audio: PageAudio) -> Iterator[bytes]:
    """Yield a page, piece by piece; the same files always give the same bytes.

    Args:
        piece: what the page plays.
        audio: codec of the sound.

    Raises:
        AudioError: a track cannot be read, or is not as its record says.
    """
    cut = Cut.of(audio, piece.sample_rate)
    begin, end = _frame()
    first, _, rest = begin.partition("\n")
    data = in_script({**as_data(piece), "audio": cut.as_data()})
    element = f'<script type="application/json" id="piece">{data}</script>\n'
    yield f"{first}\n".encode() + mark(piece.digest, audio) + f"\n{rest}{element}".encode()
    for index in range(len(piece.tracks)):
        yield from _track(index, piece, cut)
    yield end.encode()


def write(piece: Piece, audio: PageAudio, file: IO[bytes]) -> None:
    """Write a page to a file; see `page`."""
    for part in page(piece, audio):
        file.write(part)


def save(piece: Piece, audio: PageAudio, path: Path, force: bool = False) -> None:
    """Write a page whole or not at all, and only over a page of ours.

    Args:
        piece: what the page plays.
        audio: codec of the sound.
        path: file to write, in a folder that exists.
        force: whether any regular file may be replaced.

    Raises:
        AudioError: the page cannot be written, or a track cannot be read.
    """
    with beside.writing(path, MARK.encode(), force) as file:
        write(piece, audio, file)
