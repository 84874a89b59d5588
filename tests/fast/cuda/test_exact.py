"""float32 is exact on CUDA devices, in convolutions and recurrent layers too, and only there."""

import pytest
import torch
from torch import Tensor, nn

from stemsplit.fast.cuda.exact import KINDS, exact
from stemsplit.fast.plain import Plain


def settings() -> list[str]:
    return [kind.fp32_precision for kind in KINDS]


class Spy(nn.Module):
    """Notes the settings that it is computed with."""

    def to(self, *_: object, **__: object) -> "Spy":
        return self

    def forward(self, mixture: Tensor) -> Tensor:
        self.seen = settings()
        return mixture


@pytest.mark.parametrize(
    ("device", "dtype", "is_exact"),
    [("cuda", torch.float32, True), ("cpu", torch.float32, False), ("cpu", torch.bfloat16, False)],
)
def test_only_float32_on_cuda_is_computed_exactly(device: str, dtype: torch.dtype, is_exact: bool) -> None:
    before, spy = settings(), Spy()
    Plain(spy, dtype, torch.device(device), 1)(torch.zeros(1))
    assert spy.seen == (["ieee"] * len(KINDS) if is_exact else before)
    assert settings() == before


def test_the_setting_stays_until_the_last_computation_ends() -> None:
    """Several threads may compute at once, and end in any order."""
    before, first, second = settings(), exact(), exact()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert settings() == ["ieee"] * len(KINDS)
    second.__exit__(None, None, None)
    assert settings() == before


@pytest.mark.parametrize("allowed", [True, False])
def test_what_a_program_has_set_is_kept(allowed: bool) -> None:
    """With the older name of the setting, which may still be read and set afterwards."""
    before = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = allowed
        with exact():
            assert settings() == ["ieee"] * len(KINDS)
        assert torch.backends.cudnn.allow_tf32 is allowed
    finally:
        torch.backends.cudnn.allow_tf32 = before
