"""A server on loopback that speaks the Hugging Face Hub's protocol, with faults that tests choose."""

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

COMMIT = "c0ffee0000000000000000000000000000000001"


@dataclass
class Fault:
    """Faults in how a file is served.

    Args:
        drop_after: bytes of an answer after which the connection is cut; None for never.
        drops: number of times that the connection is cut; -1 for always.
        busy: number of requests that are answered with 503 first.
        retry_after: value of the Retry-After header while it is busy.
        refusal: status and the hub's error code for every request.
        ignores_range: whether the whole file is sent even if a part was requested.
        no_size: whether the file's size is left out.
        no_head: whether HEAD requests are refused.
        encoding: Content-Encoding of answers with content.
        kind: Content-Type of the answers, such as `text/html`.
        hold_after: bytes after which the server waits until `go_on` is set.
        headers: additional or other headers of answers to GET.
        to_head: the same for HEAD.
        location: target of a redirect.
        endless: whether the content never ends.
        dribbles: part of the answer that is sent byte by byte: "headers", "body" or the lengths of its "chunks".
    """

    drop_after: int | None = None
    drops: int = 1
    busy: int = 0
    retry_after: str = ""
    refusal: tuple[int, str] | None = None
    ignores_range: bool = False
    no_size: bool = False
    no_head: bool = False
    encoding: str = ""
    kind: str = ""
    hold_after: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    to_head: dict[str, str] = field(default_factory=dict)
    location: str = ""
    endless: bool = False
    dribbles: str = ""


DRIBBLE_SECONDS = 0.02
"""Seconds between two bytes of a server that dribbles."""


@dataclass
class Request:
    """A request, and how many bytes of the body were sent."""

    server: str
    method: str
    path: str
    headers: dict[str, str]
    sent: int = 0


@dataclass
class Served:
    """A file on the server; `content` may change at any time."""

    content: bytes
    fault: Fault = field(default_factory=Fault)
    lfs: bool = True
    etag: str = ""
    xet: str = ""

    @property
    def tag(self) -> str:
        """ETag of the file, by the hub's rules."""
        if self.etag:
            return self.etag
        if self.lfs:
            return hashlib.sha256(self.content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


class Hub:
    """The hub and, on another port, the host to which it redirects for large files; both serve web files too."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[Request] = []
        self.holding = threading.Event()
        self.go_on = threading.Event()
        self.servers = [self._server("hub"), self._server("cdn")]
        self.url, self.cdn = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)

    def _server(self, name: str) -> ThreadingHTTPServer:
        hub = self

        class Bound(Handler):
            owner, server_name = hub, name

        server = Server(("127.0.0.1", 0), Bound)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    def put(self, name: str, content: bytes, **more: Any) -> Served:
        """Publish a file as OWNER/REPO/FILE on the hub or /PATH on the web."""
        self.files[name] = Served(content, **more)
        return self.files[name]

    def asked(self, method: str, below: str = "/") -> list[Request]:
        """Return the requests with a method, in order."""
        return [request for request in self.requests if request.method == method and request.path.startswith(below)]

    def stop(self) -> None:
        """Shut the servers down."""
        self.go_on.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


class Handler(BaseHTTPRequestHandler):
    owner: Hub
    server_name: str
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise each answer waits for 40 ms

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(self.path.partition("?")[0])
        if path.startswith("/api/"):
            # The hub's library also makes requests that are not for files.
            return self._refuse(404, "")
        self.request_ = Request(self.server_name, self.command, path, {k.lower(): v for k, v in self.headers.items()})
        self.owner.requests.append(self.request_)
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(match[1], match[2], match[3])
        file = self.owner.files.get(path.removeprefix("/cdn/") if path.startswith("/cdn/") else path)
        if file is None:
            return self._refuse(404, "")
        if not self._faulty(file.fault):
            self._send(file, {"ETag": f'"{file.tag}"'})
        return None

    def _refuse(self, status: int, code: str, retry_after: str = "", endless: bool = False) -> None:
        body = json.dumps({"error": "no"}).encode()
        self.send_response(status)
        if not endless:
            self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("X-Error-Code", code)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        if self.command != "HEAD" and endless:
            self._send_without_end(b"%s")
        elif self.command != "HEAD":
            self.wfile.write(body)

    def _faulty(self, fault: Fault) -> bool:
        """Answer with a fault; return whether the request is answered by it."""
        if fault.busy > 0:
            fault.busy -= 1
            self._refuse(503, "", fault.retry_after)
        elif fault.refusal:
            self._refuse(*fault.refusal, endless=fault.endless)
        elif fault.no_head and self.command == "HEAD":
            self._refuse(405, "")
        elif fault.location:
            self._send_elsewhere(fault)
        elif fault.dribbles == "headers":
            self._dribble(b"HTTP/1.1 200 OK\r\nX-Slow: " + 100_000 * b"." + b"\r\n\r\n")
        else:
            return False
        return True

    def _send_elsewhere(self, fault: Fault) -> None:
        self.send_response(302)
        self.send_header("Location", fault.location)
        self.send_header("Connection", "close")
        if not fault.endless:
            self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = True
        if fault.endless and self.command == "GET":
            self._send_without_end(b"%s")

    def _dribble(self, data: bytes) -> None:
        """Send data byte by byte, until the client disconnects."""
        self.close_connection = True
        for place in range(len(data)):
            if self.owner.go_on.wait(DRIBBLE_SECONDS):
                return
            self.wfile.write(data[place : place + 1])
            self.request_.sent += 1

    def _send_without_end(self, form: bytes) -> None:
        """Send zeros until the client disconnects."""
        self.close_connection = True
        block = form % bytes(16_384)
        while not self.owner.go_on.is_set():
            self.wfile.write(block)
            self.request_.sent += len(block)

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        files = self.owner.files
        if not any(key.startswith(f"{repo}/") for key in files):
            return self._refuse(401, "RepoNotFound")
        if revision not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound")
        file = files.get(f"{repo}/{name}")
        if file is None:
            return self._refuse(404, "EntryNotFound")
        if file.lfs and self.command == "GET":
            # The faults are those of the host that it redirects to.
            return self._send_on(file, f"{repo}/{name}")
        if self._faulty(file.fault):
            return None
        if file.lfs:
            return self._send_on(file, f"{repo}/{name}")
        return self._send(file, {"ETag": f'"{file.tag}"', "X-Repo-Commit": COMMIT})

    def _send_on(self, file: Served, key: str) -> None:
        self.send_response(302)
        self.send_header("Location", f"{self.owner.cdn}/cdn/{key}?signed=yes")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Etag", f'"{file.tag}"')
        if file.xet:
            self.send_header("X-Xet-Hash", file.xet)
            self.send_header("X-Xet-Refresh-Route", f"{self.owner.url}/api/xet")
        if not file.fault.no_size:
            self.send_header("X-Linked-Size", str(len(file.content)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, file: Served, headers: dict[str, str]) -> None:
        fault, content = file.fault, file.content
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        whole = not asked or fault.ignores_range or self.headers.get("If-Range", f'"{file.tag}"') != f'"{file.tag}"'
        start = 0 if whole else int(asked[1])  # type: ignore[index]
        if start >= len(content) and not whole:
            headers["Content-Range"] = f"bytes */{len(content)}"
            body, status = b"", 416
        else:
            body, status = content[start:], 200 if whole else 206
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if fault.no_size and status == 200:
            self.close_connection = True
            headers["Connection"] = "close"
        else:
            headers["Content-Length"] = str(len(body))
        if fault.encoding and self.command == "GET":
            headers["Content-Encoding"] = fault.encoding
        if fault.kind:
            headers["Content-Type"] = fault.kind
        headers |= fault.headers if self.command == "GET" else fault.to_head
        self.close_connection |= "Content-Length" in fault.headers
        if fault.dribbles == "chunks" or "Transfer-Encoding" in headers:
            headers["Transfer-Encoding"] = "chunked"
            headers.pop("Content-Length", None)
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.endless:
            self._send_without_end(b"4000\r\n%s\r\n" if "Transfer-Encoding" in headers else b"%s")
        elif fault.dribbles == "body":
            self._dribble(body)
        elif fault.dribbles == "chunks":
            self._dribble(b"1;" + 100_000 * b".")
        else:
            self._send_body(body, fault)

    def _send_body(self, body: bytes, fault: Fault) -> None:
        stop = len(body)
        if fault.drop_after is not None and fault.drops:
            stop = min(stop, fault.drop_after)
            fault.drops -= 1
        for start in range(0, stop, 16_384):
            if fault.hold_after is not None and start >= fault.hold_after:
                fault.hold_after = None
                self.owner.holding.set()
                self.owner.go_on.wait(60)
            block = body[start : min(start + 16_384, stop)]
            self.wfile.write(block)
            self.request_.sent += len(block)
        if stop < len(body):
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def running() -> Iterator[Hub]:
    """A hub, for as long as it is needed."""
    hub = Hub()
    try:
        yield hub
    finally:
        hub.stop()
