"""One room removes, moves and replaces files: whoever reviews it has seen all that can hurt what is not ours."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "stemsplit"

CHANGES = {"rmtree", "unlink", "rename", "renames", "rmdir", "removedirs", "symlink_to", "hardlink_to", "symlink"}
CHANGES |= {"copyfile", "copytree", "truncate", "ftruncate", "write_text", "write_bytes", "copy2", "chmod", "touch"}
"""Methods and functions that change what is on a disk, whatever they are called on."""

OF_MODULES = {"os": {"remove", "replace", "link"}, "shutil": {"move", "copy"}}
"""Those whose names others have too."""

ALLOWED = {
    # A new file at a path of the caller's own; a song's files come with a descriptor from the disk room.
    ("audio/writer.py", "open"),
    # Asks Linux to begin to count the process's largest memory anew.
    ("bench.py", "write_text"),
    # The end of a pipe.
    ("audio/libsndfile.py", "fdopen"),
}
"""File and call, each with its reason."""


def opens_for_writing(call: ast.Call) -> bool:
    """Whether a mode among the arguments says so."""
    modes = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
    return any(set(text) <= set("rwaxbt+") and set(text) & set("wax+") for text in texts)


def changes(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a file, with the call there that changes what is on a disk."""
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
def test_no_other_room_changes_what_is_on_a_disk(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    if not name.startswith("disk/"):
        assert [(line, call) for line, call in changes(path) if (name, call) not in ALLOWED] == []


def test_what_changes_a_disk_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "p.unlink()\nos.replace(a, b)\np.replace(q)\nopen(p, 'wb')\np.open('a')\np.open()\nt.replace(a, b)\n"
    )
    assert [line for line, _ in changes(tmp_path / "a.py")] == [1, 2, 3, 4, 5]
