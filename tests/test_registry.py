"""The shipped registry is valid, and mistakes in a registry are named."""

import json
import os
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stemsplit import registry
from stemsplit.choices import WindowName
from stemsplit.errors import RegistryError
from stemsplit.models import build
from tests.conftest import unix

GOOD = """
[tiny]
description = "for tests"
architecture = "sudormrf"
stems = ["speech", "noise"]
sample_rate = 8000
channels = 1
chunk = 800
hop = 400
sources = ["package:tiny.safetensors"]
sha256 = ""
size = 1
license = "MIT"
author = "somebody"
[tiny.config]
num_blocks = 1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


DISTINCT = {(entry.architecture, repr(entry.config)): name for name, entry in registry.entries().items()}


@pytest.mark.parametrize("name", DISTINCT.values())
def test_every_entry_builds_a_network(name: str) -> None:
    """Of those with the same config, one."""
    entry = registry.find(name)
    with torch.device("meta"):
        build(entry.architecture, entry.config)
    assert entry.window in list(WindowName)


def test_an_architecture_with_hyphens_is_the_same(tmp_path: Path) -> None:
    plain = registry.read(written(tmp_path, GOOD.replace('"sudormrf"', '"fullsubnet_plus"')))
    hyphens = registry.read(written(tmp_path, GOOD.replace('"sudormrf"', '"FullSubNet-Plus"')))
    assert hyphens == plain
    assert registry.select(hyphens.values(), architecture="fullsubnet-plus")


def test_a_table_becomes_an_entry(tmp_path: Path) -> None:
    entry = registry.read(written(tmp_path, GOOD))["tiny"]
    assert (entry.name, entry.stems, entry.config) == ("tiny", ("speech", "noise"), {"num_blocks": 1})
    assert entry.outputs == ("speech", "noise")


@pytest.mark.parametrize("entry", registry.entries().values(), ids=registry.entries())
def test_what_is_written_reads_back_equal(entry: registry.ModelEntry) -> None:
    table = tomllib.loads(registry.as_toml(entry))[entry.name]
    assert registry.entry_of(entry.name, table, registry.packaged_path()) == entry


@given(st.recursive(st.booleans() | st.integers() | st.text(max_size=9), st.lists, max_leaves=5), st.text(max_size=9))
@settings(deadline=None, max_examples=50)
@example(["\x85", "\u2028,"], "\x1c")
def test_any_value_and_any_name_are_written_so_that_they_read_back_equal(value: object, name: str) -> None:
    entry = replace(
        registry.find("starter"), name=name, config={"value": value, "items": [name, "],", " ,\n", "[\n 1,\n"]}
    )
    read = tomllib.loads(registry.as_toml(entry))
    lists = {key: [*value] for key, value in registry.table_of(entry).items() if isinstance(value, tuple)}
    assert read == {name: registry.table_of(entry) | lists}


def test_weights_say_nothing_that_earlier_versions_cannot_read() -> None:
    given = json.loads(registry.as_json(registry.find("starter")))
    assert not {"cost", "shortest", "longest", "bfloat16", "earlier_chunks", "earlier_hops"} & given.keys()
    assert "cost" in registry.table_of(registry.find("starter"))


def test_a_list_is_written_on_one_line() -> None:
    assert '\nstems = ["drums", "bass", "other", "vocals"]\n' in registry.as_toml(registry.find("starter"))


def test_a_residual_is_one_of_the_outputs(tmp_path: Path) -> None:
    text = GOOD.replace("size = 1", 'size = 1\nresidual = "rest"')
    assert registry.read(written(tmp_path, text))["tiny"].outputs == ("speech", "noise", "rest")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("hop = 400", "hops = 400", r"\[tiny\] has an unknown key 'hops'; did you mean 'hop'"),
        ("hop = 400", "", r"\[tiny\] lacks hop"),
        ("hop = 400", 'hop = "400"', r"\[tiny\] hop has the wrong type: '400'"),
        ("hop = 400", "hop = true", r"\[tiny\] hop has the wrong type"),
        ('["speech", "noise"]', '["speech", 1]', r"stems has the wrong type: a list; it must be a list of texts"),
        ("[tiny]", "[tiny", "not valid TOML"),
        ("hop = 400", f"hop = {'9' * 5_000}", "not valid TOML"),
        ("hop = 400", "hop = 900", "hop must not be longer than chunk"),
        ("hop = 400", 'hop = 400\nwindow = "foo"', "window must be one of hann, linear, mean, not 'foo'"),
        ("sample_rate = 8000", "sample_rate = 100000000000000000000", "sample_rate must be between 1 and 1000000"),
        ("channels = 1", "channels = 1000000000000", "channels must be between 1 and 64"),
        ('["speech", "noise"]', '["Speech", "speech"]', "different names"),
        ("package:tiny", "file:\\u0000", "a source contains a character that cannot be printed"),
        ("[tiny]", "other = 1\n[tiny]", "'other' is not a table"),
        (
            "package:tiny",
            "package:../tiny",
            "'package:../tiny.safetensors' is not the name of a file in stemsplit's own",
        ),
        ("package:tiny", "package:/tiny", "is not the name of a file in stemsplit's own folder"),
        ("package:tiny", "package:in/tiny", "is not the name of a file in stemsplit's own folder"),
        ("package:tiny.safetensors", "package:", "is not the name of a file in stemsplit's own folder"),
        ("package:tiny.safetensors", "package:..", "is not the name of a file in stemsplit's own folder"),
        ("size = 1", f'size = 1\nrecommended = "{"x" * 61}"', "recommended must be one line of at most 60 characters"),
        ("size = 1", 'size = 1\nrecommended = "a\\nb"', "recommended must be one line"),
        ("package:tiny", "https://a\\u001b.org/", "a source contains a character that cannot be printed"),
        ("size = 1", "size = -1", "size must be between 0 and 1000000000000000"),
        ("size = 1", f"size = {'9' * 4_000}", "size must be between 0 and 1000000000000000"),
        ("num_blocks = 1", f"x = {'[' * 50}{']' * 50}", r"\[tiny\] config is nested too deeply"),
        ("num_blocks = 1", f"{'a.' * 50}b = 1", r"\[tiny\] config is nested too deeply"),
        ("num_blocks = 1", f"x = {'[' * 5_000}{']' * 5_000}", "not valid TOML"),
        ("num_blocks = 1", f"{'a.' * 400_000}b = 1", "a line with more than 500 dots"),
        ("num_blocks = 1", f"x = 1{' ' * 2_000_000}", "cannot read the registry .*: larger than 1 MB"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(RegistryError, match=complaint):
        registry.read(written(tmp_path, GOOD.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("package:tiny", "ftp://user:s3cr3t@host.org/tiny"),
        ("package:tiny", "user:s3cr3t@host.org/tiny"),
        ('["package:tiny.safetensors"]', '"https://user:s3cr3t@host.org/tiny?token=s3cr3t"'),
        ('["package:tiny.safetensors"]', '["https://user:s3cr3t@host.org/tiny", 1]'),
        ('["package:tiny.safetensors"]', '[["https://user:s3cr3t@host.org/tiny"]]'),
        ('["package:tiny.safetensors"]', '{a = "https://user:s3cr3t@host.org/tiny"}'),
        ("size = 1", 'size = "https://user:s3cr3t@host.org/tiny"'),
        ("size = 1", 'size = 1\nwindow = "https://user:s3cr3t@host.org"'),
        ('["speech", "noise"]', '["https://user:s3cr3t@host.org", "noise"]'),
    ],
)
def test_a_mistake_is_named_without_a_password(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.read(written(tmp_path, GOOD.replace(old, new)))
    assert "s3cr3t" not in str(caught.value)


@unix
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_registry_that_is_not_a_file_is_refused_at_once(tmp_path: Path, home: Path, kind: str) -> None:
    own = home / "config" / "models.toml"
    own.parent.mkdir()
    for path in (own, tmp_path / "models.toml"):
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
    with pytest.raises(RegistryError, match=r"cannot read the registry .*models.toml: not a regular file"):
        registry.read(tmp_path / "models.toml")
    assert "starter" in registry.entries(), "the user's own registry is only read if it is a file"


def test_a_missing_registry_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot read the registry"):
        registry.read(tmp_path / "none.toml")


def names(**wanted: str) -> set[str]:
    return {entry.name for entry in registry.select(registry.entries().values(), **wanted)}


def test_models_are_selected_by_their_stems() -> None:
    assert {"starter", "mel-roformer", "bs-roformer"} <= names(stems="vocals, drums") < names(stems="vocals")
    assert names(stems="theremin") == set()


def test_models_are_selected_by_architecture_in_any_spelling() -> None:
    assert names(architecture="mel-roformer") == names(architecture="MEL_band_RoFormer")
    assert names(architecture="mel") | names(architecture="bs-roformer") == names(architecture="roformer")
    assert names(architecture="sudormrf") & names(architecture="roformer") == set()


def test_models_are_selected_by_licence() -> None:
    assert "mel-roformer-vocals" in names(licence="mit")
    assert "starter" in names(licence="CC-BY")
    assert "mel-roformer-vocals-viperx" in names(licence="none")
    assert names() == {entry.name for entry in registry.entries().values()}


def test_a_user_s_own_registry_adds_and_overrides(tmp_path: Path, home: Path) -> None:
    own = home / "config"
    own.mkdir()
    written(own, GOOD)
    given = written(tmp_path, GOOD.replace("[tiny", "[starter").replace("for tests", "instead"))
    assert registry.find("tiny").description == "for tests"
    assert registry.find("starter", given).description == "instead"
    assert registry.find("starter").description != "instead"
    assert {"tiny", "starter", "mel-roformer"} <= registry.entries(given).keys()


def test_a_registry_is_read_as_it_is_now_and_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was read before, in this process."""
    text = GOOD.replace("package:tiny", "file:tiny")
    for folder, wording in ((tmp_path / "one", "first"), (tmp_path / "two", "first"), (tmp_path / "two", "second")):
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        written(folder, text.replace("for tests", wording))
        read = registry.read(Path("models.toml"))
        assert read["tiny"].description == wording
        assert read["tiny"].sources == (f"file:{folder / 'tiny.safetensors'}",)
        read.clear()


def test_a_file_is_relative_to_its_registry_s_folder(tmp_path: Path) -> None:
    text = GOOD.replace("package:tiny", "file:tiny")
    assert registry.read(written(tmp_path, text))["tiny"].sources == (f"file:{tmp_path / 'tiny.safetensors'}",)


@pytest.mark.parametrize(
    ("license", "notice"),
    [("MIT", ""), ("GPL-3.0", ""), ("CC-BY-NC-SA-4.0", "not for commercial use"), ("", "states no licence")],
)
def test_limits_on_the_use_of_the_weights_are_stated(tmp_path: Path, license: str, notice: str) -> None:  # noqa: A002
    entry = registry.read(written(tmp_path, GOOD.replace("MIT", license)))["tiny"]
    assert notice in entry.license_notice
    assert bool(notice) == bool(entry.license_notice)


SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.floats()


@given(st.dictionaries(st.sampled_from(list(registry.ModelEntry.__dataclass_fields__)), SCALARS | st.lists(SCALARS)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_table_breaks_the_reader(tmp_path: Path, table: dict[str, object]) -> None:
    """JSON's values are also TOML's, except for null and some floats."""
    good = GOOD.replace("[tiny.config]\nnum_blocks = 1\n", "")
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    kept = [line for line in good.splitlines() if line.partition(" ")[0] not in table]
    check_read(tmp_path, "\n".join([*kept, *lines]))


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_text_breaks_the_reader(tmp_path: Path, text: str) -> None:
    check_read(tmp_path, text)


def check_read(folder: Path, text: str) -> None:
    path = folder / "any.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(RegistryError):
        registry.read(path)


def test_earlier_versions_had_other_chunks_unless_they_were_chosen() -> None:
    entry = replace(
        registry.find("mel-roformer"), chunk=600, hop=450, sample_rate=100, earlier_chunks=(800,), earlier_hops=(400,)
    )

    def before(*chosen: float | None) -> tuple[int, int]:
        found = entry.with_chunks(*chosen).as_earlier(0)
        return found.chunk, found.hop

    assert before(None, None) == (800, 400)
    assert before(None, 0.25) == (800, 600)
    assert before(4.0, None) == (400, 200)
    assert before(4.0, 0.25) == (400, 300)
    assert entry.as_earlier(1) == entry


def test_lengths_of_chunks_at_the_ends_are_part_of_an_identity_where_they_change_stems() -> None:
    """Stems that were made with other ends are not those that a run would make, and no earlier version had any."""
    whole = replace(registry.find("mel-roformer"), chunk=600, hop=450, sample_rate=100)
    short = replace(whole, shortest=200, longest=800)
    found = [each.identity("0") for each in (whole, short, replace(short, longest=0), replace(short, shortest=0))]
    assert all(one != other for one in found for other in found if one is not other)
    assert short.with_chunks(6.0).identity("0") == replace(short, longest=0).identity("0")
    assert short.with_chunks(2.0).identity("0") == whole.with_chunks(2.0).identity("0")
    assert short.with_chunks(window="mean").identity("0") == whole.with_chunks(window="mean").identity("0")
    before = replace(short, earlier_chunks=(800,), earlier_hops=(400,)).as_earlier(0)
    assert before.identity("0") == replace(whole, chunk=800, hop=400).identity("0")


def test_the_chosen_precision_changes_the_identity() -> None:
    entry = registry.find("starter")
    identities = [entry.identity("0", precision) for precision in ("auto", "fp32", "bf16")]
    assert identities[0] == entry.identity("0")
    assert all(one != other for one in identities for other in identities if one is not other)


def test_stems_that_are_as_good_in_bfloat16_need_not_be_made_again() -> None:
    """An earlier version computed in float32 where this one chooses bfloat16, and songs split by it count as split."""
    now, before = (replace(registry.find("starter"), bfloat16=as_good) for as_good in (True, False))
    assert now.identity("0") == before.identity("0")
    assert now.identity("0", "fp32") == before.identity("0", "fp32")


def test_raw_estimates_are_another_identity_only_where_stems_would_be_changed() -> None:
    """What was split before there was a choice counts as consistent."""
    entry = registry.find("starter")
    raw = entry.with_estimates("raw")
    assert (entry.adds_up, raw.adds_up) == (True, False)
    assert entry.identity("0") == entry.with_estimates("consistent").identity("0") != raw.identity("0")
    for other in (replace(entry, mixture_consistency=False), replace(entry, residual="rest")):
        assert other.with_estimates("raw") == other.with_estimates("consistent") == other


def test_estimates_are_raw_or_consistent() -> None:
    with pytest.raises(ValueError, match="estimates must be one of raw, consistent, not 'cooked'"):
        registry.find("starter").with_estimates("cooked")


def test_the_key_of_an_earlier_version_is_still_read(tmp_path: Path) -> None:
    earlier, present = tmp_path / "earlier.toml", tmp_path / "present.toml"
    earlier.write_text(GOOD.replace("size = 1", "complete = true"))
    present.write_text(GOOD.replace("size = 1", "mixture_consistency = true"))
    (one,), (other,) = (registry.read(path).values() for path in (earlier, present))
    assert one == other
    assert one.mixture_consistency
    assert one.identity("0")["complete"] is True


def test_a_key_and_its_earlier_name_are_refused_together(tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text(GOOD.replace("size = 1", "complete = true\nmixture_consistency = false"))
    with pytest.raises(RegistryError, match="has both complete and mixture_consistency"):
        registry.read(path)
