"""What libmpg123 remarks on a damaged MP3 is not printed; everything else is."""

import ctypes
import platform
import sys
import threading
from pathlib import Path

import pytest
import soundfile

from stemsplit.audio import Reader, read_tags
from stemsplit.audio.mpg123 import quiet
from stemsplit.errors import AudioError
from tests.conftest import noise

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only the GNU C library lets a program set its stderr"
)


@pytest.fixture
def damaged(tmp_path: Path) -> list[Path]:
    """An MP3 that was cut off, one with nonsense in it, two joined into one, and none at all."""
    path = tmp_path / "whole.mp3"
    soundfile.write(path, noise(66_150), 44_100, format="MP3")
    whole = path.read_bytes()
    contents = [
        whole[: len(whole) // 2],
        whole[:4_000] + bytes(700) + whole[4_000:],
        whole + whole,
        b"\xff\xfb\x90d" * 500,
    ]
    paths = [tmp_path / f"{number}.mp3" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def decode(path: Path) -> None:
    read_tags(path)
    try:
        with Reader(path) as reader:
            for _ in reader:
                pass
    except AudioError:
        pass


@pytest.mark.usefixtures("no_ffmpeg")
def test_nothing_is_printed_about_damaged_files(damaged: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    """In whichever thread they are read, several at once."""
    for path in damaged:
        decode(path)
    threads = [threading.Thread(target=decode, args=(path,)) for path in damaged for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capfd.readouterr().err == ""


def test_what_others_print_meanwhile_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    library = ctypes.CDLL(None)
    pipe = ctypes.c_void_p.in_dll(library, "stderr")
    with quiet(), quiet():
        library.fputs(b"Note: Trying to resync...\n", pipe)
        library.fputs(b"OMP: Info #1: of another library\n", pipe)
        print("of Python", file=sys.stderr)
    library.fputs(b"after it\n", pipe)
    library.fflush(pipe)
    assert sorted(capfd.readouterr().err.splitlines()) == ["OMP: Info #1: of another library", "after it", "of Python"]


def test_more_than_a_pipe_holds_blocks_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    library = ctypes.CDLL(None)
    with quiet():
        for _ in range(3_000):
            library.fputs(b"Note: " + 100 * b"x" + b"\n", ctypes.c_void_p.in_dll(library, "stderr"))
    assert "Note" not in capfd.readouterr().err
