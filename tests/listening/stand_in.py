"""Answers the page's requests inside the browser, in place of a server: songs made of signals, known to the sample."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from stemsplit.listening import pages
from stemsplit.listening.piece import BIN, Piece, Role, Track, as_data

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

ADDRESS = "http://127.0.0.1:9/token/"
RATE = 44_100
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def track(name: str, role: Role, **others: Any) -> Track:
    """Return a track of two channels whose file does not exist."""
    return Track(name, Path(name + ".wav"), role, 2, **others)


def song(
    title: str = "Song", stems: tuple[str, ...] = ("drums", "vocals"), frames: int = 2 * RATE, **others: Any
) -> Piece:
    """Return a song with stems, the song itself first."""
    tracks = [track("song", Role.song)]
    tracks += [track(name, Role.stem, stem=name, peak=0.5, clipped=12, energy_share=0.3) for name in stems]
    kept = {"adds_up": True, **others}
    return Piece(title, "song", RATE, frames, tuple(tracks), Path("stemsplit.json"), "0", **kept)


def comparison(
    models: tuple[str, ...] = ("first-model", "second-model"), stems: tuple[str, ...] = ("drums", "vocals")
) -> Piece:
    """Return a comparison of models, with the song."""
    clips = [
        track(f"{stem} - {model}", Role.candidate, stem=stem, model=model, gain=0.5 * number, peak=0.4)
        for stem in stems
        for number, model in enumerate(models)
    ]
    tracks = (track("mixture", Role.song), *clips)
    return Piece("Compared", "comparison", RATE, RATE, tracks, Path("compare.json"), "0", start=5.0)


def samples(piece: Piece, index: int) -> np.ndarray:
    """Return the samples of a track, (frames, 2): a tone for each stem, and their sum for the song."""
    time = np.arange(piece.frames) / piece.sample_rate
    tones = {
        number: 0.2 * np.sin(2 * np.pi * 220 * number * time)
        for number, track in enumerate(piece.tracks)
        if track.role is not Role.song
    }
    tone = tones[index] if index in tones else sum(tones.values(), np.zeros(piece.frames))
    return np.stack([tone, tone], axis=1).astype("<f4")


def peaks(samples: np.ndarray) -> bytes:
    """Return lowest and highest sample of each bin."""
    bins = -(-len(samples) // BIN)
    padded = np.zeros((bins * BIN, samples.shape[1]), np.float32)
    padded[: len(samples)] = samples
    shaped = padded.reshape(bins, BIN * samples.shape[1])
    pairs = np.stack([shaped.min(axis=1), shaped.max(axis=1)], axis=1)
    return np.round(np.clip(pairs, -1, 1) * 32_767).astype("<i2").tobytes()


class StandIn:
    """Answers for a server that has some pieces.

    Args:
        pieces: the pieces, in the order of their ids.
        sounds: samples (frames, channels) of each track of each piece; signals if not given.
    """

    def __init__(self, *pieces: Piece, sounds: list[list[np.ndarray]] | None = None) -> None:
        self.pieces = pieces
        self.sounds = sounds or [[samples(piece, index) for index in range(len(piece.tracks))] for piece in pieces]
        self.votes: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.is_stopped = False

    def open(self, page: "Page", fragment: str = "") -> None:
        """Open the page and wait until it shows a song."""
        page.route(ADDRESS + "**", self.answer)
        page.goto(ADDRESS + fragment)
        page.wait_for_selector("#main")

    def answer(self, route: "Route") -> None:
        """Answer one request."""
        parts = urlsplit(route.request.url)
        path = parts.path.removeprefix("/token/")
        self.asked.append(path)
        if self.is_stopped:
            route.abort("connectionrefused")
        elif path == "":
            route.fulfill(body=pages.served(), content_type="text/html; charset=utf-8", headers=self._headers())
        elif path.startswith("app/"):
            name = path.removeprefix("app/")
            kind = "text/css" if name.endswith(".css") else "text/javascript"
            route.fulfill(body=pages.text(name), content_type=kind, headers=self._headers())
        elif path == "songs.json":
            self._list(route, parse_qs(parts.query))
        elif found := re.fullmatch(r"songs/(\d+)(?:/(\d+)\.(f32|peaks)|/(votes)|\.json)", path):
            self._song(route, *found.groups())
        else:
            route.fulfill(status=204)

    def _headers(self) -> dict[str, str]:
        return {"Content-Security-Policy": POLICY}

    def _list(self, route: "Route", query: dict[str, list[str]]) -> None:
        words = query.get("query", [""])[0].lower().split()
        found = [
            {"id": number, "title": piece.title, "kind": piece.kind}
            for number, piece in enumerate(self.pieces)
            if all(word in piece.title.lower() for word in words)
        ]
        start, count = int(query.get("from", ["0"])[0]), int(query.get("count", ["50"])[0])
        route.fulfill(json={"total": len(found), "songs": found[start : start + count]})

    def _song(self, route: "Route", identity: str, index: str | None, kind: str | None, votes: str | None) -> None:
        number = int(identity)
        if number >= len(self.pieces):
            route.fulfill(status=404, json={"error": "there is no such song"})
        elif votes and route.request.method == "POST":
            self.votes.append(json.loads(route.request.post_data or ""))
            route.fulfill(json={"saved": "votes.json"})
        elif votes:
            route.fulfill(json={"votes": []})
        elif kind == "peaks":
            route.fulfill(body=peaks(self.sounds[number][int(index or 0)]))
        elif kind == "f32":
            self._samples(route, self.sounds[number][int(index or 0)].tobytes())
        else:
            following = number + 1 if number + 1 < len(self.pieces) else None
            neighbours = {"previous": number - 1 if number else None, "next": following}
            route.fulfill(json={**as_data(self.pieces[number], number), **neighbours})

    def _samples(self, route: "Route", content: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", route.request.headers.get("range", ""))
        assert asked, "the page reads samples by ranges"
        first, last = int(asked[1]), int(asked[2])
        headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        route.fulfill(status=206, body=content[first : last + 1], headers=headers)
