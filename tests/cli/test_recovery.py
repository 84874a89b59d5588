"""What a kill, a full disk or a slip leaves behind is made good by the next run."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import soundfile

from stemsplit import registry as models
from tests.cli.conftest import Result
from tests.cli.processes import environment, mount, read_lines, run, running, tree
from tests.cli.processes import tiny as tiny
from tests.cli.test_batches import counted, crashed, filled
from tests.conftest import noise

Command = Callable[..., Result]
Song = Callable[..., Path]


def test_a_disk_with_no_room_for_the_record_alone_is_gone_on_with_when_there_is_more(
    stemsplit: Command, song: Song, tiny: list[str], tmp_path: Path
) -> None:
    """The first run leaves all stems and no record; the second says "is already there, and not as stemsplit left it".

    `_move` writes the record when the stems have their names; what fails there takes the hidden folder, and with it
    the only sign that the stems are ours. So does any failure between the first rename and the last.
    """
    song("a.wav", frames=9_000)
    assert stemsplit("a.wav", *tiny, "-o", "measured").status == 0
    pages = sum(-(-path.stat().st_size // 4096) for path in Path("measured/a").glob("*.wav"))
    first, files, second = filled(tmp_path, f"{4 * pages}k", "a.wav", *tiny, "--json")
    assert counted(first) == (0, 0, 1)
    assert files == []
    assert counted(second) == (1, 0, 0)


def test_after_a_kill_another_run_in_between_does_no_harm(tmp_path: Path, song: Song) -> None:
    """One that fails, one on another song, and one on the same song that fails."""
    between = [["missing.wav"], ["b.flac"], ["a.wav", "--start", "9"]]
    *steps, undisturbed = crashed(
        tmp_path, song, ["b.flac", "-o", "other"], ["a.wav", "--stems", "drums,vocals"], between
    )
    expected = tree(tmp_path / undisturbed["folder"] / "stems")
    assert {int(step["folder"].partition("-")[2]) for step in steps} == set(range(len(between)))
    for step in steps:
        assert step["status"] == 0, (step, (tmp_path / step["folder"] / "err.txt").read_text())
        assert expected.items() <= tree(tmp_path / step["folder"] / "stems").items(), step


def test_killed_while_other_stems_are_made_the_record_still_knows_the_earlier_ones(tmp_path: Path, song: Song) -> None:
    before, arguments = ["a.wav", "--stems", "drums"], ["a.wav", "--stems", "vocals"]
    *steps, undisturbed = crashed(tmp_path, song, before, arguments, [])
    expected = tree(tmp_path / undisturbed["folder"] / "stems")
    for step in steps:
        assert step["status"] == 0, step
        assert tree(tmp_path / step["folder"] / "stems") == expected, step


TWICE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import json, shutil, crashing
arguments, work = json.loads(sys.argv[2]), Path(sys.argv[3])
shutil.copytree(work / "before", work / "warm")
crashing.command(work / "warm", arguments)
first, where = 0, ""
while "rename" not in where or "vocals" not in where:  # before the second of two stems gets its name
    first += 1
    shutil.rmtree(work / "once", ignore_errors=True)
    shutil.copytree(work / "before", work / "once")
    _, where = crashing.run(work / "once", arguments, first)
second, where = 0, "the first"
while where:
    second += 1
    shutil.copytree(work / "once", work / str(second))
    _, where = crashing.run(work / str(second), arguments, second)
    status, _ = crashing.run(work / str(second), arguments)
    print(json.dumps({"before": where, "status": status}))
"""


def test_killed_twice_the_third_run_ends_well(song: Song, tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    song("before/a.wav", frames=3_000)
    arguments = json.dumps(["a.wav", "--stems", "drums,vocals", *tiny])
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", TWICE, here, arguments, str(tmp_path)],
        capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [step for step in map(json.loads, done.stdout.splitlines()) if step["status"]] == []


def is_half_written(stems: Path) -> bool:
    """Whether a song's stems are being written. Folders may vanish meanwhile."""
    with suppress(FileNotFoundError):
        return any(path.stat().st_size > 100_000 for path in stems.glob(".stemsplit-*/*.wav"))
    return False


def test_a_file_that_appeared_after_a_kill_is_not_written_over(song: Song, tiny: list[str], tmp_path: Path) -> None:
    song("a.wav", frames=44_100 * 300)
    with running("a.wav", *tiny, cwd=tmp_path) as process:
        while not is_half_written(tmp_path / "stems"):
            assert process.poll() is None, process.communicate()
        process.kill()
    song("a.wav", frames=3_000)
    mine = tmp_path / "stems/a/vocals.wav"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    result = run("a.wav", *tiny, cwd=tmp_path)
    assert mine.read_bytes() == b"mine"
    assert result.status == 1


def test_an_empty_argument_is_not_the_working_folder(stemsplit: Command, song: Song, tiny: list[str]) -> None:
    song("a.wav")
    result = stemsplit("", *tiny)
    assert (result.status, result.out) == (2, "")
    assert not Path("stems").exists()


def test_silent_stems_may_be_dropped_and_asked_for_again(stemsplit: Command, tiny: list[str], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "q.wav", 1e-4 * noise(9_000), 44_100, subtype="FLOAT")
    assert counted(stemsplit("q.wav", *tiny, "--json")) == (1, 0, 0)
    assert counted(stemsplit("q.wav", *tiny, "--json", "--drop-silent")) == (1, 0, 0)
    assert counted(stemsplit("q.wav", *tiny, "--json")) == (1, 0, 0)


def test_a_dry_run_touches_nothing_also_with_a_published_model(
    stemsplit: Command, song: Song, tmp_path: Path, home: Path
) -> None:
    """It writes verified/SHA256.json into the cache: `weights.store.local` records what it verified."""
    song("a.wav")
    before = tree(tmp_path), tree(home)
    assert stemsplit("a.wav", "--model", models.DEFAULT_MODEL, "--dry-run").status == 0
    assert (tree(tmp_path), tree(home)) == before


def test_a_skipped_song_has_no_speed(stemsplit: Command, song: Song, tiny: list[str]) -> None:
    song("a.wav")
    stemsplit("a.wav", *tiny)
    ((told,), _) = read_lines(stemsplit("a.wav", *tiny, "--json").out)
    assert (told["status"], told["real_time_factor"] or 0) == ("skipped", 0)


@pytest.mark.parametrize("inodes", [3, 4])
def test_a_disk_that_takes_no_more_files_has_nothing_temporary_on_it(
    song: Song, tiny: list[str], tmp_path: Path, inodes: int
) -> None:
    """The hidden folder stays, with its lock or without: `Claim` does not undo what it made before it failed."""
    if (prefix := mount()) is None:
        pytest.skip("no small disk can be mounted here")
    song("a.wav", frames=3_000)
    (tmp_path / "disk").mkdir()
    script = (
        f'mount -t tmpfs -o size=10m,nr_inodes={inodes} tmpfs disk; trap "umount disk" EXIT; "$@"; find disk -name ".*"'
    )
    command = [sys.executable, "-m", "stemsplit", "a.wav", "-o", "disk/stems", "-q", *tiny]
    done = subprocess.run(
        [*prefix, "sh", "-c", script, "sh", *command], cwd=tmp_path, env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout == ""


def test_one_song_is_no_songs(stemsplit: Command, song: Song, tiny: list[str]) -> None:
    Path("album").mkdir()
    song("album/a.wav")
    Path("album/cover.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    assert "1 song: 1 split" in stemsplit("album", *tiny).err
