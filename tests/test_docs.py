"""Every topic's commands run, every schema describes what really comes out, and no document points into the void."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from stemsplit import registry
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit
from tests.cli.processes import STEMS
from tests.cli.processes import light as light
from tests.cli.test_scripts import RECIPES
from tests.documents import ROOT, TOPICS, blocks, commands, measure_little, text, write_own_checkpoints
from tests.documents import stand_ins as stand_ins
from tests.documents import try_line as try_line

Command = Callable[..., Result]
Song = Callable[..., Path]

PAGES = [
    path
    for path in (
        ROOT / "README.md",
        *(ROOT / ".github").glob("*.md"),  # a source distribution has none
        *TOPICS.values(),
        ROOT / "src" / "stemsplit" / "training" / "starter" / "README.md",
    )
    if path.is_file()
]


# Commands


def test_every_topic_has_commands() -> None:
    assert all(commands(path) for path in TOPICS.values())


LINES = dict.fromkeys(line for path in TOPICS.values() for line in commands(path))


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("line", [line for line in LINES if line not in commands(ROOT / "README.md")])
def test_the_command_lines(line: str, try_line: Callable[[str], Result]) -> None:
    """Each as it is pasted; a training is cut short, and a small network stands in for every model.

    Those that stand in the README too are tried there.
    """
    result = try_line(line)
    assert result.status == 0, result.err


def test_the_recipes_are_those_that_are_tested() -> None:
    """In `tests/cli/test_scripts.py`, with a shell."""
    shown = [block for path in TOPICS.values() for block in blocks(path, "bash")]
    assert sorted(shown) == sorted(recipe.lstrip("\n") for recipe in RECIPES.values())


def test_the_table_for_a_registry_is_one(tmp_path: Path) -> None:
    (table,) = blocks(TOPICS["models"], "toml")
    (tmp_path / "models.toml").write_text(table)
    assert registry.read(tmp_path / "models.toml").keys() == {"my-vocals"}


# Schemas

FOLDER = ROOT / "src" / "stemsplit" / "docs" / "schemas"
SCHEMAS: dict[str, Any] = {path.name: json.loads(text(path)) for path in sorted(FOLDER.glob("*.json"))}


def strict(schema: Any) -> Any:
    """The schema, which leaves room for keys of later versions, without that room."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {name: strict(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        inside.setdefault("additionalProperties", False)
    return inside


ALL = Registry().with_resources([(name, Resource.from_contents(strict(schema))) for name, schema in SCHEMAS.items()])


def check(name: str, data: Any) -> None:
    """Hold data to a schema, and to having no key that it does not describe."""
    validator = Draft202012Validator(strict(SCHEMAS[f"{name}.schema.json"]), registry=ALL)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(data)] == []


def lines(output: str) -> Iterator[Any]:
    return map(json.loads, output.splitlines())


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_explains_every_key(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])

    def unexplained(schema: Any, way: str) -> Iterator[str]:
        for key, value in schema.get("properties", {}).items():
            about = SCHEMAS[name]["$defs"][value["$ref"].rpartition("/")[2]] if value.keys() == {"$ref"} else value
            if not {"description", "properties"} & about.keys():
                yield f"{way}.{key}"
            yield from unexplained(value, f"{way}.{key}")

    assert [*unexplained(SCHEMAS[name], name)] == []
    for part in SCHEMAS[name].get("$defs", {}).values():
        assert [*unexplained(part, name)] == []


def test_every_schema_is_named_in_the_topic_on_scripts() -> None:
    assert {*re.findall(r"schemas/(\S+\.json)", text(TOPICS["scripts"]))} == SCHEMAS.keys()


@pytest.mark.parametrize("wrong", [{}, {"song": "a.wav"}, {"summary": {}}, []])
def test_the_check_finds_what_is_wrong(wrong: Any) -> None:
    with pytest.raises(AssertionError):
        check("split", wrong)


@pytest.mark.usefixtures("light")
def test_lines_of_split(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    """Of songs that were done, skipped and failed, with sums, silence and a lossy format; records; progress."""
    song("old.wav")
    song("new.wav")
    song("silent.wav")
    (tmp_path / "silent.wav").write_bytes((tmp_path / "new.wav").read_bytes()[:44] + bytes(88_200))
    assert stemsplit("old.wav").status == 0
    result = stemsplit("old.wav", "new.wav", "missing.wav", "--json", "--progress", "json")
    more = [stemsplit("new.wav", "--json", "-o", "more", "--mix", "karaoke=mixture-vocals", "--format", "mp3")]
    more += [stemsplit("silent.wav", "--json", "--drop-silent", "--start", "0.1")]
    told = [line for each in (result, *more) for line in lines(each.out)]
    assert {line.get("status", "summary") for line in told} == {"done", "skipped", "failed", "summary"}
    for line in told:
        check("split", line)
    progress = [line for line in result.err.splitlines() if line.startswith("{")]
    assert progress
    for line in progress:
        check("progress", json.loads(line))
    records = [*tmp_path.rglob("stemsplit.json")]
    assert len(records) == 4
    for path in records:
        check("record", json.loads(text(path)))


@pytest.mark.usefixtures("light")
def test_lines_of_a_dry_run(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    song("b.wav")
    assert stemsplit("a.wav").status == 0
    results = [stemsplit("a.wav", "b.wav", "missing.wav", "--dry-run", "--json")]
    results += [stemsplit("b.wav", "--dry-run", "--json", "--model", name) for name in ("mel-roformer", "bs-roformer")]
    told = [line for result in results for line in lines(result.out)]
    assert {line.get("status", "summary") for line in told} == {"to do", "skipped", "failed", "summary"}
    for line in told:
        check("dry-run", line)


def test_models(stemsplit: Command) -> None:
    """All that ship, and a checkpoint's file."""
    check("list", json.loads(stemsplit("list", "--json").out))
    check("info", json.loads(stemsplit("info", "starter", "--json").out))
    for name in ("best-4-stems", "starter:1+starter:2"):
        check("combination", json.loads(stemsplit("info", name, "--json").out))
    write_own_checkpoints(Path())
    for name in ("my.ckpt", "my.safetensors"):
        check("info", json.loads(stemsplit("info", name, "--json").out))


def test_an_evaluation(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    """Of two songs, one with a stem more; and of one that has no estimates."""
    for place in ("references/a", "references/b", "references/c", "stems/a", "stems/b"):
        (tmp_path / place).mkdir(parents=True)
        for stem in STEMS:
            song(f"{place}/{stem}.wav", frames=50_000)
    song("stems/a/piano.wav", frames=50_000)
    result = stemsplit("eval", "references", "stems", "--json")
    assert result.status == 1
    found = json.loads(result.out)
    assert [bool(each["error"]) for each in found["songs"]] == [False, False, True]
    check("eval", found)


@pytest.mark.usefixtures("light")
def test_a_comparison(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    """With references and without; the file beside the clips has its own names besides."""
    song("a.wav", frames=60_000)
    write_own_checkpoints(tmp_path)
    (tmp_path / "true").mkdir()
    song("true/vocals.wav", frames=60_000)
    models = ["--models", "starter,my.safetensors", "--duration", "1s", "--device", "cpu"]
    check("compare", json.loads(stemsplit("compare", "a.wav", *models, "--json").out))
    result = stemsplit("compare", "a.wav", *models, "--references", "true", "--json", "-o", "more")
    check("compare", json.loads(result.out))
    (path,) = tmp_path.glob("more/*/comparison.json")
    written = json.loads(text(path))
    assert all((path.parent / name).is_file() for name in written.pop("files"))
    assert written == json.loads(result.out)


@pytest.mark.usefixtures("light")
def test_a_measurement_of_speed(stemsplit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    measure_little(monkeypatch)
    options = ["--device", "cpu", "--threads", "1", "--precision", "fp32", "--chunk-seconds", "0.2"]
    check("bench", json.loads(stemsplit("bench", "--json", *options).out))


# Pages


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", text(path)):
        assert "://" in target or (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_tests_and_modules_are_there(path: Path) -> None:
    for name in re.findall(r"`((?:tests|src)/[\w./-]+)`", text(path)):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"python -m ((?:tests|stemsplit)\.[\w.]+)", text(path)):
        stem = name.replace(".", "/")
        files = [top / f"{stem}{end}.py" for top in (ROOT, ROOT / "src") for end in ("", "/__main__")]
        assert any(file.is_file() for file in files), name


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_says_in_its_first_line_what_it_is_about(name: str) -> None:
    """`stemsplit help` shows that line, and the README links to the topic."""
    assert re.match(rf"# {name}: \S.+\n\n", text(TOPICS[name]))
    assert f"[{name}](src/stemsplit/docs/{name}.md)" in text(ROOT / "README.md")
    assert max(len(line) for line in text(TOPICS[name]).splitlines() if line[:1] not in "|#") <= 100


def test_as_many_models_as_are_said() -> None:
    published = sum(bool(entry.sources) and not entry.sources[0].startswith("package:") for entry in SHIPPED.values())
    for path in (ROOT / "README.md", TOPICS["models"]):
        assert f"{published} published checkpoints" in text(path)


SHIPPED = registry.read(registry.packaged_path())


@pytest.mark.parametrize("path", [ROOT / "README.md", TOPICS["models"]], ids=["README", "models"])
def test_the_tables_of_models_say_what_the_registry_says(path: Path) -> None:
    """Of each: its stems and its licence."""
    rows = re.findall(
        r"^\| `([\w-]+)`(?: \(built in\))? \| ([^|(]+?)(?: \([^|]*)? \| [^|]* \| ([^|(]+?) (?:\(|\|)", text(path), re.M
    )
    assert len(rows) >= 4
    for name, stems, licence in rows:
        entry = SHIPPED[name]
        assert licence in (entry.license, "not stated"), name
        assert (licence == "not stated") == (not entry.license), name
        if "lead" not in stems:
            assert {*stems.split(", ")} == {*entry.outputs}, name


CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"


@pytest.mark.skipif(not CONTRIBUTING.is_file(), reason="a source distribution has no CONTRIBUTING.md")
def test_the_map_has_every_room() -> None:
    """And fits, with all else that a contributor needs, on 150 lines."""
    page = text(CONTRIBUTING)
    assert len(page.splitlines()) <= 150
    drawn = page[page.index("src/stemsplit/") : page.index("tests/  ")]
    rooms = {
        path for path in (ROOT / "src" / "stemsplit").iterdir() if path.suffix in ("", ".py") and path.name[0] != "."
    }
    for room in sorted(rooms, key=str):
        name = f"{room.name}/" if room.is_dir() else room.name.replace("__.py", "__")
        assert room.name == "__pycache__" or re.search(rf"^ +(__init__ )?{re.escape(name)} ", drawn, re.M), name
