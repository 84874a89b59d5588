"""The only room that removes, moves and replaces files; it takes what it finds on a disk for a stranger's work."""

from stemsplit.disk.files import (
    link,
    make_below,
    move,
    names_below,
    open_own,
    open_regular,
    read,
    read_text,
    remove,
    remove_below,
    remove_empty_folder,
    replacing,
    size_of_own,
)
from stemsplit.disk.folder import Folder

__all__ = [
    "Folder",
    "link",
    "make_below",
    "move",
    "names_below",
    "open_own",
    "open_regular",
    "read",
    "read_text",
    "remove",
    "remove_below",
    "remove_empty_folder",
    "replacing",
    "size_of_own",
]
