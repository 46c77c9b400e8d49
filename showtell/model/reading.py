"""Opening what `torch.save` wrote, from wherever it comes: tensors and plain data only."""

from __future__ import annotations

import pickle
import pickletools
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import torch

from showtell.errors import first_line

MAKERS_OF_BYTES = {"__builtin__ bytearray", "builtins bytearray", "None"}
"""What torch lets a pickle call, and a few bytes of which ask for gigabytes; None stands for names put together on the way."""
DAMAGED = "it is cut off, of another kind, or carries code, which showtell never runs"
LEGACY_PICKLES = 5
"""A magic number, a version, the machine, the content, and the names of its storages."""
LARGEST_HEADER = 8 << 20
"""Bytes of a safetensors header that are read at most; a ResNet-152's takes 100 kB."""
SLACK = 1 << 20
"""Bytes that a file may unpack to beyond its own size: what `torch.save` packs is not compressed."""


def read_pt(path: Path) -> Any:
    """The content of a .pt file, its tensors on the CPU. Nothing in the file is executed.

    Raises:
        ValueError: it cannot be read; the message is a clause that says why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own sentence explains how to run the code all the same
        raise ValueError("it is of another kind, or carries code, which showtell never runs") from None
    except Exception as error:  # a broken or hostile file may raise anything
        raise ValueError(f"it is cut off or damaged ({first_line(error)})") from None


def check_archive(path: Path) -> None:
    """See that a file is an archive such as `torch.save` writes, and, as far as that shows, no larger in memory than as a file.

    Raises:
        ValueError: it is not; the message is a clause that says why.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            small = unpacked <= path.stat().st_size + SLACK
            pickles = [archive.read(entry) for entry in entries if entry.filename.lower().endswith(".pkl")] if small else []
            file.seek(0)
            if file.read(4) != b"PK\x03\x04":  # else torch reads a pickle that stands before the archive
                raise ValueError(DAMAGED)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RecursionError):
        raise ValueError(DAMAGED) from None
    if not small:
        raise ValueError(f"it would unpack to {unpacked / 2**20:,.0f} MiB, more than it holds")
    for each in pickles:
        _check_pickle(each)


def check_legacy(path: Path) -> None:
    """The same of a file from before `torch.save` made archives: a few pickles, one after another, and the numbers.

    Raises:
        ValueError: as `check_archive`.
    """
    with path.open("rb") as file:
        for _ in range(LEGACY_PICKLES):
            _check_pickle(file)


def _check_pickle(pickled: bytes | IO[bytes]) -> None:
    try:
        named = {str(argument) for code, argument, _ in pickletools.genops(pickled) if "GLOBAL" in code.name}
    except Exception:  # a broken or hostile file may raise anything
        raise ValueError(DAMAGED) from None
    if named & MAKERS_OF_BYTES:
        raise ValueError(DAMAGED)


def check_header(path: Path) -> None:
    """See that the header of a safetensors file is of a size that one can have.

    Raises:
        ValueError: it is not; the message is a clause that says why. OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > LARGEST_HEADER:
        raise ValueError(f"its header claims {header:,} bytes")
