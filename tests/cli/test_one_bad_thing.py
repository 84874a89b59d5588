"""One bad thing does not end a batch: what fails for one song is that song's failure, whatever it is."""

import errno
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stemsplit.errors import AudioError, DeviceError, WeightsError
from stemsplit.songs import examining, pipeline, plan, preparing
from stemsplit.songs.stem_files import StemFiles
from tests.cli.conftest import Result
from tests.cli.processes import light as light
from tests.cli.processes import read_lines, run, statuses
from tests.conftest import unix

pytestmark = pytest.mark.usefixtures("light")

Command = Callable[..., Result]
Song = Callable[..., Path]

ERRORS = {
    "no more files": OSError(errno.EMFILE, "Too many open files"),
    "a network disk": OSError(errno.EIO, "Input/output error"),
    "no more threads": RuntimeError("can't start new thread"),
    "no memory": MemoryError(),
    "too deep": RecursionError("maximum recursion depth exceeded"),
    "a mistake of ours": KeyError("surprise"),
    "a message of two lines": ValueError("first\nsecond"),
    "a library": ImportError("cannot import name 'x' from 'y'"),
}


@pytest.fixture
def songs(song: Song) -> list[str]:
    return [song(name, frames=9_000).name for name in ("a.wav", "b.wav", "c.wav")]


def for_b(before: Callable[..., Any], error: Exception, path: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but that it fails for the song b.wav."""

    def failing(*args: Any, **more: Any) -> Any:
        if "b.wav" in str(path(*args)):
            raise error
        return before(*args, **more)

    return failing


def check_only_b_failed(result: Result) -> dict[str, Any]:
    assert result.status == 1, result.err
    assert statuses(result.out) == {"a.wav": "done", "b.wav": "failed", "c.wav": "done"}
    told, summary = read_lines(result.out)
    assert (summary["songs"], summary["done"], summary["failed"]) == (3, 2, 1)
    assert (summary["error"], summary["exit_status"]) == (None, 1)
    (error,) = (line["error"] for line in told if line["error"])
    assert "\n" not in error
    assert "b.wav" in error
    assert f"error: {error}\n" in result.err
    assert "Traceback" not in result.err
    return summary


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize(
    ("where", "what", "path"),
    [
        (examining, "heading", lambda path, *_: path),
        (preparing, "examine", lambda path, *_: path),
        (preparing, "sha256", lambda path, *_: path),
        (preparing.commit, "hold", lambda job, *_: job.path),
        (preparing, "StemFiles", lambda job, *_: job.path),
        (pipeline, "Reader", lambda path, *_: path),
        (StemFiles, "write", lambda files, *_: files.job.path),
        (StemFiles, "whole", lambda files, *_: files.job.path),
        (StemFiles, "settle", lambda files, *_: files.job.path),
    ],
)
def test_an_error_of_any_kind_is_one_songs(
    stemsplit: Command,
    songs: list[str],
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    what: str,
    path: Callable[..., Any],
    name: str,
) -> None:
    """Whether it is planned, examined, read, written or finished when it fails."""
    monkeypatch.setattr(where, what, for_b(getattr(where, what), ERRORS[name], path))
    check_only_b_failed(stemsplit(*songs, "--json", "--threads", "1"))
    assert not any(path.name.startswith(".") for path in Path("stems").iterdir())


def test_a_mistake_of_ours_says_where_it_is(
    stemsplit: Command, songs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug report needs it, and there is no traceback."""
    monkeypatch.setattr(preparing, "examine", for_b(preparing.examine, KeyError("surprise"), lambda path, *_: path))
    result = stemsplit(*songs, "--json")
    assert "cannot split b.wav: unexpected KeyError in preparing.py:" in result.err
    assert "'surprise'; please report it" in result.err


def test_clean_up_that_fails_does_not_end_the_batch(
    stemsplit: Command, songs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    close = StemFiles.close

    def failing(files: StemFiles) -> None:
        close(files)
        if files.job.path.name == "b.wav":
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(StemFiles, "close", failing)
    assert stemsplit(*songs).status == 0


@unix
@pytest.mark.parametrize("template", ["{track}/{stem}", "{artist}-{track}/{stem}"])
@pytest.mark.parametrize("options", [(), ("--like-source",), ("--dry-run",)])
def test_an_ffmpeg_that_does_not_start_fails_the_songs_that_need_it(
    stemsplit: Command,
    song: Song,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: tuple[str, ...],
    template: str,
) -> None:
    """One of another machine, say."""
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_bytes(b"\x7fELFnonsense")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    song("a.wav", frames=9_000), song("c.wav", frames=9_000)
    Path("b.m4a").write_bytes(bytes(range(256)) * 8)
    result = stemsplit("a.wav", "b.m4a", "c.wav", "--json", "--name", template, *options)
    fine = "to do" if options == ("--dry-run",) else "done"
    assert result.status == 1
    assert statuses(result.out) == {"a.wav": fine, "b.m4a": "failed", "c.wav": fine}
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "No usable temporary directory found"), PermissionError]
)
def test_a_temporary_folder_that_is_not_there_fails_the_songs_that_need_it(
    stemsplit: Command, song: Song, ffmpeg: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    """A container may have none that can be written."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    song("a.wav", frames=9_000), song("c.wav", frames=9_000)
    subprocess.run([ffmpeg, "-v", "error", "-i", "a.wav", "b.m4a"], check=True)
    for name in ("TemporaryFile", "NamedTemporaryFile", "mkdtemp", "mkstemp", "SpooledTemporaryFile"):
        monkeypatch.setattr(tempfile, name, fail)
    result = stemsplit("a.wav", "b.m4a", "c.wav", "--json")
    assert {**statuses(result.out), "b.m4a": ""} == {"a.wav": "done", "b.m4a": "", "c.wav": "done"}
    assert read_lines(result.out)[1]["songs"] == 3
    assert "Traceback" not in result.err


def test_a_song_that_vanishes_after_it_was_planned_does_not_end_the_batch(
    stemsplit: Command, songs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "check_room", lambda *_: Path("b.wav").unlink())
    check_only_b_failed(stemsplit(*songs, "--json"))


@unix
def test_few_open_files_fail_songs_and_lose_no_line(songs: list[str], tmp_path: Path) -> None:
    """With fewer still, Python itself does not start."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for most in (14, 17, 20):
        result = run(
            *songs,
            "--json",
            "--stems",
            "none",
            "--mix",
            "all=mixture",
            "--output",
            f"out{most}",
            cwd=tmp_path,
            preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard)),
        )
        if result.out:
            told, summary = read_lines(result.out)
            assert (len(told), summary["songs"]) == (3, 3)
            assert summary["exit_status"] == result.status
            # Either the songs fail that meet the limit, or a library (1) or the model's weights (3) cannot be opened.
            assert result.status in ((1, 3) if summary["error"] else (1,) if summary["failed"] else (0,))
        # Nothing is damaged, and nothing has to be installed again.
        assert not re.search("Traceback|damaged|to repair", result.err)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["a.wav", "--model", "nobody"], 3),
        (["a.wav", "--stems", "kazoo"], 2),
        (["a.wav", "--duration", "0"], 2),
        (["a.wav", "--device", "cuda:77"], 2),
        (["nothing"], 1),
        (["@missing.txt"], 1),
    ],
)
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_run_that_ends_before_its_songs_prints_a_summary_that_says_why(
    stemsplit: Command, song: Song, arguments: list[str], status: int, options: list[str]
) -> None:
    song("a.wav", frames=9_000)
    Path("nothing").mkdir()
    if options and "cuda:77" in arguments:
        pytest.skip("a dry run asks for no device")
    result = stemsplit(*arguments, "--json", *options)
    _, summary = read_lines(result.out)
    assert result.status == summary["exit_status"] == status
    assert summary["error"].splitlines() == [summary["error"]]


@pytest.mark.parametrize(("error", "status"), [(WeightsError("broken"), 3), (DeviceError("gone"), 2)])
def test_a_model_that_does_not_load_gives_every_song_its_line(
    stemsplit: Command, songs: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    """What was split before counts as split, and what is wrong with a song by itself is told of it."""

    def load(*_: Any, **__: Any) -> None:
        raise error

    assert stemsplit("a.wav").status == 0
    monkeypatch.setattr("stemsplit.cli.loading.load_models", load)
    result = stemsplit("missing.wav", *songs, "--json")
    told, summary = read_lines(result.out)
    assert [(line["song"], line["status"]) for line in told] == [
        ("missing.wav", "failed"),
        ("a.wav", "skipped"),
        ("b.wav", "failed"),
        ("c.wav", "failed"),
    ]
    assert "no such file" in told[0]["error"]
    assert told[2]["error"] == told[3]["error"] == summary["error"] == str(error)
    assert (result.status, summary["exit_status"], summary["failed"]) == (status, status, 3)


def test_an_interrupt_ends_json_with_a_summary(
    stemsplit: Command, songs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Songs that nobody tried did not fail."""
    whole = StemFiles.whole

    def interrupted(files: StemFiles) -> Any:
        if files.job.path.name == "b.wav":
            raise KeyboardInterrupt
        return whole(files)

    monkeypatch.setattr(StemFiles, "whole", interrupted)
    result = stemsplit(*songs, "--json")
    told, summary = read_lines(result.out)
    assert result.status == summary["exit_status"] == 130
    assert summary["error"] == "interrupted"
    assert [line["song"] for line in told] == ["a.wav"]


def test_a_lost_device_ends_the_batch(stemsplit: Command, songs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No other song could be computed either; each is told of."""
    error = RuntimeError("CUDA error: unspecified launch failure")
    monkeypatch.setattr(StemFiles, "write", for_b(StemFiles.write, error, lambda files, *_: files.job.path))
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        stemsplit(*songs, "--json")


def test_a_line_of_json_is_printed_even_if_a_songs_name_is_not_text(
    stemsplit: Command, songs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        preparing, "examine", for_b(preparing.examine, AudioError("b.wav \udcff"), lambda path, *_: path)
    )
    result = stemsplit(*songs, "--json")
    assert [json.loads(line) for line in result.out.splitlines()][1]["error"] == "b.wav \udcff"
