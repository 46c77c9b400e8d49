"""A captioned picture, as every reader gives it and everything after the readers takes it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Record(NamedTuple):
    """One picture with all its captions."""

    image_id: int | str
    """The picture's number in its data set, or its file name where it has none; unique within a data set."""
    file: str
    """The path of the picture's file, as text: a `Path` for each of COCO's pictures would take as long as all the rest."""
    captions: tuple[str, ...]
    """As people wrote them, one or more."""
    split: str | None
    """Name of the split that the file or the split list gives; `None` where neither does."""

    @property
    def path(self) -> Path:
        """The picture's file; that it is there was not checked."""
        return Path(self.file)
