"""A captioned picture, as every reader gives it and everything after the readers takes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Record:
    """One picture with all its captions."""

    image_id: int | str
    """The picture's number in its data set, or its file name where it has none; unique within a data set."""
    path: Path
    """The picture's file; that it is there was not checked."""
    captions: tuple[str, ...]
    """As people wrote them, one or more."""
    split: str | None
    """Name of the split that the file or the split list gives; `None` where neither does."""
