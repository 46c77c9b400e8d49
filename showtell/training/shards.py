"""Large arrays of float16, computed bit by bit by whoever has time: some hundred megabytes a file, each whole or not there.

What a killed process leaves behind are the files it finished, and the next one computes the others. Several processes may fill a
folder at once: each begins elsewhere and leaves out what is there by then; should two compute the same file, both write the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from showtell.files import written_whole

SHARD = 1 << 29
"""Bytes of a file."""

ABANDONED = 600
"""Seconds after which a file that nobody writes to any more is one that a killed process left."""

Rows = tuple[np.ndarray, dict[int, str]]
"""Some rows of the array (rows x ...), and for those that could not be had, by their place among these, why."""


@dataclass(frozen=True)
class Shards:
    """Where the rows of an array of this shape lie in a folder."""

    folder: Path
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Of a file; the last one may hold fewer."""
        return max(1, SHARD // self.bytes_of(1))

    def bytes_of(self, rows: int) -> int:
        return 2 * rows * prod(self.shape[1:])

    def path(self, first: int) -> Path:
        """The file whose first row this is."""
        return self.folder / f"{first:09}.npy"

    def missing(self) -> list[range]:
        """The rows of each file that is not there, or not whole."""
        starts = range(0, self.shape[0], self.rows)
        files = [range(first, min(first + self.rows, self.shape[0])) for first in starts]
        return [here for here in files if not self._is_whole(here)]

    def _is_whole(self, here: range) -> bool:
        path = self.path(here.start)
        try:
            return path.stat().st_size > self.bytes_of(len(here)) and path.with_suffix(".json").is_file()
        except OSError:
            return False

    def forget(self, rows: Iterable[int]) -> None:
        """Removes the files that hold these rows, so that they are computed again."""
        for first in {row - row % self.rows for row in rows}:
            self.path(first).unlink(missing_ok=True)

    def next_missing(self) -> range | None:
        """A file to compute; other processes are told others."""
        missing = self.missing()
        return missing[os.getpid() % len(missing)] if missing else None

    def write(self, here: range, parts: Iterable[Rows]) -> None:
        """Writes the rows of a file as they come, and beside it why some of them could not be had (they are zero).

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        reasons: dict[int, str] = {}
        written = 0
        with written_whole(self.path(here.start)) as file:
            header = {"descr": "<f2", "fortran_order": False, "shape": (len(here), *self.shape[1:])}
            np.lib.format.write_array_header_1_0(file, header)
            for rows, why in parts:
                reasons |= {here.start + written + place: reason for place, reason in why.items()}
                file.write(rows.astype("<f2", copy=False).tobytes())
                written += len(rows)
            with written_whole(self.path(here.start).with_suffix(".json")) as beside:  # first: its array says that both are there
                beside.write(json.dumps(reasons).encode())

    def reasons(self) -> dict[int, str]:
        """By row, why it could not be had."""
        found: dict[str, str] = {}
        for first in range(0, self.shape[0], self.rows):
            found |= json.loads(self.path(first).with_suffix(".json").read_text("utf-8"))
        return {int(row): why for row, why in found.items()}

    def sweep(self) -> None:
        """Removes what killed processes had begun."""
        for part in self.folder.glob(".*.part"):
            try:
                if time.time() - part.stat().st_mtime > ABANDONED:
                    part.unlink()
            except OSError:
                pass  # another process has finished or removed it


class ShardedArray(Sequence[np.ndarray]):
    """The rows of a folder that is complete, mapped into memory and read when asked for."""

    def __init__(self, folder: Path) -> None:
        self.maps = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))]

    def __len__(self) -> int:
        return sum(map(len, self.maps))

    def __getitem__(self, row: int) -> np.ndarray:  # type: ignore[override]
        number, place = divmod(row, len(self.maps[0]))
        found: np.ndarray = self.maps[number][place]
        return found
