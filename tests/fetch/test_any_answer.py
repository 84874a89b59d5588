"""Any response of a server gives the right file or a WeightsError, and writes nothing outside the cache."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemsplit.errors import WeightsError
from stemsplit.fetch import download, hub_cache, store
from stemsplit.registry import ModelEntry
from tests.fetch.conftest import CONTENT
from tests.fetch.hub import COMMIT
from tests.fetch.test_download import SHA256, SIZE

Make = Callable[..., ModelEntry]

STATUS = st.sampled_from(
    [
        b"200 OK",
        b"206 x",
        b"302 x",
        b"304 x",
        b"401 x",
        b"404 x",
        b"416 x",
        b"429 x",
        b"503 x",
        b"100 x",
        b"999 x",
        b"",
        b"\xff",
    ]
)
NAME = st.sampled_from(
    ["Content-Length", "Content-Range", "Content-Encoding", "Content-Type", "Transfer-Encoding", "ETag", "Location"]
    + ["X-Linked-Etag", "X-Linked-Size", "X-Repo-Commit", "X-Xet-Hash", "X-Error-Code", "X-Error-Message", "Link"]
    + ["Retry-After", "Last-Modified", "X-HF-Warning", "Set-Cookie", "Connection", "RateLimit", "X-Xet-Refresh-Route"]
)
VALUE = st.sampled_from(
    [b"0", b"7", b"%d" % SIZE, b"-1", b"9" * 5_000, b"bytes 0-6/7", b"bytes */0", b"bytes 3-9/*", b"gzip", b"identity"]
    + [
        b"text/html",
        b"chunked",
        b'"x"',
        b"W/x",
        SHA256.encode(),
        COMMIT.encode(),
        b"../../x",
        b"\xff\xfe",
        b"",
        b" ",
        b"x" * 500,
    ]
    + [b"/", b"//", b"ftp://x", b"http://[", b"RepoNotFound", b"GatedRepo", b"EntryNotFound", b"a; b", b'"api";r=0;t=9']
    + [b"close", b"keep-alive", b"f" * 64, b"a=b; Domain=x", b'<x>; rel="xet-auth"', b"/x/resolve/main/w.ckpt"]
)
BODY = st.sampled_from(
    [b"", b"7 bytes", CONTENT, b"5\r\nabcde\r\n0\r\n\r\n", b"zz\r\n", b'{"error": [1]}', b"[]", b"\x80" * 50]
)


def answer(status: bytes, headers: list[tuple[str, bytes]], body: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, *(name.encode() + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


ANSWERS = st.lists(
    st.builds(answer, STATUS, st.lists(st.tuples(NAME, VALUE), max_size=6), BODY) | st.binary(max_size=40), max_size=3
)
GOOD = [("X-Repo-Commit", COMMIT.encode()), ("ETag", SHA256.encode()), ("Content-Length", b"%d" % SIZE)]


@contextmanager
def serving(answers: list[bytes]) -> Iterator[str]:
    """A server that gives one answer per connection, and none when all are used up."""
    left = iter(answers)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65_536)
                    connection.sendall(next(left, b""))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.usefixtures("hub")
@given(ANSWERS, st.booleans(), st.sampled_from([{}, {"sha256": SHA256}, {"size": SIZE}]), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_answer_is_the_file_or_an_error(
    entry: Make,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[bytes],
    from_hub: bool,
    known: dict[str, object],
    begins_well: bool,
) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    if begins_well:  # otherwise the file itself is seldom requested
        answers = [answer(b"200 OK", GOOD, b""), *answers]
    close_session()
    with serving(answers) as url, monkeypatch.context() as patch:
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "ENDPOINT", url)
        patch.setattr("time.sleep", lambda _: None)
        wanted = entry("hf://some/repo/w.ckpt" if from_hub else f"{url}/w.ckpt", **known)
        try:
            content = download.fetch(wanted).read_bytes()
        except WeightsError:
            assert not list(home.rglob("w.ckpt"))
        else:
            assert content == CONTENT or (not known.get("sha256") and content[:1] == b"\x80")
        store.remove(wanted)
    assert {path.name for path in home.iterdir()} <= {"config", "cache", "huggingface"}
    assert not [path for path in hub_cache.folder().rglob("*") if path.name == "x"]
