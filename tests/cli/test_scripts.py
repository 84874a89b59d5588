"""What scripts rely on: stdout, exit statuses, JSON, which songs are meant; and the README's own shell recipes."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.cli.conftest import Result
from tests.cli.processes import STEMS, environment, read_lines, registry, run, statuses, touched, tree
from tests.cli.processes import light as light
from tests.cli.processes import tiny as tiny
from tests.conftest import noise

pytestmark = pytest.mark.usefixtures("light")

Command = Callable[..., Result]
Song = Callable[..., Path]

SONG_KEYS = {"song", "status", "stems", "duration", "sum_error", "seconds", "real_time_factor", "error", "notes"}
STEM_KEYS = {"path", "peak", "clipped", "energy_share", "silent"}
SUMMARY_KEYS = {"songs", "done", "skipped", "failed", "passed_over", "duration", "seconds", "real_time_factor"} | {
    "error",
    "exit_status",
}
"""As the README lists them."""


def test_json_is_a_line_for_each_song_and_a_summary(
    stemsplit: Command, song: Song, tiny: list[str], tmp_path: Path
) -> None:
    """With the keys that the README lists, the same whatever became of the song."""
    loud = tmp_path / "loud.wav"
    soundfile.write(loud, 40 * noise(20_000), 44_100, subtype="FLOAT")
    assert stemsplit(song("old.wav"), *tiny, "--bit-depth", "16").status == 0
    result = stemsplit("old.wav", "missing.wav", loud, *tiny, "--bit-depth", "16", "--json")
    songs, summary = read_lines(result.out)
    assert [(told["song"], told["status"]) for told in songs] == [
        ("old.wav", "skipped"),
        ("missing.wav", "failed"),
        (str(loud), "done"),
    ]
    assert all(told.keys() == SONG_KEYS for told in songs)
    assert summary.keys() == SUMMARY_KEYS
    assert {key: summary[key] for key in ("songs", "done", "skipped", "failed", "passed_over")} == {
        "songs": 3,
        "done": 1,
        "skipped": 1,
        "failed": 1,
        "passed_over": 0,
    }
    old, missing, new = songs
    assert missing["error"] == "cannot read missing.wav (there is no such file)"
    assert (missing["stems"], missing["duration"], missing["sum_error"]) == ({}, None, None)
    for told, frames in ((old, 22_050), (new, 20_000)):
        assert told["error"] is None
        assert told["duration"] == pytest.approx(frames / 44_100, abs=1e-6)
        assert tuple(told["stems"]) == STEMS
        assert all(stem.keys() == STEM_KEYS for stem in told["stems"].values())
        assert all(Path(stem["path"]).is_file() for stem in told["stems"].values())
    assert old["sum_error"] < -60 < new["sum_error"] < 0  # but for the dither, and for what was clipped
    assert {stem["clipped"] for stem in old["stems"].values()} == {0}
    assert all(stem["clipped"] > 0 and stem["peak"] > 1 for stem in new["stems"].values())
    assert new["seconds"] > 0
    assert new["real_time_factor"] > 0
    assert summary["duration"] == pytest.approx(new["duration"], abs=1e-3)


def test_json_tells_of_stems_that_are_silent(stemsplit: Command, tiny: list[str], tmp_path: Path) -> None:
    """And gives no path to one that was not written."""
    soundfile.write(tmp_path / "quiet.wav", 1e-4 * noise(20_000), 44_100, subtype="FLOAT")
    for options, written in (([], True), (["--drop-silent"], False)):
        ((told,), _) = read_lines(stemsplit("quiet.wav", *tiny, "--json", *options).out)
        assert {stem["silent"] for stem in told["stems"].values()} == {True}
        assert {stem["path"] is not None for stem in told["stems"].values()} == {written}
    assert stemsplit("quiet.wav", *tiny, "--drop-silent").paths == []


@pytest.mark.parametrize("name", ["two\nlines.wav", 'quote".wav', "дует 音.wav", "[red]bold.wav"])
def test_json_holds_any_name(stemsplit: Command, song: Song, tiny: list[str], name: str) -> None:
    ((told,), _) = read_lines(stemsplit(song(name).name, *tiny, "--json").out)
    assert told["song"] == name
    assert all(Path(stem["path"]).is_file() for stem in told["stems"].values())


def test_stdout_has_paths_and_nothing_else(stemsplit: Command, song: Song, tiny: list[str]) -> None:
    """Of songs that were split now and before alike; none of those that failed."""
    expected = [Path("stems") / track / f"{stem}.wav" for track in "ab" for stem in STEMS]
    assert stemsplit(song("b.wav"), *tiny).paths == expected[4:]
    result = stemsplit(song("a.wav"), "missing.wav", "b.wav", *tiny, "--progress", "json")
    assert (result.status, result.paths) == (1, expected)


def test_quiet_says_only_what_failed(stemsplit: Command, song: Song, tiny: list[str]) -> None:
    result = stemsplit(song("a.wav"), "missing.wav", *tiny, "--quiet", "--progress", "json")
    assert result.err == "error: cannot read missing.wav (there is no such file)\n"
    again = stemsplit("a.wav", *tiny, "--quiet", "--json")
    assert (again.status, again.err) == (0, "")


def test_progress_for_programs_is_json(stemsplit: Command, song: Song, tiny: list[str]) -> None:
    """Each song from nothing to its end, with its place among all; on stderr, where messages are, too."""
    result = stemsplit(song("a.wav"), song("b.wav"), *tiny, "--progress", "json")
    lines = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
    assert {tuple(line) for line in lines} == {("progress",)}
    steps = [line["progress"] for line in lines]
    assert {tuple(step) for step in steps} == {("song", "place", "songs", "done", "duration")}
    for place, name in enumerate("ab", 1):
        mine = [step for step in steps if Path(step["song"]).name == f"{name}.wav"]
        done = [step["done"] for step in mine]
        assert (done[0], done[-1]) == (0.0, mine[0]["duration"])
        assert done == sorted(done)
        assert {(step["place"], step["songs"]) for step in mine} == {(place, 2)}
    assert result.err.index('"place": 2') < result.err.index("2 songs: 2 split")


@pytest.mark.parametrize("name", ["gone", "swapped"])
def test_a_model_that_cannot_be_had_is_status_3(stemsplit: Command, song: Song, tmp_path: Path, name: str) -> None:
    """Whether its weights are not there, or not those that were published."""
    file = registry(tmp_path / "model", name)
    if name == "gone":
        (tmp_path / "model" / "weights.safetensors").unlink()
    else:
        file.write_text(file.read_text().replace("author =", f'sha256 = "{"0" * 64}"\nauthor ='))
    result = stemsplit(song("a.wav"), "--model", name, "--registry", file, "--json")
    told, summary = read_lines(result.out)
    # Without a digest to know them by, weights are looked for before songs are.
    assert [line["status"] for line in told] == (["failed"] if name == "swapped" else [])
    assert (result.status, summary["done"], summary["exit_status"]) == (3, 0, 3)
    assert result.err == f"error: {summary['error']}\n"
    assert result.err.startswith("error: ")
    assert not Path("stems").exists()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["a.wav"], 0),
        (["a.wav", "missing.wav"], 1),
        (["missing.wav"], 1),
        (["empty"], 1),
        (["@no-such-list.txt"], 1),
        (["a.wav", "--name", "{track}"], 2),
        (["a.wav", "--mix", "karaoke"], 2),
        (["a.wav", "--start", "soon"], 2),
        (["a.wav", "--no-such-option"], 2),
        (["a.wav", "--device", "cuda:97"], 2),
        (["a.wav", "--model", "no-such-model"], 3),
    ],
)
def test_the_exit_status_says_how_it_went(
    stemsplit: Command, song: Song, tiny: list[str], arguments: list[str], status: int
) -> None:
    """And data comes only of what was done."""
    song("a.wav")
    Path("empty").mkdir()
    result = stemsplit(*tiny, *arguments)
    assert result.status == status
    assert len(result.paths) == (len(STEMS) if "a.wav" in arguments and status < 2 else 0)
    assert ("error" in result.err.lower()) == bool(status)
    assert "Traceback" not in result.err


def on_terminal(*arguments: str | Path, cwd: Path, **variables: str) -> tuple[int, str]:
    """Exit status of the command, and all that it shows on a terminal."""
    pty = pytest.importorskip("pty", reason="this system has no terminals to try")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "stemsplit", *map(str, arguments)]
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    shown = b""
    with subprocess.Popen(command, cwd=cwd, env=environment(**variables), **ends) as process:
        os.close(theirs)
        # Linux calls it an error that nobody is at the other end any more.
        with suppress(OSError):
            while part := os.read(ours, 65_536):
                shown += part
    os.close(ours)
    return process.returncode, shown.decode()


def colours(text: str) -> list[str]:
    """The escape sequences that choose a colour."""
    selected = re.findall(r"\x1b\[([\d;:]*)m", text)
    return [
        codes
        for codes in selected
        if any(re.fullmatch("3[0-8]|4[0-8]|9[0-7]|10[0-7]", c) for c in re.split("[;:]", codes))
    ]


def test_a_terminal_has_colours_unless_told_not_to(song: Song, tiny: list[str], tmp_path: Path) -> None:
    """A bar, an error, a usage error: NO_COLOR leaves at most bold type and where the cursor goes."""
    song("a.wav")
    for arguments in (["a.wav", "missing.wav"], ["a.wav", "--no-such-option"]):
        _, plain = on_terminal(*arguments, *tiny, cwd=tmp_path, NO_COLOR="1")
        assert colours(plain) == []
        assert re.search("there is no such file|no such option", plain)
    assert (tmp_path / "stems/a/vocals.wav").is_file()
    status, shown = on_terminal("missing.wav", *tiny, cwd=tmp_path)
    assert status == 1
    assert colours(shown)


def test_a_terminal_that_tells_no_size_gets_all_the_same(tmp_path: Path) -> None:
    for arguments, wanted in ((["list"], "starter"), (["download", "--help"], "Usage: ")):
        assert wanted in on_terminal(*arguments, cwd=tmp_path, COLUMNS="0")[1]


def test_without_a_terminal_there_is_no_escape_sequence(song: Song, tiny: list[str], tmp_path: Path) -> None:
    """Though the terminal that the script itself runs in would know them."""
    song("a.wav")
    results = [run(*words, *tiny, cwd=tmp_path) for words in (["a.wav", "missing.wav"], ["--no-such-option"])]
    assert [result.status for result in results] == [1, 2]
    assert not [result for result in results if "\x1b" in result.out + result.err]


def everything(*folders: Path) -> list[Any]:
    """All files, what they hold and when they were written."""
    return [(tree(folder), touched(folder)) for folder in folders]


def test_a_dry_run_says_what_would_be_done_and_touches_nothing(
    stemsplit: Command, song: Song, tiny: list[str], tmp_path: Path, home: Path
) -> None:
    """What is done, to do, in each other's way or not to be read, with minutes and bytes; to people and to scripts."""
    for name in ("done.wav", "new.flac", "twin.wav", "twin.flac"):
        song(name)
    (tmp_path / "bad.wav").touch()
    (tmp_path / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    assert stemsplit("done.wav", *tiny).status == 0
    before = everything(tmp_path, home)
    shown = stemsplit(".", *tiny, "--dry-run")
    told = stemsplit(".", *tiny, "--dry-run", "--json")
    assert everything(tmp_path, home) == before
    assert (shown.status, told.status) == (1, 1)
    states = [("problem", "bad"), ("done", "done"), ("to do", "new"), ("problem", "twin"), ("problem", "twin")]
    for line, (state, name) in zip(shown.out.splitlines(), states, strict=True):
        assert re.match(rf"{state} +(0:00 +)?{name}\.(wav|flac) +\S", line)
    (last,) = shown.err.splitlines()
    assert last.startswith("5 songs: 1 to split, 1 already split, 3 with problems; ")
    plans, summary = read_lines(told.out)
    assert {plan["song"]: plan["status"] for plan in plans} == {
        "bad.wav": "failed",
        "done.wav": "skipped",
        "new.flac": "to do",
        "twin.flac": "failed",
        "twin.wav": "failed",
    }
    problems = {plan["song"]: plan["error"] for plan in plans if plan["error"]}
    assert "the file is empty" in problems["bad.wav"]
    assert problems["twin.wav"].startswith("twin.wav and twin.flac would be written to the same files")
    (new,) = [plan for plan in plans if plan["status"] == "to do"]
    assert [stem["path"] for stem in new["stems"].values()] == [f"stems/new/{stem}.wav" for stem in STEMS]
    assert (new["duration"], new["bytes"]) == (0.5, 22_050 * 2 * 4 * len(STEMS))
    counts = {"songs": 5, "to_do": 1, "skipped": 1, "failed": 3, "passed_over": 1}
    assert summary.items() >= counts.items()
    assert (summary["duration"], summary["bytes"]) == (0.5, new["bytes"])
    assert isinstance(summary["estimated_seconds"], float)
    assert summary["download_bytes"] is None
    assert stemsplit("new.flac", *tiny, "--dry-run").status == 0


def test_a_dry_run_says_how_much_is_to_download_and_fetches_nothing(
    stemsplit: Command, song: Song, tmp_path: Path, home: Path
) -> None:
    file = registry(tmp_path / "model")
    source = 'sha256 = "' + "0" * 64 + '"\nsize = 12345678\nsources = ["http://127.0.0.1:9/weights.safetensors"]'
    file.write_text(file.read_text().replace('sources = ["file:weights.safetensors"]', source))
    song("a.wav")
    before = everything(tmp_path, home)
    options = ["a.wav", "--model", "tiny", "--registry", file, "--dry-run"]
    shown, told = stemsplit(*options), stemsplit(*options, "--json")
    assert everything(tmp_path, home) == before
    assert (shown.status, told.status) == (0, 0)
    assert shown.err.endswith("; first to download: 12.3 MB\n")
    assert read_lines(told.out)[1]["download_bytes"] == 12_345_678


@pytest.fixture
def album(song: Song, tmp_path: Path) -> Path:
    """Songs in folders, in spellings of all kinds, with other files among them."""
    (tmp_path / "album" / "cd 2" / "live").mkdir(parents=True)
    for name in ("one.WAV", "cd 2/two.Flac", "cd 2/live/three.OGG"):
        song(f"album/{name}", frames=3_000)
    # Audio by its content alone.
    song("album/cd 2/four.data", frames=3_000, format="WAV")
    for name in ("cover.JPG", "cd 2/notes.txt"):
        (tmp_path / "album" / name).write_bytes(b"\xff\xd8\xff\xe0")
    return tmp_path / "album"


TRACKS = ["cd 2/four", "cd 2/live/three", "cd 2/two", "one"]


def split_into(out: str) -> list[str]:
    """The tracks below an output folder."""
    return sorted(str(path.parent.relative_to(out)) for path in Path(out).rglob("stemsplit.json"))


@pytest.mark.usefixtures("album")
@pytest.mark.parametrize("argument", ["album", "album/", "./album/../album", "album/**/*", "@list.txt", "-"])
def test_songs_can_be_named_in_many_ways(
    stemsplit: Command, tiny: list[str], monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    """A folder, a glob that the shell left alone, a list in a file or on stdin: the tree is kept below the output."""
    names = b"album\r\n" if argument == "@list.txt" else b"album\0"
    Path("list.txt").write_bytes(names)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names)))
    result = stemsplit(argument, *tiny, "--json", "-o", "out")
    songs, summary = read_lines(result.out)
    assert (result.status, summary["done"], summary["passed_over"]) == (0, 4, 2)
    assert len(songs) == 4
    assert split_into("out") == TRACKS


def test_a_list_names_files_that_then_have_no_tree(stemsplit: Command, tiny: list[str], album: Path) -> None:
    (album.parent / "list.txt").write_text("album/cd 2/live/three.OGG\n\nalbum/one.WAV\n")
    result = stemsplit("@list.txt", *tiny, "-s", "bass")
    assert (result.status, result.paths) == (0, [Path("stems/three/bass.wav"), Path("stems/one/bass.wav")])


@pytest.mark.usefixtures("album")
@pytest.mark.parametrize(
    "arguments",
    [
        ["album", "album"],
        ["album", "./album/"],
        ["album", "album/cd 2"],
        ["album", "album/one.WAV"],
        ["album", "album/*"],
    ],
    ids=shlex.join,
)
def test_a_song_that_is_named_twice_is_split_once(stemsplit: Command, tiny: list[str], arguments: list[str]) -> None:
    result = stemsplit(*arguments, *tiny, "--json", "-o", "out")
    _, summary = read_lines(result.out)
    assert (result.status, summary["songs"], summary["done"]) == (0, 4, 4)
    assert split_into("out") == TRACKS


@pytest.mark.usefixtures("album")
@pytest.mark.parametrize(
    ("argument", "out"),
    [
        ("album", "album/stems"),
        ("album", "album"),
        (".", "stems"),
        (".", "."),
        ("album/**/*", "album/stems"),
        ("**", "."),
    ],
)
def test_stems_among_the_songs_are_not_split_again(
    stemsplit: Command, tiny: list[str], argument: str, out: str
) -> None:
    first = stemsplit(argument, *tiny, "--json", "-o", out)
    before = tree(Path())
    second = stemsplit(argument, *tiny, "--json", "-o", out)
    assert (first.status, second.status) == (0, 0)
    assert {*statuses(first.out).values()} == {"done"}
    assert statuses(second.out) == dict.fromkeys(statuses(first.out), "skipped")
    assert tree(Path()) == before


RECIPES = {
    "for": """
for song in album/*.flac; do
  stemsplit "$song" --quiet || echo "$song" >> failed.txt
done
""",
    "find": """
find album -name '*.flac' -mtime -7 -print0 | stemsplit -
""",
    "xargs": """
find album -name '*.flac' -print0 | xargs -0 stemsplit --stems vocals
""",
    "jq": """
stemsplit album --json | jq -r 'select(.status == "failed") | "\\(.song): \\(.error)"'
""",
    "python": """
stemsplit album --json | python3 -c '
import json, sys
for line in map(json.loads, sys.stdin):
    if line.get("status") == "failed":
        print(line["song"], line["error"], sep=": ")
'
""",
    "while": """
mkdir vocals
stemsplit album --stems vocals --quiet | while IFS= read -r stem; do
  cp "$stem" "vocals/$(basename "$(dirname "$stem")").wav"
done
""",
}
"""For the README, as they are pasted."""


@pytest.fixture
def shell(tmp_path: Path, song: Song) -> Callable[[str], Result]:
    """Runs a recipe with bash among three songs, one of them bad; a small network stands in for the built-in one."""
    if not shutil.which("bash"):
        pytest.skip("this system has no bash")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "stemsplit"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m stemsplit "$@"\n')
    program.chmod(0o755)
    variables = environment(
        PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        STEMSPLIT_REGISTRY=str(registry(tmp_path / "model", "starter")),
    )
    (tmp_path / "album" / "cd 2").mkdir(parents=True)
    song("album/one  song's.flac", frames=3_000)
    song("album/cd 2/two.flac", frames=3_000)
    (tmp_path / "album" / "bad.flac").touch()

    def call(name: str) -> Result:
        command = ["bash", "-c", RECIPES[name]]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    return call


BAD = "error: cannot read album/bad.flac (the file is empty)\n"


def test_the_recipe_of_a_loop(shell: Callable[[str], Result], tmp_path: Path) -> None:
    result = shell("for")
    assert (result.status, result.err) == (0, BAD)
    assert result.paths == [Path("stems/one  song's") / f"{stem}.wav" for stem in STEMS]
    assert (tmp_path / "failed.txt").read_text() == "album/bad.flac\n"


@pytest.mark.parametrize(("name", "status"), [("find", 1), ("xargs", 123)])
def test_the_recipes_with_find(shell: Callable[[str], Result], name: str, status: int) -> None:
    result = shell(name)
    assert (result.status, BAD in result.err) == (status, True)
    stems = ["vocals"] if name == "xargs" else STEMS
    expected = {Path("stems") / track / f"{stem}.wav" for track in ("one  song's", "two") for stem in stems}
    assert set(result.paths) == expected


def test_the_recipes_for_json(shell: Callable[[str], Result]) -> None:
    expected = "album/bad.flac: cannot read album/bad.flac (the file is empty)\n"
    for name in ("python", "jq"):
        if name == "python" or shutil.which("jq"):
            result = shell(name)
            assert (result.status, result.out) == (0, expected)
            assert BAD in result.err
    if not shutil.which("jq"):
        pytest.skip("the one with Python is fine; jq is not there to try the other one")


def test_the_recipe_that_reads_paths(shell: Callable[[str], Result], tmp_path: Path) -> None:
    result = shell("while")
    assert (result.status, result.out, result.err) == (0, "", BAD)
    assert sorted(path.name for path in (tmp_path / "vocals").iterdir()) == ["one  song's.wav", "two.wav"]
    first = (tmp_path / "stems" / "one  song's" / "vocals.wav").read_bytes()
    assert (tmp_path / "vocals" / "one  song's.wav").read_bytes() == first
