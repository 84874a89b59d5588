"""Marks for tests that need instructions which not every CPU has."""

import pytest

from stemsplit.fast.device import native_bfloat16

in_bfloat16 = pytest.mark.skipif(not native_bfloat16(), reason="this CPU has no instructions for bfloat16")
