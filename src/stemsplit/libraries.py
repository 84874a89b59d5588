"""Says in one line which installed library does not load, why, and which command mends it."""

import linecache
import re
import sys
from importlib import metadata
from traceback import walk_tb
from types import ModuleType

from stemsplit.errors import LibraryError

PAIR = ("torch", "torchaudio")
"""Two libraries whose binaries fit only some versions of each other."""

DISTRIBUTIONS = {"yaml": "pyyaml"}
"""Names under which libraries are installed, where they are imported under others."""


def load_torchaudio() -> ModuleType:
    """Import torchaudio, whose binary may not fit the installed torch.

    Raises:
        LibraryError: it is missing or does not load.
    """
    try:
        import torchaudio
        import torchaudio.functional
    except Exception as error:  # A binary that does not fit raises OSError, ImportError, RuntimeError and others.
        raise _unloadable("torchaudio", error) from error
    return torchaudio


def failure(error: Exception) -> LibraryError | None:
    """Return what to tell people of an exception if the import of a library raised it, else None."""
    library = _imported(error)
    return _unloadable(library, error) if library else None


def version(library: str) -> str:
    """Return the version of an installed library, or "(not installed)"."""
    try:
        return metadata.version(_distribution(library))
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _imported(error: Exception) -> str | None:
    """Return the library that was being imported when an exception was raised, if one was."""
    frames = list(walk_tb(error.__traceback__))
    packages = [frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in frames]
    if "stemsplit" not in packages:
        return None
    last = max(place for place, package in enumerate(packages) if package == "stemsplit")
    # The body of a module runs as it is imported. If none began to run, our own line names the library.
    bodies = (place for place in range(last + 1, len(frames)) if frames[place][0].f_code.co_name == "<module>")
    if place := next(bodies, None):
        library = packages[place]
    else:
        frame, number = frames[last]
        statement = re.match(r"\s*(?:from|import) (\w+)", linecache.getline(frame.f_code.co_filename, number))
        library = statement[1] if statement else "stemsplit"
    return None if library == "stemsplit" or library in sys.stdlib_module_names else library


def _unloadable(library: str, error: BaseException) -> LibraryError:
    """Return the error for a library whose import raised `error`."""
    while error.__cause__:
        error = error.__cause__
    reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
    beside = f" with torch {version('torch')}" if library == "torchaudio" else ""
    # Wheels bring most of the system's libraries that they need, not all on every system.
    missing = re.search(r"(lib\S+\.so\S*): cannot open shared object file", reason)
    system = f", or install {missing[1]} with the system's package manager" if missing else ""
    mended = f"to mend it: {_command(library)}{system}"
    return LibraryError(f"cannot load {library} {version(library)}{beside} ({reason}); {mended}")


def _command(library: str) -> str:
    """Return the command that installs a library as stemsplit needs it, whatever is there."""
    options, wanted = ["--force-reinstall"], [_requirement(library)]
    if library in PAIR:
        # A build from PyTorch's own index names itself, as in 2.14.1+cpu, and so does the folder it comes from.
        number, _, build = version("torch").partition("+")
        if _requirement("torch") != f"torch=={number}":
            options, wanted = [], [_requirement(each) for each in PAIR]
        elif library == "torchaudio":
            options.append("--no-deps")  # else it would bring torch again, which is well and large
        if build:
            options.append(f"--index-url https://download.pytorch.org/whl/{build}")
    quoted = [f'"{each}"' if re.search(r"[ <>]", each) else each for each in (sys.executable, *wanted)]
    return " ".join([quoted[0], "-m pip install", *options, *quoted[1:]])


def _distribution(library: str) -> str:
    return DISTRIBUTIONS.get(library, library.replace("_", "-"))


def _requirement(library: str) -> str:
    """Return what stemsplit asks of a library, such as torch==2.14.1; its bare name where nothing tells."""
    name = _distribution(library)
    try:
        requirements = metadata.requires("stemsplit") or []
    except metadata.PackageNotFoundError:  # run from a source tree
        requirements = []
    wanted = (requirement.partition(";")[0].strip() for requirement in requirements)
    return next((each for each in wanted if re.split(r"[^\w-]", each)[0].lower() == name), name)
