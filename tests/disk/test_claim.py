"""Hidden folders that one process at a time works in: anything that stemsplit did not make is not touched."""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stemsplit.disk import Folder, first_turn, heartbeat, next_turn, owner
from stemsplit.disk.claim import MOST_NAMES, BusyError, Claim, ForeignError, TakenOverError, claim, leftovers
from tests.conftest import snapshot, unix

KEY = "0123456789abcdef"
NAME = f".stemsplit-{KEY}"

HOLD = """
import sys, time
from pathlib import Path
from stemsplit.disk import Folder, heartbeat
from stemsplit.disk.claim import claim
held = claim(Folder(Path(sys.argv[1])), sys.argv[2])
held.begin(["half.wav"])
held.create("half.wav").write(bytes(100))
print("claimed", flush=True)
time.sleep(60)
"""


@pytest.fixture
def out(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def hold(folder: Path) -> "subprocess.Popen[str]":
    """Start another process that claims a folder and begins to write a file there."""
    command = [sys.executable, "-c", HOLD, str(folder), KEY]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "claimed\n"
    return other


def without_moves_of_folders(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Let the disk refuse to give a folder another name, with an error of the system."""
    move = Folder.move

    def refusing(self: Folder, name: str, to: Folder, new_name: str) -> None:
        if stat.S_ISDIR(self.stat(name).st_mode):
            raise OSError(code, os.strerror(code))
        move(self, name, to, new_name)

    monkeypatch.setattr(Folder, "move", refusing)


def left_behind(folder: Path) -> Path:
    """Return the folder that a killed process leaves."""
    with hold(folder) as other:
        other.kill()
    return folder / NAME


def test_a_claim_is_empty_and_is_removed_with_its_folder(out: Folder, tmp_path: Path) -> None:
    held = claim(out, KEY)
    held.begin(["half.wav", "new/clip.wav"])
    held.create("half.wav").close()
    held.folder.make("new")
    held.create("new/clip.wav").close()
    held.release()
    held.release()
    assert list(tmp_path.iterdir()) == []


def test_a_claimed_folder_cannot_be_claimed_again(out: Folder) -> None:
    held = claim(out, KEY)
    with pytest.raises(BusyError):
        claim(out, KEY)
    held.release()
    claim(out, KEY).release()


@unix
def test_other_users_cannot_read_a_claimed_folder(out: Folder, tmp_path: Path) -> None:
    held = claim(out, KEY)
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0
    held.release()


def test_another_process_s_folder_is_left_alone_until_that_process_is_killed(out: Folder, tmp_path: Path) -> None:
    other = hold(tmp_path)
    with other:
        with pytest.raises(BusyError):
            claim(out, KEY)
        assert (tmp_path / NAME / "half.wav").exists()
        other.kill()
    held = claim(out, KEY)
    assert held.names == ["half.wav"]
    held.begin([])
    assert held.names == []
    held.release()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_works_in_a_folder_shows_that_it_is_alive(out: Folder) -> None:
    held = claim(out, KEY)
    beats = []
    for _ in range(2):
        with pytest.raises(BusyError) as busy:
            claim(out, KEY)
        beats.append(busy.value.beat)
        heartbeat.beat()
    assert beats[0] != beats[1]
    held.release()


def test_only_listed_files_can_be_made(out: Folder) -> None:
    held = claim(out, KEY)
    held.begin(["a.wav"])
    with pytest.raises(ValueError, match=r"b\.wav"):
        held.create("b.wav")
    held.release()


def test_leftovers_are_found_and_live_claims_are_skipped(out: Folder, tmp_path: Path) -> None:
    left_behind(tmp_path)
    live = claim(out, "f" * 16)
    (leftover,) = leftovers(out)
    assert isinstance(leftover, Claim)
    leftover.release()
    assert [path.name for path in tmp_path.iterdir()] == [f".stemsplit-{'f' * 16}"]
    live.release()


def test_files_that_cannot_be_removed_stay_as_after_a_kill(
    out: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = claim(out, KEY)
    held.begin(["a.wav"])
    held.create("a.wav").close()

    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "remove", refuse)
        held.release()
    assert (tmp_path / NAME / "a.wav").exists()
    (leftover,) = leftovers(out)
    assert isinstance(leftover, Claim)
    leftover.release()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_removed_meanwhile_can_be_claimed_again(out: Folder, tmp_path: Path) -> None:
    import shutil

    held = claim(out, KEY)
    held.begin(["a.wav"])
    held.create("a.wav").close()
    shutil.rmtree(tmp_path / NAME)
    held.release()
    again = claim(out, KEY)
    again.release()
    assert list(tmp_path.iterdir()) == []


@unix
def test_a_link_that_replaces_a_claimed_folder_is_not_followed(out: Folder, tmp_path: Path) -> None:
    """The folder is moved away and a link put in its place: writing and clearing continue in the real folder."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "a.wav").write_bytes(b"mine")
    held = claim(out, KEY)
    held.begin(["a.wav", "b.wav"])
    held.create("a.wav").close()
    (tmp_path / NAME).rename(tmp_path / "moved")
    (tmp_path / NAME).symlink_to("victim")
    held.create("b.wav").close()
    held.release()
    assert snapshot(tmp_path / "victim") == {"a.wav": b"mine"}
    assert (tmp_path / NAME).is_symlink()
    assert list((tmp_path / "moved").iterdir()) == []


def a_link(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def a_dangling_link(place: Path, victim: Path) -> None:
    place.symlink_to(victim / "nothing")


def a_link_to_itself(place: Path, _: Path) -> None:
    place.symlink_to(place.name)


def a_file(place: Path, _: Path) -> None:
    place.write_bytes(b"mine")


def a_pipe(place: Path, _: Path) -> None:
    os.mkfifo(place)


def a_folder_of_somebody(place: Path, _: Path) -> None:
    place.mkdir()
    (place / "diary.wav").write_bytes(b"mine")


def a_folder_with_a_lock(place: Path, victim: Path) -> None:
    a_folder_of_somebody(place, victim)
    (place / "lock").touch()


def a_lock_with_content(place: Path, _: Path) -> None:
    place.mkdir()
    (place / "lock").write_bytes(b"mine")


def a_lock_that_is_a_folder(place: Path, _: Path) -> None:
    (place / "lock").mkdir(parents=True)


def a_lock_that_is_a_link(place: Path, victim: Path) -> None:
    place.mkdir()
    (place / "lock").symlink_to(victim / "new")


def a_lock_that_is_a_hard_link(place: Path, victim: Path) -> None:
    place.mkdir()
    (victim / "empty").touch()
    os.link(victim / "empty", place / "lock")


def a_lock_that_is_a_pipe(place: Path, _: Path) -> None:
    place.mkdir()
    os.mkfifo(place / "lock")


def listing(content: object) -> Callable[[Path, Path], None]:
    """Return a function that plants a folder with a lock and a list of this content."""

    def plant(place: Path, _: Path) -> None:
        place.mkdir()
        (place / "lock").touch()
        (place / "files.json").write_text(json.dumps(content))

    return plant


def a_list_that_leaves_the_folder(place: Path, victim: Path) -> None:
    listing(["../victim/diary.txt", str(victim / "diary.txt")])(place, victim)


def a_link_among_the_files(place: Path, victim: Path) -> None:
    listing(["a.wav"])(place, victim)
    (place / "a.wav").symlink_to(victim / "diary.txt")


def a_link_for_an_inner_folder(place: Path, victim: Path) -> None:
    listing(["old/diary.txt"])(place, victim)
    (place / "old").symlink_to(victim)


def a_file_more(place: Path, victim: Path) -> None:
    listing(["a.wav"])(place, victim)
    (place / "a.wav").touch()
    (place / "diary.txt").write_bytes(b"mine")


def a_list_that_is_a_pipe(place: Path, _: Path) -> None:
    place.mkdir()
    (place / "lock").touch()
    os.mkfifo(place / "files.json")


def a_list_without_end(place: Path, victim: Path) -> None:
    listing([])(place, victim)
    (place / "files.json").write_bytes(bytes(17_000_000))


def a_file_for_an_inner_folder(place: Path, victim: Path) -> None:
    listing(["old/diary.txt"])(place, victim)
    (place / "old").write_bytes(b"mine")


OWNER = f"owner-0-in-{'0' * 16}-1-{'0' * 16}-host"


def owned(place: Path, *more: str) -> None:
    """Plant a folder as a killed process leaves it, with further empty files."""
    place.mkdir()
    for name in ("lock", "undecided", OWNER, *more):
        (place / name).touch()


def two_owners(place: Path, _: Path) -> None:
    owned(place, OWNER.replace("host", "other"))


def an_owner_with_content(place: Path, _: Path) -> None:
    owned(place)
    (place / OWNER).write_bytes(b"mine")


def an_owner_that_is_a_link(place: Path, victim: Path) -> None:
    place.mkdir()
    (place / "lock").touch()
    (place / OWNER).symlink_to(victim / "diary.txt")


def an_owned_folder_with_a_file_more(place: Path, _: Path) -> None:
    owned(place, "diary.txt")


def a_last_word_of_somebody(place: Path, _: Path) -> None:
    owned(place)
    (place / "undecided").write_bytes(b"mine")


def a_last_word_that_is_a_hard_link(place: Path, victim: Path) -> None:
    owned(place)
    (place / "undecided").unlink()
    (victim / "empty").touch()
    os.link(victim / "empty", place / "undecided")


def a_working_folder_of_somebody(place: Path, victim: Path) -> None:
    owned(place)
    a_folder_of_somebody(place / f"work-{'0' * 16}", victim)


def a_working_folder_that_is_a_link(place: Path, victim: Path) -> None:
    owned(place)
    (place / f"work-{'0' * 16}").symlink_to(victim)


def only_a_working_folder_of_somebody(place: Path, victim: Path) -> None:
    place.mkdir()
    a_folder_of_somebody(place / f"work-{'0' * 16}", victim)


PLANTED = [
    two_owners,
    an_owner_with_content,
    an_owner_that_is_a_link,
    an_owned_folder_with_a_file_more,
    a_last_word_of_somebody,
    a_last_word_that_is_a_hard_link,
    a_working_folder_of_somebody,
    a_working_folder_that_is_a_link,
    only_a_working_folder_of_somebody,
    listing(["undecided", OWNER]),
    listing([f"work-{'0' * 16}/x"]),
    a_list_that_is_a_pipe,
    a_list_without_end,
    a_file_for_an_inner_folder,
    listing(["lock", "files.json", "lock/x"]),
    listing(["files.json/x"]),
    listing(["n" * 300]),
    a_link,
    a_dangling_link,
    a_link_to_itself,
    a_file,
    a_pipe,
    a_folder_of_somebody,
    a_folder_with_a_lock,
    a_lock_with_content,
    a_lock_that_is_a_folder,
    a_lock_that_is_a_link,
    a_lock_that_is_a_hard_link,
    a_lock_that_is_a_pipe,
    a_list_that_leaves_the_folder,
    a_link_among_the_files,
    a_link_for_an_inner_folder,
    a_file_more,
    listing({"a": 1}),
    listing(None),
    listing([1]),
    listing(["a/b/c"]),
    listing(["..", "."]),
    listing(["a\0b"]),
    listing(["\ud800"]),
]


@unix
@pytest.mark.parametrize("plant", [a_folder_of_somebody, an_owned_folder_with_a_file_more, a_link, a_file, a_pipe])
def test_foreign_things_that_are_called_like_a_folder_in_the_making_stay(
    out: Folder, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    (tmp_path / "victim").mkdir()
    plant(tmp_path / f"{NAME}-new-{'0' * 16}", tmp_path / "victim")
    before = snapshot(tmp_path)
    (leftover,) = leftovers(out)
    assert isinstance(leftover, ForeignError)
    assert snapshot(tmp_path) == before


def test_a_folder_that_a_killed_process_was_making_is_removed(out: Folder, tmp_path: Path) -> None:
    owned(tmp_path / f"{NAME}-new-{'0' * 16}")
    assert list(leftovers(out)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("disk_moves_folders", [True, False])
def test_a_run_that_ends_meanwhile_does_not_stop_one_that_begins(
    out: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk_moves_folders: bool
) -> None:
    """Before whatever step another process removes what looks abandoned, a folder in the making included."""
    if not disk_moves_folders:
        without_moves_of_folders(monkeypatch, errno.EXDEV)
    taken, chosen, is_ending = 0, 0, False

    def disturbed(step: str) -> None:
        original = getattr(Folder, step)

        def method(self: Folder, *arguments: Any) -> Any:
            nonlocal taken, is_ending
            if not is_ending:
                taken += 1
                if taken == chosen:
                    is_ending = True
                    for leftover in leftovers(out):
                        assert isinstance(leftover, Claim)
                        leftover.release()
                    is_ending = False
            return original(self, *arguments)

        monkeypatch.setattr(Folder, step, method)

    for step in ("make", "enter", "open", "stat", "move", "names"):
        disturbed(step)
    while taken >= chosen:
        taken, chosen = 0, chosen + 1
        held = claim(out, KEY)
        assert held.name == NAME
        held.begin(["a.wav"])
        held.create("a.wav").close()
        held.release()
        assert list(tmp_path.iterdir()) == []
    assert chosen > 10


@unix
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_foreign_things_are_left_alone_and_stop_nobody(
    out: Folder, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "diary.txt").write_bytes(b"mine")
    plant(tmp_path / NAME, victim)
    before = snapshot(tmp_path)
    held = claim(out, KEY)
    assert held.name == f"{NAME}-1"
    held.begin(["a.wav"])
    held.create("a.wav").close()
    held.release()
    assert snapshot(tmp_path) == before
    (leftover,) = leftovers(out)
    assert isinstance(leftover, ForeignError)
    assert snapshot(tmp_path) == before


def test_a_half_written_list_is_stemsplit_s_own(out: Folder, tmp_path: Path) -> None:
    """The process was killed while it wrote the list, before it made any other file."""
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "lock").touch()
    (tmp_path / NAME / "files.json").write_text('["a.w')
    held = claim(out, KEY)
    assert held.name == NAME
    held.release()
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_raised_if_every_name_is_taken(out: Folder, tmp_path: Path) -> None:
    for number in range(MOST_NAMES):
        (tmp_path / (NAME + (f"-{number}" if number else ""))).touch()
    with pytest.raises(OSError, match="not a folder of stemsplit"):
        claim(out, KEY)


def test_threads_never_have_a_folder_at_the_same_time(out: Folder, tmp_path: Path) -> None:
    """Several threads claim, check and release a folder again and again: it is removed while others wait for it."""
    inside, most, done = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, done
        for _ in range(200):
            try:
                held = claim(out, KEY)
            except BusyError:
                continue
            with guard:
                inside += 1
                most = max(most, inside)
                names.add(held.name)
            with guard:
                inside -= 1
                done += 1
            held.release()

    names: set[str] = set()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, names, list(tmp_path.iterdir())) == (1, {NAME}, [])
    assert done > 10


def elsewhere(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    """Be on another machine that shares the disk, whose locks it cannot see."""
    for module in (first_turn, next_turn, owner):
        monkeypatch.setattr(module, "machine", lambda _: machine * 16)
    monkeypatch.setattr(owner, "is_local", lambda _: False)


def test_another_machine_s_owner_is_waited_for_until_it_is_taken_for_gone(
    out: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever this machine's locks say: they do not reach there."""
    elsewhere(monkeypatch, "a")
    with out.duplicate() as other:
        gone = claim(other, KEY)
    gone.begin(["a.wav"])
    gone.create("a.wav").close()
    gone.turn.unlock()  # as seen from another machine
    elsewhere(monkeypatch, "b")
    with pytest.raises(BusyError) as busy:
        claim(out, KEY)
    assert not busy.value.alive
    with pytest.raises(BusyError):
        claim(out, KEY, stale=busy.value.beat + 1)
    held = claim(out, KEY, stale=busy.value.beat)
    assert held.takeovers == 1
    assert gone.is_lost
    with pytest.raises(TakenOverError):
        gone.create("a.wav")
    with pytest.raises(TakenOverError):
        gone.decide("a.wav", b"{}")
    held.begin(["a.wav"])
    held.create("a.wav").close()
    held.decide("a.wav", b'{"stemsplit_commit": 1}')
    held.release()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_s_successors_count_how_often_that_happened(out: Folder, tmp_path: Path) -> None:
    counts = []
    for _ in range(3):
        left_behind(tmp_path)
        (found,) = leftovers(out)
        assert isinstance(found, Claim)
        counts.append(found.takeovers)
        found.leave()
    assert counts == [1, 2, 3]


def test_a_folder_that_was_left_is_taken_up_by_another_machine_at_once(
    out: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, "a")
    claim(out, KEY).leave()
    elsewhere(monkeypatch, "b")
    held = claim(out, KEY)
    assert held.takeovers == 0
    held.release()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EXDEV])
def test_a_disk_that_cannot_rename_folders_has_claims_too(
    out: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    without_moves_of_folders(monkeypatch, code)
    held = claim(out, KEY)
    with pytest.raises(BusyError):
        claim(out, KEY)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    held.begin(["a.wav"])
    held.create("a.wav").close()
    held.release()
    assert list(tmp_path.iterdir()) == []


@unix
def test_a_disk_that_gives_all_files_to_one_user_has_claims_too(
    out: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like a network disk that takes root for nobody: another process's folder must not look like a stranger's."""
    user = tmp_path.stat().st_uid + 1
    monkeypatch.setattr(os, "geteuid", lambda: user)
    held = claim(out, KEY)
    with pytest.raises(BusyError):
        claim(out, KEY)
    held.release()
    left_behind(tmp_path)
    again = claim(out, KEY)
    assert again.name == NAME
    again.release()
    assert list(tmp_path.iterdir()) == []
