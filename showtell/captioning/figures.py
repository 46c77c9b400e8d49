"""A figure a picture that shows where the model looked, under names that do not collide."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from showtell.captioning.batches import Opened
from showtell.captioning.inputs import path_key, picture_key
from showtell.errors import Problem, disk_sentences, printable
from showtell.files import written_whole
from showtell.look import attention_figure

if TYPE_CHECKING:
    from showtell.model.captioner import Caption

QUALITY = 90
HEAD = 128
"""Bytes at the beginning of a JPEG file in which its comment stands."""
LONGEST_NAME = 50
"""Characters of a picture's name that its figure's takes over; file systems allow 255 bytes for all of it."""


class FigureNames:
    """The figures' paths in a folder: `dog.jpg` for `photos/dog.png`, and `dog-1f3a5c7e.jpg` for a second `dog` elsewhere.

    The eight digits stand for the picture's path, so that the same inputs always give the same names. A figure tells of which
    picture it is: what else lies in the folder, another run's figures or somebody's photographs, keeps its name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def path(self, image: str) -> Path:
        """Where the figure of the next picture goes."""
        stem = PurePath(image).stem[:LONGEST_NAME]
        taken = stem.casefold() in self._taken  # folded, since many file systems do not tell capitals apart
        if taken or not may_draw(self._folder / f"{stem}.jpg", image):
            stem += f"-{picture_key(image).hex()[:8]}"
        self._taken.add(stem.casefold())
        return self._folder / f"{stem}.jpg"


def may_draw(path: Path, image: str) -> bool:
    """Whether the figure of a picture may lie there: nothing does, or an earlier figure of that picture."""
    try:
        with path.open("rb") as file:
            return _comment(path, image) in file.read(HEAD)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # a folder of that name, or no name at all
        return False


def _comment(path: Path, image: str) -> bytes:
    """In a figure's file, whose figure it is: the way from it to the picture, so that both may be moved together."""
    try:
        way = os.path.relpath(image, path.parent)
    except ValueError:  # on another drive of Windows
        way = str(Path(image).absolute())
    return f"showtell {path_key(way).hex()}".encode()


def figure_paths(path: Path, languages: Iterable[str]) -> list[Path]:
    """Where a picture's figures lie: of several languages, those after the first in a folder for each."""
    return [path, *(path.parent / language / path.name for language in [*languages][1:])]


def figures_of(path: Path, caption: Caption) -> dict[Path, Caption]:
    """Which figures a picture gets, and where."""
    said = [caption, *[*caption.languages.values()][1:]]
    return dict(zip(figure_paths(path, caption.languages), said, strict=True))


def draw_figure(opened: Opened, caption: Caption, path: Path) -> str | None:
    """Draws and writes a figure of a picture that was opened for one.

    Returns:
        None, or the sentence that says why it cannot be drawn (no font has its characters, another file has its name).

    Raises:
        Problem: it cannot be written.
    """
    assert opened.view is not None
    image = opened.job.image
    if not may_draw(path, image):
        return f"the figure of {printable(image)}: {path} is something else; name another folder, or move it away."
    picture, seen = opened.view
    guess = ", a guess" if caption.guess else ""
    name = printable(PurePath(image).name)  # a whole path would leave no room for the rest
    note = f"{name} · {caption.model} · confidence {caption.confidence:.2f}{guess}"
    try:
        figure = attention_figure(picture, caption.words, caption.attention, seen.box, title=caption.text, note=note)
    except Problem as problem:
        return f"the figure of {printable(image)}: {problem}"
    with disk_sentences(path), written_whole(path) as file:
        figure.save(file, "JPEG", quality=QUALITY, subsampling=0, comment=_comment(path, image))
    return None
