"""From what the user names to the pictures themselves: files, folders, patterns, a list on standard input.

Names are text here, and nothing is asked of the disk that need not be: there may be a million of them.
"""

# ruff: noqa: PTH100, PTH112, PTH118, PTH122, PTH207  (see above; and os.path does not raise where it may not look)
from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator

from showtell.errors import printable
from showtell.files import as_utf8
from showtell.pictures import PICTURE_SUFFIXES, PictureError, list_pictures

STANDARD_INPUT = "-"

_SEPARATOR = r"[\\/]" if os.name == "nt" else "/"

Skip = Callable[[str], None]
"""Takes the sentence that says which input is left out, and why."""


def find_pictures(inputs: Iterable[str], lines: Iterable[str], skip: Skip) -> Iterator[str]:
    """Each picture once, as it was named, in the order of the inputs; within a folder or a pattern, sorted.

    A file need not be there: opening it will tell. Of a folder (searched through) and of what a pattern matches (`*`, `?`,
    `[...]`, `**` for any folders), the files are taken that are pictures by their suffixes; hidden ones are left out. What is
    there by its very name is no pattern.

    Args:
        inputs: pictures, folders, patterns, or `-` for the names in `lines`.
        lines: pictures and folders, one a line; read as far as pictures are asked for.
        skip: told of each folder and pattern that brings nothing, and of a list without names.
    """
    seen: set[bytes] = set()
    for name in _expanded(inputs, lines, skip):
        if (key := picture_key(name)) not in seen:
            seen.add(key)
            yield name


def picture_key(name: str) -> bytes:
    """16 bytes that stand for a picture's absolute path, however it was named: sets of millions of these stay small."""
    return path_key(os.path.abspath(name))


def path_key(path: str) -> bytes:
    """16 bytes that stand for a path as it is written."""
    return hashlib.blake2b(as_utf8(os.path.normcase(path)), digest_size=16).digest()


def _expanded(inputs: Iterable[str], lines: Iterable[str], skip: Skip) -> Iterator[str]:
    for name in inputs:
        if name == STANDARD_INPUT:
            yield from _listed(lines, skip)
        elif glob.has_magic(name) and "://" not in name and not os.path.lexists(name):
            yield from _matched(name, skip)
        else:
            yield from _named(name, skip)


def _listed(lines: Iterable[str], skip: Skip) -> Iterator[str]:
    nothing = True
    for line in lines:
        if name := line.removeprefix("\ufeff").rstrip("\r\n"):  # some programs put a byte order mark first
            nothing = False
            yield from _named(name, skip)
    if nothing:
        skip("Standard input holds no names; write one a line.")


def _named(name: str, skip: Skip) -> Iterator[str]:
    if _is_called_picture(name) or not os.path.isdir(name):
        yield name
    else:
        yield from _inside(name, skip)


def _inside(folder: str, skip: Skip) -> Iterator[str]:
    try:
        pictures = list_pictures(folder, on_error=lambda error: skip(str(error)))
    except PictureError as error:
        skip(str(error))
        return
    if not pictures:
        skip(f"The folder {printable(folder)} holds no pictures.")
    yield from map(str, pictures)


def _matched(pattern: str, skip: Skip) -> Iterator[str]:
    goes_down = re.search(rf"(?:^|{_SEPARATOR})\*\*{_SEPARATOR}*\*?$", pattern)  # then what the folders hold is matched as well
    nothing = True
    for name in sorted(_globbed(pattern)):
        if _is_called_picture(name):
            nothing = False
            yield name
        elif not goes_down and os.path.isdir(name):
            nothing = False
            yield from _inside(name, skip)
    if nothing:
        skip(f"No picture matches {printable(pattern)}.")


def _globbed(pattern: str) -> Iterator[str]:
    """As `glob.glob(recursive=True)`, but `**` enters no links to folders, which may lead round in circles."""
    down = re.search(rf"(?:^|(?<={_SEPARATOR}))\*\*(?:{_SEPARATOR}+|$)", pattern)
    if down is None:
        yield from glob.iglob(pattern)
        return
    head, tail = pattern[: down.start()], pattern[down.end() :] or "*"
    for root in glob.iglob(head) if glob.has_magic(head) else [head]:
        for parent, folders, _ in os.walk(root or os.curdir):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inside = parent if root else parent.removeprefix(os.curdir).lstrip(os.sep)
            yield from _globbed(os.path.join(glob.escape(inside), tail))


def _is_called_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES
