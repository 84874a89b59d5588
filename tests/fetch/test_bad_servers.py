"""Servers that lie, dribble or never stop: the right file or an error, in limited time and space."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from stemsplit.disk.folders import cache_folder
from stemsplit.errors import WeightsError
from stemsplit.fetch import download, download_lock, hub_cache, store, timeouts, transfer
from stemsplit.registry import ModelEntry
from tests.fetch.conftest import CONTENT
from tests.fetch.hub import Fault, Hub, Served
from tests.fetch.test_download import SHA256, SIZE, half_downloaded, left_over
from tests.fetch.test_download import published as published

Make = Callable[..., ModelEntry]


@pytest.fixture(params=["large file of the hub", "web"])
def kind(request: pytest.FixtureRequest) -> str:
    """Kind of source; small files of the hub are treated like large ones."""
    return request.param


@contextmanager
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait for a moment only, and expect a speed that the servers of these tests reach."""
    from huggingface_hub import constants

    with monkeypatch.context() as patch:
        patch.setattr(timeouts, "PATIENCE", 0.3)
        patch.setattr(timeouts, "SLOWEST", 20_000)
        for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
            patch.setattr(constants, name, 0.3)
        patch.setattr(transfer, "PAUSES", (0.0,))  # two tries: one more than there are pauses
        yield


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("what", ["headers", "body", "chunks"])
def test_a_server_that_dribbles_is_given_up(
    hub: Hub, published: tuple[Served, str], entry: Make, home: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Every byte restarts the HTTP library's own time limit."""
    file, source = published
    file.fault = Fault(dribbles=what)
    # On a busy machine, the first byte may be late.
    complaint = r"(nothing|only \d+ bytes) arrived in 0\.3 s; try again later|does not answer"
    with impatient(monkeypatch), pytest.raises(WeightsError, match=complaint):
        download.fetch(entry(source, sha256=SHA256))
    assert len(hub.requests) <= 6
    file.fault = Fault()
    hub.go_on.set()
    assert download.fetch(entry(source, sha256=SHA256)).read_bytes() == CONTENT
    assert len(left_over(home)) == 1


def test_a_server_that_dribbles_does_not_keep_the_program_from_ending(hub: Hub) -> None:
    """The thread that is still reading is abandoned."""
    hub.put("/w.ckpt", CONTENT, fault=Fault(dribbles="headers"))
    code = f"""
from huggingface_hub import constants
from stemsplit.registry import ModelEntry
from stemsplit.fetch import download, failures, timeouts
timeouts.PATIENCE = constants.HF_HUB_ETAG_TIMEOUT = 0.2
failures.PAUSES = (0.0,) * 5
entry = ModelEntry("tiny", "", "", {{}}, ("a",), 1, 1, 1, 1, ("{hub.url}/w.ckpt",), "", "{SHA256}")
try:
    download.fetch(entry)
except Exception as error:
    print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("WeightsError\n", "")


@pytest.mark.parametrize("bytes_", [1, 30])
def test_a_server_that_disconnects_after_every_byte_is_given_up(
    hub: Hub, published: tuple[Served, str], entry: Make, bytes_: int
) -> None:
    """The file grows with every try, but too slowly."""
    file, source = published
    file.fault = Fault(drop_after=bytes_, drops=-1)
    with pytest.raises(WeightsError, match="was lost"):
        download.fetch(entry(source, sha256=SHA256))
    assert len(hub.asked("GET")) <= 12, "six tries, and each of the hub's is sent on"


@pytest.mark.parametrize(
    ("fault", "known"),
    [
        (Fault(endless=True, no_size=True), {"sha256": SHA256}),
        (Fault(endless=True, headers={"Transfer-Encoding": "chunked"}, no_size=True), {}),
    ],
    ids=["until it closes", "in chunks"],
)
def test_a_file_without_end_is_given_up(
    published: tuple[Served, str],
    entry: Make,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    known: dict[str, Any],
) -> None:
    """Its size is not known."""
    file, source = published
    file.fault = fault
    monkeypatch.setattr(transfer, "LARGEST", 2_000_000)
    seen: list[int] = []
    with pytest.raises(WeightsError, match=r"larger than 0\.002 GB, and its size is not known"):
        download.fetch(entry(source, **known), lambda done, _: seen.append(done))
    assert max(seen) <= 2_000_000
    assert left_over(home) == []


def test_a_file_without_end_leaves_room_on_the_disk(
    published: tuple[Served, str], entry: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, source = published
    file.fault = Fault(endless=True, no_size=True)
    usage = shutil.disk_usage(home)

    def usage_of_a_small_disk(_: Path) -> Any:
        used = sum(path.stat().st_size for path in left_over(home))
        return usage._replace(free=transfer.RESERVE + 500_000 - used)

    monkeypatch.setattr(shutil, "disk_usage", usage_of_a_small_disk)
    with pytest.raises(WeightsError, match="its size is not known, and fewer than 100 MB are free"):
        download.fetch(entry(source, sha256=SHA256))
    assert left_over(home) == []


@pytest.mark.parametrize("size", [10**17, 17 * 10**9])
def test_a_file_too_large_for_a_checkpoint_is_not_downloaded(
    hub: Hub, entry: Make, home: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**18))
    length = {"Content-Length": str(size)}
    file = hub.put("/w.ckpt", CONTENT, fault=Fault(to_head=length))
    with pytest.raises(WeightsError, match="larger than 16 GB, and the registry gives no size"):
        download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256))
    assert hub.asked("GET") == []
    file.fault = Fault(no_head=True, headers=length)
    with pytest.raises(WeightsError, match="larger than 16 GB, and the registry gives no size"):
        download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256))
    assert left_over(home) == []


@pytest.mark.parametrize("size", ["9" * 5_000, "-1", "\xb2", "1e3", "", "0x10"])
def test_an_invalid_size_is_ignored(hub: Hub, entry: Make, size: str) -> None:
    """Python refuses to parse very long numbers."""
    hub.put("/w.ckpt", CONTENT, fault=Fault(to_head={"Content-Length": size, "Content-Range": f"bytes 0-1/{size}"}))
    with suppress(WeightsError):  # the HTTP library may refuse such an answer
        assert download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256)).read_bytes() == CONTENT


def test_endless_redirects_are_an_error(hub: Hub, entry: Make) -> None:
    for no_head in (False, True):
        hub.put("/w.ckpt", CONTENT, fault=Fault(location=f"{hub.url}/w.ckpt", no_head=no_head))
        with pytest.raises(WeightsError, match=r"127\.0\.0\.1 redirects without end"):
            download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256))
    address = f"{hub.url}/some/repo/resolve/main/w.ckpt"
    hub.put("some/repo/w.ckpt", CONTENT, lfs=False, fault=Fault(location=address))
    with pytest.raises(WeightsError, match="redirects without end"):
        download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256))
    assert len(hub.requests) < 100


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/w", "file:///etc/passwd", "http://", "http://[", "//", "\xff", "http://a\xff b:x/"]
)
def test_a_redirect_to_an_invalid_address_is_an_error(hub: Hub, entry: Make, home: Path, location: str) -> None:
    for no_head in (False, True):
        hub.put("/w.ckpt", CONTENT, fault=Fault(location=location, no_head=no_head))
        with pytest.raises(WeightsError, match="cannot download 'tiny'"):
            download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256))
    assert left_over(home) == []


def test_the_content_of_redirects_and_refusals_is_not_read(hub: Hub, entry: Make) -> None:
    """It may never end."""
    hub.put("/good.ckpt", CONTENT)
    hub.put("/w.ckpt", b"", fault=Fault(location=f"{hub.url}/good.ckpt", endless=True, no_head=True))
    assert download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256)).read_bytes() == CONTENT
    hub.put("/no.ckpt", b"", fault=Fault(refusal=(404, ""), endless=True))
    with pytest.raises(WeightsError, match=r"does not have the file \(404\)"):
        download.fetch(entry(f"{hub.url}/no.ckpt", sha256="0" * 64))
    hub.put("some/repo/no.ckpt", b"", fault=Fault(refusal=(404, ""), endless=True))
    with pytest.raises(WeightsError, match="answers 404"):
        download.fetch(entry("hf://some/repo/no.ckpt", sha256="0" * 64))


@pytest.mark.parametrize("status", [201, 204, 300, 304])
def test_only_a_successful_answer_is_taken_for_the_file(
    hub: Hub, entry: Make, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    from tests.fetch import hub as servers

    hub.put("/w.ckpt", CONTENT, fault=Fault(no_head=True))
    answer = servers.Handler.send_response
    monkeypatch.setattr(
        servers.Handler, "send_response", lambda self, code: answer(self, status if code == 200 else code)
    )
    with pytest.raises(WeightsError, match=f"answers {status}"):
        download.fetch(entry(f"{hub.url}/w.ckpt"))


LIES = {
    "from elsewhere": {"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}"},
    "of another total": {"Content-Range": f"bytes 150000-{SIZE - 1}/{2 * SIZE}"},
    "of no total": {"Content-Range": f"bytes 150000-{SIZE - 1}/*"},
    "to elsewhere": {"Content-Range": f"bytes 150000-150001/{SIZE}"},
    "of nonsense": {"Content-Range": "bytes 150000-x/y"},
    "of a long number": {"Content-Range": f"bytes 150000-{SIZE - 1}/{'9' * 5_000}"},
    "of nothing": {"Content-Range": ""},
    "of another file": {"ETag": '"another"'},
    "of less than there is": {"Content-Length": "20000"},
    "of more than there is": {"Content-Length": "200000"},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_the_rest_of_a_file_never_gives_a_wrong_file(
    published: tuple[Served, str], entry: Make, home: Path, lie: str
) -> None:
    """This holds if its digest is known, its size, or neither."""
    file, source = published
    for known in ({"sha256": SHA256}, {"size": SIZE}, {}):
        wanted = entry(source, **known)
        half_downloaded(file, wanted, home)
        file.fault = Fault(headers=LIES[lie])
        try:
            assert download.fetch(wanted).read_bytes() == CONTENT
        except WeightsError:
            assert store.local(wanted) is None
            assert not list(hub_cache.folder().rglob("*.ckpt"))
            file.fault = Fault()
            assert download.fetch(wanted).read_bytes() == CONTENT
        store.remove(wanted)
        assert left_over(home) == []


def test_parts_of_two_versions_are_not_joined_even_if_the_server_ignores_if_range(hub: Hub, entry: Make) -> None:
    """The server changes the file during the download, and sends the rest of the new version."""
    file = hub.put("/w.ckpt", CONTENT, etag="one", fault=Fault(drop_after=150_000))

    def change(done: int, _: int) -> None:
        if done == 150_000:
            # It still accepts the old tag, so If-Range does not help.
            file.content, file.fault = CONTENT[:100_000] + CONTENT[:200_000], Fault(headers={"ETag": '"two"'})

    got = download.fetch(entry(f"{hub.url}/w.ckpt"), change).read_bytes()
    assert got == CONTENT[:100_000] + CONTENT[:200_000]


@pytest.mark.parametrize("more", [b"", b"x" * 500])
def test_a_truncated_or_padded_file_is_not_accepted(hub: Hub, entry: Make, home: Path, more: bytes) -> None:
    """The announced length is not that of the content."""
    length = SIZE + len(more) if more else SIZE - 500
    hub.put("/w.ckpt", CONTENT, fault=Fault(headers={"Content-Length": str(length)}, no_head=True))
    try:
        assert download.fetch(entry(f"{hub.url}/w.ckpt", sha256=SHA256)).read_bytes() == CONTENT
    except WeightsError:
        assert [path for path in left_over(home) if path.suffix != ".part"] == []


TAGS = [
    "../../x",
    "..",
    "a/../../../x",
    "/etc/x",
    "x" * 10_000,
    "x\\..\\y",
    "\xe9" * 40,
    "a b",
    ".hidden",
    "%2e%2e%2fx",
]


@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: tag[:20])
@pytest.mark.parametrize("lfs", [True, False])
def test_a_tag_of_the_hub_that_is_not_a_file_name_is_refused(
    hub: Hub, entry: Make, home: Path, tmp_path: Path, lfs: bool, tag: str
) -> None:
    hub.put("some/repo/w.ckpt", CONTENT, lfs=lfs, etag=tag)
    before = everything(home) | everything(tmp_path)
    with pytest.raises(WeightsError, match="does not answer like the Hugging Face Hub"):
        download.fetch(entry("hf://some/repo/w.ckpt", sha256=SHA256))
    assert everything(home) | everything(tmp_path) == before


@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: tag[:20])
def test_on_the_web_a_tag_may_be_anything(hub: Hub, entry: Make, home: Path, tag: str) -> None:
    file = hub.put("/w.ckpt", CONTENT, etag=tag)
    wanted = entry(f"{hub.url}/w.ckpt", sha256=SHA256)
    half_downloaded(file, wanted, home)
    assert download.fetch(wanted).read_bytes() == CONTENT
    assert {path.parent.name for path in everything(home) if path.is_file() and path.suffix in (".part", ".ckpt")} == {
        SHA256
    }


def test_a_name_that_is_too_long_is_shortened(hub: Hub, entry: Make) -> None:
    """This happens before the download, not when the file is moved to its place."""
    name = "\xfc" * 200 + "x" * 400 + ".ckpt"
    hub.put(f"/{name}", CONTENT)
    path = download.fetch(entry(f"{hub.url}/{name}", sha256=SHA256))
    assert path.read_bytes() == CONTENT
    assert path.name.endswith("xxx.ckpt")


@pytest.fixture
def waiting(
    published: tuple[Served, str], kind: str, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> tuple[FileLock, ModelEntry, Path]:
    """A lock of another process, an entry that needs it, and the part of its download."""
    _, source = published
    monkeypatch.setattr(download_lock, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(download_lock, "STALLED_SECONDS", 0.5)
    if kind == "web":
        way = store.web_part(source, f'"{SHA256}"')
        lock, part = cache_folder() / "locks" / f"{way.stem}.lock", cache_folder() / way
    else:
        file = hub_cache.HubFile.parse(source)
        lock, part = hub_cache.folder() / ".locks" / file.repo_folder / f"{SHA256}.lock", file.part(SHA256)
    lock.parent.mkdir(parents=True)
    part.parent.mkdir(parents=True)
    return FileLock(lock), entry(source, sha256=SHA256), part


def test_a_stalled_download_of_another_process_is_not_waited_for(waiting: tuple[FileLock, ModelEntry, Path]) -> None:
    lock, wanted, _ = waiting
    with lock, pytest.raises(WeightsError, match="another process is downloading it, without progress for"):
        download.fetch(wanted)


def test_a_download_of_another_process_is_waited_for(waiting: tuple[FileLock, ModelEntry, Path]) -> None:
    lock, wanted, part = waiting
    lock.acquire()
    seen: list[int] = []

    def grow(done: int, _: int) -> None:
        seen.append(done)
        if len(seen) < 4:
            part.write_bytes(CONTENT[: 1_000 * len(seen)])
        else:
            lock.release()

    assert download.fetch(wanted, grow).read_bytes() == CONTENT
    assert seen[:4] == [0, 1_000, 2_000, 3_000]


def test_a_cache_that_vanishes_during_a_download_is_a_weights_error(
    published: tuple[Served, str], entry: Make, home: Path
) -> None:
    _, source = published
    for when in (0, SIZE):

        def vanish(done: int, _: int, when: int = when) -> None:
            if done >= when:
                for folder in (cache_folder(), hub_cache.folder()):
                    shutil.rmtree(folder, ignore_errors=True)

        with pytest.raises(WeightsError, match="cannot download 'tiny'"):
            download.fetch(entry(source, sha256=SHA256), vanish)
        assert left_over(home) == []
    assert download.fetch(entry(source, sha256=SHA256)).read_bytes() == CONTENT
