"""Defines the options for splitting songs on a Ray cluster, and does that."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.cli.split_shards import MACHINES
from stemsplit.cli.split_tries import EnoughError

if TYPE_CHECKING:
    from stemsplit.cluster.connecting import Connection
    from stemsplit.cluster.seats import Seat, Wishes
    from stemsplit.cluster.worker import Task
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.finishing import Report
    from stemsplit.songs.job import Job, Options
    from stemsplit.songs.outcome import Outcome
    from stemsplit.terminal.cluster import ClusterReport
    from stemsplit.terminal.splitting import SplitReport

FOLDERS = ("STEMSPLIT_CACHE", "STEMSPLIT_CONFIG", "HF_HOME", "HF_HUB_CACHE")
"""Variables that workers get from this process. They name folders; none may hold a password or a token."""

Address = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="auto|local|HOST:PORT",
        help="Split the songs on a Ray cluster. auto: the one that this machine belongs to. local: one of this machine "
        "alone, for this run. See `stemsplit help machines`.",
        rich_help_panel=MACHINES,
    ),
]
Gpus = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker",
        min=0,
        max=1,
        help="Number of GPUs that each worker on the Ray cluster gets, e.g. 0.5 if two share one. Default: 1 if the "
        "cluster has GPUs.",
        rich_help_panel=MACHINES,
    ),
]
Cpus = Annotated[
    int | None,
    typer.Option(
        "--cpus-per-worker",
        min=1,
        help="Number of CPU cores that each worker on the Ray cluster gets. Default: those of its node, up to 8, or up "
        "to 4 for a worker with a GPU.",
        rich_help_panel=MACHINES,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Number of workers on the Ray cluster; some may wait for nodes to join. Default: as many as fit. With "
        "--dry-run, also without --ray: number of machines that time and cost are estimated for.",
        rich_help_panel=MACHINES,
    ),
]


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster that this process is connected to.

    Args:
        connection: the connection.
        wishes: how many workers there should be, and what each gets.
        device: device that the user chose for each.
    """

    connection: "Connection"
    wishes: "Wishes"
    device: str

    def work(
        self,
        jobs: "Sequence[Job]",
        load: "partial[Any]",
        models: "ChainEntry",
        options: "Options",
        report: "SplitReport",
        staging: "Callable[[], object] | None" = None,
    ) -> "partial[None]":
        """Return a function that splits songs on the cluster; see `split_run.run`.

        Args:
            jobs: jobs of all songs.
            load: function that loads the separator on a machine, with its settings.
            models: the models.
            options: settings of the run.
            report: shows progress, from `report`.
            staging: function that makes the folder for songs and stems at addresses; None if there are none.
        """
        from stemsplit.terminal.cluster import ClusterReport

        assert isinstance(report, ClusterReport)
        task = partial(self._task, load, models, options, shown(jobs), staging)
        return partial(split_on, self, jobs, task, report)

    def _task(
        self,
        load: "partial[Any]",
        models: "ChainEntry",
        options: "Options",
        song: Any,
        staging: "Callable[[], object] | None",
        seat: "Seat",
    ) -> "Task":
        """Return what all songs share, for the worker of a seat."""
        import os

        from stemsplit.cluster.worker import Task

        given = load.keywords
        device = ("cuda" if seat.gpus else "cpu") if self.device == "auto" else self.device
        threads = given["threads"] or (seat.cpus or None)
        return Task(
            load=partial(load, device=device, threads=threads),
            identity=partial(models.identity, given["precision"]),
            expected=plain(options.model),
            folder=os.getcwd(),  # noqa: PTH109  # as text, and Path has nothing more to say
            variables={name: os.environ[name] for name in FOLDERS if name in os.environ},
            song=song,
            staging=staging,
        )


def plain(identity: Mapping[str, Any]) -> Any:
    """Return the identity of models as plain data."""
    from stemsplit.songs import record

    return record.plain(identity)


def shown(jobs: "Sequence[Job]") -> Any:
    """Return a song that workers must see, and the size of its file; None if no song is a file that can be seen."""
    for job in jobs:
        if not (job.elsewhere and job.elsewhere.fetches) and not job.problem and not job.done:
            with suppress(OSError):  # it is gone, which is that song's failure
                return job.path, job.path.stat().st_size
    return None


def split_on(
    cluster: Cluster,
    jobs: "Sequence[Job]",
    task: "Callable[[Seat], Task]",
    report: "ClusterReport",
    tell: "Report",
) -> None:
    """Split songs on a cluster; see `Cluster.work`. Songs for which no worker is needed are reported first."""
    from stemsplit.cluster.connecting import exact_exit
    from stemsplit.cluster.driver import Calls, Driver
    from stemsplit.cluster.here import settled_here
    from stemsplit.terminal import console

    def heard(outcome: "Outcome") -> None:
        try:
            tell(outcome)
        except EnoughError:
            driver.stop()

    calls = Calls(report.progress, heard, console.warning, report.crew)
    try:
        if left := settled_here(jobs, tell, console.warning):
            driver = Driver(left, cluster.connection, cluster.wishes, task, calls)
            with exact_exit():
                driver.run()
    finally:
        cluster.connection.close()


def report(cluster: Cluster | None, jobs: "Sequence[Job]", quiet: bool, steps: str) -> "SplitReport":
    """Return what shows the progress of songs: of several at once, if a cluster splits them."""
    from stemsplit.terminal.cluster import ClusterReport
    from stemsplit.terminal.splitting import SplitReport

    return (ClusterReport if cluster else SplitReport)(jobs, quiet, steps)


def joined(
    address: str | None, gpus: float | None, cpus: int | None, workers: int | None, device: str, dry_run: bool
) -> Cluster | None:
    """Connect to the Ray cluster that the options name, until the command ends; return None if they name none.

    Raises:
        typer.BadParameter: the options contradict each other, or Ray is not installed.
        DeviceError: there is no such cluster, or no node has what a worker needs.
    """
    if address is None:
        if workers is not None and not dry_run:
            raise typer.BadParameter("--workers needs --ray, or --dry-run to estimate how long so many machines take")
        for name, value in (("--gpus-per-worker", gpus), ("--cpus-per-worker", cpus)):
            if value is not None:
                raise typer.BadParameter(f"{name} needs --ray")
        return None
    if not find_spec("ray"):
        raise typer.BadParameter("--ray needs Ray, which is not installed; try: pip install 'stemsplit[ray]'")
    if device.startswith("cuda:"):
        raise typer.BadParameter("with --ray, the cluster gives each worker its GPU; write --device cuda, or auto")
    if device == "cpu" and gpus:
        raise typer.BadParameter("--device cpu needs no GPU; leave out --gpus-per-worker")
    if device == "cuda" and gpus == 0:
        raise typer.BadParameter("--device cuda needs a GPU; leave out --gpus-per-worker 0")
    if dry_run:
        return None
    from stemsplit.cluster.connecting import Connection
    from stemsplit.cluster.seats import Wishes, settled

    connection = Connection(address)
    wishes = Wishes(address, 1.0 if device == "cuda" and gpus is None else gpus, cpus, workers)
    return Cluster(connection, settled(wishes, connection.nodes, device != "cpu"), device)
