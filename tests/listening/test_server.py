"""The server, as a page sees it and as those see it who should not."""

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemsplit.listening import connections, pages
from stemsplit.listening.server import Server
from tests.conftest import noise
from tests.listening.making import comparison, split_song
from tests.listening.serving import serving

FRAMES = 40_000
VOTE = {"stem": "vocals", "candidates": [1, 2], "choice": 1, "seconds": 2.0}


@dataclass
class Reply:
    """What the server answered."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Any:
        return json.loads(self.content)


@dataclass
class Client:
    """A browser, or something else."""

    server: Server
    folder: Path

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, token: str | None = None, **headers: str
    ) -> Reply:
        """Ask for a path behind the token. Names of headers have `_` for `-`."""
        token = self.server.token if token is None else token
        return self.raw(f"/{token}/{path}", method, body, **headers)

    def raw(self, address: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, address, skip_host="Host" in headers, skip_accept_encoding=True)
            if body is not None and "Transfer_Encoding" not in headers:
                headers = {"Content_Length": str(len(body)), **headers}
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders(body)
            reply = connection.getresponse()
            return Reply(reply.status, reply.read(), dict(reply.headers))
        finally:
            connection.close()

    def send(self, data: bytes) -> bytes:
        """Send bytes, and return what comes back."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while part := connection.recv(65_536):
                found += part
            return found

    def vote(self, **headers: str) -> Reply:
        return self.ask("songs/0/votes", "POST", json.dumps(VOTE).encode(), Content_Type="application/json", **headers)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of one comparison, and of two songs."""
    folder = tmp_path_factory.mktemp("served")
    comparison(folder / "stems/0")
    split_song(folder / "stems/<script>", folder / "<script>.flac", frames=FRAMES)
    split_song(folder / "stems/Blue Sky", folder / "Blue Sky.flac", frames=FRAMES)
    with serving(folder) as server:
        yield Client(server, folder)


def number(client: Client, title: str) -> int:
    (found,) = [song["id"] for song in client.ask("songs.json").data["songs"] if song["title"] == title]
    return int(found)


def test_the_list_of_songs_can_be_searched(client: Client) -> None:
    everything = client.ask("songs.json").data
    assert everything["total"] == 3
    assert {song["kind"] for song in everything["songs"]} == {"song", "comparison"}
    found = client.ask("songs.json?query=SKY+blue&from=0&count=1").data
    assert [song["title"] for song in found["songs"]] == ["Blue Sky"]
    assert client.ask("songs.json?count=0").data == {"total": 3, "songs": []}
    for query in ("count=x", "from=-1", "count=100000", "&" * 5_000, "from=9" * 3):
        assert client.ask(f"songs.json?{query}").status in (200, 400)


def test_a_song_says_what_is_before_and_behind_it(client: Client) -> None:
    ends = [(client.ask(f"songs/{index}.json").data["previous"], index) for index in range(3)]
    assert ends == [(None, 0), (0, 1), (1, 2)]
    assert client.ask("songs/2.json").data["next"] is None
    song = client.ask(f"songs/{number(client, '<script>')}.json").data
    assert [track["name"] for track in song["tracks"]] == ["<script>.flac", "drums", "vocals"]
    assert str(client.folder) not in json.dumps(song)


def test_samples_come_whole_and_in_ranges(client: Client) -> None:
    place = f"songs/{number(client, '<script>')}/1.f32"
    expected = np.ascontiguousarray(noise(FRAMES, seed=0), "<f4").tobytes()
    whole = client.ask(place)
    assert (whole.status, whole.content, whole.headers["Content-Length"]) == (200, expected, str(len(expected)))
    for asked, first, last in [
        ("0-0", 0, 0),
        ("100000-200006", 100_000, 200_006),
        ("319992-", 319_992, 319_999),
        ("-8", 319_992, 319_999),
        ("-999999999", 0, 319_999),
        ("5-99999999999", 5, 319_999),
    ]:
        part = client.ask(place, Range=f"bytes={asked}")
        assert (part.status, part.content) == (206, expected[first : last + 1])
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/320000"
    head = client.ask(place, "HEAD", Range="bytes=0-9")
    assert (head.status, head.content, head.headers["Content-Length"]) == (206, b"", "10")


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=9-3",
        "bytes=320000-",
        "bytes=-0",
        "bytes=-",
        "bytes=0-1,3-4",
        "bytes=" + ",".join(["0-"] * 500),
        "bytes=a-b",
        "bytes=-5-9",
        "bytes=0x1-2",
        "bytes=1-99999999999999999999999",
        "bytes=٣-٤".encode().decode("latin-1"),
        "items=0-1",
        "",
    ],
)
def test_ranges_that_make_no_sense_are_refused(client: Client, asked: str) -> None:
    reply = client.ask(f"songs/{number(client, 'Blue Sky')}/0.f32", Range=asked)
    assert (reply.status, reply.headers["Content-Range"]) == (416, "bytes */320000")


def test_peaks_are_one_pair_a_bin(client: Client) -> None:
    assert len(client.ask(f"songs/{number(client, 'Blue Sky')}/2.peaks").content) == 40 * 4


def test_votes_are_saved_beside_the_comparison(client: Client) -> None:
    before = len(client.ask("songs/0/votes").data["votes"])
    reply = client.vote(Origin=f"http://127.0.0.1:{client.port}", Sec_Fetch_Site="same-origin")
    assert (reply.status, reply.data) == (200, {"saved": "votes.json"})
    after = client.ask("songs/0/votes").data["votes"]
    assert len(after) == before + 1
    assert (client.folder / "stems/0/votes.json").is_file()


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b"{", {}),
        (400, b"[" * 10_000, {}),
        (400, b"\xff\xfe", {}),
        (400, b"{}", {}),
        (400, b"short", {"Content_Length": "60"}),
        (400, b"", {"Content_Length": "-1"}),
        (400, b"", {"Content_Length": "1e3"}),
        (411, b"0\r\n\r\n", {"Transfer_Encoding": "chunked"}),
        (413, b"x" * 20_000, {}),
        (413, b"", {"Content_Length": "999999999"}),
        (415, b"{}", {"Content_Type": "text/plain"}),
        (415, b"{}", {"Content_Type": "application/x-www-form-urlencoded"}),
    ],
)
def test_what_is_not_a_vote_is_refused(client: Client, status: int, body: bytes, headers: dict[str, str]) -> None:
    given = {"Content_Type": "application/json", **headers}
    length = given.pop("Content_Length", str(len(body)))
    head = [f"POST /{client.server.token}/songs/0/votes HTTP/1.1", f"Host: 127.0.0.1:{client.port}"]
    head += [] if "Transfer_Encoding" in given else [f"Content-Length: {length}"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in given.items()]
    reply = client.send("\r\n".join([*head, "", ""]).encode() + body)
    assert reply.startswith(f"HTTP/1.1 {status} ".encode())
    assert set(json.loads(reply.partition(b"\r\n\r\n")[2])) == {"error"}


def test_only_comparisons_have_votes(client: Client) -> None:
    place = f"songs/{number(client, 'Blue Sky')}/votes"
    assert client.ask(place).status == 404
    assert client.ask(place, "POST", b"{}", Content_Type="application/json").status == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "GOT", "POST"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    reply = client.ask("songs.json", method)
    assert (reply.status, "Allow" in reply.headers) == (405, True)
    assert "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.parametrize("token", ["", "x", "X" * 32, "%00", ".."])
def test_without_the_token_everything_is_the_same_404(client: Client, token: str) -> None:
    """So that nobody can tell a wrong token from a wrong path."""
    nothing = client.ask("no/such/path")
    for path in ("", "songs.json", "app/page.js", "songs/0/0.f32", "no/such/path"):
        reply = client.ask(path, token=token)
        assert (reply.status, reply.content) == (404, nothing.content)


def test_a_browser_is_started_with_an_address_that_is_soon_worth_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other users of a machine see the arguments of its programs."""
    path = client.server.door.partition(f":{client.port}")[2]
    assert client.server.token not in path
    led = client.raw(path)
    assert (led.status, led.headers["Location"], led.content) == (303, f"/{client.server.token}/", b"")
    assert client.raw(f"{path}songs.json").status == 404
    assert client.raw(path, Host="evil.example").status == 403
    assert client.raw(path, Sec_Fetch_Site="cross-site").status == 403
    monkeypatch.setattr(client.server, "_until", 0.0)
    assert client.raw(path).status == 404


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", "127.0.0.1:{port}.evil", ""],
)
def test_another_host_is_refused(client: Client, host: str) -> None:
    """A stranger's name may stand for this machine (DNS rebinding); its page then has the stranger's origin."""
    assert client.ask("songs.json", Host=host.format(port=client.port)).status == 403


def test_requests_without_one_host_are_refused(client: Client) -> None:
    path, host = f"/{client.server.token}/songs.json", f"Host: 127.0.0.1:{client.port}"
    for head in (
        "GET {p} HTTP/1.1\r\n\r\n",
        "GET {p} HTTP/1.0\r\n\r\n",
        "GET {p}\r\n\r\n",
        "GET {p} HTTP/1.1\r\n{h}\r\n{h}\r\n\r\n",
    ):
        status = client.send(head.format(p=path, h=host).encode()).split()[1]
        assert status in (b"400", b"403", b"505")
    assert client.send(f"GET {path} HTTP/1.1\r\n{host}\r\n\r\n".encode()).split()[1] == b"200"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}", "file://"]
)
def test_another_origin_is_refused(client: Client, origin: str) -> None:
    assert client.ask("songs.json", Origin=origin.format(port=client.port)).status == 403
    assert client.vote(Origin=origin.format(port=client.port)).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_what_another_page_embeds_is_refused_but_it_may_link_here(client: Client, site: str) -> None:
    for path, headers in (
        ("songs.json", {}),
        ("songs.json", {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}),
        ("", {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}),
        ("", {}),
    ):
        assert client.ask(path, Sec_Fetch_Site=site, **headers).status == 403
    linked = client.ask("", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")
    assert linked.status != 403


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "app/../../server.py",
        "app/..%2f..%2fserver.py",
        "app//etc/passwd",
        "app/page.js%00.css",
        "app/server.py",
        "app/",
        "songs/..%2f0.json",
        "songs/0/../../../etc/passwd",
        "songs/999999.json",
        "songs/-1.json",
        "songs/00000000000000000000.json",
        "songs/1e3.json",
        "songs/1/99.f32",
        "songs/1/1.f32/",
        "songs/1/1.wav",
        "/etc/passwd",
        "C:/windows",
        "songs.json/",
    ],
)
def test_paths_name_nothing_but_what_is_served(client: Client, path: str) -> None:
    assert client.ask(path).status == 404
    assert client.raw(f"/{path}").status == 404


@pytest.mark.parametrize(
    "path", ["/{token}/songs/\u0663.json", "/\u00e9/songs.json", "{token}/songs.json", "*", "http://x/"]
)
def test_addresses_of_other_forms_name_nothing(client: Client, path: str) -> None:
    """Python would take an Arabic digit for a number."""
    head = f"GET {path.format(token=client.server.token)} HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n\r\n"
    assert client.send(head.encode()).split()[1] == b"404"


def test_the_page_is_made_of_listed_files_only(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "text", lambda name: f"text of {name} <!-- scripts -->")
    page = client.ask("")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    for name in pages.SCRIPTS:
        assert f'src="app/{name}"' in page.content.decode()
        assert client.ask(f"app/{name}").headers["Content-Type"].startswith("text/javascript")
    assert client.ask("app/index.html").status == 404


def test_every_answer_forbids_what_the_page_does_not_need(client: Client) -> None:
    song = number(client, "Blue Sky")
    for reply in (
        client.ask("songs.json"),
        client.ask(f"songs/{song}/0.f32", Range="bytes=0-1"),
        client.ask("nothing"),
        client.ask("songs.json", Host="evil.example"),
        client.ask("songs.json", "PUT"),
    ):
        policy = reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert not any(name.startswith("Access-Control") for name in reply.headers)
        assert "Python" not in str(reply.headers)


def test_what_is_no_request_is_one_line(client: Client) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"y" * 100_000,
        b"\r\n" * 50_000,
    ):
        try:
            reply = client.send(data)
        except ConnectionError:
            continue  # the server was done before all was sent
        assert not reply or int(reply.split()[1]) >= 400
    assert client.ask("songs.json").status == 200


def test_a_record_that_is_damaged_meanwhile_is_told_in_one_line(client: Client) -> None:
    song = number(client, "Blue Sky")
    record = client.folder / "stems/Blue Sky/stemsplit.json"
    content = record.read_bytes()
    try:
        record.write_bytes(content[:100])
        reply = client.ask(f"songs/{song}.json")
        assert reply.status == 500
        assert "\n" not in reply.data["error"]
    finally:
        record.write_bytes(content)
    assert client.ask(f"songs/{song}.json").status == 200


def test_a_stem_that_changes_while_it_plays_is_told_in_one_line(client: Client) -> None:
    song = number(client, "<script>")
    stem = client.folder / "stems/<script>/vocals.wav"
    content = stem.read_bytes()
    client.ask(f"songs/{song}.json")
    try:
        stem.write_bytes(content[:1_000])
        reply = client.ask(f"songs/{song}/2.f32", Range="bytes=0-9")
        assert (reply.status, set(reply.data)) == (500, {"error"})
    finally:
        stem.write_bytes(content)


def test_a_page_of_a_song_that_was_split_anew_gets_no_other_tracks(client: Client) -> None:
    """The numbers of tracks may mean others by then; another tab has the new record read."""
    song = number(client, "Blue Sky")
    before = client.ask(f"songs/{song}.json").data["version"]
    assert client.ask(f"songs/{song}/1.peaks?version={before}").status == 200
    split_song(client.folder / "stems/Blue Sky", client.folder / "Blue Sky.flac", ["bass", "drums"], FRAMES)
    now = client.ask(f"songs/{song}.json").data["version"]
    for path in (f"songs/{song}/1.f32", f"songs/{song}/1.peaks"):
        assert client.ask(f"{path}?version={before}").status == 409
        assert client.ask(f"{path}?version={now}").status == 200
    assert client.ask("songs/0/votes", "POST", b'{"version": 1}', Content_Type="application/json").status == 409


def opened(client: Client, count: int, sent: bytes) -> list[socket.socket]:
    """Connections that send something and then nothing."""
    found = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", client.port), 20)
        connection.sendall(sent)
        found.append(connection)
    return found


def test_half_sent_requests_do_not_keep_others_out(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a client that sends a byte now and then (slowloris)."""
    monkeypatch.setattr(connections, "GRACE_SECONDS", 0.1)
    path = f"/{client.server.token}/songs/0/votes"
    slow = opened(client, connections.MOST_CONNECTIONS + 10, f"GET {path} HTTP/1.1\r\nHost:".encode())
    try:
        assert [client.ask("songs.json").status for _ in range(3)] == [200] * 3
    finally:
        for connection in slow:
            connection.close()


def test_a_request_that_takes_too_long_to_arrive_ends(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    (slow,) = opened(client, 1, b"GET / HT")
    ended = False
    for _ in range(200):
        time.sleep(0.02)
        try:
            slow.sendall(b"x")
        except ConnectionError:
            ended = True
            break
    assert ended
    slow.close()


def test_a_hundred_connections_at_once_are_all_served(client: Client) -> None:
    place = f"songs/{number(client, '<script>')}/1.f32"
    with ThreadPoolExecutor(100) as threads:
        replies = [*threads.map(lambda first: client.ask(place, Range=f"bytes={first}-{first + 99_999}"), range(100))]
    assert {(reply.status, len(reply.content)) for reply in replies} == {(206, 100_000)}


def test_clients_that_leave_in_the_middle_leave_nothing_behind(client: Client) -> None:
    path = f"/{client.server.token}/songs/{number(client, '<script>')}/1.f32"
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n\r\n".encode()
    for connection in opened(client, 20, request):
        connection.recv(10)
        connection.close()
    until = time.monotonic() + 60
    while client.server.served and time.monotonic() < until:
        time.sleep(0.02)
    assert not client.server.served
    assert not client.server.waiting
