"""`stemsplit listen` as people type it."""

import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemsplit.cli import listen_
from stemsplit.cli.app import app
from stemsplit.cli.usage import run
from stemsplit.listening import opening
from tests.conftest import noise, unix
from tests.listening.making import split_song, write


@pytest.fixture(autouse=True)
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The last line on stderr where nothing is served; exit status 2."""
    with pytest.raises(SystemExit) as left:
        run(app, ["listen", *arguments])
    assert left.value.code == 2
    said = capfd.readouterr()
    assert said.out == ""
    return said.err.splitlines()[-1]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, with one song to listen to."""
    split_song(tmp_path / "stems/a", tmp_path / "a.flac", ["drums & bass", "vocals"])
    command = [sys.executable, "-m", "stemsplit", "listen", "--no-open", "--at", "0.05", "--solo", "drums & bass"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


@unix
def test_the_address_is_printed_and_ctrl_c_ends_it(started: subprocess.Popen[str]) -> None:
    assert started.stdout is not None
    address = started.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    page, _, fragment = address.partition("#")
    assert fragment == "t=0.05&solo=drums+%26+bass"
    with urllib.request.urlopen(f"{page}songs/0.json") as reply:
        assert b'"drums & bass"' in reply.read()
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (0, "")
    assert err.splitlines()[-1] == "stopped"
    assert "Traceback" not in err


def test_what_cannot_be_listened_to_is_said_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "stemsplit SONG" in refused(capfd)
    write(tmp_path / "album/a.flac", noise(300))
    assert "split" in refused(capfd, "album")
    assert "did you mean 'album'" in refused(capfd, "Album")
    assert "no such file" in refused(capfd, "missing.flac")
    (tmp_path / "x.json").write_text("{}")
    assert "record" in refused(capfd, "x.json")
    assert "--port" in refused(capfd, "album/a.flac", "--port", "99999")


def test_a_time_and_a_stem_that_the_song_does_not_have_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    split_song(tmp_path / "stems/a", tmp_path / "a.flac")
    assert "did you mean 'vocals'" in refused(capfd, "--solo", "vocal")
    assert "has only" in refused(capfd, "--at", "2:00")
    assert "not a time" in refused(capfd, "--at", "soon")


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.flac", noise(300))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(capfd, "a.flac", "--port", str(taken.getsockname()[1]))
    assert "leave out --port" in said


@unix
def test_a_browser_is_opened_only_where_it_does_not_take_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert opening.obstacle()
    monkeypatch.setenv("DISPLAY", ":0")
    assert not opening.obstacle() or opening._is_wsl()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.5 5000 10.0.0.9 22")
    monkeypatch.setenv("USER", "ada")
    assert "remote" in opening.obstacle()
    assert opening.tunnel(8000) == "ssh -N -L 8000:127.0.0.1:8000 ada@10.0.0.9"
    monkeypatch.setenv("BROWSER", "firefox")
    assert not opening.obstacle()


def test_a_missing_browser_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise RuntimeError("no browser")

    monkeypatch.setattr(opening.webbrowser, "open", refuse)
    opening.open_browser("http://127.0.0.1:1/").join()
    assert listen_.fragment(None, None) == ""
