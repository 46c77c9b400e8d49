"""The two kinds of failure that a person can mend, each one sentence long.

Everything in showtell that goes wrong because of a file, a setting or a machine raises one of these; the command line prints
the sentence without a traceback and leaves with the exception's `status`. Any other exception is a bug of ours.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal


class Problem(Exception):
    """It could not be done (disk full, no network, a broken file): the sentence says what happened, to what, and what to do."""

    status = 3


class WrongUse(Problem):
    """It was asked for wrongly (a flag, a setting, a file of another kind)."""

    status = 2


NOTHING_TO_FINETUNE = "No model to fine-tune: name one with --pretrained_path."
JOINERS = "\u200c\u200d"
"""Invisible signs inside words of some languages, which do no harm."""


def printable(text: object) -> str:
    """A name or a stranger's words for the screen: control characters and undecodable bytes, which can upset a terminal, are
    escaped."""
    return "".join(c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in str(text))


def missing_extra(what: str, extra: str) -> Problem:
    """The sentence for something that an optional dependency brings: `what` ("Training") needs the extra `extra`."""
    return Problem(f'{what} needs packages that are not installed: pip install ".[{extra}]" in showtell\'s folder.')


@contextmanager
def memory_sentence(sentence: str) -> Iterator[None]:
    """What is too large for memory in this block, the GPU's or the machine's, as a sentence.

    Raises:
        Problem: with that sentence.
    """
    try:
        yield
    except MemoryError as error:
        raise Problem(sentence) from error
    except RuntimeError as error:
        if "out of memory" in str(error) or "allocate memory" in str(error):  # torch says so by sentences of its own
            raise Problem(sentence) from error
        raise


def first_line(error: Exception) -> str:
    """What an error says, short enough to stand inside a sentence."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".:") if text else type(error).__name__


@contextmanager
def disk_sentences(path: Path, done: Literal["read", "written"] = "written") -> Iterator[None]:
    """What the disk refuses in this block, as a sentence.

    Args:
        path: what it names where the error names no file.
        done: what is done to it there.

    Raises:
        Problem: something could not be read or written.
    """
    try:
        yield
    except OSError as error:
        name, reason = error.filename or path, error.strerror or error
        if done == "read":
            raise Problem(f"{name} cannot be read ({reason}): see that it is there and that you may read it.") from error
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise Problem(f"{name} cannot be written, for a file lies where a folder has to be: name another.") from error
        advice = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see that it can be read and written"
        raise Problem(f"{name} cannot be written ({reason}): {advice}, then run this again.") from error
