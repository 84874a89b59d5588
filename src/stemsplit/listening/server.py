"""Serves the page to this machine's browser, and to nobody else: every request is checked before it is answered."""

import hmac
import secrets
import socket
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from stemsplit.errors import AudioError
from stemsplit.listening.answers import Answer, RefusedError, as_json, not_found
from stemsplit.listening.connections import HEAD_SECONDS, HEADERS, Connections, Limited
from stemsplit.terminal import console

ADDRESS = "127.0.0.1"
"""The server is reached from this machine only."""

SEND_SECONDS = 30.0
"""Time in seconds in which the browser must take a part of an answer, half a megabyte at most."""

DOOR_SECONDS = 120.0
"""Time in seconds for a browser to start, and to ask for the page."""

MOST_BODY = 16_384
"""Largest size of a vote, in bytes."""


class Answering(Protocol):
    """Gives a server its answers, in many threads at once; see `answers.Answers`."""

    def get(self, path: str, query: str, wanted: str | None) -> Answer:
        """Answer a GET or HEAD request."""

    def is_posted_to(self, path: str) -> bool:
        """Return whether a path takes POST requests."""

    def post(self, path: str, body: bytes) -> Answer:
        """Answer a POST request."""

    def close(self) -> None:
        """Close all files."""


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
        self.close_connection = True
        with suppress(TimeoutError, ConnectionError, ValueError):
            self._handle()
            self._let_go()

    def _handle(self) -> None:
        self.command, self.request_version, self.requestline = "GET", "HTTP/1.1", ""
        self.raw_requestline = self.rfile.readline()
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
            raise RefusedError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "use HTTP/1.1")
        self._check_host()
        self._check_sender()
        if self.command not in ("GET", "HEAD", "POST"):
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "only GET, HEAD and POST", {"Allow": "GET, HEAD, POST"})
        if self.command == "GET" and self.server.is_door(self.path):
            self._check_is_page_or_ours("")
            return Answer("text/plain", 0, (), HTTPStatus.SEE_OTHER, {"Location": f"/{self.server.token}/"})
        address, _, query = self.path.partition("?")
        _, token, path = (*address.split("/", 2), "", "")[:3]
        good = hmac.compare_digest(token.encode(errors="replace"), self.server.token.encode())
        if not good or not address.startswith("/") or address.count("/") < 2:
            raise not_found()
        self._check_is_page_or_ours(path)
        if self.command != "POST":
            self.server.arrived(self.connection)
            return self.server.answers.get(path, query, self.headers.get("Range"))
        if not self.server.answers.is_posted_to(path):
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", {"Allow": "GET, HEAD"})
        body = self._body()
        self.server.arrived(self.connection)
        return self.server.answers.post(path, body)

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
            raise RefusedError(HTTPStatus.FORBIDDEN, "requests from other pages are refused")

    def _check_is_page_or_ours(self, path: str) -> None:
        """Refuse what another page embeds or asks for; it may only link to the page itself, as a mail does."""
        site = self.headers.get("Sec-Fetch-Site", "none").strip().lower()
        followed = (self.headers.get("Sec-Fetch-Mode"), self.headers.get("Sec-Fetch-Dest")) == ("navigate", "document")
        is_page = path == "" and self.command == "GET" and followed
        if site not in ("same-origin", "none") and not is_page:
            raise RefusedError(HTTPStatus.FORBIDDEN, "requests from other pages are refused")

    def _body(self) -> bytes:
        """Return what was posted."""
        if self.headers.get_content_type() != "application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a vote is JSON")
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or len(lengths) != 1:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "the vote needs a Content-Length")
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
        """Send an answer, or the error in its place if the answer cannot be read and nothing has been sent."""
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
        """Read whatever else was sent: if it were left unread, closing the connection would lose the answer."""
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


class Server(Connections):
    """Serves pages until it is closed.

    Args:
        answers: what answers requests.
        port: port to listen at; 0 for a free one.

    Attributes:
        token: first part of every path, which nobody can guess.
        address: address of the page.
        door: address that leads to the page for a short time. A browser is started with it: other users of this machine
            see the commands that run, for as long as they do.

    Raises:
        OSError: the port is taken, or may not be used.
    """

    def __init__(self, answers: Answering, port: int = 0) -> None:
        self.answers, self.token = answers, secrets.token_urlsafe(24)
        super().__init__((ADDRESS, port), Handler)
        port = self.server_address[1]
        self.hosts = [f"{ADDRESS}:{port}", f"localhost:{port}", *([ADDRESS, "localhost"] if port == 80 else [])]
        self.origins = [f"http://{host}" for host in self.hosts]
        self.address = f"http://{ADDRESS}:{port}/{self.token}/"
        self._key, self._until = secrets.token_urlsafe(24), time.monotonic() + DOOR_SECONDS
        self.door = f"http://{ADDRESS}:{port}/{self._key}/"

    def is_door(self, path: str) -> bool:
        """Return whether a path is that of the door, while it is open."""
        is_key = hmac.compare_digest(path.encode(errors="replace"), f"/{self._key}/".encode())
        return is_key and time.monotonic() < self._until

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
