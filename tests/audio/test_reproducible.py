"""The same samples give the same bytes: at any time, in any process, from any thread, in blocks of any size."""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import soundfile

from stemsplit.audio import WAV, Format, Reader, Writer, examine
from stemsplit.audio.containers.ogg import checksum, renumber
from stemsplit.errors import AudioError
from tests.conftest import noise

ALL = [("wav", None), ("wav", "24"), ("wav", "16"), ("flac", None), ("flac", "16"), ("ogg", None), ("mp3", None)]
ALL += [("aiff", "32f"), ("opus", None)]
TAGS = {"title": "Дует", "date": "1999"}
Song = Callable[..., Path]


def samples(frames: int = 150_000) -> np.ndarray:
    """Noise that begins with a jump and becomes quiet, which encoders treat in their special ways."""
    found = noise(frames).T
    found[:, :1_000] += 0.5
    found[:, frames // 2 :] *= 0.01
    return found


def write(path: Path, format_: str, bit_depth: str | None, block: int = 10_007) -> bytes:
    path.parent.mkdir(exist_ok=True)
    whole = samples()
    writer = Writer(path, Format(format_, bit_depth), 44_100, 2, whole.shape[1], TAGS)
    for start in range(0, whole.shape[1], block):
        writer.write(whole[:, start : start + block])
    writer.close()
    return path.read_bytes()


PROGRAM = """
import sys
from pathlib import Path
from tests.audio.test_reproducible import ALL, write
for format_, bit_depth in ALL:
    write(Path(sys.argv[1]) / f"bass-{bit_depth}.{format_}", format_, bit_depth)
"""


def test_two_processes_at_two_times_write_the_same(tmp_path: Path) -> None:
    """Seconds apart, for times are kept in seconds."""
    for folder in ("a", "b"):
        subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / folder)], check=True)
        time.sleep(1.1)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == len(ALL)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize(("format_", "bit_depth"), ALL)
def test_the_size_of_blocks_is_no_matter(tmp_path: Path, format_: str, bit_depth: str | None) -> None:
    """Nor how the song is cut when the device has less memory."""
    path = tmp_path / "bass"
    first = write(path, format_, bit_depth)
    for block in (1 << 15, 150_000, 999):
        assert write(path, format_, bit_depth, block) == first


@pytest.mark.parametrize(("format_", "bit_depth"), ALL)
def test_two_threads_write_what_one_writes(tmp_path: Path, format_: str, bit_depth: str | None) -> None:
    names = ["bass", "drums"]
    alone = [write(tmp_path / "alone" / name, format_, bit_depth) for name in names]
    together = Barrier(2)

    def task(name: str) -> bytes:
        together.wait()
        return write(tmp_path / "together" / name, format_, bit_depth, 1_000)

    (tmp_path / "together").mkdir()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(task, names)) == alone


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.m4a"])
def test_two_threads_read_what_one_reads(song: Song, ffmpeg: Path, name: str) -> None:
    path = song("src.wav" if name == "a.m4a" else name, frames=200_000)
    if name == "a.m4a":
        source, path = path, path.with_name(name)
        subprocess.run([ffmpeg, "-loglevel", "error", "-i", source, path], check=True)

    def read(start: float) -> bytes:
        with Reader(path, start) as reader:
            return np.concatenate(list(reader), 1).tobytes()

    starts = [0.0, 1.0, 0.0, 2.0]
    alone = [read(start) for start in starts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, starts)) == alone


def test_a_file_opened_in_one_thread_is_written_and_closed_in_another(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a", Format("flac"), 44_100, 2, 1_000)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(writer.write, noise(1_000).T).result()
    writer.close()
    assert soundfile.info(tmp_path / "a").frames == 1_000


def test_each_thread_hears_of_its_own_trouble(tmp_path: Path, song: Song, monkeypatch: pytest.MonkeyPatch) -> None:
    """libsndfile keeps the reason why a file did not open for the whole process."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    good = song("a.wav", frames=100)
    (tmp_path / "text.flac").write_text("la la la " * 100)

    def task(number: int) -> str:
        try:
            if number % 3 == 0:
                Writer(tmp_path / "no" / "a.wav", WAV, 44_100, 2, 10)
            elif number % 3 == 1:
                examine(tmp_path / "text.flac")
            else:
                return str(examine(good).frames)
        except AudioError as error:
            return str(error)
        return "nothing"

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(task, range(300)))
    assert [len(set(found[kind::3])) for kind in range(3)] == [1, 1, 1]
    assert "cannot write" in found[0]
    assert "it is not audio" in found[1]
    assert found[2] == "100"


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from stemsplit.audio import Reader
signal.signal(signal.SIGINT, lambda *_: None)
with Reader(Path(sys.argv[1])) as reader:
    blocks = iter(reader)
    done = next(blocks).shape[1]
    os.killpg(0, signal.SIGINT)
    print(done + sum(block.shape[1] for block in blocks))
"""


@pytest.mark.usefixtures("ffmpeg")
def test_ctrl_c_is_for_us_to_act_upon(song: Song) -> None:
    """A terminal sends it to ffmpeg too, which would end the song there."""
    if sys.platform == "win32":
        pytest.skip("this system has no process groups")
    path = song("a.wav", frames=3_000_000)
    target = path.with_name("a.mka")
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", path, target], check=True)
    command = [sys.executable, "-c", INTERRUPTED, str(target)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    assert int(found.stdout) == examine(target).frames


def test_an_ogg_file_sounds_the_same_under_its_new_number(tmp_path: Path, ffmpeg: Path) -> None:
    path = tmp_path / "a.ogg"
    with soundfile.SoundFile(path, "w", 44_100, 2, format="OGG", subtype="VORBIS") as file:
        for start in range(0, 150_000, 10_000):
            file.write(samples()[:, start : start + 10_000].T)
    before, size = soundfile.read(path)[0], path.stat().st_size
    with path.open("r+b") as stream:
        renumber(stream, 0x1234_5678)
    assert path.stat().st_size == size
    assert np.array_equal(soundfile.read(path)[0], before)
    # ffmpeg checks the sums of pages, and says so where they are wrong.
    command = [ffmpeg, "-loglevel", "warning", "-i", path, "-f", "f32le", "-c:a", "pcm_f32le", "-"]
    decoded = subprocess.run(command, capture_output=True, check=True)
    assert decoded.stderr == b""
    assert np.abs(np.frombuffer(decoded.stdout, "<f4").reshape(-1, 2) - before).max() < 1e-4


def test_checksums_are_those_that_libsndfile_writes(song: Song) -> None:
    data = song("a.ogg").read_bytes()
    page = bytearray(data[: data.index(b"OggS", 4)])
    stated, page[22:26] = int.from_bytes(page[22:26], "little"), bytes(4)
    assert checksum(page) == stated


def test_stems_have_numbers_of_their_own(tmp_path: Path) -> None:
    """So that they can be put into one Ogg file."""
    assert write(tmp_path / "bass", "ogg", None)[14:18] != write(tmp_path / "drums", "ogg", None)[14:18]
