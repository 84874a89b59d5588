"""Hidden folders that one process at a time works in."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stemsplit.claim import Claim
from stemsplit.stem_files import sweep

HOLD = """
import sys, time
from pathlib import Path
from stemsplit.claim import Claim
claim = Claim(Path(sys.argv[1]))
(claim.folder / "half.wav").write_bytes(bytes(100))
print("claimed", flush=True)
time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """Another process that has claimed a folder."""
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "claimed\n"
    return other


def test_a_claim_is_empty_and_goes_with_its_folder(tmp_path: Path) -> None:
    claim = Claim(tmp_path / ".stemsplit-a")
    (claim.folder / "half.wav").touch()
    claim.release()
    claim.release()
    assert list(tmp_path.iterdir()) == []


def test_nobody_else_gets_it_meanwhile(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "a")
    with pytest.raises(BlockingIOError):
        Claim(tmp_path / "a")
    claim.release()
    Claim(tmp_path / "a").release()


def test_another_process_s_folder_is_left_alone_until_that_is_killed(tmp_path: Path) -> None:
    other = hold(tmp_path / "a")
    with other:
        with pytest.raises(BlockingIOError):
            Claim(tmp_path / "a")
        assert (tmp_path / "a" / "half.wav").exists()
        other.kill()
    claim = Claim(tmp_path / "a")
    assert (claim.folder / "half.wav").exists()
    claim.clear()
    assert not (claim.folder / "half.wav").exists()
    claim.release()


def test_sweeping_removes_what_is_left_over_and_nothing_else(tmp_path: Path) -> None:
    with hold(tmp_path / ".stemsplit-dead") as dead:
        dead.kill()
    live = Claim(tmp_path / ".stemsplit-live")
    (tmp_path / "song").mkdir()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".stemsplit-live", "song"]
    live.release()


def test_many_at_once_never_have_it_together(tmp_path: Path) -> None:
    """Claimed, checked and released over and over from several threads: the folder is removed under those who wait."""
    inside, most, done = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, done
        for _ in range(200):
            try:
                claim = Claim(tmp_path / "a")
            except BlockingIOError:
                continue
            with guard:
                inside += 1
                most = max(most, inside)
            with guard:
                inside -= 1
                done += 1
            claim.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, list(tmp_path.iterdir())) == (1, [])
    assert done > 10
