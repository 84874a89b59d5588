"""The loop: it learns, and goes on from a kill as if nothing had been."""

import math
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stemsplit.checkpoints.describe import own_entry
from stemsplit.engine.separator import Separator
from stemsplit.errors import AudioError, StemsplitError, WeightsError
from stemsplit.evaluation.metrics import sdr
from stemsplit.evaluation.multitracks import song_folders
from stemsplit.fast.device import native_bfloat16
from stemsplit.models.roformer_layers import Transformer
from stemsplit.registry import ModelEntry
from stemsplit.training import loop
from stemsplit.training.data import read_song
from stemsplit.training.history import History
from stemsplit.training.loop import MOST_SKIPPED, Run
from stemsplit.training.network import compile_blocks, update_ema
from stemsplit.training.plan import EARLIER_NAMES, Plan
from stemsplit.training.validation import completed, validate
from tests.checkpoints.test_pickle_scan import zipped
from tests.training.conftest import ENTRIES, ROFORMER, TINY, a_run, network, put, tone

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _attention() -> Iterator[None]:
    """A run on a CPU lets PyTorch's attention reckon in bfloat16: fine for a command, not for the tests after it."""
    yield
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(False)


def whole(run: Run, count: int | None = None) -> list[tuple[Any, ...]]:
    """Make all steps of a run, or so many; what it told, times aside."""
    with closing(run.steps()) as steps:
        return [(p.step, p.loss, p.learning_rate, dict(p.scores), p.best, p.reported) for p in islice(steps, count)]


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal to the last bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def songs(album: Path, entry: ModelEntry = TINY) -> list[Tensor]:
    """The album's songs, to be measured on."""
    return [read_song(song, entry) for song in song_folders(album)]


# Learning rate and weights


def test_the_recipe_is_the_papers() -> None:
    plan = Plan(steps=200_000)
    assert [plan.learning_rate_at(step) for step in (0, 39_999)] == [5e-4, 5e-4]
    assert [plan.learning_rate_at(step) for step in (40_000, 79_999)] == pytest.approx([4.5e-4, 4.5e-4])
    assert plan.learning_rate_at(120_000) == pytest.approx(5e-4 * 0.9**3)
    assert (plan.loss, plan.optimizer, plan.ema_decay, plan.clip) == ("spectral", "adamw", 0.999, 5.0)


def test_the_learning_rate_may_rise_and_fall() -> None:
    plan = Plan(steps=1_000, learning_rate=1.0, warmup=100, cooldown=0.4)
    rates = [plan.learning_rate_at(step) for step in range(1_000)]
    assert rates[:2] == [0.01, 0.02]
    assert set(rates[99:601]) == {1.0}
    assert rates[800] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(1 / 400)


@pytest.mark.parametrize(("name", "known"), [("loss", "spectral, sdr"), ("optimizer", "adamw, muon")])
def test_unknown_names_are_refused(name: str, known: str) -> None:
    with pytest.raises(ValueError, match=f"no {name} 'l2'; there are {known}"):
        Plan(1, **{name: "l2"})  # type: ignore[arg-type]


def test_the_average_follows_the_weights() -> None:
    ema, moved = nn.Linear(1, 1), nn.Linear(1, 1)
    before = ema.weight.clone()
    update_ema(ema, moved, 0.75)
    assert torch.allclose(ema.weight, 0.75 * before + 0.25 * moved.weight)


def test_the_early_average_forgets_where_it_began(album: Path, tmp_path: Path) -> None:
    """However slowly it follows later."""
    run = a_run(album, tmp_path / "a.safetensors", ema_decay=1.0)
    began = [parameter.clone() for parameter in run.ema.parameters()]
    whole(run)
    moved = [(now - then).norm() for now, then in zip(run.ema.parameters(), began, strict=True)]
    ahead = [(now - then).norm() for now, then in zip(run.network.parameters(), began, strict=True)]
    assert all(0.2 < a / b < 1 for a, b in zip(moved, ahead, strict=True))


def test_blocks_alone_are_compiled_or_else_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
    compile_blocks(network(ROFORMER))
    assert len(compiled) == 2
    assert all(isinstance(module, Transformer) for module in compiled)
    compile_blocks(made := network())
    assert compiled[2:] == list(made.sm.children())
    compile_blocks(other := nn.Linear(2, 2))
    assert compiled[-1] is other


def test_features_are_left_out_in_training_alone(album: Path, tmp_path: Path) -> None:
    run = a_run(album, tmp_path / "a.safetensors", ROFORMER, dropout=0.5)
    mixture = torch.randn(1, 2, 1_000)
    with torch.no_grad():
        assert not torch.equal(run.network(mixture), run.network(mixture))
        assert torch.equal(run.ema(mixture), run.ema(mixture))
        assert torch.equal(run.network.eval()(mixture), run.ema(mixture))
    assert run.network.state_dict().keys() == run.ema.state_dict().keys()


# Learning


def test_a_network_learns_to_tell_tones_apart(album: Path, tmp_path: Path) -> None:
    """The loss falls, and the result splits a song that it has never heard."""
    run = a_run(
        album, tmp_path / "a.safetensors", steps=60, report_every=20, loss="sdr", learning_rate=5e-3, ema_decay=0.9
    )
    losses = [progress.loss for progress in run.steps() if progress.reported]
    assert losses[0] > losses[1] > losses[2]
    entry = own_entry(tmp_path / "a.safetensors")
    assert entry is not None
    low, high = (torch.from_numpy(tone(pitch).T.copy()) for pitch in (180, 1_350))
    stems = Separator(entry, "cpu").separate(low + high, 8_000)
    assert sdr(stems["low"], low) > 12
    assert sdr(stems["high"], high) > 12


@pytest.mark.parametrize("loss", ["spectral", "sdr"])
def test_a_roformer_learns_with_muon(album: Path, tmp_path: Path, loss: str) -> None:
    run = a_run(
        album,
        tmp_path / "a.safetensors",
        ROFORMER,
        steps=15,
        report_every=5,
        loss=loss,
        optimizer="muon",
        learning_rate=1e-2,
    )
    losses = [progress.loss for progress in run.steps() if progress.reported]
    assert losses[0] > losses[1] > losses[2]


# Going on


NATIVE = [torch.float32, *([torch.bfloat16] if native_bfloat16() else [])]
KINDS = [
    pytest.param(entry, optimizer, dtype, id=f"{name}, {optimizer}, {dtype}")
    for name, entry in ENTRIES.items()
    for optimizer in ("adamw", "muon")
    for dtype in NATIVE
]


@pytest.mark.parametrize(("entry", "optimizer", "dtype"), KINDS)
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    album: Path, tmp_path: Path, entry: ModelEntry, optimizer: str, dtype: torch.dtype
) -> None:
    """Stopped after step 4, and killed after step 5, whose last checkpoint was of step 4."""
    validation = songs(album, entry)[:1]

    def a_new(folder: str) -> Run:
        (tmp_path / folder).mkdir(exist_ok=True)
        out = tmp_path / folder / "a.safetensors"
        return a_run(
            album,
            out,
            entry,
            steps=6,
            report_every=3,
            optimizer=optimizer,
            dtype=dtype,
            validation=validation,
            warmup=3,
            learning_rate=1e-2,
            dropout=0.2,
        )

    undisturbed = a_new("undisturbed")
    told = whole(undisturbed)
    stopped = a_new("cut off")
    assert whole(stopped, 4) == told[:4]
    stopped.save_state()
    killed = a_new("cut off")
    assert killed.resume()
    next(killed.steps())
    assert killed.step == 5
    last = a_new("cut off")
    assert last.resume()
    assert whole(last) == told[4:]
    for part in ("network", "ema", "optimizers", "scaler"):
        assert same(getattr(last, part).state_dict(), getattr(undisturbed, part).state_dict()), part
    for name in ("a.safetensors", "a.toml"):
        assert (tmp_path / "cut off" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more processes than a small machine has cores
def test_processes_that_prepare_examples_change_nothing(album: Path, tmp_path: Path) -> None:
    runs = [a_run(album, tmp_path / f"{loaders}.safetensors", loaders=loaders) for loaders in (0, 2)]
    assert whole(runs[0]) == whole(runs[1])
    assert same(runs[0].network.state_dict(), runs[1].network.state_dict())


def test_there_may_be_nothing_to_go_on_from(album: Path, tmp_path: Path) -> None:
    assert not a_run(album, tmp_path / "a.safetensors").resume()


def test_a_run_may_be_made_longer(album: Path, tmp_path: Path) -> None:
    whole(a_run(album, tmp_path / "a.safetensors", steps=4))
    longer = a_run(album, tmp_path / "a.safetensors", steps=8)
    assert longer.resume()
    undisturbed = a_run(album, tmp_path / "b.safetensors", steps=8)
    assert whole(longer) == whole(undisturbed)[4:]


def test_a_run_that_is_at_its_end_has_nothing_left_to_do(album: Path, tmp_path: Path) -> None:
    whole(a_run(album, tmp_path / "a.safetensors"))
    again = a_run(album, tmp_path / "a.safetensors")
    assert again.resume()
    assert whole(again) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "started with seed 0, not 1"),
        ({"batch_size": 3}, "started with batch_size 2, not 3"),
        ({"learning_rate": 1e-3}, "started with learning_rate 0.0005, not 0.001"),
        ({"loss": "sdr"}, "started with loss spectral, not sdr"),
        ({"length": 900}, "started with length 1000, not 900"),
        (
            {"entry": replace(TINY, stems=("high", "low"))},
            r"started with outputs \('low', 'high'\), not \('high', 'low'\)",
        ),
        ({"entry": replace(TINY, config={**TINY.config, "num_blocks": 2})}, "started with num_blocks 1, not 2"),
        ({"entry": replace(TINY, config={**TINY.config, "normalize": True})}, "started with normalize None, not True"),
        ({"entry": ROFORMER}, "started with architecture sudormrf, not bs_roformer"),
    ],
)
def test_other_settings_are_refused_by_name(album: Path, tmp_path: Path, change: Any, message: str) -> None:
    run = a_run(album, tmp_path / "a.safetensors")
    run.save_state()
    with pytest.raises(StemsplitError, match=rf"a\.training\.pt was {message}; use that, or another --output$"):
        a_run(album, tmp_path / "a.safetensors", **change).resume()


def test_a_run_of_an_earlier_version_can_be_resumed(album: Path, tmp_path: Path) -> None:
    """It named some settings otherwise, and they are still compared."""
    undisturbed = a_run(album, tmp_path / "b.safetensors")
    expected = whole(undisturbed)
    run = a_run(album, tmp_path / "a.safetensors")
    whole(run, 5)
    run.save_state()
    state = torch.load(run.state_file, weights_only=True)
    earlier = {name: state["settings"].pop(today) for name, today in EARLIER_NAMES.items()}
    assert earlier == {"averaging": 0.999, "levels": 3.0, "silence": 0.1, "doubled": 0.0}
    torch.save({**state, "settings": {**state["settings"], **earlier}}, run.state_file)
    again = a_run(album, tmp_path / "a.safetensors")
    assert again.resume()
    assert whole(again) == expected[5:]
    with pytest.raises(StemsplitError, match=r"was started with ema_decay 0\.999, not 0\.9; use that"):
        a_run(album, tmp_path / "a.safetensors", ema_decay=0.9).resume()


def test_another_precision_may_go_on(album: Path, tmp_path: Path) -> None:
    """As on another device; it is not the same run to the last bit any more."""
    a_run(album, tmp_path / "a.safetensors", dtype=torch.float16).save_state()
    assert a_run(album, tmp_path / "a.safetensors").resume()
    a_run(album, tmp_path / "a.safetensors").save_state()
    assert a_run(album, tmp_path / "a.safetensors", dtype=torch.float16).resume()


def without(path: Path, key: str) -> None:
    state = torch.load(path, weights_only=True)
    del state[key]
    torch.save(state, path)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b"no checkpoint at all"),
        lambda path: torch.save([1, 2], path),
        lambda path: without(path, "network"),
        lambda path: without(path, "settings"),
        lambda path: without(path, "step"),
        lambda path: torch.save({**torch.load(path, weights_only=True), "step": "many"}, path),
        # A key of tuples in tuples, each twice: to hash it takes for ever.
        lambda path: path.write_bytes(zipped(b"\x80\2}K\1" + b"q\0h\0\x86" * 60 + b"K\1s.")),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_checkpoint_that_is_damaged_is_told(album: Path, tmp_path: Path, harm: Any) -> None:
    run = a_run(album, tmp_path / "a.safetensors")
    run.save_state()
    harm(run.state_file)
    with pytest.raises(
        WeightsError, match=r"^cannot resume from .*a\.training\.pt \([^\n]*\); delete it to start anew$"
    ):
        run.resume()


def test_all_that_a_run_writes_is_on_the_disk_before_it_has_its_name(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, a power cut could leave an empty file in place of trained weights."""
    synced, sync, named, replace_ = set[int](), os.fsync, dict[str, bool](), os.replace

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def moved(old: Any, new: Any, **folders: Any) -> None:
        named[Path(new).name] = os.stat(old, dir_fd=folders.get("src_dir_fd")).st_ino in synced
        replace_(old, new, **folders)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", moved)
    whole(a_run(album, tmp_path / "a.safetensors", steps=1))
    History(tmp_path / "a.csv", ("low", "high"), 1)
    assert named == dict.fromkeys(["a.safetensors", "a.toml", "a.training.pt", "a.csv"], True)
    assert {path.name for path in tmp_path.glob("a.*")} == named.keys()


def test_a_checkpoint_that_cannot_be_written_is_told(album: Path, tmp_path: Path) -> None:
    run = a_run(album, tmp_path / "a.safetensors")
    run.state_file.mkdir()
    with pytest.raises(WeightsError, match=r"^cannot write .*a\.training\.pt"):
        run.save_state()
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


# What goes wrong on the way


def nowhere(estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:  # noqa: ARG001  # losses are called alike
    return (estimates * math.nan).sum()


def test_steps_without_a_finite_gradient_are_passed_over(album: Path, tmp_path: Path) -> None:
    run = a_run(album, tmp_path / "a.safetensors")
    sound = run.loss
    told = []
    for progress in run.steps():
        told.append(progress)
        if progress.step == 2:
            before = {key: value.clone() for key, value in run.network.state_dict().items()}
            run.loss = nowhere
        if progress.step == 5:
            assert same(run.network.state_dict(), before)
            run.loss = sound
    assert len(told) == 8
    assert told[4].loss == told[1].loss
    assert all(math.isfinite(progress.loss) for progress in told)
    assert not same(run.network.state_dict(), before)
    for part in (run.network, run.ema):
        assert all(value.isfinite().all() for value in part.state_dict().values())
    assert run.skipped == 0


def test_a_run_gives_up_where_there_is_no_finite_gradient_any_more(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MOST_SKIPPED", 3)
    run = a_run(album, tmp_path / "a.safetensors")
    run.loss = nowhere
    with pytest.raises(StemsplitError, match="no finite gradient in 4 steps; try a lower --learning-rate"):
        whole(run)
    assert run.step == 3
    assert MOST_SKIPPED == 50


def test_gradients_are_cut_down(album: Path, tmp_path: Path) -> None:
    """Plain steps along gradients are as long as these are."""
    run = a_run(album, tmp_path / "a.safetensors", steps=1, clip=0.01, learning_rate=1.0)
    run.optimizers.all = [torch.optim.SGD(run.network.parameters())]
    before = [parameter.detach().clone() for parameter in run.network.parameters()]
    whole(run)
    moved = [now - then for now, then in zip(run.network.parameters(), before, strict=True)]
    length = float(torch.stack([part.detach().norm() for part in moved]).norm())
    assert length == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("loaders", [0, 1])
def test_a_recording_that_is_gone_is_told_in_a_line(album: Path, tmp_path: Path, loaders: int) -> None:
    run = a_run(album, tmp_path / "a.safetensors", loaders=loaders)
    for path in album.rglob("low.wav"):
        path.unlink()
    with pytest.raises(AudioError, match=r"^cannot read [^\n]*/low\.wav \(there is no such file\)$"):
        whole(run)


# Validation


@pytest.mark.parametrize(
    "entry",
    [
        TINY,
        ROFORMER,
        replace(TINY, window="linear", hop=1_000),
        replace(TINY, mixture_consistency=False),
        replace(
            TINY, stems=("low",), residual="high", mixture_consistency=False, config={**TINY.config, "num_sources": 1}
        ),
    ],
    ids=["sudormrf", "bs_roformer", "linear", "incomplete", "residual"],
)
def test_validation_measures_what_the_command_would_give(album: Path, tmp_path: Path, entry: ModelEntry) -> None:
    validation = songs(album, entry)
    run = a_run(album, tmp_path / "a.safetensors", entry, validation=validation, learning_rate=1e-2)
    *_, last = run.steps()
    assert list(last.scores) == ["low", "high"]
    result = own_entry(tmp_path / "a.safetensors")
    assert result is not None
    separator = Separator(result, "cpu", threads=1)
    scores = []
    for sources in validation:
        stems = separator.separate(sources.sum(0), 8_000)
        scores.append(torch.stack([sdr(stems[name], true) for name, true in zip(stems, sources, strict=True)]))
    means = torch.stack(scores).mean(0)
    # The last was the best, or others were written.
    assert last.best
    assert torch.allclose(means, torch.tensor(list(last.scores.values()), dtype=means.dtype), atol=0.01)


def test_songs_that_lack_a_stem_have_no_say_in_its_score(album: Path) -> None:
    one, two, three = songs(album)
    lacking = two.clone()
    lacking[0] = 0
    made = network()
    assert torch.equal(validate(made, [one, lacking, three], TINY)[0], validate(made, [one, three], TINY)[0])
    assert validate(made, [lacking], TINY).isnan().tolist() == [True, False]


def test_a_stem_that_no_song_has_keeps_no_result_from_being_written(album: Path, tmp_path: Path) -> None:
    lacking = songs(album)[0]
    lacking[0] = 0
    run = a_run(album, tmp_path / "a.safetensors", validation=[lacking])
    told = [progress for progress in run.steps() if progress.reported]
    assert told[0].best
    assert told[0].mean == told[0].scores["high"]
    assert math.isnan(told[0].scores["low"])
    assert (tmp_path / "a.safetensors").exists()


def test_the_best_weights_are_those_that_are_written(album: Path, tmp_path: Path) -> None:
    """Here the first, as later ones are thrown off; without validation it is always the last."""
    runs = {
        name: a_run(album, tmp_path / f"{name}.safetensors", validation=songs, learning_rate=0.01, ema_decay=0.0)
        for name, songs in (("with", songs(album)), ("without", ()))
    }
    for name, run in runs.items():
        written = []
        for progress in run.steps():
            if progress.step == 5:
                with torch.no_grad():
                    for parameter in run.network.parameters():
                        parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
            if progress.reported:
                written.append((progress.best, (tmp_path / f"{name}.safetensors").read_bytes()))
        assert [best for best, _ in written] == [True, name == "without"]
        assert (written[0][1] == written[1][1]) == (name == "with")


def test_weights_without_a_score_are_replaced_by_later_ones(album: Path, tmp_path: Path) -> None:
    """Validation songs may be added to a run: its next weights are the best, as those before were never measured."""
    whole(a_run(album, tmp_path / "a.safetensors", steps=4))
    run = a_run(album, tmp_path / "a.safetensors", steps=12, validation=songs(album))
    assert run.resume()
    assert math.isnan(run.best)
    told = [progress for progress in run.steps() if progress.reported]
    assert told[0].best
    assert run.best == max(progress.mean for progress in told)


def test_what_the_network_leaves_is_dealt_with_as_the_entry_says() -> None:
    estimates, mixture = torch.randn(1, 2, 2, 10), torch.randn(1, 2, 10)
    left = mixture - estimates.sum(1)
    assert torch.allclose(completed(estimates, mixture, TINY).sum(1), mixture, atol=1e-6)
    rest = completed(estimates, mixture, replace(TINY, mixture_consistency=False, residual="rest"))
    assert torch.equal(rest[:, 2], left)
    assert torch.equal(completed(estimates, mixture, replace(TINY, mixture_consistency=False)), estimates)


def test_songs_shorter_than_a_chunk_are_measured_as_well(tmp_path: Path) -> None:
    put(tmp_path / "data" / "song", low=tone(200, 700), high=tone(1_000, 500))
    assert validate(network(), songs(tmp_path / "data"), TINY).isfinite().all()


class GivenUpError(Exception):
    """Somebody asked to stop."""


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99], ids=["at once", "forward", "backward"])
def test_a_step_that_is_given_up_was_not_made(album: Path, tmp_path: Path, share: float) -> None:
    """Wherever in the step that is; gone on with, the run ends with the weights of one that was not disturbed."""
    calls, last = 0, math.inf

    def pulse() -> None:
        nonlocal calls
        calls += 1
        if calls > last:
            raise GivenUpError

    run = a_run(album, tmp_path / "a.safetensors")
    run.pulse = pulse
    with closing(run.steps()) as steps:
        next(steps)
        before = {name: value.clone() for name, value in run.network.state_dict().items()}
        last = calls + int(share * calls)
        with pytest.raises(GivenUpError):
            next(steps)
    assert run.step == 1
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())
    run.save_state()
    again, undisturbed = a_run(album, tmp_path / "a.safetensors"), a_run(album, tmp_path / "b.safetensors")
    assert again.resume()
    for each, count in ((again, 1), (undisturbed, 2)):
        with closing(each.steps()) as steps:
            list(islice(steps, count))
    for name, value in undisturbed.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name])
