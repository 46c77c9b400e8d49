"""The pixels of a scene: background, objects with shadow and bevel, tape, light, noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.data.scenes.dice import Dice
from showtell.data.scenes.layout import Layout, Tape, Thing, distances, tape_distance, turned
from showtell.data.scenes.scene import COLOURS
from showtell.data.scenes.shapes import Field

Picture = NDArray[np.floating[Any]]
"""Rows x columns x 3, light from 0 to 255, while it is being drawn."""

GROUNDS = (
    (168, 150, 126), (140, 146, 150), (122, 134, 122), (150, 128, 118), (104, 116, 130), (126, 122, 132),
    (176, 164, 148), (116, 104, 94), (96, 104, 104), (154, 158, 146), (128, 140, 152), (108, 101, 106),
)  # fmt: skip
"""Muted colours for backgrounds, none of them like one of the objects' colours."""
TEXTURES = ("plain", "clouds", "stripes", "tiles", "dots", "bokeh", "linen", "wood")


def draw(layout: Layout, dice: Dice, side: int) -> NDArray[np.uint8]:
    """The picture: `side` x `side` x 3, red, green, blue."""
    picture = _background(dice, side)
    for thing in layout.things:
        _draw_thing(picture, thing, dice)
    if layout.tape:
        _draw_tape(picture, layout.tape, dice)
    _light(picture, dice)
    _noise(picture, dice)
    pixels: NDArray[np.uint8] = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    return pixels


def _background(dice: Dice, side: int) -> Picture:
    first = _colour(dice.choice(GROUNDS), dice, 10)
    second = first + dice.choice((-1, 1)) * dice.between(14, 30) + _colour((0, 0, 0), dice, 8)
    share = _texture(dice.choice(TEXTURES), dice, side)[:, :, None]
    return first + (second - first) * share


def _texture(kind: str, dice: Dice, side: int) -> Field:
    """How much of the second colour each place has, about 0 to 1: rows x columns."""
    grid = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    along, across = turned(grid[None, :], grid[:, None], dice.between(-1, 1))
    clouds = _clouds(dice, side, 3)
    if kind == "clouds":
        return clouds * 1.1 + (_clouds(dice, side, 9) - 0.5) * 0.5
    if kind == "stripes":
        return _step(_wave(along * dice.between(4, 11) + clouds * 0.1), 0.5, 0.12)
    if kind == "tiles":
        n = dice.between(3, 8)
        one, other = _wave(along * n) - 0.5, _wave(across * n) - 0.5
        return _step(one * other, 0, 0.04) * 0.8
    if kind == "dots":
        n, dot = dice.between(6, 12), dice.between(0.2, 0.36)
        x, y = along * n - np.floor(along * n) - 0.5, across * n - np.floor(across * n) - 0.5
        return 1 - _step(_distance(x, y), dot, 0.1)
    if kind == "bokeh":
        share = clouds * 0.4
        for _ in range(7):
            x, y, radius = dice.between(0, 1) - 0.5, dice.between(0, 1) - 0.5, dice.between(0.06, 0.2)
            away = _distance(grid[None, :] - x, grid[:, None] - y)
            share = share + (1 - _step(away, radius, 0.025)) * dice.between(0.25, 0.5)
        return share
    if kind == "linen":
        rows, columns = dice.bytes(side, 1), dice.bytes(1, side)
        return (rows.astype(np.float32) + columns) / 510 + (clouds - 0.5) * 0.3
    if kind == "wood":
        return _wave(across * dice.between(3, 5) + clouds * 1.6) * 0.6 + _wave(across * 17 + clouds * 5) * 0.4
    return along * 0.9 + 0.5 + (clouds - 0.5) * 0.2


def _draw_thing(picture: Picture, thing: Thing, dice: Dice) -> None:
    side = len(picture)
    blur = side * 0.028
    rows, columns, x, y, distance = distances(thing, side, thing.radius * 1.3 + 0.06)
    _shade(picture, rows, columns, distance, blur, 0.5)
    bevel = thing.radius * side * 0.3
    slope = np.clip(1 + distance / bevel, 0, 1)  # 0 on the plateau, 1 at the edge
    height = 1 - slope * slope
    facing = np.zeros_like(height)  # towards the light, which comes from the upper left
    facing[1:-1, 1:-1] = height[2:, 2:] - height[:-2, :-2]
    paint = _colour(COLOURS[thing.colour], dice, 9)
    gloss = np.clip(1 - _distance(x + 0.35, y + 0.4) * 1.1, 0, 1)
    light = 1 + facing * (bevel * 0.075) - y * 0.06
    surface = paint * light[:, :, None] + (gloss * 16)[:, :, None]
    window = picture[rows, columns]
    window += (surface - window) * np.clip(0.5 - distance, 0, 1)[:, :, None]


def _draw_tape(picture: Picture, tape: Tape, dice: Dice) -> None:
    side = len(picture)
    distance, along = tape_distance(tape, side)
    _shade(picture, slice(0, side), slice(0, side), distance, side * 0.02, 0.35)
    grey = np.float32(dice.between(104, 148))
    surface = grey + _wave(along * 40) * 9 + np.clip(1 + distance / 2, 0, 1) * 14
    picture += (surface[:, :, None] - picture) * np.clip(0.5 - distance, 0, 1)[:, :, None]


def _shade(picture: Picture, rows: slice, columns: slice, distance: Field, blur: float, depth: float) -> None:
    """Darken what lies under a shadow, a little below and to the right of the window's shape."""
    shift = round(len(picture) * 0.02)
    fade = np.clip(0.5 - distance / (2 * blur), 0, 1)
    fade = fade * fade * (3 - 2 * fade)
    down, right = (slice(s.start + shift, min(s.stop + shift, len(picture))) for s in (rows, columns))
    window = picture[down, right]
    window *= 1 - depth * fade[: window.shape[0], : window.shape[1], None]


def _light(picture: Picture, dice: Dice) -> None:
    """Light falls unevenly, and has a tint."""
    side = len(picture)
    grid = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    x, y = dice.between(-0.16, 0.16), dice.between(-0.16, 0.16)
    fall = 1 + (grid * x)[None, :] + (grid * y)[:, None] - (grid * grid * 0.2)[None, :] - (grid * grid * 0.2)[:, None]
    picture *= fall[:, :, None] * (1 + _colour((0, 0, 0), dice, 0.03))


def _noise(picture: Picture, dice: Dice) -> None:
    """Grain of a camera: much the same in all colours, and a little in each."""
    side = len(picture)
    strength = np.float32(dice.between(2, 5) / 148)
    grain = dice.bytes(side, side, 4).sum(axis=2, dtype=np.int32) - 510  # standard deviation 148
    speckle = dice.bytes(side, side, 3).astype(np.float32) - 127.5
    picture += (grain.astype(np.float32) * strength)[:, :, None] + speckle * (strength * np.float32(0.7))


def _colour(colour: tuple[int, int, int], dice: Dice, spread: float) -> NDArray[np.float32]:
    """The colour, each channel changed by up to `spread`."""
    return np.array([channel + dice.between(-spread, spread) for channel in colour], np.float32)


def _clouds(dice: Dice, side: int, cells: int) -> Field:
    """Smooth random values from 0 to 1 that change over `cells` cells: rows x columns."""
    knots = dice.bytes(cells + 1, cells + 1).astype(np.float32) / 255
    place = (np.arange(side, dtype=np.float32) + 0.5) * cells / side
    cell = place.astype(np.int64)
    share = place - cell.astype(np.float32)
    share = share * share * (3 - 2 * share)
    rows = knots[cell] + (knots[cell + 1] - knots[cell]) * share[:, None]
    return rows[:, cell] + (rows[:, cell + 1] - rows[:, cell]) * share[None, :]


def _distance(x: Field, y: Field) -> Field:
    away: Field = np.sqrt(x * x + y * y)
    return away


def _wave(phase: Field) -> Field:
    """A smooth wave from 0 to 1 and back over each whole number of the phase."""
    share: Field = np.abs(phase - np.floor(phase) - 0.5) * 2
    return share * share * (3 - 2 * share)


def _step(value: Field, edge: float, width: float) -> Field:
    """From 0 below the edge to 1 above it, over `width`."""
    share: Field = np.clip((value - edge) / width + 0.5, 0, 1)
    return share * share * (3 - 2 * share)
