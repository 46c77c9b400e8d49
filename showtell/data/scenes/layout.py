"""Where things lie: a scene is composed around one relation, then measured, and composed again until it is right.

Lengths are shares of the picture's side. Whatever is measured (areas, boxes, what hides what) is measured in a raster of
112 x 112, whatever the side of the picture that is drawn, so that a seed means the same scene at every side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from showtell.data.scenes.dice import Dice
from showtell.data.scenes.scene import COLOURS, Fact, Object, Relation, Scene, Size
from showtell.data.scenes.shapes import HOLE, SHAPES, Field

Mask = NDArray[np.bool_]
Combination = tuple[str, str]
"""A shape and a colour."""

RASTER = 112
ALL = tuple((shape, colour) for shape in SHAPES for colour in COLOURS)
NEW = tuple((shape, tuple(COLOURS)[(3 * i + 1) % len(COLOURS)]) for i, shape in enumerate(SHAPES))
"""The combinations that only test_new shows: every shape once, every colour once."""
SEEN = tuple(combination for combination in ALL if combination not in NEW)

MAIN: dict[Relation, float] = {"left": 0.26, "above": 0.26, "inside": 0.12, "on": 0.12, "front": 0.16, "between": 0.08}
"""The relation that a picture is composed around, and how often."""
THIRD = 0.5
"""Share of the pictures with a third object, where the relation takes two."""
TAPE = 0.22
"""Share of the pictures in which a strip of grey tape hides part of an object."""

RADIUS = {
    "circle": 0.09,
    "square": 0.09,
    "triangle": 0.105,
    "star": 0.116,
    "heart": 0.095,
    "cross": 0.102,
    "ring": 0.117,
    "moon": 0.118,
}
"""Smallest radius of a small object; slender shapes are larger, so that all look alike in size and none is under 2 %."""
LARGER, SPREAD = 0.072, 0.013
SOLID = ("circle", "square", "heart", "triangle")
"""Shapes that something can lie on."""


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


def compose(dice: Dice, allowed: Sequence[Combination], side: int) -> tuple[Layout, Scene]:
    """A layout of two or three objects of the allowed combinations, and what is true of it in a picture of that side."""
    main = dice.weighted(MAIN)
    third, tape = dice.chance(THIRD), dice.chance(TAPE)
    while True:
        things = _arrange(main, dice, allowed)
        if things is not None and third and main != "between":
            things = _with_third(things, dice, allowed)
        if things is None or not all(_within(thing) for thing in things):
            continue
        layout = Layout(tuple(things), _tape_over(dice.choice(things), dice) if tape else None)
        scene = measure(layout, side)
        if _well_made(scene, main, tape):
            return layout, scene


def measure(layout: Layout, side: int) -> Scene:
    """The objects' boxes, areas and visible shares, and everything that is true of them."""
    masks = [mask(thing) for thing in layout.things]  # each 112 x 112
    above = tape_mask(layout.tape) if layout.tape else np.zeros((RASTER, RASTER), bool)
    objects: list[Object] = []
    for thing, m in zip(reversed(layout.things), reversed(masks), strict=True):
        area = int(np.count_nonzero(m))
        visible = int(np.count_nonzero(m & ~above)) / area
        above |= m
        scale = side / RASTER
        left, top, width, height = (round(edge * scale, 2) for edge in _box(m))
        whole = round(area * scale * scale, 1)
        objects.insert(0, Object(thing.shape, thing.colour, thing.size, (left, top, width, height), whole, round(visible, 3)))
    facts: set[Fact] = set()
    clear: list[Fact] = []
    for i, j in combinations(range(len(objects)), 2):
        true = _overlap(layout.things, masks, i, j) or _inside(layout.things, i, j) or _inside(layout.things, j, i)
        facts.update(true)
        clear += true[:1]
        facts.update(_direction(layout.things, i, j, least=0.12, slope=1.0))
        if not true:
            clear += _direction(layout.things, i, j, least=0.22, slope=0.45)
    for i, j, k in permutations(range(len(objects)), 3):
        if j < k and _between(layout.things[i], layout.things[j], layout.things[k]):
            facts.update({Fact("between", (i, j, k)), Fact("between", (i, k, j))})
            clear.append(Fact("between", (i, j, k)))
    return Scene(side, tuple(objects), frozenset(facts), tuple(clear))


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
    return np.maximum(np.abs(along) - tape.half_length, np.abs(across) - tape.half_width) * side, along


def tape_mask(tape: Tape) -> Mask:
    """Where the tape lies in the raster."""
    return tape_distance(tape, RASTER)[0] < 0


def _arrange(main: Relation, dice: Dice, allowed: Sequence[Combination]) -> list[Thing] | None:
    """Things in the main relation, back to front; None where the dice do not fit."""
    if main in ("inside", "on"):
        holders = ("ring",) if main == "inside" else SOLID
        holder = _thing(dice, [c for c in allowed if c[0] in holders], "large", *_anywhere(dice, 0.24))
        held = _thing(dice, _others(allowed, [holder]), "small", holder.x, holder.y)
        room = holder.radius * HOLE - _circumference(held) if main == "inside" else 0.03
        if room < 0.004:
            return None
        return [holder, _moved(held, dice.between(-room, room) * 0.6, dice.between(-room, room) * 0.6)]
    first = _thing(dice, allowed, None, *_anywhere(dice, 0.2))
    second = _thing(dice, _others(allowed, [first]), None, first.x, first.y)
    if main == "front":
        away = _direction_of(dice, dice.between(0.55, 0.85) * (first.radius + second.radius))
        return [first, _moved(second, *away)]
    if main == "between":
        away = _direction_of(dice, dice.between(0.26, 0.36))
        third = _thing(dice, _others(allowed, [first, second]), None, 0, 0)
        middle = _thing_at(first, 0.5 + dice.between(-0.12, 0.12), 0.5 + dice.between(-0.12, 0.12))
        ends = [
            _thing_at(second, middle.x + away[0], middle.y + away[1]),
            _thing_at(third, middle.x - away[0], middle.y - away[1]),
        ]
        things = dice.shuffled([middle, *ends])
        return things if _apart(things) else None
    far, aside = dice.between(0.3, 0.62), dice.between(-0.1, 0.1)
    second = _moved(second, *((far, aside) if main == "left" else (aside, far)))
    things = dice.shuffled([first, second])
    return things if _apart(things) else None


def _with_third(things: list[Thing], dice: Dice, allowed: Sequence[Combination]) -> list[Thing] | None:
    for _ in range(8):
        third = _thing(dice, _others(allowed, things), None, *_anywhere(dice, 0.13))
        if all(_apart([third, thing]) for thing in things):
            return [third, *things] if dice.chance(0.5) else [*things, third]
    return None


def _tape_over(thing: Thing, dice: Dice) -> Tape:
    half_width = dice.between(0.035, 0.06)
    away_x, away_y = _direction_of(dice, thing.radius * dice.between(0.0, 0.9))
    return Tape(thing.x + away_x, thing.y + away_y, dice.between(0.16, 0.3), half_width, dice.between(-1, 1))


def _well_made(scene: Scene, main: Relation, tape: bool) -> bool:
    """Nothing is hidden too much or too little to tell, the tape hides something, every object can be spoken of."""
    if not all(o.visible > 0.985 or 0.5 <= o.visible <= 0.9 for o in scene.objects):
        return False
    covered = {back for fact in scene.facts if fact.relation == "front" for back in fact.objects[1:]}
    if tape and all(o.visible > 0.985 for i, o in enumerate(scene.objects) if i not in covered):
        return False
    said = {i for fact in scene.clear for i in fact.objects}
    return any(fact.relation == main for fact in scene.clear) and len(said) == len(scene.objects)


def _thing(dice: Dice, combinations: Sequence[Combination], size: Size | None, x: float, y: float) -> Thing:
    shape, colour = dice.choice(combinations)
    size = size or ("large" if dice.chance(0.5) else "small")
    radius = RADIUS[shape] + (LARGER if size == "large" else 0) + dice.between(0, SPREAD)
    return Thing(shape, colour, size, x, y, radius, dice.between(-0.14, 0.14))


def _thing_at(thing: Thing, x: float, y: float) -> Thing:
    return Thing(thing.shape, thing.colour, thing.size, x, y, thing.radius, thing.turn)


def _moved(thing: Thing, across: float, down: float) -> Thing:
    return _thing_at(thing, thing.x + across, thing.y + down)


def _anywhere(dice: Dice, margin: float) -> tuple[float, float]:
    return dice.between(margin, 1 - margin), dice.between(margin, 1 - margin)


def _direction_of(dice: Dice, length: float) -> tuple[float, float]:
    """A step of this length in any direction."""
    while True:
        x, y = dice.between(-1, 1), dice.between(-1, 1)
        norm = math.sqrt(x * x + y * y)
        if 0.1 < norm <= 1:
            return x * length / norm, y * length / norm


def _others(allowed: Sequence[Combination], things: Sequence[Thing]) -> list[Combination]:
    taken = {(thing.shape, thing.colour) for thing in things}
    return [combination for combination in allowed if combination not in taken]


def _within(thing: Thing) -> bool:
    edge = _circumference(thing)
    return edge < thing.x < 1 - edge and edge < thing.y < 1 - edge


def _circumference(thing: Thing) -> float:
    """Radius of the circle around a thing."""
    return thing.radius * {"square": 1.2, "triangle": 1.24, "heart": 1.11, "moon": 1.09}.get(thing.shape, 1.0)


def _distance(a: Thing, b: Thing) -> float:
    return math.sqrt((a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y))


def _apart(things: Sequence[Thing]) -> bool:
    return all(_distance(a, b) > _circumference(a) + _circumference(b) + 0.01 for a, b in combinations(things, 2))


def _box(m: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(m.any(axis=1)), np.flatnonzero(m.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


def _overlap(things: Sequence[Thing], masks: Sequence[Mask], back: int, front: int) -> list[Fact]:
    shared = int(np.count_nonzero(masks[back] & masks[front]))
    if shared * 20 < int(np.count_nonzero(masks[back])):
        return []
    hides = Fact("front", (front, back))
    wholly = shared == int(np.count_nonzero(masks[front])) and things[back].shape in SOLID
    return [Fact("on", (front, back)), hides] if wholly else [hides]


def _inside(things: Sequence[Thing], inner: int, outer: int) -> list[Fact]:
    a, b = things[inner], things[outer]
    held = b.shape == "ring" and _distance(a, b) + _circumference(a) <= b.radius * HOLE
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
