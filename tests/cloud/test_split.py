"""Songs at addresses are split, and stems go to addresses, with the command that splits files."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import soundfile

from stemsplit.cloud.listing import objects
from stemsplit.cloud.store import Bucket
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit
from tests.cli.processes import environment, finished, read_lines, running, tree
from tests.cli.processes import light as light
from tests.cloud.server import BUCKET, Fault, Server
from tests.conftest import noise

pytestmark = pytest.mark.usefixtures("light", "album")

Command = Callable[..., Result]
HERE = f"s3://{BUCKET}"
FAST = ("--threads", "1", "--quiet")


def song(seed: int = 0, frames: int = 8_000) -> bytes:
    """A short song, as a file of it."""
    path = Path(f"song-{seed}-{frames}.wav")
    soundfile.write(path, noise(frames, 2, seed=seed), 44_100)
    content = path.read_bytes()
    path.unlink()
    return content


def below(bucket: Bucket, prefix: str) -> dict[str, bytes]:
    """All there is below a prefix, without the notes: names -> contents."""
    items = [item for item in objects(bucket, prefix) if "/stemsplit-notes/" not in item.key]
    found = {item.key.removeprefix(f"{prefix}/"): bucket.read(item.key, 10_000_000) for item in items}
    return {name: content[0] for name, content in found.items() if content}


def files(folder: Path) -> Mapping[str, bytes | None]:
    """All files below a folder, without the notes and with names as an object store has them."""
    found = tree(folder)
    return {name: content for name, content in found.items() if content is not None and "stemsplit-notes" not in name}


@pytest.fixture
def album(s3: Server, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Songs of an album in the bucket, and the same as files in `album`. A staging folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    names = ["one.wav", "cd 1/two.wav", "cd 1/three é.wav"]
    for seed, name in enumerate(names):
        content = song(seed)
        bucket.overwrite(f"album/{name}", content)
        Path("album", name).parent.mkdir(parents=True, exist_ok=True)
        Path("album", name).write_bytes(content)
    s3.network.seen.clear()
    return names


def downloads(s3: Server) -> list[str]:
    return [line for line in s3.network.seen if line.startswith("GET") and line.endswith(".wav")]


def test_songs_and_stems_at_addresses_are_the_same_as_files(
    stemsplit: Command, album: list[str], s3: Server, bucket: Bucket, tmp_path: Path
) -> None:
    """The same bytes, whatever comes from an address or goes to one; and what is split already is not brought again."""
    assert stemsplit("album", "-o", "files", *FAST).status == 0
    same = files(Path("files"))
    assert len(same) == 15
    sent = stemsplit(f"{HERE}/album/", "-o", f"{HERE}/stems", *FAST)
    assert sent.status == 0, sent.err
    assert f"{HERE}/stems/cd 1/three é/drums.wav" in sent.out.splitlines()
    assert below(bucket, "stems") == same
    assert stemsplit(f"{HERE}/album", "-o", "brought", *FAST).status == 0
    assert files(Path("brought")) == same
    assert stemsplit("album", "-o", f"{HERE}/from files", *FAST).status == 0
    assert below(bucket, "from files") == same
    s3.network.seen.clear()
    for output in (f"{HERE}/stems", "brought"):
        again = stemsplit(f"{HERE}/album", "-o", output, *FAST, "--json")
        songs, summary = read_lines(again.out)
        assert summary["skipped"] == 3
        assert {line["song"] for line in songs} == {f"{HERE}/album/{name}" for name in album}
    assert not downloads(s3)
    assert not list(tmp_path.glob("stemsplit-*"))


def test_faults_of_the_network_lose_no_song_and_double_none(stemsplit: Command, s3: Server, bucket: Bucket) -> None:
    """Busy, cut off before and after the work was done, cut off in the middle: reading and writing."""
    kinds = [(kind, method) for method in ("GET", "PUT", "HEAD") for kind in ("busy", "cut", "half", "lost")]
    kinds += [("lost", "POST"), ("busy", "POST")]  # by which objects are removed
    s3.network.faults += [Fault(kind, method) for kind, method in kinds]
    result = stemsplit(f"{HERE}/album/cd 1", "-o", f"{HERE}/stems", *FAST)
    assert result.status == 0, result.err
    assert not [fault for fault in s3.network.faults if fault.times]
    assert stemsplit("album/cd 1", "-o", "files", *FAST).status == 0
    assert below(bucket, "stems") == files(Path("files"))


def test_a_song_is_split_again_if_it_or_its_stems_have_changed(stemsplit: Command, s3: Server, bucket: Bucket) -> None:
    """Another song of the same size under the same name; and a stem that somebody removed. Without the notes, a song is
    brought once more, and seen to be the one that is split.
    """
    for output in (f"{HERE}/stems", "out"):
        assert stemsplit(f"{HERE}/album/one.wav", "-o", output, *FAST).status == 0
    bucket.overwrite("album/one.wav", song(7))
    for output in (f"{HERE}/stems", "out"):
        again = stemsplit(f"{HERE}/album/one.wav", "-o", output, *FAST, "--json")
        assert read_lines(again.out)[1]["done"] == 1
    for item in list(objects(bucket, "stems/stemsplit-notes")):
        bucket.delete(item.key)
    for expected in (1, 0):
        s3.network.seen.clear()
        again = stemsplit(f"{HERE}/album/one.wav", "-o", f"{HERE}/stems", *FAST, "--json")
        assert read_lines(again.out)[1]["skipped"] == 1
        assert len(downloads(s3)) == expected
    bucket.delete("stems/one/bass.wav")
    again = stemsplit(f"{HERE}/album/one.wav", "-o", f"{HERE}/stems", *FAST, "--json")
    assert read_lines(again.out)[1]["done"] == 1
    assert below(bucket, "stems") == files(Path("out"))


def test_what_stemsplit_did_not_write_stays_unless_forced(stemsplit: Command, bucket: Bucket, s3: Server) -> None:
    s3.plant("stems/one/vocals.wav", b"somebody's")
    refused = stemsplit(f"{HERE}/album/one.wav", "-o", f"{HERE}/stems", *FAST)
    assert refused.status == 1
    assert f"{HERE}/stems/one/vocals.wav is already there" in refused.err
    assert below(bucket, "stems") == {"one/vocals.wav": b"somebody's"}
    assert stemsplit(f"{HERE}/album/one.wav", "-o", f"{HERE}/stems", *FAST, "--force").status == 0
    assert below(bucket, "stems")["one/vocals.wav"] != b"somebody's"


@pytest.mark.usefixtures("no_ffmpeg")
def test_songs_that_fail_are_told_by_address_and_stop_no_other(
    stemsplit: Command, s3: Server, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.overwrite("album/broken.wav", b"RIFF" + bytes(100))
    s3.network.faults.append(Fault("denied", path="/album/cd", times=9))
    songs = [
        f"{HERE}/{name}" for name in ("album/none.wav", "album/cd 1/three é.wav", "album/broken.wav", "album/one.wav")
    ]
    arguments = [*songs, "album/cd 1/two.wav", "-o", f"{HERE}/stems", *FAST]
    result = stemsplit(*arguments, "--json", "--csv", "table.csv")
    assert result.status == 1
    lines, summary = read_lines(result.out)
    assert {line["song"] for line in lines} == {*songs, "album/cd 1/two.wav"}
    failed = {line["song"]: line["error"] for line in lines if line["status"] == "failed"}
    assert failed.keys() == {*songs[:3]}
    assert all(name in error for name, error in failed.items())
    assert failed[songs[2]].endswith(": ffmpeg -i broken.wav broken.flac")
    said = result.out + result.err + Path("table.csv").read_text()
    assert str(tmp_path) not in said
    assert "SECRET" not in said
    assert summary["failed"] == 3
    assert summary["done"] == 2


def test_a_record_that_may_not_be_read_fails_its_own_song_only(stemsplit: Command, s3: Server) -> None:
    s3.network.faults.append(Fault("denied", path="stems/one/stemsplit.json", times=99))
    result = stemsplit(f"{HERE}/album", "-o", f"{HERE}/stems", "--dry-run", "--json")
    lines, summary = read_lines(result.out)
    assert [line["song"] for line in lines if line["status"] == "failed"] == [f"{HERE}/album/one.wav"]
    assert summary["to_do"] == 2


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("album", "-o", "s3://no-such-bucket/x"), 1, "no such bucket"),
        (("album", "-o", "s3://no-such-bucket/x", "--dry-run"), 1, "no such bucket"),
        (("album", "-o", "s3:/bucket/x"), 2, "did you mean 's3://bucket/x'?"),
        (("album", "-o", "S3:bucket/x"), 2, "did you mean 's3://bucket/x'?"),
        (("album", "-o", "https://host/x"), 2, "stems cannot go to https://"),
        (("album", "-o", f"{HERE}/x", "--page"), 2, "--page needs files of this machine"),
        (("album", "-o", f"{HERE}/x", "--session", "reaper"), 2, "--session needs files of this machine"),
        (("album", "-o", f"{HERE}/x", "--csv", f"{HERE}/x.csv"), 2, "--csv writes a file of this machine"),
        (("album", "-o", f"{HERE}/x", "--staging", f"{HERE}/y"), 2, "--staging is a folder of this machine"),
        (("album", "-o", f"{HERE}/x", "--staging-size", "much"), 2, "'much' is not a size"),
        ((f"{HERE}/album", "--like-source"), 2, "--like-source needs files of this machine"),
        ((f"{HERE}/album", "--name", "{artist}/{stem}"), 2, "needs files of this machine"),
        ((f"{HERE}/album", "--skip-known-failures"), 2, "--skip-known-failures needs files of this machine"),
        ((f"{HERE}/nothing/", "-o", "x"), 1, f"cannot read {HERE}/nothing (it does not exist)"),
        (("s3://key:password@bucket/x.wav",), 2, "must not hold a user's name or password"),
    ],
)
def test_what_cannot_be_done_is_said_at_the_start(
    arguments: tuple[str, ...], status: int, text: str, stemsplit: Command, tmp_path: Path
) -> None:
    result = stemsplit(*arguments, *FAST)
    assert result.status == status
    assert text in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert "password@" not in result.err
    assert not [path for path in tmp_path.iterdir() if path.name in ("x", "stems", "s3:")]


def test_a_dry_run_tells_addresses_and_writes_nothing(stemsplit: Command, s3: Server, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    result = stemsplit(f"{HERE}/album", "-o", f"{HERE}/stems", "--dry-run", "--json")
    songs, summary = read_lines(result.out)
    assert f"{HERE}/stems/one/drums.wav" in [line["stems"]["drums"]["path"] for line in songs]
    assert summary["to_do"] == summary["unknown_length"] == 3
    assert not any(line.startswith(("PUT", "POST", "DELETE")) for line in s3.network.seen)
    assert sorted(tmp_path.iterdir()) == before


def test_hostile_names_reach_no_other_place(stemsplit: Command, s3: Server, bucket: Bucket, tmp_path: Path) -> None:
    """Names that no file can have fail, and say so; two that differ only in case or in how accents are encoded do not
    meet in a bucket; hidden objects, other kinds and earlier stems are left out.
    """
    content = song(3)
    good = ["A.wav", "a.wav", "caf\u00e9.wav", "cafe\u0301.wav", "deep/" * 30 + "x.wav", "con.wav", "100% #?.wav"]
    bad = ["back\\slash.wav", "x" * 260 + ".wav"]
    for name in [*good, *bad, ".hidden/x.wav", "notes.txt", ".x.wav"]:
        s3.plant(f"hostile/{name}", content)
    result = stemsplit(f"{HERE}/hostile", "-o", f"{HERE}/stems", *FAST, "--json")
    lines, summary = read_lines(result.out)
    status = {line["song"].removeprefix(f"{HERE}/hostile/"): line["status"] for line in lines}
    assert {name for name in status if status[name] == "done"} == set(good)
    assert summary["failed"] == len(bad)
    assert summary["passed_over"] == 1
    there = below(bucket, "stems")
    assert len([name for name in there if name.endswith("stemsplit.json")]) == len(good)
    assert {item.key.partition("/")[0] for item in objects(bucket, "")} == {"album", "hostile", "stems"}
    assert {path.name for path in tmp_path.iterdir()} <= {"album", "config", "credentials"}


def test_stems_of_earlier_runs_are_not_taken_for_songs(stemsplit: Command) -> None:
    """Below the output prefix, and below another one that lies among the songs."""
    for output in ("album/stems", "album/more"):
        result = stemsplit(f"{HERE}/album", "-o", f"{HERE}/{output}", *FAST, "--json")
        assert read_lines(result.out)[1]["done"] == 3
    assert read_lines(result.out)[1]["stems_passed_over"] == 12


def test_patterns_and_lists_mean_addresses(stemsplit: Command) -> None:
    Path("list.txt").write_text(f"{HERE}/album/one.wav\nalbum/cd 1/two.wav\n")
    listed = stemsplit("@list.txt", "--dry-run", "--json")
    assert [line["song"] for line in read_lines(listed.out)[0]] == [f"{HERE}/album/one.wav", "album/cd 1/two.wav"]
    for pattern, count in (("al*/one.wav", 1), ("album/*", 3), ("album/*.wav", 1), ("**/t*.wav", 2), ("album/x*", 0)):
        found = stemsplit(f"{HERE}/{pattern}", "--dry-run", "--json")
        assert read_lines(found.out)[1]["to_do"] == count, pattern


def test_staging_stays_within_its_size_and_touches_nothing_else(stemsplit: Command, tmp_path: Path) -> None:
    """Songs for which there is no room fail; where one has room, all are split one after the other."""
    folder = tmp_path / "staging"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    (folder / ".stemsplit-0123456789abcdef").mkdir()
    (folder / ".stemsplit-0123456789abcdef" / "mine.txt").write_text("mine")
    before = tree(folder)
    largest, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            with suppress(OSError):  # a folder was removed while it was listed
                largest[0] = max(largest[0], sum(len(data) for data in files(folder).values() if data))

    small = stemsplit(f"{HERE}/album", "-o", f"{HERE}/stems", *FAST, "--staging", folder, "--staging-size", "20kB")
    assert small.status == 1
    assert small.err.count("--staging-size is 0.0 MB; raise it") == 3
    watcher = threading.Thread(target=watch)
    watcher.start()
    fits = stemsplit(f"{HERE}/album", "-o", f"{HERE}/stems", *FAST, "--staging", folder, "--staging-size", "300kB")
    ended.set()
    watcher.join()
    assert fits.status == 0, fits.err
    assert largest[0] < 300_000
    assert tree(folder) == before


def test_a_killed_worker_loses_no_song(stemsplit: Command, s3: Server, bucket: Bucket, tmp_path: Path) -> None:
    """Killed while it sends its first stems away: the next worker takes over at once, and sweeps what was staged."""
    s3.network.faults += [Fault("slow", "PUT", ".wav", times=100)]
    with running(f"{HERE}/album", "-o", f"{HERE}/stems", *FAST, cwd=tmp_path, env=environment()) as process:
        while not any(line.startswith("PUT") and line.endswith(".wav") for line in s3.network.seen):
            assert process.poll() is None, finished(process).err
            time.sleep(0.01)
    s3.network.faults.clear()
    assert list(tmp_path.glob("stemsplit-*/*"))
    again = stemsplit(f"{HERE}/album", "-o", f"{HERE}/stems", *FAST)
    assert again.status == 0, again.err
    assert stemsplit("album", "-o", "files", *FAST).status == 0
    assert below(bucket, "stems") == files(Path("files"))
    assert not list(tmp_path.glob("stemsplit-*"))


def test_a_staging_folder_that_another_user_or_a_link_planted_is_refused(stemsplit: Command, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    user = os.getuid() if hasattr(os, "getuid") else "user"
    (tmp_path / f"stemsplit-{user}").symlink_to(tmp_path / "elsewhere")
    result = stemsplit(f"{HERE}/album/one.wav", "-o", "out", *FAST)
    assert result.status == 1
    assert "is not a folder of this user" in result.err
    assert not list((tmp_path / "elsewhere").iterdir())
