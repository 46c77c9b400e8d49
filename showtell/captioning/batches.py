"""Pictures opened and shaped, and put together in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from showtell.pictures import PictureError, PictureOptions, Seen, open_picture, shape

FIGURE_SIZE = 768
"""Longer side, in pixels, of what is kept of a picture for its figure, so that a batch of large pictures fits into memory."""


@dataclass(frozen=True, slots=True)
class Job:
    """A picture to caption."""

    image: str
    """Its name, as the user gave it."""
    figure: Path | None = None
    """Where its attention figure goes."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A picture ready for the model."""

    job: Job
    pixels: npt.NDArray[np.uint8]
    """S x S x 3."""
    view: tuple[Image.Image, Seen] | None
    """For the figure: the upright picture, made smaller, and the part of it that the pixels show."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that could not be opened."""

    job: Job
    error: str
    """Why; a sentence that names it."""


Batch = list[Opened | Unreadable]


def open_job(job: Job, options: PictureOptions) -> Opened | Unreadable:
    """Opens and shapes the picture; never raises for what is wrong with it."""
    try:
        picture = open_picture(job.image, options)
        pixels, seen = shape(picture, options)
    except PictureError as error:
        return Unreadable(job, str(error))
    if job.figure is None:
        return Opened(job, pixels, None)
    picture.thumbnail((FIGURE_SIZE, FIGURE_SIZE))
    return Opened(job, pixels, (picture, seen.on(*picture.size)))


def batches(pictures: Iterable[Opened | Unreadable], size: int) -> Iterator[Batch]:
    """`size` readable pictures each, with the unreadable ones that came between.

    Counting readable ones gives the same batches whether the unreadable ones are tried in this run or were in an earlier one.
    """
    batch: Batch = []
    readable = 0
    for picture in pictures:
        batch.append(picture)
        readable += isinstance(picture, Opened)
        if readable == size or len(batch) == 10 * size:
            yield batch
            batch, readable = [], 0
    if batch:
        yield batch
