"""`stemsplit download`, and the downloads of `stemsplit SONG`: the real command against a hub on loopback."""

import hashlib
import io
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from stemsplit.disk.folders import cache_folder
from stemsplit.fetch import hub_cache
from stemsplit.fetch.pins import lock_file
from stemsplit.terminal import console
from stemsplit.terminal.downloads import DownloadReport
from tests.cli.conftest import Result
from tests.conftest import DATA, unix
from tests.fetch.conftest import CONTENT, read_only
from tests.fetch.hub import Fault, Hub

Command = Callable[..., Result]
SHA256 = hashlib.sha256(CONTENT).hexdigest()

TABLE = """
[{name}]
description = "for tests"
architecture = "sudormrf"
stems = [{stems}]
sample_rate = 44100
channels = 1
chunk = 88200
hop = 44100
complete = true
sources = ["{source}"]
{more}
author = "somebody"
[{name}.config]
variant = "improved"
out_channels = 8
in_channels = 16
num_blocks = 1
enc_num_basis = 16
num_sources = 2
"""


def table(name: str, source: str, sha256: str = "", stems: str = '"vocals", "rest"', **more: str | int) -> str:
    facts = {"sha256": sha256, "license": "MIT", **more}
    lines = (f"{key} = {value!r}" for key, value in facts.items() if value != "")
    return TABLE.format(name=name, source=source, stems=stems, more="\n".join(lines))


@pytest.fixture
def registry_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a registry for all commands."""

    def write(*tables: str) -> Path:
        path = tmp_path / "more.toml"
        path.write_text("".join(tables), encoding="utf-8")
        monkeypatch.setenv("STEMSPLIT_REGISTRY", str(path))
        return path

    return write


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stemsplit", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: str | Path) -> Result:
    process = start(*arguments)
    out, err = process.communicate(timeout=120)
    return Result(process.returncode, out, err)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint of the network that `TABLE` describes."""
    import torch

    from stemsplit.checkpoints import checkpoint
    from stemsplit.models import build

    torch.manual_seed(0)
    config = {"out_channels": 8, "in_channels": 16, "num_blocks": 1, "enc_num_basis": 16, "num_sources": 2}
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    checkpoint.save(build("sudormrf", {"variant": "improved", **config}), path)
    return path.read_bytes()


def test_a_model_comes_with_the_first_song_and_is_there_for_the_next(
    hub: Hub, registry_file: Callable[..., Path], tmp_path: Path, weights: bytes
) -> None:
    """The whole way, in processes of their own; for the second one there is no network any more."""
    hub.put("some/repo/w.safetensors", weights)
    digest = hashlib.sha256(weights).hexdigest()
    more = registry_file(table("tiny", "hf://some/repo/w.safetensors", digest, license="CC-BY-NC-4.0"))
    song = [DATA / "lithium.flac", "--model", "tiny", "--registry", more]
    first = run(*song, "-o", tmp_path / "first")
    assert first.status == 0, first.err
    assert first.paths == [tmp_path / "first/lithium" / f"{stem}.wav" for stem in ("vocals", "rest")]
    assert "warning: the weights of tiny are under CC-BY-NC-4.0: not for commercial use" in first.err
    assert "tiny: 0.0 MB downloaded in" in first.err
    assert "sum of the stems differs from the song by -1" in first.err
    asked = len(hub.requests)
    hub.stop()
    second = run(*song, "-o", tmp_path / "second")
    assert second.status == 0, second.err
    assert "commercial" not in second.err
    assert "downloaded" not in second.err
    assert len(hub.requests) == asked
    for one, other in zip(first.paths, second.paths, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_network_that_is_not_there_is_known_before_the_songs_are_read(
    stemsplit: Command, hub: Hub, registry_file: Callable[..., Path], song: Callable[..., Path]
) -> None:
    registry_file(table("tiny", "hf://some/repo/w.ckpt", SHA256))
    hub.stop()
    result = stemsplit(song("a.wav"), "--model", "tiny")
    assert (result.status, result.out) == (3, "")
    (line,) = result.err.splitlines()
    assert line.startswith("error: cannot download 'tiny': 127.0.0.1 cannot be reached (")
    assert not Path("stems").exists()


def test_nothing_is_downloaded_for_songs_that_cannot_be_split(
    stemsplit: Command, hub: Hub, registry_file: Callable[..., Path]
) -> None:
    registry_file(table("tiny", "hf://some/repo/w.ckpt", SHA256))
    assert stemsplit("no-such-song.flac", "--model", "tiny").status == 1
    assert hub.requests == []


def test_a_download_says_where_the_file_is_and_what_to_know(
    stemsplit: Command, hub: Hub, registry_file: Callable[..., Path]
) -> None:
    """Once."""
    hub.put("/w.ckpt", CONTENT)
    registry_file(table("tiny", f"{hub.url}/w.ckpt", license=""))
    first, second = stemsplit("download", "tiny"), stemsplit("download", "tiny")
    assert (first.status, second.status) == (0, 0)
    assert first.paths == second.paths
    assert first.paths[0].read_bytes() == CONTENT
    assert "warning: the author of tiny states no licence for its weights: no use is expressly allowed" in first.err
    assert f"no digest of tiny was published; that of this file is now recorded in {lock_file()}" in first.err
    assert second.err == "tiny is already on this machine\n"


def test_quiet_says_nothing(stemsplit: Command, hub: Hub, registry_file: Callable[..., Path]) -> None:
    hub.put("/w.ckpt", CONTENT)
    registry_file(table("tiny", f"{hub.url}/w.ckpt", license=""))
    for _ in range(2):
        result = stemsplit("download", "--quiet", "tiny")
        assert (result.status, len(result.paths), result.err) == (0, 1, "")


def test_one_model_that_cannot_be_had_does_not_stop_the_others(
    stemsplit: Command, hub: Hub, registry_file: Callable[..., Path]
) -> None:
    hub.put("/w.ckpt", CONTENT)
    registry_file(table("bad", f"{hub.url}/gone.ckpt", SHA256), table("good", f"{hub.url}/w.ckpt", SHA256))
    result = stemsplit("download", "bad", "good")
    assert result.status == 3
    assert len(result.paths) == 1
    (error,) = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert error == f"error: cannot download 'bad' from {hub.url}/gone.ckpt: 127.0.0.1 does not have the file (404)"


def test_a_cache_that_vanishes_does_not_stop_the_other_models(
    stemsplit: Command, hub: Hub, registry_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody removes it while the first one is on its way."""
    hub.put("some/repo/w.ckpt", CONTENT)
    hub.put("/w.ckpt", CONTENT)
    hub.put("/x.ckpt", CONTENT[::-1])
    other = hashlib.sha256(CONTENT[::-1]).hexdigest()
    registry_file(
        table("first", "hf://some/repo/w.ckpt", SHA256),
        table("second", f"{hub.url}/w.ckpt", SHA256),
        table("third", f"{hub.url}/x.ckpt", other),
    )
    progress = DownloadReport.progress

    def vanish(report: DownloadReport, done: int, total: int) -> None:
        progress(report, done, total)
        if report.name != "third" and done == len(CONTENT):
            for folder in (hub_cache.folder(), cache_folder()):
                shutil.rmtree(folder, ignore_errors=True)

    monkeypatch.setattr(DownloadReport, "progress", vanish)
    result = stemsplit("download", "first", "second", "third")
    assert result.status == 3
    errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
    first, second = errors
    assert first.startswith("error: cannot download 'first' from hf://some/repo/w.ckpt: ")
    assert second.startswith(f"error: cannot download 'second' from {hub.url}/w.ckpt: ")
    assert result.paths[0].read_bytes() == CONTENT[::-1]


def test_passwords_of_an_address_are_not_told(stemsplit: Command, hub: Hub, registry_file: Callable[..., Path]) -> None:
    hub.put("/w.ckpt", CONTENT)
    address = hub.url.replace("http://", "http://user:s3cr3t@")
    registry_file(
        table("bad", f"{address}/gone.ckpt?token=s3cr3t"),
        table("good", f"{address}/w.ckpt?token=s3cr3t"),
        table("not-hub", "hf://user:s3cr3t@repo/w.ckpt"),
    )
    results = [stemsplit(command, "bad", "good", "not-hub") for command in ("download", "remove")]
    assert [result.status for result in results] == [3, 3]
    assert "http://***@127.0.0.1" in results[0].err
    for result in results:
        assert "s3cr3t" not in result.out + result.err


@unix
def test_a_server_that_dribbles_can_be_interrupted(hub: Hub, registry_file: Callable[..., Path]) -> None:
    """Whoever waits for it hears signals all the while."""
    hub.put("/w.ckpt", CONTENT, fault=Fault(dribbles="headers"))
    registry_file(table("tiny", f"{hub.url}/w.ckpt", SHA256))
    process = start("download", "tiny")
    wait_for(lambda: bool(hub.requests), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "error: interrupted; run the same command again to resume the download\n"


def test_what_a_host_shows_to_people_alone_they_are_told_to_get(
    stemsplit: Command, hub: Hub, registry_file: Callable[..., Path], home: Path
) -> None:
    hub.put("/get", b"<html>Download anyway?</html>", fault=Fault(kind="text/html"))
    registry_file(table("tiny", f"{hub.url}/get?id=1", page="https://example.org"))
    result = stemsplit("download", "tiny")
    assert result.status == 3
    assert "open the address in a browser (see https://example.org), save the file, then: stemsplit SONG" in result.err
    assert not list(home.rglob("get"))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["tiny", "tinny"], 3, "no model named 'tinny'; did you mean 'tiny'?"),
        ([], 2, "name one or more models, or use --all"),
        (["tiny", "--all"], 2, "name one or more models, or use --all"),
        (["tiny", "--stems", "vocals"], 2, "--all, alone or with --stems"),
    ],
)
def test_a_slip_is_told_before_anything_is_fetched(
    stemsplit: Command,
    hub: Hub,
    registry_file: Callable[..., Path],
    arguments: list[str],
    status: int,
    words: str,
) -> None:
    hub.put("/w.ckpt", CONTENT)
    registry_file(table("tiny", f"{hub.url}/w.ckpt", SHA256))
    result = stemsplit("download", *arguments)
    assert (result.status, result.out) == (status, "")
    assert words in result.err
    assert hub.requests == []


def test_all_models_of_some_stems_are_had_at_once(
    stemsplit: Command, hub: Hub, registry_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from stemsplit import registry

    # Without the package's own models.
    (tmp_path / "none.toml").touch()
    monkeypatch.setattr(registry, "packaged_path", lambda: tmp_path / "none.toml")
    hub.put("/w.ckpt", CONTENT)
    hub.put("/x.ckpt", CONTENT[::-1])
    sized = table("one", f"{hub.url}/w.ckpt", SHA256, size=len(CONTENT))
    other = table("two", f"{hub.url}/x.ckpt", stems='"vocals", "noise"')
    registry_file(sized, other, table("three", f"{hub.url}/gone.ckpt", stems='"speech", "noise"'))
    result = stemsplit("download", "--all", "--stems", "vocals,rest")
    assert (result.status, len(result.paths)) == (0, 1)
    assert result.err.startswith("1 model: 0 already on this machine, 1 to download (0.3 MB)\n")
    result = stemsplit("download", "--all", "--stems", "vocals")
    assert (result.status, len(result.paths)) == (0, 2)
    assert result.err.startswith("2 models: 1 already on this machine, 1 to download\n")
    result = stemsplit("download", "--all")
    assert (result.status, len(result.paths)) == (3, 2)


@pytest.fixture
def held(hub: Hub, registry_file: Callable[..., Path]) -> Iterator[Hub]:
    """A hub that stops sending a file at half."""
    hub.put("some/repo/w.ckpt", CONTENT, fault=Fault(hold_after=160_000))
    registry_file(table("tiny", "hf://some/repo/w.ckpt", SHA256, size=len(CONTENT)))
    yield hub
    hub.go_on.set()


def parts() -> list[Path]:
    return list(hub_cache.folder().glob("*/blobs/*.incomplete"))


def wait_for(state: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    for _ in range(2_000):
        if state():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    pytest.fail("it never came to that")


@unix
@pytest.mark.parametrize(("name", "status"), [("SIGKILL", -9), ("SIGINT", 130), ("SIGTERM", 143)])
def test_killed_at_half_the_next_run_goes_on(held: Hub, name: str, status: int) -> None:
    process = start("download", "tiny")
    wait_for(lambda: bool(parts()) and parts()[0].stat().st_size > 100_000, process)
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert ("error: interrupted; run the same command again to resume the download" in err) == (name == "SIGINT")
    (part,) = parts()
    here = part.stat().st_size
    held.go_on.set()
    result = run("download", "tiny")
    assert result.status == 0, result.err
    assert result.paths[0].read_bytes() == CONTENT
    last = held.asked("GET", "/cdn")[-1]
    assert last.headers["range"] == f"bytes={here}-"
    assert last.sent == len(CONTENT) - here
    assert not parts()


def test_two_at_once_both_end_well(held: Hub) -> None:
    """And the file is sent once."""
    first = start("download", "tiny")
    wait_for(held.holding.is_set, first)
    second = start("download", "tiny")
    wait_for(lambda: len(held.asked("HEAD")) == 2, second)
    held.go_on.set()
    results = [process.communicate(timeout=60) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], results
    assert results[0][0] == results[1][0]
    assert Path(results[0][0].strip()).read_bytes() == CONTENT
    assert sum(request.sent for request in held.requests) == len(CONTENT)


def test_a_full_disk_is_told_and_the_download_goes_on_when_there_is_room(
    hub: Hub, registry_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real disk, of 200 kB; how much is needed is known beforehand, or not: then some of the disk is left free."""
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    small = f"mount -t tmpfs -o size=200k tmpfs {tmp_path / 'disk'}"
    (tmp_path / "disk").mkdir()
    if not shutil.which("unshare") or subprocess.run([*mount, small], capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    file = hub.put("/w.ckpt", CONTENT)
    registry_file(table("tiny", f"{hub.url}/w.ckpt", SHA256))
    monkeypatch.setenv("STEMSPLIT_CACHE", str(tmp_path / "disk"))
    command = f"{sys.executable} -m stemsplit download tiny"
    grown = "mount -o remount,size=200m " + str(tmp_path / "disk")
    script = f"{small}; {command} && exit 9; ls -s {tmp_path / 'disk'}/weights >&2; {grown}; {command}"
    for fault, words in (
        (Fault(), f"it needs 0.3 MB more in {tmp_path / 'disk' / 'weights'}, where 0.2 MB are free; make room there"),
        (Fault(no_size=True), "its size is not known, and fewer than 100 MB are free in"),
    ):
        file.fault = fault
        hub.requests.clear()
        done = subprocess.run([*mount, script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stdout.splitlines()) == 1


def test_a_read_only_cache_is_used_and_told_of(
    stemsplit: Command, hub: Hub, registry_file: Callable[..., Path], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("some/repo/w.ckpt", CONTENT)
    hub.put("some/repo/x.ckpt", CONTENT[::-1])
    registry_file(
        table("tiny", "hf://some/repo/w.ckpt", SHA256),
        table("other", "hf://some/repo/x.ckpt", hashlib.sha256(CONTENT[::-1]).hexdigest()),
    )
    monkeypatch.setenv("STEMSPLIT_REGISTRY", "more.toml")
    assert stemsplit("download", "tiny").status == 0
    with read_only(here):
        used, lacking = stemsplit("download", "tiny"), stemsplit("download", "other")
    assert (used.status, used.err) == (0, "tiny is already on this machine\n")
    assert lacking.status == 3
    assert "(permission denied); set HF_HOME to a folder that can be written" in lacking.err
    assert "Traceback" not in lacking.err


def recorded(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> io.StringIO:
    """Everything that people are told from now on."""
    stream = io.StringIO()
    people = Console(file=stream, force_terminal=terminal, width=80, markup=False, highlight=False)
    monkeypatch.setattr(console, "PEOPLE", people)
    return stream


def test_a_terminal_shows_name_size_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=True)
    with DownloadReport("[tiny]", quiet=False) as report:
        report.progress(0, 3_000_000)
        report.progress(1_000_000, 3_000_000)
        report.progress(1_500_000, 3_000_000)
        report.bar.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert re.search(r"\[tiny\] .*1\.5/3\.0 MB .*B/s", text)
    assert max(len(line.rstrip()) for line in text.replace("\r", "\n").splitlines()) <= 80


def test_elsewhere_there_are_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The speed is of what came now: a part that was here already is not counted."""
    stream = recorded(monkeypatch, terminal=False)
    clock = iter([100.0, 111.0, 122.0, 124.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with DownloadReport("tiny", quiet=False) as report:
        report.progress(2_000_000, 8_000_000)
        report.progress(4_200_000, 8_000_000)
        report.progress(6_400_000, 0)
    assert stream.getvalue().splitlines() == [
        "tiny: 52 % of 8.0 MB, 0.2 MB/s, 0:19 left",
        "tiny: 6.4 MB, 0.2 MB/s, ? left",
        "tiny: 4.4 MB downloaded in 24.0 s (0.2 MB/s)",
    ]
