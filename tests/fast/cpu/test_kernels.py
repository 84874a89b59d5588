"""What computes an operation here: the same for all processes of a machine, and right whatever it is."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stemsplit.fast.cpu import attended, kernels
from stemsplit.fast.cpu.linear import ONEDNN

SPEEDS = {"usual": 1.0, "other": 0.5}


def choice(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> kernels.Chosen:
    """Choose as a new process in which the kernels would take so many seconds."""
    monkeypatch.setattr(kernels, "_CHOSEN", {})
    monkeypatch.setattr(kernels, "_seconds", lambda _: seconds)
    kernels.choose("sums", torch.float32, dict.fromkeys(SPEEDS, lambda: lambda: None), 100.0)
    return kernels.chosen()[0]


@pytest.fixture(autouse=True)
def measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEMSPLIT_KERNELS")


def test_the_first_choice_counts_for_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = choice(monkeypatch, SPEEDS)
    assert (first.kernel, first.rate, first.remembered) == ("other", 200.0, False)
    assert choice(monkeypatch, {"usual": 0.1, "other": 1.0}) == first._replace(remembered=True)


def test_the_usual_kernel_computes_if_another_is_not_much_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice(monkeypatch, {"usual": 1.0, "other": 0.95}).kernel == "usual"


def test_a_user_can_do_without_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMSPLIT_KERNELS", "fixed")
    assert choice(monkeypatch, SPEEDS) == kernels.Chosen("sums", "fp32", "usual")


def plant(path: Path, what: str) -> None:
    """Put something in a file's place."""
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(path.with_name("elsewhere"))
    else:
        path.write_text(what)


NONSENSE = ["", "[1]", '{"kernel": "x", "rate": 1.0}', '{"kernel": "other", "rate": NaN}', "[" * 900, "9" * 5_000]


@pytest.mark.parametrize("what", [*NONSENSE, "folder", *([] if os.name == "nt" else ["pipe", "link"])])
def test_what_no_process_can_have_remembered_stays_and_is_not_used(
    what: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice(monkeypatch, SPEEDS)
    (path,) = (home / "cache" / "kernels").iterdir()
    plant(path, what)
    first = choice(monkeypatch, SPEEDS)
    assert (first.kernel, first.remembered) == ("other", False)
    assert choice(monkeypatch, {"usual": 0.1, "other": 1.0}) == first._replace(remembered=True)
    assert not path.is_file() or path.read_text() == what
    assert not path.with_name("elsewhere").exists()


def test_the_usual_kernel_computes_if_every_place_holds_nonsense(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(kernels.PLACES):
        choice(monkeypatch, SPEEDS)
        for path in (home / "cache" / "kernels").iterdir():
            path.write_text("")
    assert choice(monkeypatch, SPEEDS) == kernels.Chosen("sums", "fp32", "usual")


def test_a_kernel_is_measured_on_one_thread() -> None:
    seen: set[int] = set()
    before = torch.get_num_threads()
    kernels._seconds({"usual": lambda: lambda: seen.add(torch.get_num_threads())})
    assert (seen, torch.get_num_threads()) == ({1}, before)


def test_a_disturbed_measurement_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first times are all wrong, in different ways."""
    now, late = [0.0], iter([8.0, 9.0, 7.0, 6.0, 5.0])

    def work() -> None:
        now[0] += next(late, 1.0)

    monkeypatch.setattr(kernels, "CLOCK", lambda: now[0])
    assert kernels._seconds({"usual": lambda: work}) == {"usual": 1.0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_process_forked_while_a_kernel_is_chosen_chooses_too() -> None:
    with kernels._CHOOSING:
        pid: list[int] = []

        def fork() -> None:
            if not (found := os.fork()):
                with kernels._CHOOSING:
                    os._exit(7)
            pid.append(found)

        child = threading.Thread(target=fork)
        child.start()
        child.join()
        for _ in range(200):
            if (ended := os.waitpid(pid[0], os.WNOHANG)) != (0, 0):
                break
            time.sleep(0.02)
        else:
            os.kill(pid[0], signal.SIGKILL)
            os.waitpid(pid[0], 0)
    assert os.waitstatus_to_exitcode(ended[1]) == 7


def test_where_nothing_can_be_remembered_the_usual_kernel_computes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "cache").write_text("not a folder")
    assert choice(monkeypatch, SPEEDS).kernel == "usual"


@pytest.mark.parametrize("tokens", [5, attended.LONG + 3])
@pytest.mark.parametrize(
    "attend",
    [
        attended._in_products,
        attended._fused,
        pytest.param(
            partial(attended._in_products, onednn=True),
            marks=pytest.mark.skipif(not ONEDNN, reason="this build of PyTorch has no oneDNN"),
        ),
    ],
    ids=["BLAS", "fused", "oneDNN"],
)
@pytest.mark.parametrize("largest", [0.0, 1.0, 30.0, 1_000.0, -1_000.0])
def test_attention_is_right_however_large_scores_are(largest: float, attend: object, tokens: int) -> None:
    """Exponentials of such scores would be infinite, or all zero."""
    assert callable(attend)
    queries, keys, values = torch.randn(3, 2, tokens, 3, 4)
    keys[..., 0], queries[..., 0] = abs(largest) ** 0.5, abs(largest) ** 0.5 * (-1 if largest < 0 else 1)
    result = torch.empty_like(values)
    means = result / attend(queries, keys, values, result)[..., None]
    by_head: list[Tensor] = [x.transpose(1, 2) for x in (queries, keys, values)]
    scores = by_head[0] @ by_head[1].mT
    expected = (scores.softmax(-1) @ by_head[2]).transpose(1, 2)
    assert torch.allclose(means, expected, atol=1e-3 if abs(largest) > 100 else 1e-5)
