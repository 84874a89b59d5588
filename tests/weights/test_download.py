"""Downloads: the right file or none."""

import dataclasses

import pytest

from stemsplit import registry
from stemsplit.errors import WeightsError
from stemsplit.weights import download

STARTER = registry.find("starter")
MB = 1_000_000


def test_the_starter_ships_as_the_registry_says() -> None:
    path = download.fetch(STARTER)
    assert path.stat().st_size == STARTER.size <= 12 * MB
    assert download.sha256(path) == STARTER.sha256


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sha256": "0" * 64}, "not the file that was published"),
        ({"sources": ("package:gone.safetensors",)}, "is missing; reinstall"),
        ({"sources": ("carrier-pigeon://x",)}, "of an unknown kind"),
        ({"sources": ()}, "names no source"),
    ],
)
def test_a_wrong_file_is_never_used(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(WeightsError, match=complaint):
        download.fetch(dataclasses.replace(STARTER, **changes))  # type: ignore[arg-type]
