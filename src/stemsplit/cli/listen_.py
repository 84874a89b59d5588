"""Runs `stemsplit listen`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli import process
from stemsplit.cli.options import likely_song, seconds

if TYPE_CHECKING:
    from stemsplit.listening.arguments import Gathered
    from stemsplit.listening.runs import RunAnswers
    from stemsplit.listening.server import Server


def moment(text: str | None) -> float | None:
    """Return a time in seconds."""
    return None if text is None else seconds(text)


def listen(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FOLDER|SONG",
            help="Folders of stems or comparisons, and songs; or the CSV file of a training run. Default: the folder "
            "stems.",
        ),
    ] = None,
    songs: Annotated[
        Path | None,
        typer.Option(
            "--songs",
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Folder with the songs themselves, if they are not found beside their stems.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", callback=moment, metavar="TIME", help="Time at which to begin, e.g. 1:23."),
    ] = None,
    solo: Annotated[
        str | None, typer.Option("--solo", metavar="STEM", help="Stem that is heard alone at first.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Port to serve the page on. Default: a free one.")
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the address, and open no browser.")] = False,
) -> None:
    """Hear stems and comparisons in the browser: mute, solo, loop, compare.

    The CSV file of a training run is shown as curves, which follow the run.

    The page is served to this machine only, until Ctrl-C. Its address is
    printed on stdout. `stemsplit help listening` says more.
    """
    from stemsplit.listening.answers import Answers
    from stemsplit.listening.server import Answering, Server
    from stemsplit.terminal import console
    from stemsplit.words import counted

    answers: Answering
    texts = [*(what or ())]
    if any(Path(text).suffix.lower() == ".csv" for text in texts):
        answers, told = run_of(texts, at, solo), "the curves follow the run"
    else:
        found = gather(texts, songs)
        for text in found.notes:
            console.note(text)
        check_moment(found, at, solo)
        answers = Answers(found.shelf, found.mixtures)
        told = f"{counted(len(found.shelf.items), 'song')} to listen to"
    try:
        server = Server(answers, port or 0)
    except OSError as error:
        taken = f"cannot listen on port {port} ({error.strerror or error}); choose another one, or leave out --port"
        raise typer.BadParameter(taken, param_hint="--port") from error
    try:
        serve(server, told, fragment(at, solo), no_open)
    except KeyboardInterrupt:
        console.note("stopped")
    finally:
        server.stop()


def check_moment(found: "Gathered", at: object, solo: str | None) -> None:
    """Raise typer.BadParameter if the one song that was named has no such stem, or ends before the time."""
    from stemsplit.words import clock, did_you_mean

    if found.only is None:
        return
    names = [*dict.fromkeys(track.stem or track.name for track in found.only.tracks if track.role != "song")]
    length = found.only.frames / found.only.sample_rate
    if solo is not None and solo not in names:
        hint = did_you_mean(solo, names) or f"; it has {', '.join(names) or 'none'}"
        raise typer.BadParameter(f"{found.only.title} has no stem {solo!r}{hint}", param_hint="--solo")
    if isinstance(at, float) and at >= length:
        raise typer.BadParameter(f"{found.only.title} has only {clock(length, 3)}", param_hint="--at")


def fragment(at: object, solo: str | None) -> str:
    """Return the part of the address that says where to begin."""
    from urllib.parse import urlencode

    wanted = {"t": None if at is None else f"{at:.12g}", "solo": solo}
    given = {name: value for name, value in wanted.items() if value is not None}
    return f"#{urlencode(given)}" if given else ""


@contextmanager
def saying_after(delay: float, text: str) -> Iterator[None]:
    """Say what is being done if it takes longer than a delay in seconds."""
    import threading

    from stemsplit.terminal import console

    timer = threading.Timer(delay, console.note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def run_of(texts: list[str], at: object, solo: str | None) -> "RunAnswers":
    """Return the answers to a page about a training run.

    Raises:
        typer.BadParameter: more than its CSV file is named, or the file is not one.
    """
    from stemsplit.errors import StemsplitError
    from stemsplit.listening.runs import Curves, RunAnswers

    if len(texts) > 1 or at is not None or solo is not None:
        raise typer.BadParameter("the CSV of a training run is shown alone", param_hint="FOLDER|SONG")
    try:
        return RunAnswers(Curves(Path(texts[0])))
    except StemsplitError as error:
        raise typer.BadParameter(str(error), param_hint="FOLDER|SONG") from error


def gather(texts: list[str], songs: Path | None) -> "Gathered":
    """Return what can be listened to.

    Raises:
        typer.BadParameter: a file is missing, or a folder has no stems.
    """
    from stemsplit.errors import AudioError
    from stemsplit.listening.arguments import STEMS, gathered

    if not texts and not STEMS.is_dir():
        missing = f"there is no folder {STEMS} here; name a folder of stems, or split a song first: stemsplit SONG"
        raise typer.BadParameter(missing, param_hint="FOLDER")
    paths = [STEMS]
    try:
        if texts:
            paths = [likely_song(Path(text)) for text in texts]
            for path in paths:
                path.stat()
        folders = [path for path in paths if path.is_dir() or path.suffix == ".json"]
        with saying_after(2.0, f"looking for stems in {', '.join(map(str, folders or [STEMS]))}"):
            return gathered(folders, [path for path in paths if path not in folders], songs)
    except AudioError as error:
        raise typer.BadParameter(str(error), param_hint="FOLDER|SONG") from error
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise typer.BadParameter(f"cannot read {error.filename} ({reason})", param_hint="FOLDER|SONG") from error


def serve(server: "Server", what: str, where: str, no_open: bool) -> None:
    """Print the address and what is there, open it in a browser, and serve until a signal ends it."""
    from stemsplit.listening import opening
    from stemsplit.terminal import console
    from stemsplit.terminal.stdout import print_text

    address = f"{server.address}{where}"
    print_text(address)
    told = "" if no_open else opening.obstacle()
    if opening.is_remote():
        port = server.server_address[1]
        console.hint(f"on your own machine, run {opening.tunnel(port)} and open the address above there")
    elif told:
        console.hint(f"{told}; open the address above in a browser")
    if not no_open and not told:
        opening.open_browser(f"{server.door}{where}")
    console.note(f"{what}; end with Ctrl-C")
    process.settle()
    server.serve_forever()
