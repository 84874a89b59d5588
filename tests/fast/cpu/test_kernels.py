"""What computes an operation here: the same for all processes of a machine, and right whatever it is."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from stemsplit.fast.cpu import attended, kernels

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


@pytest.mark.parametrize("content", ["", "[1]", '{"kernel": "x", "rate": 1.0}', '{"kernel": "other", "rate": NaN}'])
def test_what_no_process_can_have_remembered_is_not_used(
    content: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice(monkeypatch, SPEEDS)
    next((home / "cache" / "kernels").iterdir()).write_text(content)
    assert choice(monkeypatch, SPEEDS) == kernels.Chosen("sums", "fp32", "usual")


def test_where_nothing_can_be_remembered_the_usual_kernel_computes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "cache").write_text("not a folder")
    assert choice(monkeypatch, SPEEDS).kernel == "usual"


@pytest.mark.parametrize("tokens", [5, attended.LONG + 3])
@pytest.mark.parametrize("attend", [attended._in_products, attended._fused])
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
