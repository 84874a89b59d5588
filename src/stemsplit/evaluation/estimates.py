"""Opens the estimates of a song that are measured: files, or what a model gives."""

from collections.abc import Collection, Sequence
from contextlib import ExitStack, closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

import numpy as np

from stemsplit.errors import AudioError
from stemsplit.evaluation.lockstep import Track, in_step
from stemsplit.evaluation.multitracks import Multitrack, song_folders
from stemsplit.evaluation.stem_mp4 import MIXTURE
from stemsplit.evaluation.stems import REST

if TYPE_CHECKING:
    from stemsplit.engine.base import Splitter


def opened(song: Multitrack, stem: str, open_: ExitStack) -> Track:
    """Open a stem of a song, or its mixture.

    Args:
        song: song with its stems.
        stem: name of the stem, or `mixture`.
        open_: stack that closes the file.

    Raises:
        AudioError: the file cannot be read.
    """
    reader = open_.enter_context(song.open(stem))
    label = f"{reader.path} ({stem})" if song.tracks else str(reader.path)
    return Track(label, reader.sample_rate, reader.channels, (block[None] for block in reader), reader.speakers)


class Estimates(Protocol):
    """A source of estimates.

    Attributes:
        rest: outputs that also collect stems without an output of their own.
        partial: whether stems may lack an estimate.
    """

    rest: Collection[str]
    partial: bool

    def outputs(self, song: Multitrack) -> Sequence[str]:
        """Return the names of a song's estimates.

        Raises:
            AudioError: the song has no estimates.
        """

    def folder_of(self, song: Multitrack) -> Path | None:
        """Return the folder of a song's estimates; None if they are not files."""

    def tracks(self, song: Multitrack, outputs: Sequence[str], open_: ExitStack) -> list[Track]:
        """Open estimates of a song.

        Args:
            song: song with its stems.
            outputs: names of the estimates.
            open_: stack that closes what is opened.

        Returns:
            One track or several, which hold the estimates in the order of `outputs`.

        Raises:
            AudioError: a file cannot be read.
        """


class FromFolder:
    """Estimates in files, as `stemsplit split` writes them: a folder for each song, a file for each stem.

    Args:
        folder: folder with each song's estimates at the song's path below the references, or with those of the only
            song. The estimates of `song/mixture.wav` may be in `song/mixture` or in another folder below `song`, and
            those of `song.stem.mp4` in `song.stem`.

    Raises:
        AudioError: the folder does not exist, or holds no estimates.
    """

    rest: Collection[str] = ()
    partial = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.songs = {song.name: song for song in song_folders(folder)}
        if not self.songs:
            raise AudioError(
                f"no estimates in {folder}; it should have a folder for each song, with a file for each stem"
            )

    def _estimates_of(self, song: Multitrack) -> Multitrack:
        for name in (song.name, song.title):
            for path in (name, (PurePosixPath(name) / MIXTURE).as_posix(), f"{name}.stem"):
                if path in self.songs:
                    return self.songs[path]
        # Another --name may have put them deeper.
        below = [path for path in self.songs if path.startswith(f"{song.name}/")]
        if len(below) > 1:
            places = " and ".join(below[:2])
            raise AudioError(f"several estimates of {song.title} in {self.folder}: {places}; keep one of them there")
        if below:
            return self.songs[below[0]]
        found = next(iter(self.songs))
        places = f"{song.title} and the folders below it; what is there is {found}"
        raise AudioError(f"no estimates of {song.title} in {self.folder}; looked for {places}")

    def outputs(self, song: Multitrack) -> Sequence[str]:
        """See `Estimates`."""
        return tuple(self._estimates_of(song).stems)

    def tracks(self, song: Multitrack, outputs: Sequence[str], open_: ExitStack) -> list[Track]:
        """See `Estimates`."""
        return [opened(self._estimates_of(song), output, open_) for output in outputs]

    def folder_of(self, song: Multitrack) -> Path | None:
        """See `Estimates`."""
        return next(iter(self._estimates_of(song).stems.values())).parent


class FromModel:
    """Estimates that a model makes from a song's mixture, or from the sum of its stems if it has no mixture file.

    The two may differ: MUSDB18's mixtures were mastered, its stems were not.

    Args:
        separator: model that makes the estimates, or several.
    """

    rest: Collection[str] = REST
    partial = True

    def __init__(self, separator: "Splitter") -> None:
        self.separator = separator

    def outputs(self, song: Multitrack) -> Sequence[str]:  # noqa: ARG002  # every song has the same
        """See `Estimates`."""
        return self.separator.stems

    def tracks(self, song: Multitrack, outputs: Sequence[str], open_: ExitStack) -> list[Track]:
        """See `Estimates`."""
        mixed = [MIXTURE] if song.mixture else list(song.stems)
        with ExitStack() as briefly:
            # Read all files once to their ends, so that a broken one is found before the model starts.
            for _ in in_step([opened(song, name, briefly) for name in {**song.stems, **dict.fromkeys(mixed)}]):
                pass
        tracks = [opened(song, name, open_) for name in mixed]
        rate, channels = tracks[0].sample_rate, tracks[0].channels
        mixture = (np.sum(blocks, 0)[0] for blocks in in_step(tracks))
        results = open_.enter_context(closing(self.separator.stream(mixture, rate, channels, tracks[0].speakers)))
        indices = [self.separator.stems.index(output) for output in outputs]
        return [Track("the model's output", rate, channels, (stems[indices] for _, stems in results))]

    def folder_of(self, song: Multitrack) -> Path | None:  # noqa: ARG002
        """See `Estimates`."""
        return None
