"""Answers what a page asks for: the page itself, lists of songs, samples, peaks and votes."""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import PurePath
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

from stemsplit.errors import StemsplitError
from stemsplit.listening import pages, votes
from stemsplit.listening.blocks import Blocks, Sound, sounds
from stemsplit.listening.mixtures import Mixtures
from stemsplit.listening.peaks import Waveforms
from stemsplit.listening.piece import Piece, as_data
from stemsplit.listening.pieces import opened
from stemsplit.listening.shelf import Kind, Shelf
from stemsplit.listening.turns import Turns

MOST_LISTED = 500
"""Most songs in one answer."""

OPEN_PIECES = 32
"""Pieces that are remembered, so that their records are not read for every block."""

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
"""Matches a range of bytes; several at once are refused."""


class RefusedError(Exception):
    """A request is refused.

    Args:
        status: status of the answer.
        message: why, on one line.
        headers: more headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


@dataclass(frozen=True)
class Answer:
    """An answer to a request.

    Args:
        kind: media type.
        length: size in bytes.
        body: parts of the content; taken only if it is sent.
        status: status.
        headers: more headers.
    """

    kind: str
    length: int
    body: Iterable[bytes]
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


BINARY, JSON = "application/octet-stream", "application/json"


def whole(kind: str, content: bytes) -> Answer:
    """Return an answer with this content."""
    return Answer(kind, len(content), [content])


def as_json(data: Any, status: int = HTTPStatus.OK) -> Answer:
    """Return an answer in JSON."""
    content = json.dumps(data, allow_nan=False).encode()
    return Answer(JSON, len(content), [content], status)


def not_found() -> RefusedError:
    """Return the refusal of everything that is not there, whatever the reason."""
    return RefusedError(HTTPStatus.NOT_FOUND, "there is nothing at this address")


def span(text: str | None, size: int) -> tuple[int, int] | None:
    """Return the first and the last byte that a Range header asks for; None if there is no header.

    Raises:
        RefusedError: it asks for several ranges, for none of the bytes, or for nothing that makes sense.
    """
    if text is None:
        return None
    match = RANGE.fullmatch(text.strip())
    first, last = match.groups() if match else ("", "")
    if first:
        begin, end = int(first), min(int(last) if last else size - 1, size - 1)
    elif last:
        begin, end = max(size - int(last), 0), size - 1
    else:
        begin, end = 1, 0
    if not begin <= end:
        headers = {"Content-Range": f"bytes */{size}"}
        raise RefusedError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"there are {size} bytes", headers)
    return begin, end


def version(piece: Piece, found: Sequence[Sound]) -> str:
    """Return the version of a piece: while it is the same, the numbers of the tracks mean the same files."""
    tracks = [(sound.track.name, sound.track.role.value, sound.state) for sound in found]
    return hashlib.sha256(repr((piece.digest, tracks)).encode(errors="surrogateescape")).hexdigest()[:16]


def check_version(known: object, piece: Piece, found: Sequence[Sound]) -> None:
    """Raise RefusedError if a page knows another version of a piece."""
    if known != version(piece, found):
        raise RefusedError(HTTPStatus.CONFLICT, f"{shown(piece.title)} has changed; reload the page")


class Answers:
    """Answers requests, for many threads at once.

    Args:
        shelf: all that can be listened to.
        mixtures: finds the songs.
    """

    def __init__(self, shelf: Shelf, mixtures: Mixtures) -> None:
        self.shelf, self.mixtures = shelf, mixtures
        self.blocks, self.waveforms = Blocks(), Waveforms()
        self._opened: OrderedDict[int, tuple[Piece, tuple[Sound, ...]]] = OrderedDict()
        self._lock, self._turns = Lock(), Turns()
        self.routes: list[tuple[re.Pattern[str], Callable[..., Answer]]] = [
            (re.compile(r""), self.page),
            (re.compile(r"app/([a-z_]+\.(?:js|css))"), self.part_of_page),
            (re.compile(r"songs\.json"), self.songs),
            (re.compile(r"songs/(\d{1,9})\.json", re.ASCII), self.song),
            (re.compile(r"songs/(\d{1,9})/(\d{1,4})\.f32", re.ASCII), self.samples),
            (re.compile(r"songs/(\d{1,9})/(\d{1,4})\.peaks", re.ASCII), self.peaks),
            (re.compile(r"songs/(\d{1,9})/votes", re.ASCII), self.votes),
        ]

    def get(self, path: str, query: str, wanted: str | None) -> Answer:
        """Answer a GET or HEAD request.

        Args:
            path: path of the address behind the token, as it was sent.
            query: query of the address.
            wanted: Range header; None if there is none.

        Raises:
            RefusedError: there is nothing at the address, or it cannot be read.
        """
        for pattern, answer in self.routes:
            if match := pattern.fullmatch(path):
                try:
                    return answer(*match.groups(), query=query, wanted=wanted)
                except StemsplitError as error:
                    raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error
        raise not_found()

    def is_posted_to(self, path: str) -> bool:
        """Return whether a path takes POST requests."""
        return re.fullmatch(r"songs/\d{1,9}/votes", path, re.ASCII) is not None

    def post(self, path: str, body: bytes) -> Answer:
        """Answer a POST request.

        Args:
            path: path of the address behind the token, which `is_posted_to`.
            body: what was sent.

        Raises:
            RefusedError: it is not a vote, or cannot be saved.
        """
        piece, found = self._comparison(path.split("/")[1])
        try:
            vote = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the vote is not JSON") from error
        if isinstance(vote, dict) and "version" in vote:
            check_version(vote.pop("version"), piece, found)
        try:
            return as_json({"saved": votes.save(piece, vote)})
        except votes.VoteError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error
        except StemsplitError as error:
            raise RefusedError(HTTPStatus.CONFLICT, str(error)) from error

    def page(self, **_: object) -> Answer:
        """Answer with the page."""
        return whole("text/html; charset=utf-8", pages.served().encode())

    def part_of_page(self, name: str, **_: object) -> Answer:
        """Answer with a script or a style sheet."""
        if name not in (*pages.SCRIPTS, *pages.STYLES):
            raise not_found()
        return whole(pages.KINDS[PurePath(name).suffix], pages.text(name).encode())

    def songs(self, query: str, **_: object) -> Answer:
        """Answer with a part of the list of songs that match a query."""
        try:
            fields = parse_qs(query, keep_blank_values=True, max_num_fields=10, encoding="utf-8", errors="replace")
            first, count = (int(fields.get(name, [text])[0]) for name, text in (("from", "0"), ("count", "50")))
        except ValueError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "from and count are not numbers") from error
        if not 0 <= first < 10**9 or not 0 <= count <= MOST_LISTED:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"count must be from 0 to {MOST_LISTED}")
        total, numbers = self.shelf.page(fields.get("query", [""])[0], first, count)
        listed = []
        for number in numbers:
            item = self.shelf.items[number]
            listed.append({"id": number, "title": shown(item.title), "kind": item.kind.value})
        return as_json({"total": total, "songs": listed})

    def song(self, number: str, **_: object) -> Answer:
        """Answer with what the page needs to know of a piece, as its record has it now."""
        identity = int(number)
        piece, found = self._open(number, again=True)
        data = {**as_data(piece, identity), "version": version(piece, found)}
        data["title"] = shown(piece.title)
        data["previous"] = identity - 1 if identity else None
        data["next"] = identity + 1 if self.shelf.item(identity + 1) else None
        return as_json(plain(data))

    def samples(self, number: str, index: str, query: str, wanted: str | None) -> Answer:
        """Answer with samples of a track."""
        sound = self._tracks(number, index, query)[1][int(index)]
        asked = span(wanted, sound.size)
        first, last = asked or (0, sound.size - 1)
        body = self.blocks.part(sound, first, last)
        headers = {"Accept-Ranges": "bytes"}
        if asked is None:
            return Answer(BINARY, sound.size, body, headers=headers)
        headers["Content-Range"] = f"bytes {first}-{last}/{sound.size}"
        return Answer(BINARY, last + 1 - first, body, HTTPStatus.PARTIAL_CONTENT, headers)

    def peaks(self, number: str, index: str, query: str, **_: object) -> Answer:
        """Answer with the peaks of a track."""
        piece, found = self._tracks(number, index, query)
        return whole(BINARY, self.waveforms.peaks(piece, found, int(index)))

    def votes(self, number: str, **_: object) -> Answer:
        """Answer with the votes on a comparison so far."""
        piece = self._comparison(number)[0]
        return as_json({"votes": plain(votes.of_piece(piece))})

    def _tracks(self, number: str, index: str, query: str) -> tuple[Piece, tuple[Sound, ...]]:
        """Open a piece that has a track of that number, in the version that the page knows."""
        piece, found = self._open(number)
        if query:
            check_version(query.removeprefix("version="), piece, found)
        if int(index) >= len(found):
            raise not_found()
        return piece, found

    def _comparison(self, number: str) -> tuple[Piece, tuple[Sound, ...]]:
        """Open a comparison. Nothing else has votes."""
        item = self.shelf.item(int(number))
        if item is None or item.kind != Kind.comparison:
            raise not_found()
        return self._open(number)

    def _open(self, number: str, again: bool = False) -> tuple[Piece, tuple[Sound, ...]]:
        """Return a piece and its tracks as they were when a page asked for the piece.

        Args:
            number: number of the item.
            again: whether to read the record again.

        Raises:
            RefusedError: there is no such item.
            StemsplitError: it cannot be read.
        """
        identity = int(number)
        item = self.shelf.item(identity)
        if item is None:
            raise not_found()
        with self._turns.on(identity):
            with self._lock:
                if identity in self._opened and not again:
                    self._opened.move_to_end(identity)
                    return self._opened[identity]
            piece = opened(item, self.mixtures)
            found = piece, sounds(piece)
            with self._lock:
                self._opened[identity] = found
                self._opened.move_to_end(identity)
                while len(self._opened) > OPEN_PIECES:
                    self._opened.popitem(last=False)
            return found

    def close(self) -> None:
        """Close all files."""
        self.blocks.close()


def shown(text: str) -> str:
    """Return a text that JSON can hold: names of files may have bytes that are not text."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text


def plain(data: Any) -> Any:
    """Return JSON data whose texts can be sent."""
    if isinstance(data, str):
        return shown(data)
    if isinstance(data, Mapping):
        return {shown(key): plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [plain(value) for value in data]
    return data
