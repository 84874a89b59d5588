"""An S3 server on this machine, and a proxy before it that fails as networks and stores do."""

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

BUCKET = "songs"

STATUSES = {"busy": 503, "denied": 403, "not there": 404, "racing": 409}
"""Kind of a fault -> status of the answer."""

DENIED = b"<Error><Code>AccessDenied</Code><Message>key SECRET</Message></Error>"
"""An answer of a store that repeats what the user would not want to see."""


@dataclass
class Fault:
    """What happens to a request instead of a plain answer.

    Args:
        kind: "busy" (503), "cut" (no answer), "lost" (done, but no answer), "half" (half of the content), "slow"
            (late), "denied" (403), "unconditional" (the conditions of a write are ignored), "not there" (404),
            "racing" (409), "more" and "less" (other bytes than asked for).
        method: method of the requests that it happens to; empty for all.
        path: what their address has in it.
        times: how often it happens.
    """

    kind: str
    method: str = ""
    path: str = ""
    times: int = 1


@dataclass
class Network:
    """What the proxy does, and has seen.

    Args:
        faults: what is to happen to the next requests.
        seen: methods and addresses of all requests.
    """

    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def next(self, method: str, path: str) -> str:
        """Return what happens to a request; empty if it gets a plain answer."""
        with self.guard:
            self.seen.append(f"{method} {path}")
            for fault in self.faults:
                if fault.times and fault.method in ("", method) and fault.path in path:
                    fault.times -= 1
                    return fault.kind
        return ""


class Proxy(BaseHTTPRequestHandler):
    """Passes a request on, or lets it fail."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def pass_on(self, body: bytes, kind: str) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection("127.0.0.1", self.server.behind)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if kind != "unconditional" or not name.lower().startswith("if-"):
                connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, response.getheaders(), content

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes, part: float = 1.0) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(content)))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: int(len(content) * part)])

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.server.network.next(self.command, self.path)
        if kind == "slow":
            time.sleep(0.5)
        if kind in STATUSES:
            self.answer(STATUSES[kind], [], DENIED if kind == "denied" else b"")
        elif kind == "cut":
            self.close_connection = True
        else:
            status, headers, content = self.pass_on(body, kind)
            content = content * 2 if kind == "more" else content[:1] if kind == "less" else content
            if kind != "lost":
                self.answer(status, headers, content, 0.5 if kind == "half" else 1.0)
            self.close_connection = self.close_connection or kind in ("lost", "half")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815  # names of the library's

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """The proxy, and an S3 server behind it, with a bucket."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Proxy)
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self.network = Network()
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.moto.start()
        self.behind = self.moto.get_host_and_port()[1]
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        pass  # a client that gave up

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which programs find the server."""
        return {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "SECRET",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}",
        }

    def begin(self) -> None:
        """Make the bucket anew, without faults."""
        self.network = Network()
        for method, path in (("POST", "/moto-api/reset"), ("PUT", f"/{BUCKET}")):
            connection = HTTPConnection("127.0.0.1", self.behind)
            connection.request(method, path, headers={"Content-Length": "0"})
            assert connection.getresponse().status == 200
            connection.close()

    def plant(self, key: str, content: bytes = b"0") -> None:
        """Put an object past the network, whatever its name."""
        s3_backends["123456789012"]["aws"].put_object(BUCKET, key, content)

    def end(self) -> None:
        """Stop both servers."""
        self.shutdown()
        self.server_close()
        with suppress(Exception):
            self.moto.stop()
