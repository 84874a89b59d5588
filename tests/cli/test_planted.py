"""What lies in an output folder is a stranger's: nothing outside the plan is changed, whatever was planted there."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.cli.conftest import Result
from tests.cli.processes import STEMS
from tests.cli.processes import forked as forked
from tests.cli.processes import tiny as tiny
from tests.conftest import snapshot, unix

Command = Callable[..., Result]
Song = Callable[..., Path]

pytestmark = unix


def key(of: str) -> str:
    return hashlib.sha256(os.fsencode(of)).hexdigest()[:16]


HIDDEN = f".stemsplit-{key('a/stemsplit.json')}"
"""Where the song a.wav is worked on."""

COMPARED = f".stemsplit-{key('comparison a 0.00-0.00.01')}"
"""Where clips of it are made."""

OWNER, WORK = f"owner-0-in-{'0' * 16}-1-{'0' * 16}-host", f"work-{'0' * 16}"
"""What says whose turn it is there, and a folder in it that a process works in."""

PLAN = {"a", "a/stemsplit.json", *(f"a/{stem}.wav" for stem in STEMS)}
"""All that splitting it may change in the output folder."""

VICTIM = "../victim"


@dataclass(frozen=True)
class Planted:
    """Something that somebody put into the output folder.

    Args:
        path: where.
        kind: of what there is.
        content: of a file; where a link leads.
    """

    path: str
    kind: str
    content: str = ""

    def plant(self, out: Path) -> None:
        """Put it there, if nothing is in its way."""
        place = out / self.path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if self.kind == "folder":
                place.mkdir()
            elif self.kind == "pipe":
                os.mkfifo(place)
            elif self.kind == "link":
                place.symlink_to(self.content)
            elif self.kind == "hard link":
                os.link(out / VICTIM / "diary.txt", place)
            else:
                with place.open("xb") as file:  # x: what is there may be a pipe, which nobody reads
                    file.write(self.content.encode("utf-8", "surrogatepass"))
        except OSError:  # a file where a folder would have to be, or links that lead in a circle
            return


def commits(files: Any, record: Any) -> str:
    """A journal as older versions wrote it, or a lie in today's form."""
    return json.dumps({"record": record, "files": files, "stemsplit_commit": 1})


ELSEWHERE = st.sampled_from(
    [
        "../victim/diary.txt",
        "../../victim/new",
        "/tmp/stemsplit-planted",
        "diary.txt",
        "..",
        "",
        "a\0b",
        "\ud800",
        "b/c",
    ]
)
NUMBERS = st.integers() | st.floats() | st.just(10**400)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | ELSEWHERE | st.sampled_from(["vocals.wav", "record.json", "lock"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ELSEWHERE, inner, max_size=3),
    max_leaves=8,
)
CONTENTS = (
    st.sampled_from(["", "[]", "null", "{}", "[" * 5_000, '{"files": {"vocals.wav": "../../victim/diary.txt"}}', "\0"])
    | JSON.map(json.dumps)
    | st.builds(commits, st.dictionaries(st.sampled_from(["vocals.wav", "lock", "../x"]), ELSEWHERE), ELSEWHERE)
)
FOLDERS = st.sampled_from(
    [
        HIDDEN,
        f"{HIDDEN}-1",
        f"{HIDDEN}-new-{'0' * 16}",
        f"{HIDDEN}/{WORK}",
        COMPARED,
        ".stemsplit-x",
        f".stemsplit-{'0' * 16}",
        "a",
        "a 0.00-0.00.01",
        ".",
        "mine",
    ]
)
NAMES = st.sampled_from(
    ["lock", "undecided", OWNER, WORK]
    + ["files.json", "commit.json", "commit.part", "record.json", "vocals.wav", "drums.wav", "stemsplit.json"]
    + ["comparison.json", "diary.txt", "old", "new", "old/diary.txt", "new/vocals.wav", ".hidden", "old/.hidden"]
)
PATHS = st.builds(os.path.join, FOLDERS, NAMES) | FOLDERS.filter(lambda name: name != ".")
TARGETS = st.sampled_from([VICTIM, "../../victim", "../victim/diary.txt", "nothing", ".", "..", "/dev/zero", HIDDEN])
THINGS = st.one_of(
    st.builds(Planted, PATHS, st.just("file"), CONTENTS),
    st.builds(Planted, PATHS, st.just("link"), TARGETS),
    st.builds(Planted, PATHS, st.sampled_from(["folder", "pipe", "hard link"])),
)


def is_of_our_shape(folder: Path) -> bool:
    """Whether a hidden folder is as a killed process of this user leaves it: then it is ours to clear."""
    listed: Any = []
    if os.path.lexists(folder / "files.json"):
        if not stat.S_ISREG((folder / "files.json").lstat().st_mode):
            return False
        with suppress(ValueError, RecursionError):
            listed = json.loads((folder / "files.json").read_bytes())
    lock = folder / "lock"
    nobodys = {path.name for path in folder.iterdir()} <= {"undecided", WORK}
    sound = nobodys or any(
        os.path.lexists(file) and stat.S_ISREG(file.lstat().st_mode) and not file.lstat().st_size
        for file in (lock, folder / OWNER)
    )
    return (
        not folder.is_symlink()
        and sound
        and isinstance(listed, list)
        and all(isinstance(name, str) for name in listed)
        and {str(path.relative_to(folder)) for path in folder.rglob("*")}
        <= {"lock", "files.json", "undecided", OWNER, *listed, "old", "new"}
        | {WORK, *(f"{WORK}/{name}" for name in ("lock", "files.json", "undecided"))}
    )


@dataclass
class Place:
    """An output folder beside somebody else's."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def untouchable(self) -> dict[str, bytes | str | None]:
        """All that no command may change, as it is."""
        ours = PLAN | {f"out/{name}" for name in PLAN}
        for hidden in self.out.glob(".stemsplit-*"):
            if hidden.is_dir() and is_of_our_shape(hidden):
                ours |= {f"out/{hidden.name}", *(f"out/{path.relative_to(self.out)}" for path in hidden.rglob("*"))}
        return {name: content for name, content in snapshot(self.folder).items() if name not in ours}


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Callable[[list[Planted]], Place]]:
    numbers = count()

    def place(things: list[Planted]) -> Place:
        made = Place(tmp_path / "places" / str(next(numbers)))
        (made.folder / "victim").mkdir(parents=True)
        (made.folder / "victim/diary.txt").write_bytes(b"mine")
        made.out.mkdir()
        for thing in things:
            thing.plant(made.out)
        return made

    yield place
    shutil.rmtree(tmp_path / "places", ignore_errors=True)


FOUND = [
    [Planted(".stemsplit-x", "link", VICTIM)],
    [Planted(HIDDEN, "link", VICTIM)],
    [Planted(HIDDEN, "link", "nothing")],
    [Planted(f"{HIDDEN}/lock", "link", "../../victim/new")],
    [Planted(f"{HIDDEN}/lock", "folder")],
    [Planted(f"{HIDDEN}/lock", "file"), Planted(f"{HIDDEN}/commit.json", "file", "[]")],
    [
        Planted(".stemsplit-y/lock", "file"),
        Planted(".stemsplit-y/vocals.wav", "file", "planted"),
        Planted(
            ".stemsplit-y/commit.json",
            "file",
            commits({"vocals.wav": "../../victim/diary.txt"}, "a/stemsplit.json"),
        ),
    ],
    [Planted("a", "link", VICTIM)],
    [Planted("a/vocals.wav", "link", "../../victim/diary.txt")],
    [Planted("a/stemsplit.json", "link", "/dev/zero")],
    [Planted("a/stemsplit.json", "pipe")],
]
"""What was found by attacking, and trees close to it."""


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(things=st.lists(THINGS, min_size=1, max_size=6), song_is_there=st.booleans(), force=st.booleans())
@example(things=FOUND[0], song_is_there=False, force=False)
def test_splitting_changes_nothing_else(
    stemsplit: Command,
    song: Song,
    tiny: list[str],
    places: Callable[[list[Planted]], Place],
    things: list[Planted],
    song_is_there: bool,
    force: bool,
) -> None:
    place = places(things)
    if song_is_there:
        song("a.wav", frames=500)
    else:
        Path("a.wav").unlink(missing_ok=True)
    before = place.untouchable()
    result = stemsplit("a.wav", "-o", place.out, *tiny, *(["--force"] if force else []))
    assert place.untouchable() == before
    assert "Traceback" not in result.err
    assert result.status in ((0, 1) if song_is_there else (1,))
    if result.status == 0:
        assert {path.name for path in result.paths} == {f"{stem}.wav" for stem in STEMS}
        assert all(path.is_file() and not path.is_symlink() for path in result.paths)
    assert not Path("/tmp/stemsplit-planted").exists()


@pytest.mark.parametrize("things", FOUND, ids=lambda things: f"{things[-1].path} {things[-1].kind}"[-50:])
@pytest.mark.parametrize("missing", [True, False])
def test_what_was_found_by_attack_is_mended(
    forked: Command,
    song: Song,
    tiny: list[str],
    places: Callable[[list[Planted]], Place],
    things: list[Planted],
    missing: bool,
    tmp_path: Path,
) -> None:
    """In a process of its own, as some of these never ended."""
    place = places(things)
    if not missing:
        song("a.wav", frames=500)
    before = place.untouchable()
    result = forked("a.wav", "-o", place.out, *tiny, cwd=tmp_path)
    assert result.status in (0, 1)
    assert place.untouchable() == before
    assert "Traceback" not in result.err
    told = [line for line in result.err.splitlines() if "is left alone" in line]
    assert len(told) == len(set(told)) == len(list(place.out.glob(".stemsplit-*")))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(things=st.lists(THINGS, min_size=1, max_size=6), force=st.booleans())
@example(things=[Planted(COMPARED, "link", VICTIM)], force=False)
@example(things=[Planted(f"{COMPARED}/old", "link", "../../victim"), Planted(f"{COMPARED}/lock", "file")], force=True)
@example(
    things=[
        Planted("a 0.00-0.00.01/comparison.json", "file", '{"files": ["../../victim/diary.txt", "vocals.wav"]}'),
        Planted("a 0.00-0.00.01/vocals.wav", "file", "planted"),
    ],
    force=True,
)
def test_comparing_changes_nothing_else(
    stemsplit: Command,
    song: Song,
    tiny: list[str],
    places: Callable[[list[Planted]], Place],
    things: list[Planted],
    force: bool,
) -> None:
    place = places(things)
    song("a.wav", frames=500)
    # A comparison that is there and is one goes with --force.
    clips = place.out / "a 0.00-0.00.01"
    ours = force and (clips / "comparison.json").is_file()
    before = place.untouchable()
    chosen = ["-o", place.out, *(["--force"] if force else [])]
    result = stemsplit("compare", "a.wav", "--models", *tiny[1:], "--duration", "0.01s", "--start", "0", *chosen)
    after = place.untouchable()
    if ours or not before.keys() & {"out/a 0.00-0.00.01"}:
        before, after = (
            {name: content for name, content in found.items() if not name.startswith("out/a 0.00-0.00.01")}
            for found in (before, after)
        )
    assert after == before
    assert "Traceback" not in result.err
    assert result.status in (0, 1)
