"""What is true of a layout: boxes, areas, what can be seen, and the relations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np

from showtell.data.scenes.layout import RASTER, Layout, Mask, Thing, mask, tape_mask
from showtell.data.scenes.scene import Fact, Object, Scene
from showtell.data.scenes.shapes import HOLE

SOLID = ("circle", "square", "heart", "triangle")
"""Shapes that something can lie on."""


def measure(layout: Layout, side: int) -> Scene:
    """The objects and everything that is true of them, in a picture of that side."""
    masks = [mask(thing) for thing in layout.things]  # each 112 x 112
    facts: set[Fact] = set()
    clear: list[Fact] = []
    for i, j in combinations(range(len(masks)), 2):
        touching = _overlap(layout.things, masks, i, j) or _inside(layout.things, i, j) or _inside(layout.things, j, i)
        facts.update(touching, _direction(layout.things, i, j, least=0.12, slope=1.0))
        clear += touching[:1] or _direction(layout.things, i, j, least=0.22, slope=0.45)
    for i, j, k in permutations(range(len(masks)), 3):
        if _between(*(layout.things[at] for at in (i, j, k))):
            facts.add(Fact("between", (i, j, k)))
            clear += [Fact("between", (i, j, k))] if j < k else []
    return Scene(side, _objects(layout, masks, side), frozenset(facts), tuple(clear))


def _objects(layout: Layout, masks: Sequence[Mask], side: int) -> tuple[Object, ...]:
    above = tape_mask(layout.tape) if layout.tape else np.zeros((RASTER, RASTER), bool)
    scale = side / RASTER
    found = []
    for thing, whole in zip(reversed(layout.things), reversed(masks), strict=True):
        pixels = int(np.count_nonzero(whole))
        visible = round(int(np.count_nonzero(whole & ~above)) / pixels, 3)
        left, top, width, height = (round(edge * scale, 2) for edge in _box(whole))
        area = round(pixels * scale * scale, 1)
        found.append(Object(thing.shape, thing.colour, thing.size, (left, top, width, height), area, visible))
        above |= whole
    return tuple(reversed(found))


def _box(m: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(m.any(axis=1)), np.flatnonzero(m.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


def _overlap(things: Sequence[Thing], masks: Sequence[Mask], back: int, front: int) -> list[Fact]:
    """On, where the front thing lies wholly on the other; in front, where it hides a twentieth of it or more."""
    shared = int(np.count_nonzero(masks[back] & masks[front]))
    if shared * 20 < int(np.count_nonzero(masks[back])):
        return []
    hides = Fact("front", (front, back))
    wholly = shared == int(np.count_nonzero(masks[front])) and things[back].shape in SOLID
    return [Fact("on", (front, back)), hides] if wholly else [hides]


def _inside(things: Sequence[Thing], inner: int, outer: int) -> list[Fact]:
    a, b = things[inner], things[outer]
    held = b.shape == "ring" and a.distance(b) + a.reach <= b.radius * HOLE
    return [Fact("inside", (inner, outer))] if held else []


def _direction(things: Sequence[Thing], i: int, j: int, least: float, slope: float) -> list[Fact]:
    """Left or above, where the centres are `least` apart in that direction and at most `slope` times as far across it."""
    across, down = things[j].x - things[i].x, things[j].y - things[i].y
    found = []
    if abs(across) >= least and abs(down) <= slope * abs(across):
        found.append(Fact("left", (i, j) if across > 0 else (j, i)))
    if abs(down) >= least and abs(across) <= slope * abs(down):
        found.append(Fact("above", (i, j) if down > 0 else (j, i)))
    return found


def _between(a: Thing, b: Thing, c: Thing) -> bool:
    """Whether a lies in the middle part of the line from b to c, or near it."""
    along_x, along_y = c.x - b.x, c.y - b.y
    squared = along_x * along_x + along_y * along_y
    if squared < 0.4 * 0.4:
        return False
    share = ((a.x - b.x) * along_x + (a.y - b.y) * along_y) / squared
    off_x, off_y = a.x - b.x - share * along_x, a.y - b.y - share * along_y
    return 0.3 <= share <= 0.7 and off_x * off_x + off_y * off_y <= 0.01 * squared
