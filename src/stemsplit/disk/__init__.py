"""Removes, moves and replaces files. No other room does, and this one trusts nothing that it finds on a disk."""

from stemsplit.disk.atomic import create_once, link, replacing
from stemsplit.disk.files import (
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
    size_of_own,
)
from stemsplit.disk.folder import Folder, flush

__all__ = [
    "Folder",
    "create_once",
    "flush",
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
