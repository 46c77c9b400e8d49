"""Where things lie, and the rasters that follow from it.

Lengths are shares of the picture's side. What is measured (areas, boxes, what hides what) is measured in a raster of 112 x 112,
whatever the side of the picture that is drawn, so that a seed means the same scene at every side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from showtell.data.scenes.scene import Size
from showtell.data.scenes.shapes import SHAPES, Field

Mask = NDArray[np.bool_]

RASTER = 112


@dataclass(frozen=True, slots=True)
class Thing:
    """An object as it is drawn: its centre, radius, and the tangent of half the angle by which it is turned."""

    shape: str
    colour: str
    size: Size
    x: float
    y: float
    radius: float
    turn: float

    @property
    def reach(self) -> float:
        """Radius of the circle around the thing."""
        return self.radius * {"square": 1.21, "triangle": 1.24, "heart": 1.11, "moon": 1.1, "cross": 1.01}.get(self.shape, 1.0)

    def at(self, x: float, y: float) -> Thing:
        """The same thing elsewhere."""
        return replace(self, x=x, y=y)

    def distance(self, other: Thing) -> float:
        """From centre to centre."""
        across, down = other.x - self.x, other.y - self.y
        return math.sqrt(across * across + down * down)


@dataclass(frozen=True, slots=True)
class Tape:
    """A strip of grey tape: its middle, half its length and width, and its direction as for `Thing.turn`."""

    x: float
    y: float
    half_length: float
    half_width: float
    turn: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Things back to front; the tape lies on top of all."""

    things: tuple[Thing, ...]
    tape: Tape | None


def distances(thing: Thing, side: int, reach: float) -> tuple[slice, slice, Field, Field, Field]:
    """The window of a `side` x `side` raster within `reach` of the thing's centre.

    Returns rows, columns, and for every place in the window: the thing's own two coordinates and the pixels to its outline.
    """
    top, left = (max(math.floor((centre - reach) * side), 0) for centre in (thing.y, thing.x))
    bottom, right = (min(math.ceil((centre + reach) * side), side) for centre in (thing.y, thing.x))
    down = ((np.arange(top, bottom, dtype=np.float32) + 0.5) / side - thing.y)[:, None]
    across = ((np.arange(left, right, dtype=np.float32) + 0.5) / side - thing.x)[None, :]
    x, y = turned(across, down, thing.turn)
    x, y = x / thing.radius, y / thing.radius
    return slice(top, bottom), slice(left, right), x, y, SHAPES[thing.shape](x, y) * (thing.radius * side)


def turned(across: Field, down: Field, turn: float) -> tuple[Field, Field]:
    """Coordinates in a frame turned clockwise by the angle whose half has the tangent `turn`."""
    cosine, sine = (1 - turn * turn) / (1 + turn * turn), 2 * turn / (1 + turn * turn)
    return across * cosine + down * sine, down * cosine - across * sine


def mask(thing: Thing) -> Mask:
    """Where the thing lies in the raster, whether something hides it or not."""
    whole = np.zeros((RASTER, RASTER), bool)
    rows, columns, _, _, distance = distances(thing, RASTER, thing.radius * 1.3)
    whole[rows, columns] = distance < 0
    return whole


def tape_distance(tape: Tape, side: int) -> tuple[Field, Field]:
    """Pixels to the tape's edge, negative on the tape, and how far along the tape (share of the side): each side x side."""
    grid = (np.arange(side, dtype=np.float32) + 0.5) / side
    along, across = turned((grid - tape.x)[None, :], (grid - tape.y)[:, None], tape.turn)
    tooth = np.abs(across * 40 - np.floor(across * 40) - 0.5) * 0.025  # the ends are torn off a toothed edge
    return np.maximum(np.abs(along) - tape.half_length + tooth, np.abs(across) - tape.half_width) * side, along


def tape_mask(tape: Tape) -> Mask:
    """Where the tape lies in the raster."""
    return tape_distance(tape, RASTER)[0] < 0
