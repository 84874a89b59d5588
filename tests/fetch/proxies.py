"""Proxies on loopback: one for HTTP, with CONNECT, and one for SOCKS5; both may ask for a password, or refuse."""

import base64
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """A proxy that was started.

    Args:
        kind: "http" or "socks5".
        user: user name and password that it asks for, USER:PASSWORD; empty for none.
        refusal: for HTTP, the status line that it answers with instead; for SOCKS5, the code of the reply.
        asked: hosts and ports that it was asked to connect to.
    """

    kind: str
    user: str = ""
    refusal: str = ""
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def serve(self, client: socket.socket) -> None:
        """Answer one client, and pass on what it and the server send."""
        with suppress(OSError, ValueError, IndexError, struct.error), client:
            (self._http if self.kind == "http" else self._socks5)(client)

    def _http(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := client.recv(65_536)):
                return
            head += more
            if not head[:1].isalpha():  # not HTTP: SOCKS or TLS
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        login = base64.b64encode(self.user.encode()).decode()
        if self.user and f"proxy-authorization: basic {login}".lower() not in [line.lower() for line in lines]:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        if self.refusal:
            client.sendall(f"HTTP/1.1 {self.refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        if method == "CONNECT":
            self._connect(client, *target.rsplit(":", 1), b"", b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            host, _, path = target.removeprefix("http://").partition("/")
            # One request a connection: the next may be for another host.
            rest = head.replace(target.encode(), b"/" + path.encode(), 1).replace(
                b"\r\n", b"\r\nConnection: close\r\n", 1
            )
            self._connect(client, *host.rsplit(":", 1), rest, b"")

    def _socks5(self, client: socket.socket) -> None:
        methods = client.recv(65_536)
        if methods[:1] != b"\x05":
            return
        wanted = 2 if self.user else 0
        if wanted not in methods[2 : 2 + methods[1]]:
            client.sendall(b"\x05\xff")
            return
        client.sendall(bytes([5, wanted]))
        if self.user:
            login = client.recv(65_536)
            name, password = login[2 : 2 + login[1]], login[3 + login[1] :]
            right = name + b":" + password == self.user.encode()
            client.sendall(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        request = client.recv(65_536)
        if request[3] == 1:
            host, rest = socket.inet_ntoa(request[4:8]), request[8:]
        else:
            host, rest = request[5 : 5 + request[4]].decode(), request[5 + request[4] :]
        (port,) = struct.unpack(">H", rest[:2])
        reply = b"\x05%c\x00\x01\x00\x00\x00\x00\x00\x00"
        if self.refusal:
            client.sendall(reply % int(self.refusal))
            return
        self._connect(client, host, str(port), b"", reply % 0)

    def _connect(self, client: socket.socket, host: str, port: str, request: bytes, answer: bytes) -> None:
        self.asked.append(f"{host}:{port}")
        with socket.create_connection((host, int(port)), 60) as server:
            server.sendall(request)
            client.sendall(answer)
            back = threading.Thread(target=passed_on, args=(server, client), daemon=True)
            back.start()
            passed_on(client, server)
            back.join(60)


def passed_on(source: socket.socket, target: socket.socket) -> None:
    """Pass on bytes until the source ends."""
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy(kind: str, user: str = "", refusal: str = "") -> Iterator[Proxy]:
    """A proxy, for as long as it is needed."""
    found = Proxy(kind, user, refusal)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found.port = listening.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    threading.Thread(target=found.serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield found
        listening.shutdown(socket.SHUT_RDWR)
