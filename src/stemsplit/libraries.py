"""Returns the versions of installed libraries, and one-line errors for libraries that cannot be loaded."""

import errno
import linecache
import os
import re
import shlex
import sys
from contextlib import suppress
from importlib import metadata
from traceback import walk_tb
from types import ModuleType

from stemsplit.errors import LibraryError

PAIR = ("torch", "torchaudio")
"""Two libraries whose binaries fit only certain versions of each other."""

DISTRIBUTIONS = {"yaml": "pyyaml"}
"""Library -> the name under which it is installed, if that differs from the name under which it is imported."""

SYSTEM_LIBRARIES = r"lib(?:ffi|gcc_s|gomp|sndfile|stdc\+\+)\.so\S*"
"""Shared libraries that the system must provide if no wheel does. All others come with some wheel."""

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of a system that has run out of files or memory."""

LONGEST = 300
"""Characters of a library's own message that are shown."""


def load_torchaudio() -> ModuleType:
    """Import torchaudio, whose binary may not fit the installed torch.

    Raises:
        LibraryError: it is missing or cannot be loaded.
    """
    try:
        import torchaudio
        import torchaudio.functional
    except Exception as error:  # An incompatible binary raises OSError, ImportError, RuntimeError and others.
        raise _unloadable("torchaudio", error) from error
    return torchaudio


def failure(error: Exception) -> LibraryError | None:
    """Return the error to show if an exception was raised while a library was imported; None if it was not."""
    library = _imported(error)
    return _unloadable(library, error) if library else None


def exhausted(error: BaseException) -> str:
    """Return what the system has run out of, in its own words; empty if an error has another cause.

    PyTorch, and the system's loader of shared libraries, raise other errors that hold these words.
    """
    if isinstance(error, MemoryError):
        return os.strerror(errno.ENOMEM)
    told, code = str(error).lower(), getattr(error, "errno", None)
    return next((os.strerror(each) for each in EXHAUSTED if each == code or os.strerror(each).lower() in told), "")


def install(library: str) -> str:
    """Return a pip command that installs a library as stemsplit requires it."""
    return " ".join([_python(), "-m pip install", _quoted(_requirement(library) or _distribution(library))])


def version(library: str) -> str:
    """Return the version of an installed library, or "(not installed)"."""
    with suppress(metadata.PackageNotFoundError, FileNotFoundError):
        installed = metadata.distribution(_distribution(library)).metadata
        if "Version" in installed:  # not after an interrupted installation
            return installed["Version"]
    return "(not installed)"


def _imported(error: Exception) -> str | None:
    """Return the library that was being imported when an exception was raised, if one was."""
    frames = list(walk_tb(error.__traceback__))
    packages = [str(frame.f_globals.get("__name__")).partition(".")[0] for frame, _ in frames]
    if "stemsplit" not in packages:
        return None
    last = max(index for index, package in enumerate(packages) if package == "stemsplit")
    # Importing a module runs its body. Code that a library compiles itself has a body too, but no import spec.
    imported = [
        package
        for package, (frame, _) in zip(packages[last + 1 :], frames[last + 1 :], strict=True)
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__spec__")
    ]
    if not imported:
        # Without a body, the import statement in stemsplit's own code names the library.
        frame, number = frames[last]
        statement = re.match(r"\s*(?:from|import) (\w+)", linecache.getline(frame.f_code.co_filename, number))
        imported = [statement[1]] if statement else []
    libraries = [name for name in imported if name != "stemsplit" and name not in sys.stdlib_module_names]
    # If libraries import each other, as torch imports numpy, the last one that stemsplit requires is at fault.
    return next((name for name in reversed(libraries) if _requirement(name)), libraries[0] if libraries else None)


def _unloadable(library: str, error: BaseException) -> LibraryError:
    """Return the error for a library whose import raised `error`."""
    seen: list[BaseException] = []
    while (cause := error.__cause__) and cause not in seen:
        seen.append(cause)
        error = cause
    reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)[:LONGEST]
    beside = f" with torch {version('torch')}" if library == "torchaudio" else ""
    message = f"cannot load {library} {version(library)}{beside} ({reason})"
    if exhausted(error):
        return LibraryError(message)
    missing = re.search(rf"({SYSTEM_LIBRARIES}): cannot open shared object file", reason)
    system = f", or install {missing[1]} with the system's package manager" if missing else ""
    return LibraryError(f"{message}; to repair it: {_command(library)}{system}")


def _command(library: str) -> str:
    """Return a pip command that installs the version of a library that stemsplit requires."""
    options, wanted = ["--force-reinstall"], [library]
    if library in PAIR:
        # A build from PyTorch's own index names its folder there, as in 2.14.1+cpu.
        number, _, build = version("torch").partition("+")
        if _requirement("torch") != f"torch=={number}":
            options, wanted = [], [*PAIR]
        elif library == "torchaudio":
            options.append("--no-deps")  # otherwise pip would reinstall torch, which is large and works
        if re.fullmatch(r"cpu|xpu|cu\d+|rocm[\d.]+", build):
            options.append(f"--index-url https://download.pytorch.org/whl/{build}")
    requirements = [_quoted(_requirement(name) or _distribution(name)) for name in wanted]
    return " ".join([_python(), "-m pip install", *options, *requirements])


def _python() -> str:
    """Return the path of the running Python, quoted for the shell."""
    quoted = _quoted(sys.executable or "python")
    return f"& {quoted}" if os.name == "nt" and quoted.startswith('"') else quoted  # PowerShell needs the &


def _quoted(word: str) -> str:
    if os.name != "nt":
        return shlex.quote(word)
    return word if re.fullmatch(r"[\w.:\\/=-]+", word) else f'"{word}"'


def _distribution(library: str) -> str:
    return DISTRIBUTIONS.get(library, library.replace("_", "-"))


def _requirement(library: str) -> str:
    """Return stemsplit's requirement for a library, such as torch==2.14.1; empty if there is none or it is unknown."""
    name = _distribution(library)
    try:
        requirements = metadata.requires("stemsplit") or []
    except metadata.PackageNotFoundError:  # stemsplit runs from a source tree
        requirements = []
    wanted = (requirement.partition(";")[0].strip() for requirement in requirements)
    return next((text for text in wanted if re.split(r"[^\w-]", text)[0].lower() == name), "")
