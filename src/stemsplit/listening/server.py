"""Serves the page to this machine's browser, and to nobody else: every request is checked before it is answered."""

import hmac
import json
import secrets
import socket
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from socketserver import TCPServer
from typing import Any

from stemsplit.errors import AudioError
from stemsplit.listening.answers import Answer, Answers, RefusedError, as_json, not_found
from stemsplit.terminal import console

ADDRESS = "127.0.0.1"
"""The server is reached from this machine only."""

MOST_CONNECTIONS = 64
"""Connections that are served at once."""

HEAD_SECONDS = 10.0
"""Longest time in seconds that a request may take to arrive."""

GRACE_SECONDS = 1.0
"""Time in seconds after which a request that has not arrived makes room, if there are too many."""

WAIT_SECONDS = 3.0
"""Longest time in seconds that a connection waits for room."""

SEND_SECONDS = 30.0
"""Longest time in seconds in which a part of an answer, half a megabyte at most, must be taken."""

MOST_HEAD = 16_384
"""Largest size of a request's head, in bytes."""

MOST_BODY = 16_384
"""Largest size of a vote, in bytes."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data: blob:",
        "media-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Connection": "close",
}
"""Headers of every answer. One request a connection: nothing can hide behind another."""


class Limited:
    """Reads a request from a connection, but no more of its head than is allowed.

    Args:
        file: the connection's file.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self.file, self.left, self.is_exceeded = file, MOST_HEAD, False

    def readline(self, limit: int = -1) -> bytes:
        """Return the next line; nothing if the head is too large."""
        line = self.file.readline(min(self.left + 1, limit if limit >= 0 else MOST_HEAD))
        self.left -= len(line)
        if self.left < 0:
            self.is_exceeded, self.left = True, 0
            return b""
        return line

    def read(self, size: int) -> bytes:
        """Return bytes of the body."""
        return self.file.read(size)

    def close(self) -> None:
        """Close the connection's file."""
        self.file.close()


class Handler(BaseHTTPRequestHandler):
    """Handles one connection, and one request on it."""

    server: "Server"
    protocol_version = "HTTP/1.1"
    timeout = HEAD_SECONDS

    def setup(self) -> None:
        """Limit what is read."""
        super().setup()
        self.rfile: Any = Limited(self.rfile)

    def handle(self) -> None:
        """Handle the request. Whatever becomes of the connection, the server goes on."""
        self.has_answered, self.close_connection = False, True
        with suppress(TimeoutError, ConnectionError, ValueError):
            self._handle()
            self._let_go()

    def _handle(self) -> None:
        self.command, self.request_version, self.requestline = "GET", "HTTP/1.1", ""
        self.raw_requestline = self.rfile.readline(MOST_HEAD)
        if self.rfile.is_exceeded or not self.raw_requestline.endswith(b"\n"):
            if self.rfile.is_exceeded:
                self._refuse(RefusedError(HTTPStatus.REQUEST_URI_TOO_LONG, "the address is too long"))
            return
        if not self.parse_request():
            return
        try:
            answer = self._answer()
        except RefusedError as error:
            self._refuse(error)
        except (OSError, ValueError, AudioError) as error:
            self._refuse(RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)))
        except Exception as error:  # a mistake of ours must not end the server
            console.warning(f"a request failed: {type(error).__name__}: {error}")
            self._refuse(RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "the server made a mistake"))
        else:
            self._send(answer)

    def _answer(self) -> Answer:
        if self.rfile.is_exceeded:
            raise RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are too large")
        if self.request_version not in ("HTTP/1.1", "HTTP/1.0"):
            self.request_version = "HTTP/1.1"
            raise RefusedError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "write HTTP/1.1")
        self._check_host()
        self._check_sender()
        if self.command not in ("GET", "HEAD", "POST"):
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "only GET, HEAD and POST", {"Allow": "GET, HEAD, POST"})
        address, _, query = self.path.partition("?")
        _, token, path = (*address.split("/", 2), "", "")[:3]
        good = hmac.compare_digest(token.encode(errors="replace"), self.server.token.encode())
        if not good or not address.startswith("/") or address.count("/") < 2:
            raise not_found()
        self._check_is_page_or_ours(path)
        if self.command != "POST":
            answer = self.server.answers.get(path, query, self.headers.get("Range"))
        elif self.server.answers.is_posted_to(path):
            answer = self.server.answers.post(path, self._body())
        else:
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", {"Allow": "GET, HEAD"})
        self.server.arrived(self.connection)
        return answer

    def _check_host(self) -> None:
        """Refuse other names of this machine: a stranger's page may have one (DNS rebinding)."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].strip().lower() not in self.server.hosts:
            raise RefusedError(
                HTTPStatus.FORBIDDEN, f"open the address that stemsplit printed, at {self.server.hosts[0]}"
            )

    def _check_sender(self) -> None:
        """Refuse what another page asks for."""
        origins = self.headers.get_all("Origin", [])
        if origins and (len(origins) > 1 or origins[0].strip().lower() not in self.server.origins):
            raise RefusedError(HTTPStatus.FORBIDDEN, "another page may not ask")

    def _check_is_page_or_ours(self, path: str) -> None:
        """Refuse what another page embeds or asks for; it may only link to the page itself, as a mail does."""
        site = self.headers.get("Sec-Fetch-Site", "none").strip().lower()
        followed = (self.headers.get("Sec-Fetch-Mode"), self.headers.get("Sec-Fetch-Dest")) == ("navigate", "document")
        is_page = path == "" and self.command == "GET" and followed
        if site not in ("same-origin", "none") and not is_page:
            raise RefusedError(HTTPStatus.FORBIDDEN, "another page may not ask")

    def _body(self) -> bytes:
        """Return what was posted."""
        if self.headers.get_content_type() != "application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a vote is JSON")
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or len(lengths) != 1:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "say the length of the vote")
        text = lengths[0].strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the length is not a number")
        if int(text) > MOST_BODY:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a vote has at most {MOST_BODY} bytes")
        body: bytes = self.rfile.read(int(text))
        if len(body) < int(text):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the vote is shorter than its length")
        return body

    def _refuse(self, error: RefusedError) -> None:
        answer = as_json({"error": " ".join(error.message.split())}, error.status)
        self._send(Answer(answer.kind, answer.length, answer.body, error.status, error.headers))

    def _send(self, answer: Answer) -> None:
        """Send an answer. What cannot be read is told in its place, as long as nothing has been sent."""
        self.server.arrived(self.connection)
        self.connection.settimeout(SEND_SECONDS)
        body = iter(answer.body) if self.command != "HEAD" else iter(())
        try:
            start = next(body, b"")
        except (AudioError, OSError, ValueError) as error:
            self._refuse(RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)))
            return
        self.send_response_only(answer.status)
        own = {"Content-Type": answer.kind, "Content-Length": str(answer.length)}
        for name, value in {**HEADERS, **own, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(start)
        # A connection that ends before its length tells the page that the rest could not be read.
        with suppress(AudioError):
            for part in body:
                if self.server.is_stopping:
                    return
                self.wfile.write(part)

    def _let_go(self) -> None:
        """Read what was sent beyond what was asked for: a connection closed on it would lose the answer."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(0.5)
        for _ in range(16):
            if not self.connection.recv(65_536):
                return

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse a request that cannot be parsed."""
        self.request_version = "HTTP/1.1"
        self._refuse(RefusedError(code, "this is not a request that the server knows"))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Say nothing: people wait for songs, not for requests."""


class Server(ThreadingHTTPServer):
    """Serves pages until it is closed.

    Args:
        answers: what answers requests.
        port: port to listen at; 0 for a free one.

    Attributes:
        token: first part of every path, which nobody can guess.
        address: address of the page.

    Raises:
        OSError: the port is taken, or may not be used.
    """

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"
    request_queue_size = 128

    def __init__(self, answers: Answers, port: int = 0) -> None:
        self.answers, self.token, self.is_stopping = answers, secrets.token_urlsafe(24), False
        self.waiting: dict[socket.socket, float] = {}
        self.served: set[socket.socket] = set()
        self.change = threading.Condition()
        super().__init__((ADDRESS, port), Handler)
        port = self.server_address[1]
        self.hosts = [f"{ADDRESS}:{port}", f"localhost:{port}", *([ADDRESS, "localhost"] if port == 80 else [])]
        self.origins = [f"http://{host}" for host in self.hosts]
        self.address = f"http://{ADDRESS}:{port}/{self.token}/"

    def server_bind(self) -> None:
        """Bind the port, without asking the network for this machine's name as HTTPServer does."""
        TCPServer.server_bind(self)

    def arrived(self, connection: socket.socket) -> None:
        """Note that a connection's request is complete."""
        with self.change:
            self.waiting.pop(connection, None)

    def service_actions(self) -> None:
        """End connections whose requests take too long to arrive."""
        with self.change:
            self._end_since(time.monotonic() - HEAD_SECONDS)

    def _end_since(self, latest: float, most: int = MOST_CONNECTIONS) -> int:
        """End at most so many connections that wait since a time or longer, the oldest first; return their number."""
        slow = [connection for connection, since in self.waiting.items() if since <= latest][:most]
        for connection in slow:
            del self.waiting[connection]
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and leaves
        return len(slow)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, as soon as there is room."""
        until = time.monotonic() + WAIT_SECONDS
        with self.change:
            while len(self.served) >= MOST_CONNECTIONS and time.monotonic() < until and not self.is_stopping:
                self._end_since(time.monotonic() - GRACE_SECONDS, 1)
                self.change.wait(0.05)
            if len(self.served) >= MOST_CONNECTIONS or self.is_stopping:
                self._turn_away(request)
                return
            self.served.add(request)
            self.waiting[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads
            self.shutdown_request(request)

    def _turn_away(self, request: socket.socket) -> None:
        body = json.dumps({"error": "too many connections; try again"}).encode()
        lines = [f"{name}: {value}" for name, value in HEADERS.items()]
        head = "\r\n".join(["HTTP/1.1 503 Service Unavailable", f"Content-Length: {len(body)}", *lines, "", ""])
        with suppress(OSError):
            request.settimeout(0.1)
            request.sendall(head.encode() + body)
        super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, which makes room for another."""
        super().shutdown_request(request)
        with self.change:
            self.waiting.pop(request, None)
            self.served.discard(request)
            self.change.notify()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that break."""

    def stop(self) -> None:
        """End all connections, and close all files. Nothing is served any more."""
        self.is_stopping = True
        self.server_close()
        with self.change:
            for connection in self.served:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.answers.close()
        until = time.monotonic() + 2
        with self.change:
            while self.served and time.monotonic() < until:
                self.change.wait(0.1)
