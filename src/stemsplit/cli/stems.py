"""Chooses the files to write, and names the model that gives a stem where the chosen model does not."""

from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit.cli.options import listed
from stemsplit.cli.recommending import suggestion
from stemsplit.words import did_you_mean

if TYPE_CHECKING:
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.outputs import Output


def chosen_outputs(
    models: "ChainEntry",
    stems: str | None,
    two_stems: str | None,
    mixes: list[str] | None,
    registry_file: Path | None,
) -> "tuple[Output, ...]":
    """Return the files to write for each song.

    Raises:
        ValueError: an option names a stem that the models do not give, or is malformed.
    """
    from stemsplit.songs import outputs

    wanted = None if stems is None else listed([stems])
    try:
        return outputs.chosen(models.stems, wanted, mixes or [], two_stems, models.sums)
    except outputs.StemError as error:
        close = did_you_mean(error.stem.lower(), (*models.stems, *models.sums))
        raise ValueError(f"{error}{close or suggestion(error.stem, registry_file)}") from error
