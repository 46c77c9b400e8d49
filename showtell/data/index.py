"""Large annotations, read once: their rows as flat columns in the cache folder, several times faster than JSON.

An index is one UTF-8 text: a first line that says which file it was made from (path, size, time, how it was read) and a
checksum; then four columns (ids, files, splits, captions), each with a cell a picture. It holds text only, is written whole,
and is made anew when the file changes or the index is not what it says.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from showtell.data.formats import Row
from showtell.files import cache_folder, written_whole

VERSION = 3
SMALLEST = 2**20
"""Bytes below which a file of captions is read itself."""

_COLUMN, _CELL, _CAPTION = "\x1d", "\x1e", "\x1f"  # Unicode's own separators of groups, records and units


def indexed(path: Path, read_as: Sequence[str], read: Callable[[], list[Row]]) -> list[Row]:
    """The rows of the file `path`: from its index where that is fresh, else from `read()`, leaving an index behind.

    `read_as` are the settings that the rows depend on. A cache folder that cannot be written costs time, nothing else.
    """
    state = path.stat()
    if path.is_dir() or state.st_size < SMALLEST:
        return read()
    source = [VERSION, os.path.realpath(path), state.st_size, state.st_mtime_ns, *read_as]
    name = hashlib.sha256(json.dumps([source[1], *read_as]).encode()).hexdigest()[:32]
    index = cache_folder() / "indexes" / f"{name}.txt"
    rows = _load(index, source)
    if rows is None:
        rows = read()
        _save(rows, index, source)
    return rows


def _save(rows: list[Row], index: Path, source: list[object]) -> None:
    if not rows:
        return
    ids, files, splits, captions = zip(*rows, strict=True)
    names = [str(i) if isinstance(i, int) else f'"{i}' for i in ids]
    given = [split or "" for split in splits]
    everything = "".join(chain(names, files, given, *captions))
    if any(separator in everything for separator in (_COLUMN, _CELL, _CAPTION)):
        return  # a file with such characters is read anew every time
    body = _COLUMN.join(map(_CELL.join, (names, files, given, map(_CAPTION.join, captions)))).encode("utf-8", "surrogatepass")
    try:
        with written_whole(index) as file:
            file.write(json.dumps([*source, zlib.crc32(body)]).encode() + b"\n" + body)
    except OSError:
        pass  # no room or no right to write: the index is a convenience


def _load(index: Path, source: list[object]) -> list[Row] | None:
    try:
        with index.open("rb") as file:
            head, body = file.readline(), file.read()
    except OSError:
        return None
    if head != json.dumps([*source, zlib.crc32(body)]).encode() + b"\n":
        return None
    try:
        columns = (column.split(_CELL) for column in body.decode("utf-8", "surrogatepass").split(_COLUMN))
        names, files, given, texts = columns
        ids = [i[1:] if i.startswith('"') else int(i) for i in names]
        captions = [tuple(text.split(_CAPTION)) if text else () for text in texts]
        return list(zip(ids, files, [split or None for split in given], captions, strict=True))
    except ValueError:  # right checksum, wrong layout: nobody's index
        return None
