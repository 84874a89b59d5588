"""stemsplit in Python: what is offered is there, and does what the command does."""

import doctest
import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stemsplit
from stemsplit import AudioError, Chain, RegistryError, Separator, StemsplitError, WeightsError
from stemsplit.checkpoints.checkpoint import save
from stemsplit.checkpoints.resolve import find
from stemsplit.engine.estimator import Estimator
from stemsplit.training import result
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as command  # noqa: F401  # a fixture
from tests.conftest import noise, snapshot
from tests.training.conftest import ROFORMER, TINY, network

Song = Callable[..., Path]
Command = Callable[..., Result]

WITH_EXAMPLES = ["stemsplit", "stemsplit.api", "stemsplit.engine.chain_entry"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, song: Song) -> Path:
    """The working folder, with a song in it and two models of our own: tiny.safetensors, once more in mine.toml."""
    monkeypatch.chdir(tmp_path)
    song("song.wav", frames=20_000, rate=8_000)
    result.save(network(TINY, seed=1), TINY, tmp_path / "tiny.safetensors")
    result.save(
        network(ROFORMER, seed=2), replace(ROFORMER, mixture_consistency=False), tmp_path / "second.safetensors"
    )
    (tmp_path / "tiny.toml").rename(tmp_path / "mine.toml")
    return tmp_path


@pytest.mark.parametrize("name", WITH_EXAMPLES)
@pytest.mark.usefixtures("here")
def test_examples_in_the_documentation_work(name: str) -> None:
    tried = doctest.testmod(importlib.import_module(name), raise_on_error=True)
    assert tried.attempted


def test_dir_shows_the_public_names_and_nothing_else() -> None:
    assert dir(stemsplit) == sorted(stemsplit.__all__)
    for name in dir(stemsplit):
        assert getattr(stemsplit, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'anything'"):
        stemsplit.anything  # noqa: B018


def test_no_public_name_is_a_folder_as_well() -> None:
    """Once something of it is imported, a folder takes the place of whatever has its name."""
    folder = Path(str(stemsplit.__file__)).parent
    inside = {path.stem for path in folder.iterdir()}
    assert not inside & {*stemsplit.__all__}


def test_the_folder_of_networks_lists_the_models_when_it_is_called() -> None:
    code = "import stemsplit; assert stemsplit.models() == stemsplit.list_models(); import stemsplit.models.wiener"
    code += "; assert stemsplit.models()[0].name == 'starter'"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_types_are_published() -> None:
    assert (Path(str(stemsplit.__file__)).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, []),
        ({"stems": "low"}, ["--stems", "low"]),
        ({"stems": ["low", "HIGH"]}, ["--stems", "low,HIGH"]),
        ({"format": "flac", "bit_depth": "16"}, ["--format", "flac", "--bit-depth", "16"]),
        ({"then": [("low", "second.safetensors")]}, ["--then", "low:second.safetensors"]),
        ({"settings": {"hop": 1_000}}, ["--set", "hop=1000"]),
        ({"estimates": "raw"}, ["--estimates", "raw"]),
        ({"settings": {"stems": ("deep", "shrill")}}, ["--set", "stems=deep,shrill"]),
    ],
    ids=str,
)
def test_a_song_is_split_as_by_the_command(
    here: Path,
    command: Command,  # noqa: F811
    options: dict[str, Any],
    words: list[str],
) -> None:
    """Byte for byte, record and all; and each takes the other's work for done."""
    threads = torch.get_num_threads()
    written = stemsplit.split("song.wav", "ours", "tiny.safetensors", device="cpu", **options)
    assert torch.get_num_threads() == threads
    done = command("song.wav", "-o", "theirs", "--model", "tiny.safetensors", "--device", "cpu", *words)
    torch.set_num_threads(threads)
    assert done.status == 0
    assert done.paths == [Path("theirs", *path.parts[1:]) for path in written.values()]
    assert all(path.stem == name for name, path in written.items())
    assert snapshot(here / "ours") == snapshot(here / "theirs")
    again = command("song.wav", "-o", "ours", "--model", "tiny.safetensors", *words)
    assert "split before" in again.err or "already" in again.err


def test_what_was_split_is_not_split_again_unless_it_is_forced(here: Path) -> None:
    first = stemsplit.split(here / "song.wav", here / "stems", here / "tiny.safetensors")
    before = {path: path.stat().st_mtime_ns for path in first.values()}
    assert stemsplit.split(here / "song.wav", here / "stems", here / "tiny.safetensors") == first
    assert {path: path.stat().st_mtime_ns for path in first.values()} == before
    first["low"].write_bytes(b"mine")
    with pytest.raises(AudioError, match="already there"):
        stemsplit.split(here / "song.wav", here / "stems", here / "tiny.safetensors")
    assert stemsplit.split(here / "song.wav", here / "stems", here / "tiny.safetensors", force=True) == first
    assert first["low"].stat().st_size > 4


@pytest.mark.parametrize(
    ("arguments", "kind", "complaint"),
    [
        ({"path": "missing.wav"}, AudioError, "missing.wav"),
        ({"path": "mine.toml"}, AudioError, "mine.toml"),
        ({"path": "."}, ValueError, "is a folder"),
        ({"model": "tinny"}, RegistryError, "no model named 'tinny'"),
        ({"model": "missing.ckpt"}, WeightsError, "missing.ckpt"),
        ({"model": "starter", "settings": {"dim": 1}}, ValueError, "'starter' is not one"),
        ({"settings": {"num_sources": 7}}, RegistryError, "7 stems, but the number of stem names is 2"),
        ({"stems": "vocals"}, ValueError, "there is no stem 'vocals'"),
        ({"stems": []}, ValueError, "nothing to write"),
        ({"format": "wma"}, ValueError, "format must be one of .*aiff.*, not 'wma'"),
        ({"bit_depth": "8"}, ValueError, "bit_depth must be one of 16, 24, 32f, not '8'"),
        ({"format": "flac", "bit_depth": "32f"}, ValueError, "flac holds 16 or 24 bits"),
        ({"then": [("vocals", "second.safetensors")]}, ValueError, "there is no stem 'vocals' to split further"),
        ({"device": "abacus"}, stemsplit.DeviceError, "abacus"),
        ({"registry": "missing.toml"}, RegistryError, "missing.toml"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_cannot_be_done_is_an_error_of_its_kind(
    arguments: dict[str, Any], kind: type[Exception], complaint: str
) -> None:
    with pytest.raises(kind, match=complaint):
        stemsplit.split(**{"path": "song.wav", "model": "tiny.safetensors", **arguments})
    assert not Path("stems").exists()


@pytest.mark.usefixtures("here")
def test_a_network_that_fails_is_an_error_of_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Estimator, "checked", lambda *_: (_ for _ in ()).throw(StemsplitError("gave NaN")))
    with pytest.raises(StemsplitError, match="gave NaN"):
        stemsplit.split("song.wav", model="tiny.safetensors", device="cpu")
    assert not Path("stems").exists()


@pytest.mark.parametrize("model", ["tiny.safetensors", Path("tiny.safetensors")], ids=repr)
def test_a_separator_takes_a_checkpoint_of_ones_own(here: Path, model: str | Path) -> None:
    assert Separator(model, "cpu").entry == Separator(str(here / "tiny.safetensors"), "cpu").entry
    assert Separator(model, "cpu").stems == ("low", "high")


@pytest.mark.usefixtures("here")
def test_a_separator_takes_the_name_of_a_registry_of_ones_own() -> None:
    Path("mine.toml").write_text(Path("mine.toml").read_text().replace("[tiny", "[mine"))
    assert Separator("mine", "cpu", registry="mine.toml").stems == ("low", "high")
    assert stemsplit.list_models("mine.toml")[-1].name == "mine"
    assert stemsplit.split("song.wav", model="mine", registry="mine.toml").keys() == {"low", "high"}
    with pytest.raises(RegistryError, match="no model named 'mine'"):
        Separator("mine", "cpu")


@pytest.mark.usefixtures("here")
def test_a_name_of_the_registry_is_not_taken_for_a_file() -> None:
    Path("starter").write_bytes(b"not a checkpoint")
    assert find("starter").name == "starter"
    with pytest.raises(WeightsError):
        find(Path("starter"))


@pytest.mark.usefixtures("here")
def test_what_is_assumed_of_a_checkpoint_is_told() -> None:
    save(network(TINY), Path("bare.safetensors"))
    with pytest.warns(UserWarning, match=r"bare.safetensors does not say, .*sample_rate=44100"):
        loaded = stemsplit.load_network("bare.safetensors")
    told: list[str] = []
    facts = {"stems": ["low", "high"], "sample_rate": 8_000, "chunk": 4_000, "hop": 2_000}
    assert find("bare.safetensors", settings=facts, tell=told.append).hop == 2_000
    assert not any("sample_rate" in text or "hop" in text for text in told)
    assert loaded.training is False


@pytest.mark.usefixtures("here")
def test_a_network_takes_a_batch_of_mixtures_and_gives_their_stems() -> None:
    loaded = stemsplit.load_network("tiny.safetensors")
    assert not loaded.training
    with torch.inference_mode():
        assert loaded(torch.randn(3, 1, 4_000)).shape == (3, 2, 1, 4_000)
    for given, named in (
        (torch.randn(1, 4_000), r"torch.float32 of shape \(1, 4000\)"),
        (torch.zeros(1, 1, 40, dtype=torch.int16), "torch.int16"),
        (np.zeros((1, 1, 40), np.float32), "ndarray"),
    ):
        with pytest.raises(ValueError, match=rf"a network takes a float32 tensor \(batch.*, not {named}"):
            loaded(given)
    with pytest.raises(ValueError, match="'starter' is not one"):
        stemsplit.load_network("starter", settings={"dim": 1})


@pytest.mark.usefixtures("here")
def test_an_array_is_taken_as_a_tensor_is() -> None:
    separator = Separator("tiny.safetensors", "cpu")
    chain = Chain(separator, "low", Separator("second.safetensors", "cpu"))
    samples = noise(5_000)  # (samples, channels), as files are read
    read_only = samples.copy()
    read_only.flags.writeable = False
    for each in (separator, chain):
        wanted = each.separate(torch.from_numpy(samples.T.copy()), 8_000)
        for array in (samples.T, samples.T.astype(np.float64), read_only.T, samples[::-1].T[:, ::-1]):
            found = each.separate(array, 8_000)
            assert found.keys() == wanted.keys()
            assert all(torch.equal(found[name], stem) for name, stem in wanted.items())
            assert all(stem.numpy().shape == (2, 5_000) for stem in found.values())


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros((2, 10), np.int16), "floating-point numbers, 1.0 at full scale, not int16"),
        (np.zeros((9, 9, 9, 9), np.float32), r"a mixture is \(channels, samples\)"),
        (np.zeros((2, 0), np.float32), r"a mixture is \(channels, samples\)"),
        (np.full((2, 10), np.nan, np.float32), "NaN or infinity"),
        (np.full((2, 10), 1e300), "NaN or infinity"),
    ],
)
@pytest.mark.usefixtures("here")
def test_an_array_that_is_not_a_mixture_is_refused(array: np.ndarray, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Separator("tiny.safetensors", "cpu").separate(array, 8_000)
