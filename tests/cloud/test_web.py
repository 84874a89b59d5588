"""Songs on the web are brought whole, or fail with a line that shows no secret."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import stemsplit as stemsplit
from tests.cli.processes import light as light
from tests.cloud.test_split import FAST, Command, files, song

pytestmark = pytest.mark.usefixtures("light")


class Web(BaseHTTPRequestHandler):
    """Serves one song, in the way that the first step of the address says."""

    protocol_version = "HTTP/1.1"
    content, seen = b"", list[str]()

    def log_message(self, *_: Any) -> None:
        pass

    def send(self, status: int, content: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length != -1:
            self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = length is not None

    def do_GET(self) -> None:
        self.seen.append(self.path)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        whole, tags = self.content, {"ETag": '"v1"'}
        match self.path.split("/")[1]:
            case "ranges" if wanted:
                first, last = int(wanted[1]), min(int(wanted[2]), len(whole) - 1)
                place = f"bytes {first}-{last}/{len(whole)}"
                self.send(206, whole[first : last + 1], Content_Range=place, **tags)
            case "ranges":
                self.send(200, whole, **tags)
            case "plain":
                self.send(200, whole)
            case "short":
                self.send(200, whole[:1_000], len(whole), **tags)
            case "unknown":
                self.send(200, whole, -1)
            case "moved":
                self.send(302, b"", Location="/ranges/x.wav")
            case "circle":
                self.send(302, b"", Location=self.path)
            case "page":
                self.send(200, b"<html>hello</html>", Content_Type="text/html")
            case "signed" if self.path.endswith("?key=SECRET"):
                self.send(200, whole, **tags)
            case "signed":
                self.send(403, b"SECRET is needed")
            case _:
                self.send(404, b"SECRET")


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_songs_on_the_web_are_split_as_files_are(
    web: str, stemsplit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ranges and without, moved, and behind a key that is not shown; the others fail, and say why."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stemsplit.cloud.waiting.FIRST_PAUSE", 0.01)
    Web.content = song(1, 20_000)
    Path("a b.wav").write_bytes(Web.content)
    assert stemsplit("a b.wav", "-o", "file", *FAST).status == 0
    good = [
        f"{web}/{way}"
        for way in ("ranges/a%20b.wav", "plain/a%20b.wav", "moved/a%20b.wav", "signed/a%20b.wav?key=SECRET")
    ]
    for number, address in enumerate(good):
        result = stemsplit(address, "-o", f"out{number}", *FAST)
        assert result.status == 0, result.err
        assert files(Path(f"out{number}")) == files(Path("file"))
        assert "SECRET" not in result.err + result.out
    ways = ("short", "unknown", "circle", "page", "signed", "missing")
    bad = [f"{web}/{way}/{way}.wav" for way in ways]
    result = stemsplit(*bad, "https://127.0.0.1:1/nobody.wav", "-o", "bad", *FAST)
    assert result.status == 1
    lines = result.err.splitlines()
    assert len(lines) == len(bad) + 1
    for line, address in zip(lines, bad, strict=False):
        assert line.startswith(f"error: cannot read {address} (")
    assert "SECRET" not in result.err
    assert not files(Path("bad"))
    Web.seen.clear()
    assert stemsplit(good[0], "-o", "out0", *FAST).status == 0
    assert len(Web.seen) == 1  # it was only asked for its state
