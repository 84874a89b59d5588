"""Keeps connections few and short, so that neither slow clients nor many of them block the server."""

import json
import os
import socket
import threading
import time
from contextlib import suppress
from http.server import ThreadingHTTPServer
from io import BufferedIOBase
from socketserver import TCPServer
from typing import Any

MOST_CONNECTIONS = 64
"""Connections that are served at once."""

HEAD_SECONDS = 10.0
"""Longest time in seconds that a request may take to arrive."""

GRACE_SECONDS = 0.2
"""Time in seconds after which a request that has not arrived makes room, if there are too many."""

WAIT_SECONDS = 3.0
"""Longest time in seconds that a connection waits for room."""

MOST_HEAD = 16_384
"""Largest size of a request's head, in bytes."""

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
"""Headers of every answer. A connection has one request: no other can hide behind it."""


class Limited:
    """Reads a request from a connection, but no more of its head than is allowed.

    Args:
        file: the connection's file.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self.file, self.left, self.is_exceeded = file, MOST_HEAD, False

    def readline(self, limit: int = -1) -> bytes:
        """Return the next line; nothing if the head is too large."""
        line = self.file.readline(self.left + 1 if limit < 0 else min(self.left + 1, limit))
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


class Connections(ThreadingHTTPServer):
    """Serves a limited number of connections, each in a thread of its own.

    Attributes:
        waiting: connections whose request has not arrived -> time at which they were made.
        served: connections that are open.
        change: held while these change.
        is_stopping: whether no more connections are served.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"
    request_queue_size = 1_024

    def __init__(self, *arguments: Any) -> None:
        self.is_stopping = False
        self.waiting: dict[socket.socket, float] = {}
        self.served: set[socket.socket] = set()
        self.change = threading.Condition()
        super().__init__(*arguments)

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
        """End connections that have waited since a time, the oldest first and at most `most`; return their number."""
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
