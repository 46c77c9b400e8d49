"""From an upright picture of any shape to the square that the encoder sees, and which part of the picture that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from showtell.pictures.opening import Source, open_picture
from showtell.pictures.options import Fit, PictureOptions

GREY = (128, 128, 128)
"""What lies beside a padded picture."""

Box = tuple[float, float, float, float]
"""left, top, right, bottom in pixels, y downwards; pixel (0, 0) covers 0 to 1, its centre is at 0.5."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The part of an upright picture that the square shows, so that a map over the square can be drawn over the picture.

    In pixels of the picture, as floats. A padded square exceeds the picture: `left` or `top` is negative then.
    """

    left: float
    top: float
    right: float
    bottom: float
    width: int
    """Of the whole upright picture."""
    height: int

    @property
    def box(self) -> Box:
        """left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where in the picture (pixels) a place in the square lies, given as fractions of its side: (0, 0) is top left."""
        return self.left + x * (self.right - self.left), self.top + y * (self.bottom - self.top)

    def on(self, width: int, height: int) -> Seen:
        """The same part of the same picture in another size, for instance decoded in full."""
        x, y = width / self.width, height / self.height
        return Seen(self.left * x, self.top * y, self.right * x, self.bottom * y, width, height)


def pixels_of(source: Source, options: PictureOptions) -> np.ndarray:
    """A picture as the encoder sees it, from its file: uint8, S x S x 3 (RGB).

    Raises:
        Problem: it cannot be read, or is too large.
    """
    return shape(open_picture(source, options), options)[0]


def shape(picture: Image.Image, options: PictureOptions) -> tuple[np.ndarray, Seen]:
    """The pixels that the encoder sees: uint8, S x S x 3 (RGB), S = `picture_size`; resampled once (bicubic, antialiased).

    Args:
        picture: upright and RGB, from `open_picture`.
        options: `picture_size` and `fit`.
    """
    width, height = picture.size
    box = fitted(width, height, options.fit)
    return square(picture, box, options.picture_size), Seen(*box, width, height)


def fitted(width: int, height: int, fit: Fit) -> Box:
    """The box that the square shows of a picture: all of it, its middle square, or the square around it."""
    if fit == "stretch":
        return 0.0, 0.0, float(width), float(height)
    side = min(width, height) if fit == "crop" else max(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def square(picture: Image.Image, box: Box, size: int) -> np.ndarray:
    """A box of the picture as uint8 size x size x 3; what lies outside the picture is grey.

    The picture is resampled once, straight from its own pixels. Where it ends within a pixel of the square, that pixel is grey,
    so that every place keeps its exact position.
    """
    left, top, right, bottom = box
    x0, x1, source_left, source_right = _overlap(left, right, picture.width, size)
    y0, y1, source_top, source_bottom = _overlap(top, bottom, picture.height, size)
    source = (source_left, source_top, source_right, source_bottom)
    part = picture.resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC, box=source)
    pixels = np.empty((size, size, 3), np.uint8)
    pixels[:] = GREY
    pixels[y0:y1, x0:x1] = np.asarray(part)
    return pixels


def _overlap(start: float, stop: float, length: int, size: int) -> tuple[int, int, float, float]:
    """Along one axis: the square's pixels (first, end) that lie wholly in the picture, and the picture's stretch they show."""
    scale = (stop - start) / size  # picture pixels per pixel of the square
    first = max(0, math.ceil(-start / scale - 1e-6))
    end = min(size, math.floor((length - start) / scale + 1e-6))
    if end <= first:  # thinner than a pixel of the square: it gets the one it lies in
        first = min(size - 1, int((length / 2 - start) / scale))
        end = first + 1
    return first, end, max(0.0, start + first * scale), min(float(length), start + end * scale)
