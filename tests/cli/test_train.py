"""`stemsplit train` from outside."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from rich.console import Console
from safetensors.torch import load_file

from stemsplit import registry
from stemsplit.cli import signals, training
from stemsplit.disk.digest import sha256
from stemsplit.errors import DeviceError
from stemsplit.registry import ModelEntry
from stemsplit.terminal import console
from stemsplit.terminal.training import TrainReport
from stemsplit.training import result
from stemsplit.training.loop import Run
from stemsplit.training.plan import EARLIER_NAMES
from stemsplit.training.progress import Progress
from tests.cli.conftest import Result
from tests.cli.processes import environment, finished, running
from tests.training.conftest import ROFORMER, TINY, a_run, network, put, tone
from tests.training.conftest import album as album
from tests.training.conftest import one_thread as one_thread

Command = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The command changes how the whole process computes: fine for a command, not for the tests after it."""
    yield
    torch.set_flush_denormal(False)
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(False)


def registered(folder: Path, entry: ModelEntry = TINY) -> list[str]:
    """Write a model of that entry, and a registry with it; options that train its network."""
    folder.mkdir(exist_ok=True)
    result.save(network(entry, seed=7), entry, folder / "tiny.safetensors")
    short = ["--seconds", "0.1", "--batch-size", "2", "--device", "cpu", "--threads", "1"]
    return ["--registry", f"{folder.name}/tiny.toml", "--like", "tiny", *short]


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Options that choose a small network."""
    return registered(tmp_path / "model")


STAGES = re.compile(r"(building|looking|reading|first step:|validation) .*\n")


def besides_stages(err: str) -> str:
    """What was said besides what a run does before and between its steps."""
    return "".join(line for line in err.splitlines(keepends=True) if not STAGES.fullmatch(line))


def hidden() -> TrainReport:
    """A report that nobody sees."""
    return TrainReport((), 6, shown=False)


def lines(path: Path) -> list[dict[str, str]]:
    """A run's CSV, without the times."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


# What comes out


def test_training_leaves_a_model_an_entry_and_a_table(
    stemsplit: Command, album: Path, tiny: list[str], tmp_path: Path
) -> None:
    more = ["--about", "six tones", "--license", "CC0-1.0", "--author", "this test"]
    options = [
        "--validation",
        album,
        "--steps",
        "4",
        "--bits",
        "8",
        "--mixup",
        "0.5",
        "--report-every",
        "2",
        "--learning-rate",
        "0.01",
        *more,
    ]
    done = stemsplit("train", album, "-o", "new.safetensors", *tiny, *options)
    assert (done.status, done.paths) == (0, [Path("new.safetensors")])
    heading, *told = [line.split() for line in besides_stages(done.err).splitlines()]
    assert heading == ["step", "loss", "rate", "time", "low", "high", "mean", "SDR"]
    assert [line[0] for line in told] == ["2", "4"]
    rows = lines(tmp_path / "new.csv")
    assert [row["step"] for row in rows] == ["2", "4"]
    files = {path.name for path in tmp_path.glob("*new*")}
    assert files == {"new.safetensors", "new.toml", "new.csv", "new.training.pt"}

    assert stemsplit("album/song 0/low.wav", "--model", "new.safetensors", "--device", "cpu").status == 0
    assert {path.name for path in tmp_path.glob("stems/*/*.wav")} == {"low.wav", "high.wav"}
    facts = json.loads(stemsplit("info", "new", "--registry", "new.toml", "--json").out)
    assert (facts["description"], facts["license"], facts["author"]) == ("trained like tiny", "CC0-1.0", "this test")

    # `eval` finds what training found.
    measured = json.loads(stemsplit("eval", album, "--model", "new.safetensors", "--json").out)
    scores = {name: figures["sdr"] for name, figures in measured["mean"]["stems"].items()}
    assert float(rows[1]["mean"]) > float(rows[0]["mean"])  # so the last weights were written
    assert scores == pytest.approx({name: float(rows[1][name]) for name in ("low", "high")}, abs=0.01)


def test_started_again_a_run_goes_on_to_where_it_is_to_end(
    stemsplit: Command, album: Path, tiny: list[str], tmp_path: Path
) -> None:
    for steps, told in ((2, ""), (3, "new.safetensors resumes from step 2 of 3"), (3, "resumes from step 3 of 3")):
        done = stemsplit("train", album, "-o", "new.safetensors", *tiny, "--steps", str(steps))
        assert (done.status, done.paths) == (0, [Path("new.safetensors")])
        assert told in done.err
    assert stemsplit("train", album, "-o", "other.safetensors", *tiny, "--steps", "3").status == 0
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in ("new", "other"))
    assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("entry", [TINY, ROFORMER], ids=lambda entry: entry.architecture)
def test_fine_tuning_begins_with_the_models_weights(
    stemsplit: Command, album: Path, tmp_path: Path, entry: ModelEntry
) -> None:
    """And leaves alone what is no weight: the rotary positions, and the model's own file."""
    options = [*registered(tmp_path / "model", entry), "--from", "tiny"]
    file = tmp_path / "model" / "tiny.safetensors"
    before, began = file.read_bytes(), load_file(file)
    assert (
        stemsplit("train", album, "-o", "same.safetensors", *options, "--steps", "1", "--learning-rate", "0").status
        == 0
    )
    assert all(torch.equal(value, began[key]) for key, value in load_file(tmp_path / "same.safetensors").items())
    assert stemsplit("train", album, "-o", "tuned.safetensors", *options, "--steps", "2").status == 0
    tuned = load_file(tmp_path / "tuned.safetensors")
    unmoved = {key for key, value in tuned.items() if torch.equal(value, began[key])}
    assert unmoved == {key for key in began if "rotary" in key}
    assert file.read_bytes() == before
    facts = json.loads(stemsplit("info", "tuned", "--registry", "tuned.toml", "--json").out)
    assert facts["description"] == "fine-tuned from tiny"


def test_what_was_trained_can_be_trained_on_without_its_registry(
    stemsplit: Command, album: Path, tiny: list[str]
) -> None:
    assert stemsplit("train", album, "-o", "one.safetensors", *tiny, "--steps", "1").status == 0
    short = ["--seconds", "0.1", "--steps", "1", "--device", "cpu"]
    done = stemsplit("train", album, "--from", "one.safetensors", "-o", "two.safetensors", *short)
    assert (done.status, done.paths) == (0, [Path("two.safetensors")])
    assert "hint" not in done.err


def test_songs_may_be_named_in_a_list(stemsplit: Command, album: Path, tiny: list[str], tmp_path: Path) -> None:
    """As if they were in a folder, if that has no others."""
    rows = [
        f"{path.parent.name},{path.stem},album/{path.parent.name}/{path.name}" for path in sorted(album.rglob("*.wav"))
    ]
    (tmp_path / "list.csv").write_text("\n".join(["song,stem,path", *rows]))
    for name, data in (("listed", tmp_path / "list.csv"), ("found", album)):
        done = stemsplit("train", data, "--validation", data, "-o", f"{name}.safetensors", *tiny, "--steps", "1")
        assert done.status == 0
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in ("listed", "found"))
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert lines(tmp_path / "listed.csv") == lines(tmp_path / "found.csv")


# What is known before the work


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-o", "new.ckpt"], 2, "weights are written as NAME.safetensors, not new.ckpt"),
        (["-o", "nowhere/new.safetensors"], 1, "error: there is no folder"),
        (["-o", "/proc/new.safetensors"], 1, "error: cannot write into /proc: "),
        (["-o", "folder.safetensors"], 1, "folder.safetensors: it is a folder"),
        (["-o", "model/tiny.safetensors"], 2, "model/tiny.toml is read, and would be overwritten"),
        (["--from", "model/tiny.safetensors", "-o", "model/tiny.safetensors", "--registry", "o.toml"], 2, "written"),
        (["-o", "list.safetensors", "--validation", "list.csv"], 2, "list.csv is read, and would be overwritten"),
        (["--like", "tine"], 3, "no model named 'tine'; did you mean 'tiny'?"),
        (["--loss", "l2"], 2, "no loss 'l2'; there are spectral, sdr"),
        (["--dropout", "0.1"], 2, "this network has no layers with dropout"),
        (["--seed", "-1"], 2, "invalid value for '--seed'"),
        (["--optimizer", "sgd"], 2, "no optimizer 'sgd'; there are adamw, muon"),
        (["--augment", "swap,wah"], 2, "no augmentation 'wah'; there are swap, polarity, equalise, speed"),
        (["--mixup", "1.5"], 2, "invalid value for '--mixup'"),
        (["--dropout", "nan"], 2, "invalid value for '--dropout'"),
        (["--bits", "3"], 2, "invalid value for '--bits'"),
        (["--learning-rate", "nan"], 2, "invalid value for '--learning-rate'"),
        (["--seconds", "inf"], 2, "inf is not a finite number"),
        (["--device", "tpu"], 2, "error: no device 'tpu'"),
        (["--precision", "fp8"], 2, "'fp8' is not one of"),
        (["--precision", "fp16"], 2, "fp16 is for CUDA devices"),
        (["--validation", "empty"], 1, "error: no song with stems in empty; it should have a folder for each song"),
        (["--validation", "list.csv"], 1, "error: no song with stems in list.csv; it should have a line for each stem"),
        (["empty"], 1, "error: no song with stems in empty; it should have a folder for each song"),
        (["other"], 1, "high.flac is of a stem that tiny has no place for"),
        (["--registry", "odd.toml", "--like", "odd"], 3, "the config of 'odd' makes no network"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_before_the_work(
    stemsplit: Command, album: Path, tiny: list[str], tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "list.csv").write_text("song,stem,path\n")
    (tmp_path / "o.toml").write_text("")
    toml = (tmp_path / "model" / "tiny.toml").read_text()
    (tmp_path / "odd.toml").write_text(toml.replace("[tiny", "[odd").replace("num_sources = 2", "num_sources = 3"))
    # Names are told whole.
    put(tmp_path / "other" / "song", suffix="flac", **{"not high": tone(9), "low": tone(5)})
    (tmp_path / "other" / "song" / "not high.flac").rename(tmp_path / "other" / "song" / "very high.flac")
    defaults = ["-o", "new.safetensors", *tiny]
    done = stemsplit("train", album, *defaults, *arguments)
    assert done.status == status, done.err
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "new.safetensors").exists()


def test_a_stem_that_is_in_no_song_is_told(stemsplit: Command, tiny: list[str], tmp_path: Path) -> None:
    put(tmp_path / "half" / "song", low=tone(200))
    done = stemsplit("train", "half", "-o", "new.safetensors", *tiny)
    assert (done.status, besides_stages(done.err)) == (1, "error: no recording of high in half\n")


@pytest.mark.parametrize("memory", ["0", "8"])
def test_one_bad_file_is_told_by_name_before_the_work(
    stemsplit: Command, album: Path, tiny: list[str], memory: str
) -> None:
    path = album / "song 1" / "high.wav"
    path.write_bytes(path.read_bytes()[:-1_000])
    done = stemsplit("train", album, "-o", "new.safetensors", *tiny, "--memory", memory)
    assert done.status == 1
    assert re.fullmatch(rf"error: cannot read {path} \(it is cut off: .*\)\n", besides_stages(done.err))


def test_a_run_that_was_begun_otherwise_is_not_gone_on_with(stemsplit: Command, album: Path, tiny: list[str]) -> None:
    assert stemsplit("train", album, "-o", "new.safetensors", *tiny, "--steps", "1").status == 0
    done = stemsplit("train", album, "-o", "new.safetensors", *tiny, "--steps", "2", "--gain", "9")
    assert done.status == 1
    assert "new.training.pt was started with gain 3.0, not 9.0; use that, or another --output" in done.err


EARLIER_OPTIONS = [f"--{name}" for name in EARLIER_NAMES]


def test_options_may_be_spelled_as_in_earlier_versions(stemsplit: Command, album: Path, tiny: list[str]) -> None:
    """But help does not show these names, and messages use today's."""
    old = [word for name in EARLIER_OPTIONS for word in (name, "0.5")]
    new = [word for name in EARLIER_NAMES.values() for word in (f"--{name.replace('_', '-')}", "0.5")]
    assert stemsplit("train", album, "-o", "new.safetensors", *tiny, *old, "--steps", "1").status == 0
    again = stemsplit("train", album, "-o", "new.safetensors", *tiny, *new, "--steps", "1")
    assert (again.status, besides_stages(again.err)) == (0, "new.safetensors resumes from step 1 of 1\n")
    shown = stemsplit("train", "--help").out
    assert "--ema-decay" in shown
    assert not [name for name in EARLIER_OPTIONS if name in shown]
    wrong = stemsplit("train", album, "-o", "new.safetensors", *tiny, "--doubled=1.5")
    assert (wrong.status, "invalid value for '--mixup'" in wrong.err) == (2, True)


# Kills


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_killed_before_whatever_it_writes_a_run_ends_as_if_it_had_not_been(
    stemsplit: Command, album: Path, tiny: list[str], tmp_path: Path
) -> None:
    """`kill -9`, before each change of a file in turn, on the way from one checkpoint to the next."""
    options = ["--validation", "album/song 0", "--report-every", "2", *tiny]
    arguments = ["train", "album", "-o", "stems/new.safetensors", *options]
    (tmp_path / "stems").mkdir()
    assert stemsplit(*arguments, "--steps", "2").status == 0
    work = tmp_path / "work"
    for folder in (album, tmp_path / "model", tmp_path / "stems"):
        shutil.copytree(folder, work / "before" / folder.name)
    arguments += ["--steps", "4"]
    undisturbed = arguments[:3] + ["stems/whole.safetensors"] + arguments[4:]
    assert stemsplit(*undisturbed).status == 0
    crashing = Path(__file__).with_name("crashing.py")
    driver = [sys.executable, str(crashing), str(work), json.dumps(arguments), "[]"]
    done = subprocess.run(driver, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    # The CSV without what is to be done again; weights, entry, a line of the CSV, and what the run goes on from.
    assert len(steps) > 2 + 2 + 2 + 1 + 2
    expected = load_file(tmp_path / "stems" / "whole.safetensors")
    for step in steps:
        found = work / step["folder"] / "stems"
        assert step["status"] == 0, (step, (found.parent / "err.txt").read_text())
        weights = load_file(found / "new.safetensors")
        assert all(torch.equal(value, weights[key]) for key, value in expected.items()), step
        assert registry.read(found / "new.toml")["new"].sha256 == sha256(found / "new.safetensors"), step
        assert lines(found / "new.csv") == lines(tmp_path / "stems" / "whole.csv"), step
        assert not list(found.glob(".*")), step


def processes_of(group: int) -> list[int]:
    """Those that are still there, of a group of processes."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, of = (place / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        found += [int(place.name)] if int(of) == group and state != "Z" else []
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_ctrl_c_keeps_what_was_trained(stemsplit: Command, album: Path, tiny: list[str], tmp_path: Path) -> None:
    """To the last step; the processes that prepare examples are gone, and change nothing."""
    arguments = ["train", str(album), "--validation", str(album), "-o", "new.safetensors", *tiny, "--report-every", "1"]
    endless = [*arguments, "--steps", "1000000", "--workers", "1"]
    with running(*endless, cwd=tmp_path, start_new_session=True) as process:
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        told = (line.split()[0] for line in said if not STAGES.fullmatch(line))
        assert [*islice(told, 3)] == ["step", "1", "2"]
        os.killpg(process.pid, signal.SIGINT)
        done = finished(process)
        assert processes_of(process.pid) == []
    assert (done.status, done.out) == (130, "")
    assert "Traceback" not in done.err
    last = done.err.splitlines()[-1]
    step = int(re.fullmatch(r"interrupted; start it again to resume from step (\d+)", last)[1])  # type: ignore[index]
    assert step >= 2
    end = ["--steps", str(step + 2)]
    for name in ("new", "other"):
        assert stemsplit(*arguments, *end, "-o", f"{name}.safetensors").status == 0
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in ("new", "other"))
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert lines(tmp_path / "new.csv") == lines(tmp_path / "other.csv")


def signalling(run: Run, after: int, number: int) -> None:
    """Let a run's process get a signal in the midst of a step."""
    sound, calls = run.loss, []

    def loss(*tensors: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == after:
            os.kill(os.getpid(), number)
        return sound(*tensors)

    run.loss = loss


class ToldError(Exception):
    """A signal reached the handler that was there before."""


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A signal that stops the command, as SIGTERM does."""
    if not hasattr(signal, "SIGUSR1"):
        pytest.skip("this system has no signal to spare")
    number = signal.SIGUSR1

    def handler(*_: Any) -> None:
        raise ToldError

    before = signal.signal(number, handler)
    monkeypatch.setattr(signals, "SIGNALS", [number])
    yield number
    assert signal.getsignal(number) is handler
    signal.signal(number, before)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signal")
def test_a_signal_gives_the_step_up_keeps_those_before_and_leaves_its_number(
    album: Path, tmp_path: Path, handled: int
) -> None:
    run = a_run(album, tmp_path / "a.safetensors")
    signalling(run, 3, handled)
    with pytest.raises(typer.Exit) as leaving:
        training.carry_out(run, hidden())
    assert leaving.value.exit_code == 128 + handled
    again = a_run(album, tmp_path / "a.safetensors")
    assert again.resume()
    assert again.step == 2


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signal")
def test_whoever_asks_again_does_not_wait(handled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """But what comes at once is one wish: a terminal and PyTorch's launcher may both pass it on."""
    now = 100.0
    monkeypatch.setattr(signals.time, "monotonic", lambda: now)
    with pytest.raises(ToldError), signals.Stop() as stop:  # noqa: PT012  # it is the signals that count
        assert stop.number == 0
        os.kill(os.getpid(), handled)
        os.kill(os.getpid(), handled)
        assert stop.number == handled
        now += 2
        os.kill(os.getpid(), handled)


def test_whoever_does_not_wait_is_told_where_the_run_goes_on(
    album: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = a_run(album, tmp_path / "a.safetensors")

    def interrupted(*_: Any) -> torch.Tensor:
        raise KeyboardInterrupt

    run.loss = interrupted
    with pytest.raises(typer.Exit) as leaving:
        training.carry_out(run, TrainReport((), 6, shown=True))
    assert leaving.value.exit_code == 130
    told = besides_stages(capfd.readouterr().err)
    assert told == "interrupted; start it again to resume from its last checkpoint\n"


def test_a_device_that_is_too_small_is_told(album: Path, tmp_path: Path) -> None:
    run = a_run(album, tmp_path / "a.safetensors")

    def full(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    run.loss = full
    with pytest.raises(DeviceError, match="ran out of memory while training on cpu; try a smaller --batch-size"):
        training.carry_out(run, hidden())


def children(process: "subprocess.Popen[str]") -> list[int]:
    """The processes that a process has started."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(number) for task in tasks for number in task.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux tells a process's children so")
def test_a_process_that_prepares_examples_and_is_killed_is_told(album: Path, tiny: list[str], tmp_path: Path) -> None:
    """As by a system that has no memory left. In a process of its own: PyTorch tells of it wherever that process is."""
    command = ("train", album, "-o", "new.safetensors", *tiny, "--steps", "100000", "--workers", "1")
    with running(*command, cwd=tmp_path) as process:
        assert process.stderr is not None
        # Before that, libraries start programs of their own.
        assert any(line.startswith("first step:") for line in iter(process.stderr.readline, ""))
        while not (started := children(process)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        for number in started:
            os.kill(number, signal.SIGKILL)
        done = finished(process)
    assert (done.status, done.out) == (1, "")
    assert "error: a process that prepares examples was killed; try fewer --workers\n" in done.err
    assert "Traceback" not in done.err


# Minutes, and weights at any time


def test_minutes_end_a_run_with_a_validation_and_weights(
    stemsplit: Command, album: Path, tiny: list[str], tmp_path: Path
) -> None:
    """After one step at least; the same command goes on from there."""
    arguments = ["train", album, "--validation", album, "-o", "new.safetensors", *tiny, "--minutes", "0"]
    for step in (1, 2):
        done = stemsplit(*arguments)
        assert (done.status, done.paths) == (0, [Path("new.safetensors")])
        assert f"stopped after {step} of 400000 steps; start it again to resume from there" in done.err
        assert [row["step"] for row in lines(tmp_path / "new.csv")] == ["1", "2"][:step]
    assert (tmp_path / "new.safetensors").is_file()


@pytest.mark.parametrize("minutes", ["-1", "nan", "soon"])
def test_minutes_are_a_number_from_0_on(stemsplit: Command, album: Path, tiny: list[str], minutes: str) -> None:
    done = stemsplit("train", album, "-o", "new.safetensors", *tiny, "--minutes", minutes)
    assert (done.status, done.out) == (2, "")
    assert "--minutes" in done.err


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signal")
def test_a_run_that_is_stopped_early_leaves_weights(
    album: Path, tmp_path: Path, handled: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Those of the steps that were made, long before the first report."""
    run = a_run(album, tmp_path / "a.safetensors", steps=100)
    signalling(run, 3, handled)
    with pytest.raises(typer.Exit):
        training.carry_out(run, TrainReport((), 100, shown=True))
    assert "interrupted; its weights so far are in " in capfd.readouterr().err
    saved = load_file(tmp_path / "a.safetensors")
    assert all(torch.equal(saved[name], value) for name, value in run.ema.state_dict().items())
    assert registry.read(tmp_path / "a.toml").keys() == {"a"}


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signal")
def test_a_run_that_is_stopped_before_its_first_step_leaves_nothing(album: Path, tmp_path: Path, handled: int) -> None:
    run = a_run(album, tmp_path / "a.safetensors", steps=100)
    signalling(run, 1, handled)
    with pytest.raises(typer.Exit):
        training.carry_out(run, hidden())
    assert not (tmp_path / "a.safetensors").exists()
    assert not (tmp_path / "a.training.pt").exists()


# Several processes


def test_two_processes_do_what_one_does_with_twice_the_examples(
    stemsplit: Command, album: Path, tmp_path: Path
) -> None:
    """To the rounding. The network has weights that nothing is computed with, as the original SuDoRM-RF has."""
    original = replace(TINY, config={**TINY.config, "variant": "original"})
    options = [
        *registered(tmp_path / "model", original),
        "--steps",
        "3",
        "--report-every",
        "2",
        "--learning-rate",
        "1e-3",
    ]
    arguments = ["train", str(album), "--validation", str(album), *options]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "stemsplit"]
    command = [*launch, *arguments, "-o", "two.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout == "two.safetensors\n"
    told = besides_stages(done.stderr).splitlines()
    assert [line.split()[0] for line in told if line.strip()] == ["step", "2", "3"]
    assert stemsplit(*arguments, "-o", "one.safetensors", "--batch-size", "4").status == 0
    one, two = (load_file(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    assert stemsplit(*arguments, "-o", "half.safetensors").status == 0
    other = load_file(tmp_path / "half.safetensors")
    apart, far = (max(float((value - more[key]).abs().max()) for key, value in one.items()) for more in (two, other))
    assert apart < 1e-5
    assert far > 1e-4
    scores = [[float(row["mean"]) for row in lines(tmp_path / f"{name}.csv")] for name in ("one", "two")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-2)


# What a person sees


def test_a_terminal_shows_a_table_above_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=100, markup=False, highlight=False)
    monkeypatch.setattr(console, "PEOPLE", terminal)
    with TrainReport(("low", "high"), 40, shown=True) as report:
        report.step(Progress(9, 0.5, 5e-4, 60.0))
        report.step(Progress(10, 0.25, 5e-4, 66.0, {"low": 1.234, "high": 3.0}, best=True, reported=True))
        report.bar.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    table = [line.split() for line in text.replace("\r", "\n").splitlines()]
    assert ["step", "loss", "rate", "time", "low", "high", "mean", "SDR"] in table
    assert ["10", "0.2500", "0.0005", "1:06", "1.23", "3.00", "2.117*"] in table
    assert "step 10, loss 0.2500" in text


@pytest.mark.parametrize("width", [100, 40, 20])
def test_a_terminal_shows_curves_in_one_place(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """They are drawn over those before, and what is left at the end is one picture below the table."""
    monkeypatch.setenv("TERM", "xterm")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    terminal = Console(file=stream, force_terminal=True, width=width, height=30, markup=False, highlight=False)
    monkeypatch.setattr(console, "PEOPLE", terminal)
    with TrainReport(("low",), 40, shown=True) as report:
        report.remember([(step, 8.0 / step, 0.5 * step) for step in range(1, 5)])
        for step in (5, 6):
            report.step(Progress(step, 1.0, 5e-4, 60.0, {"low": 4.0 - step}, reported=True))
            report.bar.refresh()
        lines = report.curves.shown()
    assert all(len(line) < width for line in lines)
    assert len(lines) == (6 if width > 20 else 0)
    names = [name for name in ("loss", "mean SDR in dB") if lines and name in lines[0]]
    assert names == {100: ["loss", "mean SDR in dB"], 40: ["mean SDR in dB"], 20: []}[width]
    stream.flush()
    written = stream.buffer.getvalue().decode()
    # Each drawing but the last is erased, line by line.
    assert written.count(lines[0] if lines else "loss  mean") <= written.count("\x1b[1A\x1b[2K" * 6) + 1
    left = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line).rstrip() for line in written.splitlines()]
    assert left[len(left) - len(lines) :] == [line.rstrip() for line in lines]


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Between reports, which may be hours apart."""
    monkeypatch.setattr("stemsplit.terminal.training.TRAIN_SECONDS", 30.0)
    with TrainReport(("low", "high"), 40, shown=True) as report:
        for step in range(1, 6):
            report.step(Progress(step, 0.5, 5e-4, 10.0 * step))
        report.step(Progress(6, 0.25, 5e-4, 66.0, {"low": 1.0, "high": 3.0}, best=True, reported=True))
    told = [line.split() for line in capfd.readouterr().err.splitlines()]
    assert [line[0] for line in told] == ["step", "3", "6"]
    assert told[1] == ["3", "0.5000", "0.0005", "0:30"]
    assert told[2][4:] == ["1.00", "3.00", "2.000*"]


def test_another_process_than_the_first_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with TrainReport((), 40, shown=False) as report:
        report.note("a note")
        report.step(Progress(10, 0.25, 5e-4, 66.0, reported=True))
    assert capfd.readouterr().err == ""


def test_a_log_says_from_the_beginning_what_is_done(stemsplit: Command, album: Path, tiny: list[str]) -> None:
    """And each thing once."""
    options = ["--validation", album, "--steps", "3", "--report-every", "1"]
    done = stemsplit("train", album, "-o", "new.safetensors", *tiny, *options)
    stages = [line for line in done.err.splitlines() if STAGES.fullmatch(line + "\n")]
    assert [stage.split()[0] for stage in stages] == ["building", "looking", "reading", "first", "validation"]
    assert done.err.splitlines()[:4] == stages[:4]


@pytest.mark.parametrize(("pace", "quicker", "hinted"), [(1.0, "--minutes 9", 1), (1.0, "", 1), (0.001, "", 0)])
def test_a_run_that_would_take_days_hints_at_quicker_ones(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], pace: float, quicker: str, hinted: int
) -> None:
    """The first step is slower than the others, so that it is the second that counts."""
    now = 0.0
    monkeypatch.setattr("stemsplit.terminal.training.time.monotonic", lambda: now)
    with TrainReport((), 400_000, shown=True, quicker=quicker) as report:
        now += 1_000.0
        for step in range(1, 6):
            report.step(Progress(step, 0.5, 5e-4, now))
            now += pace
    told = capfd.readouterr().err
    assert told.count("hint: a step takes 1.0 s, so all 400000 would take 5 days") == hinted
    assert ("for a first try, use --minutes 9, or a smaller network" in told) == bool(quicker)
