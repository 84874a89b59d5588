"""Runs `stemsplit eval`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.choices import Estimates as EstimatesName
from stemsplit.choices import PrecisionName, WindowName
from stemsplit.cli import choose, several
from stemsplit.cli.options import (
    BatchSize,
    ChunkSeconds,
    Compile,
    Csv,
    Device,
    EstimatesChoice,
    HtmlReport,
    Json,
    Overlap,
    Precision,
    Threads,
    Window,
    listed,
    under,
    usage_errors,
)
from stemsplit.cli.recommending import suggestion

if TYPE_CHECKING:
    from stemsplit.engine.combination.entry import Source
    from stemsplit.evaluation.estimates import Estimates
    from stemsplit.evaluation.evaluation import Result

MODEL = "With --model"


def eval_(
    references: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCES",
            exists=True,
            help="Songs with their true stems: a folder with one subfolder per song, in it one file per stem "
            "(drums.wav, bass.wav ...); a folder of .stem.mp4 files; or a CSV file with the columns song,stem,path.",
        ),
    ],
    estimates: Annotated[
        Path | None,
        typer.Argument(
            metavar="ESTIMATES",
            exists=True,
            file_okay=False,
            help="Folder of separated stems of the same songs, as `stemsplit split` writes them.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Score the stems that this model makes, instead of ESTIMATES. Name of a model or preset, as shown by "
            "`stemsplit list`, a checkpoint file, or several models together: a+b, a:0.6+b:0.4.",
            autocompletion=choose.complete_model,
        ),
    ] = None,
    ensemble: several.Ensemble = None,
    combine: several.Combine = None,
    route: several.Route = None,
    stems: Annotated[
        str | None, typer.Option("--stems", "-s", help="Score only these stems, e.g. vocals,drums.")
    ] = None,
    as_json: Json = False,
    csv: Csv = None,
    report: HtmlReport = None,
    device: Annotated[str | None, under(MODEL, Device)] = None,
    chunk_seconds: Annotated[float | None, under(MODEL, ChunkSeconds)] = None,
    overlap: Annotated[float | None, under(MODEL, Overlap)] = None,
    window: Annotated[WindowName | None, under(MODEL, Window)] = None,
    kind: Annotated[EstimatesName | None, under(MODEL, EstimatesChoice)] = None,
    batch_size: Annotated[int | None, under(MODEL, BatchSize)] = None,
    precision: Annotated[PrecisionName | None, under(MODEL, Precision)] = None,
    threads: Annotated[int | None, under(MODEL, Threads)] = None,
    compile_: Annotated[bool, under(MODEL, Compile)] = False,
    tta: Annotated[bool, under(MODEL, several.Tta)] = False,
    shifts: Annotated[int | None, under(MODEL, several.Shifts)] = None,
    fit_memory: Annotated[str | None, under(MODEL, several.FitMemory)] = None,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Score separated stems against the true ones, in dB.

    Each song is scored by the SDR and SI-SDR of the whole song, and by the
    median SDR of its seconds, as museval computes it. After the songs, the
    mean and median of these scores over all songs are shown.
    """
    has_model = model is not None or bool(ensemble) or bool(route)
    if (estimates is None) != has_model:
        raise typer.BadParameter("name either a folder of separated stems or a --model", param_hint="ESTIMATES")
    chunks = {"chunk_seconds": chunk_seconds, "overlap": overlap, "window": window and window.value}
    passes = {"tta": tta or None, "shifts": shifts}
    limit = several.limit(fit_memory)
    computing = {"batch_size": batch_size, "threads": threads, "compiled": compile_ or None, "fit_memory": limit}
    if not has_model:
        given: dict[str, Any] = {"device": device, "precision": precision, "config": config, "set": settings}
        given |= {**chunks, "estimates": kind, **computing, **passes, "combine": combine}
        if needing := [name for name, value in given.items() if value is not None and value != []]:
            option = {"compiled": "compile"}.get(needing[0], needing[0]).replace("_", "-")
            raise typer.BadParameter(f"--{option} needs --model")
    from stemsplit.cli.loading import check_memory
    from stemsplit.cli.obtain import obtain_all
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.engine.combination.entry import adjusted
    from stemsplit.terminal import console
    from stemsplit.terminal.csv_files import SCORES, CsvFile, score_rows
    from stemsplit.terminal.eval_report import page_of_scores
    from stemsplit.terminal.evaluation import EvalReport, print_scores, scores_as_data
    from stemsplit.terminal.report_files import ReportFile
    from stemsplit.terminal.stdout import print_json

    wanted = listed([stems] if stems else None)
    with usage_errors("--csv"):
        table = CsvFile(csv, SCORES) if csv else None
    with usage_errors("--report"):
        file = ReportFile(report) if report else None
    entry = None
    if has_model:
        entry = several.source(model, ensemble, route, combine, registry_file, config, settings)
        entry = adjusted(adjusted(entry, "with_chunks", **chunks), "with_passes", **passes)
        entry = entry.with_estimates(kind) if kind else entry
        check_stems(entry, wanted, registry_file)
        number = precision.value if precision else "auto"
        check_memory(ChainEntry(entry), limit, device or "auto", number, compiled=compile_)
        obtain_all(ChainEntry(entry), quiet=False)

    from stemsplit.evaluation.estimates import FromFolder
    from stemsplit.evaluation.evaluation import evaluate, summary
    from stemsplit.evaluation.multitracks import multitracks

    songs = multitracks(references)
    if entry:
        chosen = {"device": device, "precision": precision and precision.value, **computing}
        source = from_model(entry, {name: value for name, value in chosen.items() if value is not None})
    else:
        assert estimates is not None
        source = FromFolder(estimates)
    results = []
    with EvalReport([song.title for song in songs]) as shown:
        for result in evaluate(songs, source, wanted, lambda song, seconds: shown.progress(song.title, seconds)):
            results.append(result)
            if result.error:
                console.error(result.error)
    remark(results)
    written = not table or table.write(score_rows(results))
    found = summary(results)
    if file:
        what = entry.name if entry else str(estimates)
        written &= file.write(page_of_scores(results, found, what, file.path))
    if as_json:
        print_json(scores_as_data(results, found))
    else:
        print_scores(results, found)
    if not written or any(result.error for result in results):
        raise typer.Exit(1)


def check_stems(source: "Source", wanted: list[str], registry_file: Path | None) -> None:
    """Raise typer.BadParameter if the models do not give one of the stems to score."""
    if unknown := [name for name in wanted if name not in source.outputs]:
        known = ", ".join(source.outputs)
        what = f"{source.name} has no stem {unknown[0]!r}; it has {known}{suggestion(unknown[0], registry_file)}"
        raise typer.BadParameter(what, param_hint="--stems")


def from_model(source: "Source", settings: dict[str, Any]) -> "Estimates":
    """Load a model, or several together, whose stems are to be scored.

    Args:
        source: the models.
        settings: settings of `engine.chain.load` other than the defaults.

    Raises:
        WeightsError, DeviceError: the model cannot be loaded.
    """
    from stemsplit.cli.loading import load_models
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.evaluation.estimates import FromModel

    return FromModel(load_models(ChainEntry(source), settings.pop("batch_size", None), **settings))


def remark(results: "list[Result]") -> None:
    """Print which stems have no scores, and why."""
    from stemsplit.terminal import console

    unmeasured: dict[str, list[str]] = {}
    for result in results:
        for name in result.unmeasured:
            unmeasured.setdefault(name, []).append(result.name)
        silent = [name for name, score in result.scores.items() if math.isnan(score.sdr)]
        mute = [name for name, score in result.scores.items() if score.si_sdr == -math.inf]
        apart = [n for n, score in result.scores.items() if math.isnan(score.frame_sdr) and n not in {*silent, *mute}]
        for names, what in (
            (silent, "not scored, because the true stem is silent"),
            (mute, "only its SDR is given, because the separated stem is silent"),
            (apart, "no median SDR, because in every second some stem is silent or there is no error"),
        ):
            if names:
                console.note(f"{result.name}: {', '.join(names)}: {what}")
    for name, songs in unmeasured.items():
        where = songs[0] if len(songs) == 1 else f"{len(songs)} songs"
        why = "only the true or only the separated stem is there, or the true one only in a sum"
        console.note(f"{where}: {name}: not scored, because {why}")
