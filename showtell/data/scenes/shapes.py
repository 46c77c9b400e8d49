"""The eight shapes, each as a signed distance: negative inside, zero on the outline, positive outside.

Coordinates are the shape's own: x to the right, y down, the origin near the centre, about one unit to the outline. From the
distance follow the smooth edge, the soft shadow, the bevel and the mask. Only + - * / and the square root are used, which
IEEE 754 rounds exactly, so that every machine draws the same pixels. Most formulas are well known in graphics (see Inigo
Quilez, "2D distance functions").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""Numbers of a raster or a window of it, rows x columns; float32 throughout."""


def _length(x: Field, y: Field) -> Field:
    return np.sqrt(x * x + y * y)


def _box(x: Field, y: Field, half_width: float, half_height: float) -> Field:
    across, along = np.abs(x) - half_width, np.abs(y) - half_height
    return _length(np.maximum(across, 0), np.maximum(along, 0)) + np.minimum(np.maximum(across, along), 0)


def circle(x: Field, y: Field) -> Field:
    return _length(x, y) - 1


def square(x: Field, y: Field) -> Field:
    return _box(x, y, 0.78, 0.78) - 0.1


def triangle(x: Field, y: Field) -> Field:
    """Equilateral, pointing up, with round corners."""
    k, half = 1.7320508, 0.92
    x, y = np.abs(x) - half, half / k - (y - 0.16)
    beyond = x + k * y > 0
    x, y = np.where(beyond, (x - k * y) / 2, x), np.where(beyond, (-k * x - y) / 2, y)
    x = x - np.clip(x, -2 * half, 0)
    return np.where(y > 0, -_length(x, y), _length(x, y)) - 0.09


def star(x: Field, y: Field) -> Field:
    """Five points, one up, with slightly round tips."""
    kx, ky, radius, waist = 0.80901699, -0.58778525, 0.95, 0.5
    x, y = np.abs(x), -y
    fold = 2 * np.maximum(kx * x + ky * y, 0)
    x, y = x - fold * kx, y - fold * ky
    fold = 2 * np.maximum(ky * y - kx * x, 0)
    x, y = np.abs(x + fold * kx), y - fold * ky - radius
    side_x, side_y = -ky * waist, kx * waist - 1
    along = np.clip((x * side_x + y * side_y) / (side_x * side_x + side_y * side_y), 0, radius)
    outside = y * side_x - x * side_y > 0
    distance = _length(x - side_x * along, y - side_y * along)
    return np.where(outside, distance, -distance) - 0.05


def heart(x: Field, y: Field) -> Field:
    size = 1.6
    x, y = np.abs(x) / size, 0.55 - y / size
    lobe = _length(x - 0.25, y - 0.75) - 0.35355339
    corner = 0.5 * np.maximum(x + y, 0)
    flank = np.minimum(_length(x, y - 1), _length(x - corner, y - corner))
    return np.where(x + y > 1, lobe, np.where(x > y, flank, -flank)) * size - 0.03


def cross(x: Field, y: Field) -> Field:
    upright, level = _box(x, y, 0.26, 0.9), _box(x, y, 0.9, 0.26)
    both: Field = np.minimum(upright, level) - 0.07
    return both


def ring(x: Field, y: Field) -> Field:
    off_the_middle: Field = np.abs(_length(x, y) - (1 + HOLE) / 2)
    return off_the_middle - (1 - HOLE) / 2


def moon(x: Field, y: Field) -> Field:
    """A crescent, open to the right."""
    crescent: Field = np.maximum(_length(x - 0.15, y) - 1, 0.82 - _length(x - 0.72, y))
    return crescent


HOLE = 0.7
"""Radius of the ring's hole, where its own radius is 1."""

SHAPES: dict[str, Callable[[Field, Field], Field]] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "heart": heart,
    "cross": cross,
    "ring": ring,
    "moon": moon,
}
