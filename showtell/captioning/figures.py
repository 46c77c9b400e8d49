"""A figure a picture that shows where the model looked, under names that do not collide."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from PIL import Image

from showtell.captioning.batches import Opened
from showtell.captioning.inputs import picture_key
from showtell.errors import Problem
from showtell.files import written_whole
from showtell.look import attention_figure
from showtell.pictures.opening import printable

if TYPE_CHECKING:
    from showtell.model.captioner import Caption

QUALITY = 90
LONGEST_NAME = 50
"""Characters of a picture's name that its figure's takes over; file systems allow 255 bytes for all of it."""


class FigureNames:
    """The figures' paths in a folder: `dog.jpg` for `photos/dog.png`, and `dog-1f3a5c7e.jpg` for a second `dog` elsewhere.

    The eight digits stand for the picture's path, so that the same inputs always give the same names.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def path(self, image: str) -> Path:
        """Where the figure of the next picture goes."""
        stem = PurePath(image).stem[:LONGEST_NAME]
        if stem.casefold() in self._taken:  # folded, since many file systems do not tell capitals apart
            stem += f"-{picture_key(image).hex()[:8]}"
        self._taken.add(stem.casefold())
        return self._folder / f"{stem}.jpg"


def figures_of(path: Path, caption: Caption) -> dict[Path, Caption]:
    """Which figures a picture gets, and where: of several languages, those after the first lie in a folder for each."""
    others = [*caption.languages.items()][1:]
    return {path: caption} | {path.parent / language / path.name: other for language, other in others}


def draw_figure(opened: Opened, caption: Caption, path: Path) -> str | None:
    """Draws and writes a figure of a picture that was opened for one.

    Returns:
        None, or the sentence that says why it cannot be drawn (no font has its characters).

    Raises:
        Problem: it cannot be written.
    """
    assert opened.view is not None
    picture, seen = opened.view
    guess = ", a guess" if caption.guess else ""
    name = printable(PurePath(opened.job.image).name)  # a whole path would leave no room for the rest
    note = f"{name} · {caption.model} · confidence {caption.confidence:.2f}{guess}"
    try:
        figure = attention_figure(picture, caption.words, caption.attention, seen.box, title=caption.text, note=note)
    except Problem as problem:
        return f"the figure of {printable(opened.job.image)}: {problem}"
    _save(figure, path)
    return None


def _save(figure: Image.Image, path: Path) -> None:
    try:
        with written_whole(path) as file:
            figure.save(file, "JPEG", quality=QUALITY, subsampling=0)
    except OSError as error:
        raise Problem(
            f"The figure {path} cannot be written ({error.strerror or error}): make room, or name another folder."
        ) from error
