"""Many songs, from outside: killed and started again, several processes at once, a full disk, another model."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.cli.conftest import Result
from tests.cli.processes import (
    STEMS,
    Fork,
    Forks,
    collection,
    environment,
    finished,
    mount,
    read_lines,
    registry,
    running,
    statuses,
    touched,
    tree,
    unprivileged,
)
from tests.cli.processes import tiny as tiny
from tests.conftest import noise, unix

Command = Callable[..., Result]
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(range(256))
GOOD = 40
KILLS = 5


@dataclass
class Collection:
    """Songs with faults among them, and what one undisturbed run made of them.

    Args:
        folder: holds `tree`, the songs.
        good: paths of those that can be split, from `folder`.
        bad: paths of the others -> what is said of each.
        options: what each run is given besides the output folder.
        result: what the undisturbed run said.
        stems: what it wrote.
        forks: starts the runs, if processes can be forked here.
    """

    folder: Path
    good: list[str]
    bad: dict[str, str]
    options: list[str]
    result: Result
    stems: dict[str, bytes | None]
    forks: Forks | None
    numbers: Iterator[int] = field(default_factory=count)

    def running(self, out: Path) -> AbstractContextManager["subprocess.Popen[str] | Fork"]:
        """Another run, started, with its stems elsewhere."""
        arguments = ("tree", "-o", out, *self.options)
        if self.forks is None:
            return running(*arguments, cwd=self.folder, prefix=unprivileged() or ())
        return self.forks.running(*arguments, cwd=self.folder, said=f"{next(self.numbers)} ")

    def run(self, out: Path) -> Result:
        """What another run says."""
        with self.running(out) as process:
            return finished(process)

    def check(self, out: Path) -> None:
        """All is there as the undisturbed run left it, and nothing else."""
        found = tree(out)
        assert sorted(found) == sorted(self.stems)
        assert [name for name in found if found[name] != self.stems[name]] == []


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """40 good songs, two of them of one name, and 3 bad ones."""
    folder = tmp_path_factory.mktemp("collection")
    top = folder / "tree"
    good = collection(top, GOOD - 2)
    (top / "first" / "cover.jpg").write_bytes(JPEG)
    (top / "empty.wav").touch()
    soundfile.write(top / "second" / "whole.flac", noise(30_000), 44_100)
    whole = (top / "second" / "whole.flac").read_bytes()
    (top / "second" / "whole.flac").unlink()
    (top / "second" / "truncated.flac").write_bytes(whole[: len(whole) // 2])
    for name in ("twin.wav", "twin.flac"):
        soundfile.write(top / "second" / name, noise(5_000), 44_100)
    good += ["tree/second/twin.flac", "tree/second/twin.wav"]
    bad = {"tree/empty.wav": "the file is empty", "tree/second/truncated.flac": "cut off"}
    if unprivileged() is not None:
        soundfile.write(top / "first" / "closed.wav", noise(5_000), 44_100)
        (top / "first" / "closed.wav").chmod(0o000)
        bad["tree/first/closed.wav"] = "permission denied"
    options = ["--json", "--like-source", "--model", "tiny", "--registry", str(registry(folder / "model"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEMSPLIT_CONFIG", str(folder / "config"))
        patch.setenv("STEMSPLIT_CACHE", str(folder / "cache"))
        forks = Forks(unprivileged() or ()) if hasattr(os, "fork") else None
        songs = Collection(folder, good, bad, options, Result(0, "", ""), {}, forks)
        songs.result = songs.run(folder / "undisturbed")
    songs.stems = tree(folder / "undisturbed")
    yield songs
    if forks is not None:
        forks.close()
    if "tree/first/closed.wav" in bad:
        (top / "first" / "closed.wav").chmod(0o600)


def records(out: Path) -> set[str]:
    """The songs that are whole, by the folders of their stems."""
    # os.walk: pathlib fails when a folder goes while it looks.
    return {os.path.relpath(folder, out) for folder, _, files in os.walk(out) if "stemsplit.json" in files}


def place(song: str) -> str:
    """Where a song's stems go, below the output folder."""
    path = Path(song).relative_to("tree")
    return str(path if path.stem == "twin" else path.with_suffix(""))


def test_among_bad_songs_the_good_ones_are_split(songs: Collection) -> None:
    told, summary = read_lines(songs.result.out)
    assert songs.result.status == 1
    expected = {**dict.fromkeys(songs.good, "done"), **dict.fromkeys(songs.bad, "failed")}
    assert {song["song"]: song["status"] for song in told} == expected
    counts = {
        "songs": len(songs.good) + len(songs.bad),
        "done": len(songs.good),
        "skipped": 0,
        "failed": len(songs.bad),
        "passed_over": 1,
    }
    assert summary.items() >= counts.items()
    for song in told:
        if song["status"] == "failed":
            assert songs.bad[song["song"]] in song["error"]
            assert f"error: {song['error']}\n" in songs.result.err
    assert songs.result.err.count("error: ") == len(songs.bad)
    assert "Traceback" not in songs.result.err
    if "tree/first/closed.wav" not in songs.bad:
        pytest.skip("the one thing left out is a song that may not be read: nothing here keeps root from reading")


def test_stems_of_a_mixed_collection_are_each_like_their_song(songs: Collection) -> None:
    """In the song's own folder; as long, of the same rate and channels, and in the format that was asked for."""
    assert records(songs.folder / "undisturbed") == {place(song) for song in songs.good}
    for line in read_lines(songs.result.out)[0]:
        if line["status"] == "failed":
            assert line["stems"] == {}
            continue
        assert tuple(line["stems"]) == STEMS
        source = soundfile.info(songs.folder / line["song"])
        for name, stem in line["stems"].items():
            path = Path(stem["path"])
            assert path.parent == songs.folder / "undisturbed" / place(line["song"])
            assert path.name == f"{name}{Path(line['song']).suffix.lower()}"
            found = soundfile.info(path)
            assert (found.samplerate, found.channels) == (source.samplerate, source.channels)
            assert (found.format, found.subtype) == (source.format, source.subtype)
            # An encoder of MP3 adds what it needs to get going.
            assert found.frames == source.frames or source.format == "MP3"


def watched(process: "subprocess.Popen[str] | Fork", out: Path, enough: Callable[[set[str]], bool]) -> None:
    """Wait until enough songs are whole."""
    while not enough(records(out)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def killed(songs: Collection, out: Path, chance: random.Random) -> str:
    """Start a run, kill it when it has got on somewhat, and give what it printed."""
    here, more = len(records(out)), chance.randint(1, 4)
    with songs.running(out) as process:
        # Either right after a song, or when the next one is being written.
        between = chance.random() < 0.5
        watched(
            process, out, lambda whole: len(whole) >= here + more and (between or any(out.glob(".stemsplit-*/*.*")))
        )
        time.sleep(chance.uniform(0, 0.08))
        process.kill()
        result = finished(process)
    assert result.status == (-9 if os.name == "posix" else 1)
    return result.out


def test_killed_five_times_the_end_is_as_if_it_never_were(songs: Collection, tmp_path: Path) -> None:
    """Each good song is done once: what was whole when a run was killed is never made again."""
    out, chance = tmp_path / "out", random.Random(4)
    whole: dict[str, tuple[int, int]] = {}
    done: list[str] = []
    for _ in range(KILLS):
        done += [song for song, status in statuses(killed(songs, out, chance)).items() if status == "done"]
        now = touched(out)
        assert whole.items() <= now.items()
        whole = {name: at for name, at in now.items() if Path(name).name == "stemsplit.json"}
        # No part of a stem has the name of one.
        for name, content in tree(out).items():
            assert name.startswith(".stemsplit-") or content == songs.stems[name]
    before = records(out)
    assert 0 < len(before) < GOOD
    last = songs.run(out)
    assert last.status == 1
    assert len(done) == len(set(done))
    told, summary = read_lines(last.out)
    skipped = {place(line["song"]) for line in told if line["status"] == "skipped"}
    # One that was killed while its files were moved is whole as soon as the others have been, too.
    assert before <= skipped
    assert len(skipped - before) <= 1
    assert (summary["skipped"], summary["done"]) == (len(skipped), GOOD - len(skipped))
    assert (summary["failed"], summary["passed_over"]) == (len(songs.bad), 1)
    assert whole.items() <= touched(out).items()
    songs.check(out)


def test_two_at_once_share_the_songs(songs: Collection, tmp_path: Path) -> None:
    """Each song is done by one of them, and told by both."""
    with songs.running(tmp_path / "out") as one, songs.running(tmp_path / "out") as other:
        results = [finished(one), finished(other)]
    assert [result.status for result in results] == [1, 1]
    for result in results:
        assert "Traceback" not in result.err
        _, summary = read_lines(result.out)
        assert summary["done"] + summary["skipped"] == GOOD
        assert (summary["failed"], summary["passed_over"]) == (len(songs.bad), 1)
    first, second = (statuses(result.out) for result in results)
    assert {song: {first[song], second[song]} for song in songs.good} == {
        song: {"done", "skipped"} for song in songs.good
    }
    songs.check(tmp_path / "out")


def test_what_one_of_two_was_killed_at_the_other_one_does(songs: Collection, tmp_path: Path) -> None:
    out, chance = tmp_path / "out", random.Random(2)
    with songs.running(out) as other:
        killed(songs, out, chance)
        result = finished(other)
    assert result.status == 1
    _, summary = read_lines(result.out)
    assert summary["done"] + summary["skipped"] == GOOD
    songs.check(out)


@unix
def test_interrupted_it_says_so_and_leaves_whole_songs_and_whole_lines(songs: Collection, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with songs.running(out) as process:
        watched(process, out, bool)
        process.send_signal(signal.SIGINT)
        result = finished(process)
    assert result.status == 130
    assert "error: interrupted; no stem was left half-written; run the same command again to continue\n" in result.err
    told = [json.loads(line) for line in result.out.splitlines()]
    *lines, summary = told
    assert summary["summary"]["exit_status"] == 130
    assert {line["status"] for line in lines} <= {"done", "failed"}
    assert {place(line["song"]) for line in lines if line["status"] == "done"} <= records(out)
    found = tree(out)
    assert found.items() <= songs.stems.items()
    assert len(records(out)) * (len(STEMS) + 1) == sum(content is not None for content in found.values())


def crashed(
    folder: Path, song: Callable[..., Path], before: list[str], arguments: list[str], between: list[list[str]]
) -> list[dict[str, Any]]:
    """Run a command that is killed before each of its steps in turn, each time in a fresh copy of a folder.

    Args:
        folder: gets them all.
        song: writes one.
        before: a command that ran there before; empty for none.
        arguments: the command; it ends well.
        between: commands of which one runs before it is started again: each in a copy of what the kill left.

    Returns:
        As `crashing.py` prints them.
    """
    (folder / "before").mkdir()
    for name in ("a.wav", "b.flac"):
        song(f"before/{name}", frames=3_000)
    model = ["--model", "tiny", "--registry", str(registry(folder / "model"))]
    driver = [sys.executable, str(Path(__file__).with_name("crashing.py")), str(folder)]
    commands = [json.dumps([*arguments, *model]), json.dumps([[*words, *model] for words in between])]
    commands += [json.dumps([*before, *model])] * bool(before)
    done = subprocess.run([*driver, *commands], capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_before_whatever_step_it_is_killed_the_next_run_ends_well(tmp_path: Path, song: Callable[..., Path]) -> None:
    """Every file that Python makes, renames or removes on the way, for a new song and one that is made again."""
    arguments = ["a.wav", "b.flac", "--stems", "drums,vocals", "--force"]
    *steps, undisturbed = crashed(tmp_path, song, ["a.wav", "--stems", "drums,vocals"], arguments, [])
    expected = tree(tmp_path / undisturbed["folder"] / "stems")
    assert len(steps) > len(expected)
    for step in steps:
        assert step["status"] == 0, (step, (tmp_path / step["folder"] / "err.txt").read_text())
        found = tree(tmp_path / step["folder"] / "stems")
        assert sorted(found) == sorted(expected), step
        assert [name for name in found if found[name] != expected[name]] == [], step


def counted(result: Result) -> tuple[int, int, int]:
    """How many songs were done, skipped and failed."""
    assert result.status == (1 if '"failed"' in result.out.partition('"summary"')[0] else 0), result.err
    _, summary = read_lines(result.out)
    return summary["done"], summary["skipped"], summary["failed"]


def test_songs_that_are_done_are_skipped_until_forced(
    stemsplit: Command, song: Callable[..., Path], tiny: list[str]
) -> None:
    songs = [song("a.wav"), song("b.flac")]
    assert counted(stemsplit(*songs, *tiny, "--json")) == (2, 0, 0)
    before = tree(Path("stems")), touched(Path("stems"))
    again = stemsplit(*songs, *tiny, "--json")
    assert counted(again) == (0, 2, 0)
    assert (tree(Path("stems")), touched(Path("stems"))) == before
    told, _ = read_lines(again.out)
    assert [stem["path"] for stem in told[1]["stems"].values()] == [f"stems/b/{stem}.wav" for stem in STEMS]
    assert counted(stemsplit(*songs, *tiny, "--json", "--force")) == (2, 0, 0)
    assert tree(Path("stems")) == before[0]
    assert touched(Path("stems")) != before[1]


@pytest.mark.parametrize(
    "change",
    [
        ["--bit-depth", "16"],
        ["--format", "flac"],
        ["--start", "0.1"],
        ["--duration", "0.1"],
        ["--chunk-seconds", "0.5"],
        ["--overlap", "0.25"],
        ["--window", "linear"],
        ["--estimates", "raw"],
        ["--drop-silent"],
        ["--mix", "karaoke=mixture-vocals"],
        ["--name", "{track} {stem}"],
    ],
    ids=lambda words: words[0],
)
def test_a_changed_option_makes_the_songs_again(
    stemsplit: Command, song: Callable[..., Path], tiny: list[str], change: list[str]
) -> None:
    """Once, and as if nothing had been there before; and there is a way back."""
    path = song("a.wav")
    assert counted(stemsplit(path, *tiny, "--json")) == (1, 0, 0)
    changed = stemsplit(path, *tiny, "--json", *change)
    assert counted(changed) == (1, 0, 0)
    assert counted(stemsplit(path, *tiny, "--json", *change)) == (0, 1, 0)
    assert counted(stemsplit(path, *tiny, "--json", *change, "-o", "fresh")) == (1, 0, 0)
    for stem in read_lines(changed.out)[0][0]["stems"].values():
        assert Path(stem["path"]).read_bytes() == (Path("fresh") / Path(stem["path"]).relative_to("stems")).read_bytes()
    assert stemsplit(path, *tiny).status == 0


def test_other_weights_under_the_same_name_make_the_songs_again(
    stemsplit: Command, song: Callable[..., Path], tiny: list[str], tmp_path: Path
) -> None:
    path = song("a.wav")
    assert counted(stemsplit(path, *tiny, "--json")) == (1, 0, 0)
    vocals = Path("stems/a/vocals.wav").read_bytes()
    other = registry(tmp_path / "other", seed=1)
    assert counted(stemsplit(path, "--model", "tiny", "--registry", other, "--json")) == (1, 0, 0)
    assert Path("stems/a/vocals.wav").read_bytes() != vocals
    assert counted(stemsplit(path, *tiny, "--json")) == (1, 0, 0)
    assert Path("stems/a/vocals.wav").read_bytes() == vocals


def test_a_changed_song_is_made_again_and_the_others_are_not(
    stemsplit: Command, song: Callable[..., Path], tiny: list[str]
) -> None:
    """Even one of the same size, whose times were set back."""
    first, second = song("a.wav"), song("b.wav")
    assert counted(stemsplit(first, second, *tiny, "--json")) == (2, 0, 0)
    times = first.stat().st_atime_ns, first.stat().st_mtime_ns
    soundfile.write(first, noise(22_050, seed=1), 44_100)
    os.utime(first, ns=times)
    result = stemsplit(first, second, *tiny, "--json")
    assert counted(result) == (1, 1, 0)
    assert statuses(result.out) == {str(first): "done", str(second): "skipped"}


def test_a_song_that_was_touched_or_moved_about_is_not_made_again(
    stemsplit: Command, song: Callable[..., Path], tiny: list[str]
) -> None:
    path = song("a.wav")
    assert counted(stemsplit(path, *tiny, "--json")) == (1, 0, 0)
    path.touch()
    assert counted(stemsplit(path, *tiny, "--json")) == (0, 1, 0)
    Path("elsewhere").mkdir()
    path.rename("elsewhere/a.wav")
    assert counted(stemsplit("elsewhere/a.wav", *tiny, "--json")) == (0, 1, 0)


def test_a_stem_that_was_deleted_is_made_again(stemsplit: Command, song: Callable[..., Path], tiny: list[str]) -> None:
    path = song("a.wav")
    assert counted(stemsplit(path, *tiny, "--json")) == (1, 0, 0)
    before = tree(Path("stems"))
    Path("stems/a/bass.wav").unlink()
    assert counted(stemsplit(path, *tiny, "--json")) == (1, 0, 0)
    assert tree(Path("stems")) == before


FULL = """
mount -t tmpfs -o size=$1 tmpfs disk
trap 'umount disk' EXIT
{command} >first.out 2>first.err
echo $? >first.status
(cd disk && find . -type f) >first.files
mount -o remount,size=50m disk
{command} >second.out 2>second.err
echo $? >second.status
[ ! -d disk/stems ] || cp -R disk/stems stems
"""
"""The command on a disk that is too small, then on the same with more room; the disk may go with the shell."""


def filled(folder: Path, size: str, *arguments: str | Path) -> tuple[Result, list[str], Result]:
    """What a command says on a small disk, the files it leaves there, and what it says when there is more room."""
    prefix = mount()
    if prefix is None:
        pytest.skip("no small disk can be mounted here")
    (folder / "disk").mkdir()
    command = shlex.join([sys.executable, "-m", "stemsplit", *map(str, arguments), "-o", "disk/stems"])
    script = ["sh", "-uc", FULL.format(command=command), "sh", size]
    done = subprocess.run([*prefix, *script], cwd=folder, capture_output=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    first, second = (
        Result(int((folder / f"{name}.status").read_text()), *(
            (folder / f"{name}.{kind}").read_text() for kind in ("out", "err")
        ))
        for name in ("first", "second")
    )  # fmt: skip
    return first, (folder / "first.files").read_text().splitlines(), second


def of_unknown_length(path: Path, frames: int) -> None:
    """Write a flac that does not tell how long it is, as programs that write to a pipe leave it."""
    soundfile.write(path, noise(frames), 44_100)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # 36 bits of its STREAMINFO
    data[22:26] = bytes(4)
    path.write_bytes(data)


def test_a_disk_too_small_for_a_song_of_unknown_length_is_told_and_gone_on_with_when_there_is_room(
    song: Callable[..., Path], tiny: list[str], tmp_path: Path
) -> None:
    """The song before it stays; of this one there is nothing, neither under its names nor hidden."""
    song("a.wav", frames=5_000)
    of_unknown_length(tmp_path / "b.flac", frames=150_000)  # 1.2 MB a stem
    first, files, second = filled(tmp_path, "2m", "a.wav", "b.flac", *tiny, "--json")
    assert counted(first) == (1, 0, 1)
    (line,) = [line for line in first.err.splitlines() if line.startswith("error: ")]
    assert "the stems need 5 MB in disk/stems, where " in line
    assert "Traceback" not in first.err
    assert sorted(files) == sorted(
        f"./stems/a/{name}" for name in (*(f"{stem}.wav" for stem in STEMS), "stemsplit.json")
    )
    assert counted(second) == (1, 1, 0)
    assert sorted(map(str, (tmp_path / "stems").rglob(".*"))) == []
    for stem in STEMS:
        assert soundfile.info(tmp_path / "stems" / "b" / f"{stem}.wav").frames == 150_000
