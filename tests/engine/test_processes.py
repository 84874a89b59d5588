"""A separator works in other processes, forked or not, and in several threads; nothing waits for ever."""

import asyncio
import copy
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import stemsplit
from stemsplit import Chain, DeviceError, Separator
from stemsplit.models import build
from stemsplit.training import result
from tests.conftest import noise, unix
from tests.models.test_contract import SMALL
from tests.training.conftest import ROFORMER, TINY, network

LIMIT = 120
"""Seconds after which a program is taken to wait for ever, on a busy machine too."""

COMMON = """
import multiprocessing, os, signal, sys, threading, time
import torch

def mixture():
    torch.manual_seed(0)
    return 0.1 * torch.randn(1, 9_000)

def used():
    # Enough for PyTorch to share the work among its threads, of which a fork keeps none.
    torch.set_num_threads(2)
    (torch.ones(1_000, 1_000) @ torch.ones(1_000, 1_000)).exp().sum()

def same(one, other):
    return all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)

def started(work, method="fork", *arguments):
    process = multiprocessing.get_context(method).Process(target=work, args=arguments)
    process.start()
    return process

def ended(process, work):
    process.join(60)
    if process.is_alive():
        process.kill()
        process.join()
        sys.exit(f"{work.__name__} hangs")
    assert process.exitcode == 0, f"{work.__name__} ended with {process.exitcode}"

def forked(work, method="fork", *arguments):
    ended(started(work, method, *arguments), work)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small models: one on our own threads, another such one, and one that PyTorch's compute."""
    monkeypatch.chdir(tmp_path)
    result.save(network(TINY, seed=1), TINY, tmp_path / "first.safetensors")
    result.save(
        network(ROFORMER, seed=2), replace(ROFORMER, mixture_consistency=False), tmp_path / "second.safetensors"
    )
    torch.manual_seed(0)
    speech = build("fullsubnet_plus", {**SMALL, "variant": "base", "fb_model_hidden_size": 8})
    entry = replace(
        TINY,
        architecture="fullsubnet_plus",
        config={**SMALL, "variant": "base", "fb_model_hidden_size": 8},
        stems=("speech",),
        residual="noise",
        mixture_consistency=False,
    )
    result.save(speech, entry, tmp_path / "plain.safetensors")
    return tmp_path


def run(folder: Path, code: str, *words: object, imported: bool = True) -> None:
    """Run a program in a folder, and fail if it fails or does not end."""
    program = folder / "program.py"
    imports = "from stemsplit import Chain, Separator, load_network, split\n" if imported else ""
    program.write_text(COMMON + imports + textwrap.dedent(code), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program), *map(str, words)],
        check=False,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert not done.returncode, done.stderr + done.stdout


@unix
@pytest.mark.parametrize("threads", [1, 2])
def test_separators_made_before_a_fork_work_after_it(here: Path, threads: int) -> None:
    """Whether they were used before it or not."""
    run(
        here,
        """
        threads = int(sys.argv[1])
        used()
        first, second, plain = (Separator(f"{name}.safetensors", "cpu", threads=threads)
                                for name in ("first", "second", "plain"))
        chain, song = Chain(first, "low", second), mixture()
        networks = [load_network(f"{name}.safetensors") for name in ("first", "second", "plain")]
        splitters = [chain, first, plain]

        def work(file):
            torch.save([each.separate(song, 8_000) for each in splitters], file)

        def raw():
            with torch.inference_mode():
                for network in networks:
                    network(torch.randn(1, 2, 100_000 if network is networks[0] else 4_000))

        forked(work, "fork", "unused")
        forked(raw)
        work("here")
        forked(work, "fork", "used")
        forked(raw)
        here = torch.load("here")
        for file in ("unused", "used"):
            assert all(map(same, here, torch.load(file)))
        """,
        threads,
    )


@unix
def test_a_fork_while_other_threads_are_at_work_leaves_nothing_locked(here: Path) -> None:
    run(
        here,
        """
        separator, song = Separator("first.safetensors", "cpu", threads=2), mixture()
        over = threading.Event()

        def busy():
            while not over.is_set():
                separator.separate(song, 8_000)
                load_network("plain.safetensors")

        def work():
            separator.separate(song, 8_000)
            Separator("plain.safetensors", "cpu").separate(song, 8_000)

        others = [threading.Thread(target=busy) for _ in range(2)]
        [other.start() for other in others]
        try:
            # At several moments of what the others do. What is locked then stays so for ever.
            processes = [started(work) for _ in range(5) if not time.sleep(0.05)]
        finally:
            over.set()
        [other.join() for other in others]
        [ended(process, work) for process in processes]
        """,
    )


@unix
def test_a_separator_made_in_a_forked_process_works(here: Path) -> None:
    """Even if nothing of this package was imported before the fork, and PyTorch had threads."""
    run(
        here,
        """
        def work():
            from stemsplit import Separator
            song = mixture().expand(2, -1).repeat(1, 20)
            for name in ("first", "plain"):
                Separator(f"{name}.safetensors", "cpu", threads=2).separate(song, 8_000)

        used()
        assert "stemsplit" not in sys.modules
        forked(work)
        """,
        imported=False,
    )


@unix
def test_pools_of_processes_and_workers_of_a_data_loader_can_use_one(here: Path) -> None:
    run(
        here,
        """
        from concurrent.futures import ProcessPoolExecutor
        used()
        separator, song = Separator("first.safetensors", "cpu", threads=2), mixture()
        wanted = separator.separate(song, 8_000)

        class Songs(torch.utils.data.Dataset):
            def __len__(self):
                return 2
            def __getitem__(self, index):
                return separator.separate(song, 8_000)["low"]

        def separated(_):
            return {name: stem.numpy() for name, stem in separator.separate(song, 8_000).items()}

        with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
            for found in pool.map(separated, range(3), timeout=60):
                assert same(wanted, {name: torch.from_numpy(stem) for name, stem in found.items()})
        loader = torch.utils.data.DataLoader(Songs(), num_workers=1, timeout=60, multiprocessing_context="fork")
        for stem in loader:
            assert torch.allclose(stem[0], wanted["low"], atol=1e-5)
        """,
    )


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=unix)])
def test_separators_are_sent_to_new_processes(here: Path, method: str) -> None:
    run(
        here,
        """
        def work(each, song, wanted):
            assert same({name: torch.tensor(stem) for name, stem in wanted.items()}, each.separate(song, 8_000))

        if __name__ == "__main__":
            first = Separator("first.safetensors", "cpu", threads=1, overlap=0.25)
            chain = Chain(first, "low", Separator("second.safetensors", "cpu", threads=1))
            song = mixture().numpy()
            wanted = {name: stem.tolist() for name, stem in chain.separate(song, 8_000).items()}
            forked(work, sys.argv[1], chain, song, wanted)
        """,
        method,
    )


@unix
def test_a_song_is_split_in_a_forked_process(here: Path) -> None:
    import soundfile

    soundfile.write(here / "song.wav", noise(8_000, 1), 8_000)
    run(
        here,
        """
        def work(name):
            split("song.wav", name, "first.safetensors", device="cpu")

        used()
        work("here")
        forked(work, "fork", "there")
        """,
    )
    assert (here / "here/song/low.wav").read_bytes() == (here / "there/song/low.wav").read_bytes()


@unix
def test_a_forked_process_shows_that_its_own_claims_are_alive(here: Path) -> None:
    """The thread that does stays in the parent."""
    run(
        here,
        """
        from stemsplit.disk import heartbeat
        from pathlib import Path

        def work():
            heartbeat.begin(os.open("theirs", os.O_CREAT), Path("theirs"))
            assert any(thread.name == "heartbeat" for thread in threading.enumerate())

        heartbeat.begin(os.open("ours", os.O_CREAT), Path("ours"))
        forked(work)
        """,
    )


def on(device: str, separator: Separator) -> Separator:
    separator.device = torch.device(device)
    return separator


@pytest.mark.usefixtures("here")
def test_a_device_that_does_not_survive_a_fork_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    separator = on("cuda", Separator("first.safetensors", "cpu"))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(DeviceError, match=r"loaded on cuda before this process was forked, .* 'spawn'$"):
        separator.separate(noise(100, 1).T, 8_000)


@pytest.mark.usefixtures("here")
def test_a_separator_that_was_pickled_or_copied_is_the_same() -> None:
    separator = Separator("first.safetensors", "cpu", threads=1, chunk_seconds=0.2, overlap=0.1, window="linear")
    chain = Chain(separator, "low", Separator("second.safetensors", "cpu"))
    song = noise(5_000, 1).T
    for each in (separator, chain):
        wanted = each.separate(song, 8_000)
        for again in (pickle.loads(pickle.dumps(each)), copy.copy(each), copy.deepcopy(each)):
            found = again.separate(song, 8_000)
            assert found.keys() == wanted.keys()
            assert all(torch.allclose(found[name], stem, atol=1e-6) for name, stem in wanted.items())
    again = pickle.loads(pickle.dumps(separator))
    assert (again.entry, again.window, again.estimator.pool.threads) == (separator.entry, "linear", 1)
    assert len(pickle.dumps(separator)) < 10_000, "the weights lie in their file"


@pytest.mark.usefixtures("here")
def test_a_network_that_was_pickled_is_the_same() -> None:
    loaded = stemsplit.load_network("first.safetensors")
    song = torch.randn(1, 1, 4_000)
    with torch.inference_mode():
        for again in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
            assert torch.allclose(again(song), loaded(song), atol=1e-6)


def alike(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return all(torch.allclose(found[name], stem, atol=1e-6) for name, stem in wanted.items())


@pytest.mark.parametrize("name", ["first", "second", "plain"])
@pytest.mark.usefixtures("here")
def test_several_threads_can_use_one_separator(name: str) -> None:
    separator = Separator(f"{name}.safetensors", "cpu", threads=2)
    songs = [noise(3_000 + 500 * i, 1 + i % 3, seed=i).T for i in range(8)]
    wanted = [separator.separate(song, 8_000) for song in songs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda song: separator.separate(song, 8_000), songs, timeout=LIMIT))
    assert all(map(alike, found, wanted))


@pytest.mark.usefixtures("here")
def test_it_works_within_an_event_loop_and_beside_it() -> None:
    """As in a notebook, where a loop runs all the time."""
    separator, song = Separator("first.safetensors", "cpu"), noise(3_000, 1).T
    wanted = separator.separate(song, 8_000)

    async def both() -> list[dict[str, Tensor]]:
        beside = [asyncio.to_thread(separator.separate, song, 8_000) for _ in range(2)]
        return [separator.separate(song, 8_000), *await asyncio.gather(*beside)]

    assert all(alike(found, wanted) for found in asyncio.run(asyncio.wait_for(both(), LIMIT)))


@pytest.mark.usefixtures("here")
def test_a_song_can_be_split_in_any_thread_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    import soundfile

    soundfile.write("song.wav", noise(8_000, 1), 8_000)
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]

    async def beside() -> dict[str, Path]:
        return await asyncio.to_thread(stemsplit.split, "song.wav", "stems", "first.safetensors", device="cpu")

    written = asyncio.run(asyncio.wait_for(beside(), LIMIT))
    assert all(path.is_file() for path in written.values())
    again = stemsplit.split("song.wav", "again", "first.safetensors", device="cpu")
    assert [path.read_bytes() for path in again.values()] == [path.read_bytes() for path in written.values()]
    assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers
    assert capfd.readouterr() == ("", "")
    assert np.isfinite(soundfile.read(written["low"])[0]).all()
