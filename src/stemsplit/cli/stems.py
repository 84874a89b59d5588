"""Chooses the files to write, and names the model that gives a stem where the chosen model does not."""

from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit.cli.options import listed
from stemsplit.cli.recommending import suggestion
from stemsplit.words import did_you_mean

if TYPE_CHECKING:
    from stemsplit.audio import Format
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.outputs import Output


def chosen_outputs(
    models: "ChainEntry",
    stems: str | None,
    two_stems: str | None,
    mixes: list[str] | None,
    registry_file: Path | None,
    whole: "Format | None" = None,
) -> "tuple[Output, ...]":
    """Return the files to write for each song.

    Args:
        models: the models.
        stems: names of stems, as typed.
        two_stems: name of a stem, as typed.
        mixes: recipes of sums.
        registry_file: registry with more models.
        whole: format of a file that holds the song and all of its stems; None if each stem has a file of its own.

    Raises:
        ValueError: an option names a stem that the models do not give, or is malformed.
    """
    from stemsplit.songs import outputs
    from stemsplit.songs.whole import whole_outputs

    if whole:
        return whole_outputs(whole, models.stems, models.sums, models.adds_up)
    wanted = None if stems is None else listed([stems])
    try:
        return outputs.chosen(models.stems, wanted, mixes or [], two_stems, models.sums)
    except outputs.StemError as error:
        close = did_you_mean(error.stem.lower(), (*models.stems, *models.sums))
        raise ValueError(f"{error}{close or suggestion(error.stem, registry_file)}") from error
