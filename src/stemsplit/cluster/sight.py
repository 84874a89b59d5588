"""Shows workers a folder that only this machine has just made, so that they can tell whether they see the same disk."""

import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from stemsplit.disk import Folder, remove_empty_folder
from stemsplit.disk.claim import Claim, claim
from stemsplit.songs import commit
from stemsplit.songs.job import Job


class Sight:
    """Shows a hidden folder of a random name in the output folder, while it is looked for.

    It has the form of the folders that songs are split in. So if this process is killed, the next run removes it.

    Args:
        jobs: jobs of all songs. Where stems go elsewhere, there is nothing to show.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.outs = {job.options.out for job in jobs if not (job.elsewhere and job.elsewhere.sends)}
        self.new = [folder for out in self.outs for folder in (out, *out.parents) if not os.path.exists(folder)]  # noqa: PTH110  # pathlib may raise
        self.held: Claim | None = None

    def folder(self) -> Path | None:
        """Return the path of the folder, which is made if it is not there; None if there is nothing to show."""
        for out in sorted(self.outs)[:1]:
            if self.held is None:
                with suppress(OSError):  # each song fails by that, and says so
                    out.mkdir(parents=True, exist_ok=True)
                    with Folder(out) as parent:
                        self.held = claim(parent, secrets.token_hex(8))
            return out / self.held.name if self.held else None
        return None

    def hide(self) -> None:
        """Remove the folder."""
        if self.held:
            self.held.release()
            self.held = None

    def close(self, tell: Callable[[str], object]) -> None:
        """Remove what dead workers left, and output folders that nothing was put into.

        Args:
            tell: called with a message about each thing that stays.
        """
        self.hide()
        for out in self.outs:
            commit.sweep(out, tell)
        for folder in self.new:
            remove_empty_folder(folder)
