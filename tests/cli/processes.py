"""Runs the real command in processes of its own, on songs of all kinds, with a network as small as can be."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.cli.conftest import Result
from tests.conftest import noise

STEMS = ("drums", "bass", "other", "vocals")

TABLE = """
[NAME]
description = "as small as can be"
architecture = "sudormrf"
stems = ["drums", "bass", "other", "vocals"]
sample_rate = 44100
channels = 1
chunk = 11025
hop = 5512
complete = true
sources = ["file:weights.safetensors"]
author = "this test"
[NAME.config]
variant = "improved"
out_channels = 8
in_channels = 16
num_blocks = 1
enc_num_basis = 16
num_sources = 4
"""

UNPRIVILEGED = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, with which root reads anything
    if ctypes.CDLL(None, use_errno=True).prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
        sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def registry(folder: Path, name: str = "tiny", seed: int = 0) -> Path:
    """A registry with a small network and its weights, of four stems."""
    import torch

    from stemsplit.checkpoints.checkpoint import save
    from stemsplit.models import build

    folder.mkdir()
    table = TABLE.replace("NAME", name)
    (folder / "models.toml").write_text(table, encoding="utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save(build("sudormrf", tomllib.loads(table)[name]["config"]), folder / "weights.safetensors")
    return folder / "models.toml"


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A small network in the place of the built-in one, which takes a second for a chunk."""
    monkeypatch.setenv("STEMSPLIT_REGISTRY", str(registry(tmp_path_factory.mktemp("model") / "starter", "starter")))


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that choose a small network."""
    return ["--model", "tiny", "--registry", str(registry(tmp_path_factory.mktemp("model") / "tiny"))]


def environment(**more: str) -> dict[str, str]:
    """This process's variables, as in a terminal that knows colours, with none that turn these on or off."""
    switches = ("FORCE_COLOR", "NO_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    kept = {name: value for name, value in os.environ.items() if name not in switches}
    # One thread each, so that two at once are no slower than one after the other.
    return {**kept, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color", **more}


@contextmanager
def running(
    *arguments: str | Path, cwd: Path, prefix: Sequence[str] = (), **more: Any
) -> Iterator["subprocess.Popen[str]"]:
    """The command, started; killed at last if it still runs.

    Args:
        arguments: of the command.
        cwd: where.
        prefix: arguments of Python before its `-m stemsplit`.
        more: for `subprocess.Popen`.
    """
    command = [sys.executable, *prefix, "-m", "stemsplit", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()}
    with subprocess.Popen(command, cwd=cwd, text=True, **{**pipes, **more}) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(process: "subprocess.Popen[str] | Fork") -> Result:
    """What a running command leaves."""
    out, err = process.communicate(timeout=120)
    assert process.returncode is not None
    return Result(process.returncode, out, err)


def run(*arguments: str | Path, cwd: Path, **more: Any) -> Result:
    """What the command leaves."""
    with running(*arguments, cwd=cwd, **more) as process:
        return finished(process)


class Forks:
    """Starts the command in processes of its own, which need not load PyTorch: see `forks.py`.

    Args:
        prefix: arguments of Python before the program's path.
    """

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        command = [sys.executable, *prefix, str(Path(__file__).with_name("forks.py")), "120"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment()}
        self.server = subprocess.Popen(command, text=True, **pipes)

    def ask(self, **what: object) -> Any:
        """What the program answers."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(json.dumps(what), file=self.server.stdin, flush=True)
        return json.loads(self.server.stdout.readline())

    @contextmanager
    def running(self, *arguments: str | Path, cwd: Path, said: str = "") -> Iterator["Fork"]:
        """The command, started; killed at last if it still runs. `said`: see `forks.py`."""
        words = [*map(str, arguments)]
        number = self.ask(folder=str(cwd), arguments=words, environment=environment(), said=said)
        process = Fork(self, number, [cwd / f"{said}{name}" for name in ("out.txt", "err.txt")])
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def close(self) -> None:
        """End the program."""
        self.server.communicate()


@dataclass
class Fork:
    """A command that `Forks` started, as `subprocess.Popen` has it."""

    forks: Forks
    pid: int
    said: list[Path]
    returncode: int | None = None

    def poll(self, wait: bool = False) -> int | None:
        """Exit status, or None if it still runs."""
        if self.returncode is None:
            self.returncode = self.forks.ask(process=self.pid, wait=wait)
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:  # noqa: ARG002  # it has a limit of its own
        """Wait for its end; gives what it said."""
        self.poll(wait=True)
        out, err = (path.read_text() for path in self.said)
        return out, err


@pytest.fixture(scope="module")
def forked() -> Iterator[Callable[..., Result]]:
    """The command in processes of its own, which need not load PyTorch."""
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked here")
    forks = Forks()

    def run(*arguments: str | Path, cwd: Path) -> Result:
        with forks.running(*arguments, cwd=cwd) as process:
            return finished(process)

    yield run
    forks.close()


def read_lines(text: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The songs and the summary out of what `--json` printed: one line a song, and the summary last."""
    assert text.endswith("\n")
    *songs, last = [json.loads(line) for line in text.splitlines()]
    assert list(last) == ["summary"]
    assert not any("summary" in song for song in songs)
    return songs, last["summary"]


def statuses(text: str) -> dict[str, str]:
    """Song -> status, out of what `--json` printed; a last line that was cut off is left aside."""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return {line["song"]: line["status"] for line in lines if "song" in line}


def tree(folder: Path) -> dict[str, bytes | None]:
    """All there is below a folder: paths -> contents, None for folders."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def touched(folder: Path) -> dict[str, tuple[int, int]]:
    """All there is below a folder: paths -> which file it is, and when it was last written."""
    stats = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


@cache
def unprivileged() -> tuple[str, ...] | None:
    """What to put before `-m` so that file permissions hold for root, too; None if that cannot be had."""
    if os.name != "posix":
        return None
    if os.geteuid() != 0:
        return ()
    prefix = ("-c", UNPRIVILEGED)
    test = [sys.executable, *prefix, "-c", ""]
    return None if subprocess.run(test, capture_output=True, check=False).returncode else prefix


KINDS = {
    "wav": [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT")],
    "flac": [("FLAC", "PCM_16"), ("FLAC", "PCM_24")],
    "ogg": [("OGG", "VORBIS")],
    "mp3": [("MP3", "MPEG_LAYER_III")],
}
RATES = (8_000, 22_050, 44_100, 48_000, 96_000)
CHANNELS = (1, 2, 6)
SUFFIXES = {"wav": ("wav", "WAV", "Wav"), "flac": ("flac", "FLAC"), "ogg": ("ogg", "OGG"), "mp3": ("mp3", "Mp3")}


def collection(top: Path, count: int) -> list[str]:
    """Write that many short songs of mixed formats, rates and channels into a tree of folders; gives their paths."""
    everything = [
        (suffix, kind, rate, channels)
        for (suffix, kinds), rate, channels in product(KINDS.items(), RATES, CHANNELS)
        for kind in kinds
        if suffix != "mp3" or (rate <= 48_000 and channels <= 2)
    ]
    songs = []
    for number in range(count):
        # Evenly out of all that there is.
        suffix, (container, coding), rate, channels = everything[number * len(everything) // count]
        folder = top / ("", "first", "second", "second/live [1999]")[number % 4]
        folder.mkdir(parents=True, exist_ok=True)
        spellings = SUFFIXES[suffix]
        path = folder / f"song {number}.{spellings[number % len(spellings)]}"
        frames = round((0.2 + 0.3 * number / count) * rate)
        soundfile.write(path, noise(frames, channels, seed=number), rate, coding, format=container)
        songs.append(str(path.relative_to(top.parent)))
    return songs


def mount() -> list[str] | None:
    """What to put before a shell command that mounts a disk; None if none can be mounted here."""
    for prefix in ([], ["unshare", "--map-root-user", "--mount"]):
        if prefix and not shutil.which(prefix[0]):
            continue
        script = 'place=$(mktemp -d); mount -t tmpfs -o size=64k tmpfs "$place" && umount "$place"; done=$?'
        test = [*prefix, "sh", "-c", f'{script}; rmdir "$place"; exit $done']
        if not subprocess.run(test, capture_output=True, check=False).returncode:
            return prefix
    return None
