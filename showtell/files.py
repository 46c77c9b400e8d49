"""Files that are whole or not there, and the folder for what can be made again."""

from __future__ import annotations

import gzip
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import platformdirs

UMASK = os.umask(0o022)
"""What the user's new files are not allowed; it can be read only by setting it: once, before there are threads."""
os.umask(UMASK)


def cache_folder() -> Path:
    """Where indexes and cached features lie: `$SHOWTELL_CACHE`, else the user's cache folder. Not created here."""
    return Path(os.environ.get("SHOWTELL_CACHE") or platformdirs.user_cache_dir("showtell", appauthor=False))


def as_utf8(text: str) -> bytes:
    """The text as bytes. File names that are no UTF-8 hold lone surrogates; these become \\udcff, which JSON reads as such."""
    return text.encode("utf-8", "backslashreplace")


def unpacked(content: bytes) -> bytes:
    """What a file holds that may be packed by gzip, whatever it is called.

    Raises:
        OSError, EOFError, zlib.error: it is, and is damaged.
    """
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def locked(file: IO[bytes], path: Path) -> bool:
    """Takes an open file for this process alone until it is closed; False where another process has it, or has replaced it.

    Where there are no such locks (Windows, some network drives), nobody is kept out.
    """
    if os.name == "nt":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write; it takes the name `path` only when the block ends well, synced to disk.

    After a crash `path` is the old file or the new one, never half of one. Folders above it are made. Where `path` is a link, the
    file that it leads to is replaced; who may read a file stays as it was.

    Raises:
        OSError: the disk is full or the folder cannot be written; the temporary file is removed.
    """
    path = Path(os.path.realpath(path))
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~UMASK  # mkstemp makes private files
    path.parent.mkdir(parents=True, exist_ok=True)
    with _under_the_name_of(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with _under_the_name_of(path):
            part.chmod(mode)
            part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def _under_the_name_of(path: Path) -> Iterator[None]:
    """Errors of a temporary file name the file that it was to become, which the user knows."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there, and renames are journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
