"""Signals, songs and places that several tests use."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several such processes share the cores. Said before anything loads PyTorch, and to the processes that tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test depends on how fast the machine happens to be.
os.environ["STEMSPLIT_KERNELS"] = "fixed"

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2] / "shared"
"""Material of this project's developers and CI; a user's clone has none of it."""

Samples = npt.NDArray[np.float32]

unix = pytest.mark.skipif(os.name != "posix", reason="this system has other signals, permissions and shells")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings and caches of nobody: a test sees and leaves nothing of the user's own."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("STEMSPLIT_CONFIG", str(folder / "config"))
    monkeypatch.setenv("STEMSPLIT_CACHE", str(folder / "cache"))
    monkeypatch.setenv("HF_HOME", str(folder / "huggingface"))
    return folder


@pytest.fixture
def shared() -> Path:
    if not (SHARED / "golden" / "parity_tools.py").is_file():
        pytest.skip(f"needs the developers' material in {SHARED}")
    return SHARED


@pytest.fixture
def ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ffmpeg on the PATH, whether this machine has one or not."""
    import imageio_ffmpeg

    folder = tmp_path_factory.mktemp("bin")
    program = Path(imageio_ffmpeg.get_ffmpeg_exe())
    (folder / f"ffmpeg{program.suffix if os.name == 'nt' else ''}").symlink_to(program)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder / "ffmpeg"


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)


def noise(frames: int, channels: int = 2, seed: int = 0) -> Samples:
    """Quiet white noise, (frames, channels)."""
    return 0.1 * np.random.default_rng(seed).standard_normal((frames, channels), dtype=np.float32)


@pytest.fixture
def song(tmp_path: Path) -> Callable[..., Path]:
    """Writes a song of noise and returns its path."""

    def write(name: str, frames: int = 22_050, channels: int = 2, rate: int = 44_100, **options: str) -> Path:
        path = tmp_path / name
        soundfile.write(path, noise(frames, channels), rate, **options)
        return path

    return write


def snapshot(folder: Path) -> dict[str, bytes | str | None]:
    """All there is below a folder, byte for byte and link for link.

    Returns:
        Path -> content; for a link, where it leads; None for a folder, and for what is neither.
    """
    found: dict[str, bytes | str | None] = {}
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            name = os.fsdecode(path.relative_to(folder))
            if path.is_symlink():
                found[name] = f"-> {os.readlink(path)}"  # noqa: PTH115  # as it stands there
            else:
                found[name] = path.read_bytes() if path.is_file() else None
    return found
