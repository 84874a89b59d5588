"""Only one room removes, moves and replaces files: a review of it covers all that could harm a user's files."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "stemsplit"

CHANGES = {"rmtree", "unlink", "rename", "renames", "rmdir", "removedirs", "symlink_to", "hardlink_to", "symlink"}
CHANGES |= {"copyfile", "copytree", "truncate", "ftruncate", "write_text", "write_bytes", "copy2", "chmod", "touch"}
"""Names of methods and functions that change files, on any object."""

OF_MODULES = {"os": {"remove", "replace", "link"}, "shutil": {"move", "copy"}}
"""Names that change files only if they are called on these modules."""

ALLOWED = {
    # A new file at a path of the caller's own; a song's files come with a descriptor from the disk room.
    ("audio/writer.py", "open"),
    # Resets Linux's record of the process's peak memory.
    ("engine/costs.py", "write_text"),
    # One end of a pipe.
    ("audio/libsndfile.py", "fdopen"),
}
"""Allowed calls as (file, call), each with its reason."""


def opens_for_writing(call: ast.Call) -> bool:
    """Return whether one of the arguments is a mode for writing."""
    modes = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
    return any(set(text) <= set("rwaxbt+") and set(text) & set("wax+") for text in texts)


def changes(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with calls that change files, and these calls."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        name, on = node.func.id if isinstance(node.func, ast.Name) else node.func.attr, ""
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            on = node.func.value.id
        # `text.replace(old, new)` has two arguments; `path.replace(target)` has one.
        moves = (
            name == "replace"
            and isinstance(node.func, ast.Attribute)
            and on not in OF_MODULES
            and len(node.args) == 1
            and not node.keywords
        )
        opened = name in ("open", "fdopen") and opens_for_writing(node)
        if name in CHANGES or name in OF_MODULES.get(on, ()) or moves or opened:
            yield node.lineno, name


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_room_changes_files(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    if not name.startswith("disk/"):
        assert [(line, call) for line, call in changes(path) if (name, call) not in ALLOWED] == []


def test_calls_that_change_files_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "p.unlink()\nos.replace(a, b)\np.replace(q)\nopen(p, 'wb')\np.open('a')\np.open()\nt.replace(a, b)\n"
    )
    assert [line for line, _ in changes(tmp_path / "a.py")] == [1, 2, 3, 4, 5]
