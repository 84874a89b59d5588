"""If a library cannot be loaded, commands that do not need it still work, and others say what to do."""

import os
import re
import shlex
import shutil
import site
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stemsplit import libraries
from stemsplit.checkpoints.checkpoint import save
from stemsplit.disk.digest import sha256
from stemsplit.errors import LibraryError
from stemsplit.models import build
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit
from tests.conftest import DATA, unix
from tests.training.conftest import album as album

Command = Callable[..., Result]

RATE = 44_100
PAIR = f"torch {libraries.version('torch')} and torchaudio {libraries.version('torchaudio')}"
TONE = torch.sin(2 * torch.pi * 997 * torch.arange(RATE, dtype=torch.float64) / RATE)[None]
"""One second of 997 Hz at full scale, (1, t)."""


def level(samples: Tensor) -> float:
    """Return the mean square in dB, without the first tenth of a second, in which filters settle."""
    return float(10 * samples[..., RATE // 10 :].square().mean().log10())


@pytest.mark.parametrize(
    ("name", "compute", "expected"),
    [
        # ITU-R BS.1770-4 gives the first figure; the others are a gain of 6 dB, and none.
        ("loudness", lambda f: float(f.loudness(0.25 * TONE, RATE)), -15.05),
        ("equalizer_biquad", lambda f: level(f.equalizer_biquad(0.1 * TONE, RATE, 997.0, 6.0, 0.7)), -17.01),
        ("resample", lambda f: level(f.resample(0.1 * TONE, 9, 10)), -23.01),
    ],
)
def test_torch_and_torchaudio_compute_together(name: str, compute: Callable[[Any], float], expected: float) -> None:
    """This covers every part of torchaudio that stemsplit uses, also its compiled filter."""
    try:
        level = compute(libraries.load_torchaudio().functional)
    except Exception as error:
        pytest.fail(f"{PAIR} cannot compute {name}: {error}")
    assert level == pytest.approx(expected, abs=0.1), f"{PAIR} compute {name} wrongly"


def test_torch_and_torchaudio_are_pinned_exactly_and_tested_as_pinned() -> None:
    wanted = tomllib.loads((DATA.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pins = dict(pin.groups() for text in wanted if (pin := re.match(r"(torch(?:audio)?)==([\d.]+)$", text)))
    assert pins.keys() == {"torch", "torchaudio"}
    assert {name: version(name).partition("+")[0] for name in pins} == pins


# Without torchaudio

MEL = """
[NAME]
description = "as small as can be"
architecture = "mel_band_roformer"
stems = ["vocals"]
sample_rate = 44100
channels = 1
chunk = 44100
hop = 22050
sources = ["file:mel.safetensors"]
author = "this test"
config = { dim = 8, depth = 1, dim_head = 4, heads = 2, mlp_expansion_factor = 1, num_bands = 60 }
"""


@pytest.fixture
def mel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small Mel-Band RoFormers, `mel` and `same`, in the user's own registry."""
    (tmp_path / "more.toml").write_text(MEL.replace("NAME", "mel") + MEL.replace("NAME", "same"))
    save(build("mel_band_roformer", tomllib.loads(MEL)["NAME"]["config"]), tmp_path / "mel.safetensors")
    monkeypatch.setenv("STEMSPLIT_REGISTRY", str(tmp_path / "more.toml"))


@pytest.fixture
def no_torchaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchaudio", None)


BUILD_ALL = """
import torch
from stemsplit import models, registry
entries = registry.entries().values()
with torch.device("meta"):
    # Of two entries with the same config, one is enough.
    for entry in {(entry.architecture, repr(entry.config)): entry for entry in entries}.values():
        models.build(entry.architecture, entry.config)
print(len(entries))
"""


def test_every_model_of_the_registry_builds_without_torchaudio() -> None:
    blocked = f"import sys; sys.modules['torchaudio'] = None\n{BUILD_ALL}"
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert int(done.stdout) >= 70


@pytest.mark.usefixtures("mel", "no_torchaudio")
@pytest.mark.parametrize(
    "command",
    [
        "song.wav --model mel",
        "list --stems vocals",
        "info mel",
        "info mel.safetensors",
        "download mel",
        "bench mel --random-weights --device cpu --precision fp32 --chunk-seconds 0.5",
    ],
)
def test_commands_that_need_no_torchaudio_run_without(
    command: str, stemsplit: Command, song: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemsplit.bench.SIDES", {"cpu": 64})
    monkeypatch.setattr("stemsplit.bench.GEMM_SECONDS", 0.0)
    monkeypatch.setattr("stemsplit.bench.ENOUGH_SECONDS", 0.0)
    song("song.wav")
    done = stemsplit(*command.split())
    assert (done.status, "error" in done.err) == (0, False)
    assert done.out


COMPARE = ["compare", "song.wav", "--models", "mel,same", "--duration", "0.5s"]


def check_message(line: str) -> None:
    """Check that a line says everything that a user needs to know about torchaudio."""
    (line,) = line.splitlines()
    assert line.startswith(f"error: cannot load torchaudio {version('torchaudio')} with torch {version('torch')} (")
    assert re.search(r"; to repair it: \S.* -m pip install .*torchaudio==\d+\.\d+\.\d+", line)


@pytest.mark.usefixtures("mel", "no_torchaudio")
def test_a_comparison_says_at_its_start_that_torchaudio_cannot_be_loaded(
    stemsplit: Command, song: Callable[..., Path], tmp_path: Path
) -> None:
    song("song.wav")
    done = stemsplit(*COMPARE)
    assert (done.status, done.out) == (1, "")
    check_message(done.err)
    assert not (tmp_path / "compare").exists()


@pytest.mark.usefixtures("mel", "no_torchaudio")
@pytest.mark.parametrize("way", ["equalise", "swap,speed"])
def test_training_that_needs_torchaudio_says_so_before_it_reads_a_song(
    stemsplit: Command, album: Path, way: str
) -> None:
    for path in album.rglob("*.wav"):
        path.write_bytes(b"")
    done = stemsplit("train", album, "-o", "new.safetensors", "--augment", way)
    assert (done.status, done.out) == (1, "")
    check_message(done.err)


@pytest.mark.usefixtures("no_torchaudio")
def test_other_augmentations_need_no_torchaudio() -> None:
    from stemsplit.training.plan import Mixing

    assert Mixing(1_000, augmentations=("swap", "polarity")).length == 1_000
    with pytest.raises(LibraryError, match="cannot load torchaudio"):
        Mixing(1_000, augmentations=("polarity", "equalise"))


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The Python of a virtual environment like this one, except that torchaudio's binary is damaged."""
    home = tmp_path / "venv"
    venv.create(home, symlinks=os.name != "nt")
    (libs,) = {*home.rglob("site-packages")}
    (libs / "outer.pth").write_text("".join(f"import site; site.addsitedir({p!r})\n" for p in site.getsitepackages()))
    installed = Path(libraries.load_torchaudio().__file__ or "").parent
    shutil.copytree(installed, libs / "torchaudio", ignore=shutil.ignore_patterns("__pycache__"))
    for binary in (libs / "torchaudio" / "lib").glob("*torchaudio.*"):
        binary.write_bytes(b"no library")
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.mark.usefixtures("mel")
def test_a_damaged_binary_of_torchaudio_stops_only_what_needs_it(
    broken: Path, song: Callable[..., Path], tmp_path: Path
) -> None:
    song("song.wav")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(broken), "-m", "stemsplit", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    split = run("song.wav", "--model", "mel")
    assert (split.returncode, split.stdout) == (0, f"{Path('stems/song/vocals.wav')}\n"), split.stderr
    compared = run(*COMPARE)
    assert (compared.returncode, compared.stdout) == (1, "")
    check_message(compared.stderr)


# Any library


def started(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the modules of a folder in front of the installed ones."""
    paths = filter(None, (str(folder), os.environ.get("PYTHONPATH")))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "400"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=120
    )


LOADER = "libgomp.so.1: cannot open shared object file"
SHARED_LIBRARY = f"{LOADER}: No such file or directory"
BASELINE = "NumPy was built with baseline optimizations: (X86_V2) but your machine doesn't support: (X86_V2)."
BROKEN: Mapping[str, tuple[str, str, str]] = {
    "torch without a library of the system": ("torch", f"raise OSError({SHARED_LIBRARY!r})", SHARED_LIBRARY),
    "torch on Windows": ("torch", "raise ImportError('DLL load failed while importing _C')", "DLL load failed"),
    "numpy on an old CPU": ("numpy", f"raise RuntimeError({BASELINE!r})", BASELINE),
    "numpy, of whose many lines the cause counts": (
        "numpy",
        "try:\n  import no_core\nexcept ImportError as e:\n  raise ImportError('\\n\\nPLEASE READ\\n\\nthis') from e",
        "No module named 'no_core'",
    ),
    "soundfile without libsndfile": ("soundfile", "raise OSError('sndfile library not found')", "sndfile library not"),
    "soundfile without cffi": ("soundfile", "import no_cffi", "No module named 'no_cffi'"),
    "soxr": ("soxr", "raise ImportError('undefined symbol: soxr')", "undefined symbol: soxr"),
    "safetensors": ("safetensors", "", "cannot import name 'SafetensorError' from 'safetensors'"),
    "yaml, half-written": ("yaml", "\\", "unexpected EOF"),
    "platformdirs": ("platformdirs", "raise ImportError", "ImportError"),
    "rich, which draws messages": ("rich", "raise ImportError('gone')", "gone"),
    "soxr, cut off": ("soxr", "raise EOFError('marshal data too short')", "marshal data too short"),
    "torch, which blames itself": ("torch", "e = ImportError('round')\nraise e from e", "round"),
    "torch, with much to say": ("torch", "raise ImportError('\\x1b[31m' + 'x' * 100_000)", "xxx)"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_library_that_cannot_be_loaded_is_reported_in_one_line(
    kind: str, tmp_path: Path, song: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    library, source, reason = BROKEN[kind]
    if library == "platformdirs":  # needed only where the user has not set this
        monkeypatch.delenv("STEMSPLIT_CONFIG")
    song("song.wav", frames=1_000)
    (tmp_path / f"{library}.py").write_text(source)
    (tmp_path / "any.yaml").write_text("")
    command = ["song.wav"] if library != "yaml" else ["info", "song.wav", "--config", "any.yaml"]
    done = started(tmp_path, "-m", "stemsplit", *command)
    assert "\x1b" not in done.stderr
    assert (done.returncode, done.stdout) == (1, "")
    # A hint about other models comes before PyTorch is needed.
    *before, line = done.stderr.splitlines()
    assert all(each.startswith("hint: ") for each in before)
    name = "pyyaml" if library == "yaml" else library
    start = f"error: cannot load {library} {version(name)} ("
    assert line.startswith(start)
    assert reason in line
    assert re.search(rf"; to repair it: \S.*pip install --force-reinstall ['\"]?{name}[=>]=", line)
    assert ("or install libgomp.so.1 with" in line) == (reason == SHARED_LIBRARY)


@pytest.mark.parametrize("command", ["info song.wav", "bench starter", "song.wav --model mel-roformer"])
def test_the_broken_one_of_libraries_that_import_each_other_is_named(
    command: str, tmp_path: Path, song: Callable[..., Path]
) -> None:
    """PyTorch imports numpy, and reinstalling PyTorch would not help."""
    song("song.wav", frames=1_000)
    (tmp_path / "numpy.py").write_text(f"raise RuntimeError({BASELINE!r})")
    done = started(tmp_path, "-m", "stemsplit", *command.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(f"error: cannot load numpy {version('numpy')} ({BASELINE}")


@pytest.mark.parametrize(("library", "name"), [("yaml", "pyyaml"), ("filelock", "filelock")])
def test_a_broken_import_of_the_hubs_library_is_reported_on_stderr_only(
    library: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / f"{library}.py").write_text("raise ImportError('gone')")
    done = started(tmp_path, "-m", "stemsplit", "download", "mel-roformer-dereverb")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: cannot load {library} {version(name)} (gone); to repair it: ")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("OSError(24, 'Too many open files')", "[Errno 24] Too many open files"),
        # This is how the loader of shared libraries says it.
        (f"ImportError('{LOADER}: Too many open files')", f"{LOADER}: Too many open files"),
        ("MemoryError", "MemoryError"),
    ],
)
def test_no_reinstallation_is_advised_if_memory_or_files_ran_out(
    raised: str, told: str, tmp_path: Path, song: Callable[..., Path]
) -> None:
    song("song.wav", frames=1_000)
    (tmp_path / "soxr.py").write_text(f"raise {raised}")
    done = started(tmp_path, "-m", "stemsplit", "song.wav")
    assert done.stderr == f"error: cannot load soxr {version('soxr')} ({told})\n"


def test_code_that_a_library_compiles_itself_is_not_an_import() -> None:
    """PyTorch's compiler does that, and fails without a compiler of the system."""
    inner = "def run():\n    exec(compile('raise OSError(\"no compiler\")', 'made', 'exec'), {'__name__': 'made'})"
    names: dict[str, Any] = {"__name__": "stemsplit.anything"}
    exec(inner, names)
    with pytest.raises(OSError, match="no compiler") as raised:
        names["run"]()
    assert libraries.failure(raised.value) is None


def test_an_interrupted_installation_has_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_there-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert libraries.version("half_there") == libraries.version("never-there") == "(not installed)"


def test_the_hubs_library_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError('cannot import hf_xet')")
    done = started(tmp_path, "-m", "stemsplit", "download", "mel-roformer")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: cannot load huggingface_hub {version('huggingface-hub')} (cannot import hf_xet)")


def test_a_missing_library_is_reported_in_the_same_way(tmp_path: Path, song: Callable[..., Path]) -> None:
    song("song.wav", frames=1_000)
    blocked = "import sys; sys.modules['soxr'] = None; sys.argv[1:] = ['song.wav']\n"
    done = started(tmp_path, "-c", f"{blocked}from stemsplit.cli import main; main()")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match(r"error: cannot load soxr .* \(import of soxr halted.*\); to repair it: .*pip install", done.stderr)


def test_importing_the_class_raises_a_library_error(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('no such symbol')")
    code = "import stemsplit\ntry: stemsplit.Separator\nexcept stemsplit.LibraryError as e: print(type(e.__cause__), e)"
    done = started(tmp_path, "-c", code)
    assert done.stdout.startswith(f"<class 'OSError'> cannot load torch {version('torch')} (no such symbol); to repair")


def test_errors_that_no_import_raised_are_left_alone() -> None:
    with pytest.raises(FileNotFoundError) as raised:
        sha256(Path("nowhere"))
    assert libraries.failure(raised.value) is None


# The command that repairs


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets the installed versions and stemsplit's requirements."""

    def say(**versions: str) -> None:
        monkeypatch.setattr(libraries, "version", versions.get)
        wanted = ["torch==2.14.1", "torchaudio==2.11.1", "soundfile>=0.13", 'mido>=1.3; extra == "midi"']
        monkeypatch.setattr(libraries.metadata, "requires", lambda _: wanted)
        monkeypatch.setattr(sys, "executable", "/venv/bin/python")

    return say


@pytest.mark.usefixtures("no_torchaudio")
@pytest.mark.parametrize(
    ("torch_", "torchaudio", "command"),
    [
        ("2.14.1", "2.11.1", "--force-reinstall --no-deps torchaudio==2.11.1"),
        ("2.14.1", "2.11.0", "--force-reinstall --no-deps torchaudio==2.11.1"),
        ("2.11.0", "2.11.1", "torch==2.14.1 torchaudio==2.11.1"),
        ("2.13.0+cpu", "2.11.1", "--index-url https://download.pytorch.org/whl/cpu torch==2.14.1 torchaudio==2.11.1"),
        (
            "2.14.1+cu126",
            "2.11.1",
            "--force-reinstall --no-deps --index-url https://download.pytorch.org/whl/cu126 torchaudio==2.11.1",
        ),
        ("2.14.1+gitabc", "2.11.1", "--force-reinstall --no-deps torchaudio==2.11.1"),  # a build of the user's own
    ],
)
def test_only_the_wrong_one_of_a_pair_is_installed_again(
    torch_: str, torchaudio: str, command: str, installed: Callable[..., None]
) -> None:
    installed(torch=torch_, torchaudio=torchaudio)
    with pytest.raises(LibraryError) as raised:
        libraries.load_torchaudio()
    assert str(raised.value).startswith(f"cannot load torchaudio {torchaudio} with torch {torch_} (")
    assert str(raised.value).endswith(f"; to repair it: /venv/bin/python -m pip install {command}")


@unix
@pytest.mark.usefixtures("no_torchaudio")
def test_the_command_can_be_pasted_for_any_folder_name(
    installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(torch="2.14.1", torchaudio="2.11.1")
    monkeypatch.setattr(sys, "executable", "/it's (a) $HOME/bin/python")
    with pytest.raises(LibraryError) as raised:
        libraries.load_torchaudio()
    words = shlex.split(str(raised.value).partition("to repair it: ")[2])
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
