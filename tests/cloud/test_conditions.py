"""Each kind of store is told under which condition to write, in its own words.

There is no server of Google's or Azure's here: this is what they are sent, not what they answer.
"""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stemsplit.cloud import clients
from stemsplit.cloud.address import parse
from stemsplit.cloud.clients import open_client
from stemsplit.cloud.failures import ConflictError
from stemsplit.cloud.store import Bucket


class Recorder(ThreadingHTTPServer):
    """Answers every write with another version, and remembers the conditions."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.conditions, self.status = list[dict[str, str]](), 201
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()


class Answer(BaseHTTPRequestHandler):
    """Remembers the conditions of a request."""

    protocol_version = "HTTP/1.1"
    server: Recorder

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        wanted = ("if-match", "if-none-match", "x-goog-if-generation-match")
        found = {name: self.headers[name] for name in wanted if name in self.headers}
        self.server.conditions.append(found)
        self.send_response(self.server.status)
        number = len(self.server.conditions)
        for name, value in (("ETag", f'"e{number}"'), ("x-goog-generation", f"{number}"), ("Content-Length", "0")):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Recorder]:
    server = Recorder()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "key")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    account = {"gcs_base_url": endpoint, "disable_oauth": True, "client_email": "", "private_key": ""}
    (tmp_path / "account.json").write_text(json.dumps({**account, "private_key_id": ""}))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"k" * 32).decode())
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{endpoint}/account")
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
    monkeypatch.setitem(clients.TIMES, "allow_http", True)
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("scheme", "new", "again"),
    [
        ("s3", {"if-none-match": "*"}, {"if-match": '"e1"'}),
        ("gs", {"x-goog-if-generation-match": "0"}, {"x-goog-if-generation-match": "1"}),
        ("az", {"if-none-match": "*"}, {"if-match": '"e1"'}),
    ],
)
def test_a_write_has_its_condition(
    scheme: str, new: dict[str, str], again: dict[str, str], recorder: Recorder, tmp_path: Path
) -> None:
    address = parse(f"{scheme}://bucket/a")
    bucket = Bucket(address, open_client(address))
    first = bucket.put("a", b"1", None)
    bucket.put("a", b"2", first)
    (tmp_path / "stem").write_bytes(b"3" * 10_000_000)
    bucket.upload("a", tmp_path / "stem", first)
    assert recorder.conditions == [new, again, again]
    recorder.status = 412
    with pytest.raises(ConflictError):
        bucket.put("a", b"4", None)
    with pytest.raises(ConflictError):
        bucket.put("a", b"4", first)
