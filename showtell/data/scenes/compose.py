"""Scenes are composed around one relation, measured, and composed again until they are right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from showtell.data.scenes.dice import Dice
from showtell.data.scenes.layout import Layout, Tape, Thing
from showtell.data.scenes.measure import SOLID, measure
from showtell.data.scenes.scene import COLOURS, Relation, Scene, Size
from showtell.data.scenes.shapes import HOLE, SHAPES

Combination = tuple[str, str]
"""A shape and a colour."""

ALL = tuple((shape, colour) for shape in SHAPES for colour in COLOURS)
NEW = tuple((shape, tuple(COLOURS)[(3 * i + 1) % len(COLOURS)]) for i, shape in enumerate(SHAPES))
"""The combinations that only test_new shows: every shape once, every colour once."""
SEEN = tuple(combination for combination in ALL if combination not in NEW)

MAIN: dict[Relation, float] = {"left": 0.26, "above": 0.26, "inside": 0.12, "on": 0.12, "front": 0.16, "between": 0.08}
"""The relation that a picture is composed around, and how often."""
THIRD = 0.5
"""Share of the pictures with a third object, where the relation takes two."""
TAPE = 0.3
"""Share of the pictures in which a strip of grey tape hides part of an object, where one lies free."""
PLAIN = 0.985
"""An object of which more than this can be seen counts as not hidden."""

RADIUS = {
    "circle": 0.09, "square": 0.09, "triangle": 0.105, "star": 0.116,
    "heart": 0.095, "cross": 0.102, "ring": 0.117, "moon": 0.118,
}  # fmt: skip
"""Smallest radius of a small object; slender shapes are larger, so that all look alike in size and none is under 2 %."""
LARGER, SPREAD = 0.076, 0.013
"""What a large object adds to it, and what chance adds at most."""


def compose(dice: Dice, allowed: Sequence[Combination], side: int) -> tuple[Layout, Scene]:
    """A layout of two or three objects of the allowed combinations, and what is true of it in a picture of that side."""
    main = dice.weighted(MAIN)
    third = main != "between" and dice.chance(THIRD)
    touching = main in ("inside", "on", "front")
    taped = dice.chance(TAPE) and (third or not touching)
    while True:
        things = _arranged(main, dice, allowed)
        things = _with_third(things, dice, allowed) if third else things
        if not things or not all(_within(thing) for thing in things):
            continue
        free = things[:1] if touching else things  # a third object comes first
        layout = Layout(tuple(things), _tape_over(dice.choice(free), dice) if taped else None)
        scene = measure(layout, side)
        if _well_made(scene, main, taped):
            return layout, scene


def _arranged(main: Relation, dice: Dice, allowed: Sequence[Combination]) -> list[Thing]:
    """Things in the main relation, back to front; none where the dice do not fit."""
    if main == "between":
        return _row(dice, allowed)
    if main in ("inside", "on"):
        return _held(main, dice, allowed)
    first = _thing(dice, allowed, _any_size(dice), *_anywhere(dice, 0.2))
    if main == "front":
        second = _thing(dice, [c for c in allowed if c[1] != first.colour], _any_size(dice), first.x, first.y)
        away_x, away_y = _step(dice, dice.between(0.55, 0.85) * (first.radius + second.radius))
        return [first, second.at(first.x + away_x, first.y + away_y)]
    second = _thing(dice, _others(allowed, [first]), _any_size(dice), first.x, first.y)
    far, aside = dice.between(0.3, 0.62), dice.between(-0.1, 0.1)
    across, down = (far, aside) if main == "left" else (aside, far)
    things = dice.shuffled([first, second.at(first.x + across, first.y + down)])
    return things if _apart(things) else []


def _held(main: Relation, dice: Dice, allowed: Sequence[Combination]) -> list[Thing]:
    """A small thing inside a large ring, or on a large solid one, of another colour."""
    holders = [c for c in allowed if c[0] in (("ring",) if main == "inside" else SOLID)]
    holder = _thing(dice, holders, "large", *_anywhere(dice, 0.2))
    held = _thing(dice, [c for c in allowed if c[1] != holder.colour], "small", holder.x, holder.y)
    room = holder.radius * HOLE - held.reach if main == "inside" else 0.03
    if room < 0.004:
        return []
    return [holder, held.at(held.x + dice.between(-room, room) * 0.6, held.y + dice.between(-room, room) * 0.6)]


def _row(dice: Dice, allowed: Sequence[Combination]) -> list[Thing]:
    """Three things in a row of any direction."""
    middle = _thing(dice, allowed, _any_size(dice), *_anywhere(dice, 0.38))
    one = _thing(dice, _others(allowed, [middle]), _any_size(dice), middle.x, middle.y)
    other = _thing(dice, _others(allowed, [middle, one]), _any_size(dice), middle.x, middle.y)
    away_x, away_y = _step(dice, dice.between(0.26, 0.36))
    things = [middle, one.at(middle.x + away_x, middle.y + away_y), other.at(middle.x - away_x, middle.y - away_y)]
    return dice.shuffled(things) if _apart(things) else []


def _with_third(things: list[Thing], dice: Dice, allowed: Sequence[Combination]) -> list[Thing]:
    """One more, apart from the others; none at all where there is no room."""
    if not things:
        return []
    third = _thing(dice, _others(allowed, things), _any_size(dice), 0, 0)
    for _ in range(8):
        third = third.at(*_anywhere(dice, 0.13))
        if _within(third) and all(_apart([third, thing]) for thing in things):
            return [third, *things]
    return []


def _tape_over(thing: Thing, dice: Dice) -> Tape:
    away_x, away_y = _step(dice, thing.radius * dice.between(0, 0.9))
    return Tape(thing.x + away_x, thing.y + away_y, dice.between(0.15, 0.24), dice.between(0.035, 0.06), dice.between(-1, 1))


def _well_made(scene: Scene, main: Relation, taped: bool) -> bool:
    """Nothing is hidden too much or too little to tell; the tape hides one object that lay free; all objects can be spoken of."""
    if not all(o.visible > PLAIN or 0.5 <= o.visible <= 0.9 for o in scene.objects):
        return False
    covered = {back for fact in scene.facts if fact.relation == "front" for back in fact.objects[1:]}
    if taped != (sum(o.visible <= PLAIN for o in scene.objects) - len(covered)):
        return False
    spoken_of = {i for fact in scene.clear for i in fact.objects}
    return any(fact.relation == main for fact in scene.clear) and len(spoken_of) == len(scene.objects)


def _thing(dice: Dice, choices: Sequence[Combination], size: Size, x: float, y: float) -> Thing:
    shape, colour = dice.choice(choices)
    radius = RADIUS[shape] + (LARGER if size == "large" else 0) + dice.between(0, SPREAD)
    return Thing(shape, colour, size, x, y, radius, dice.between(-0.14, 0.14))


def _any_size(dice: Dice) -> Size:
    return "large" if dice.chance(0.5) else "small"


def _anywhere(dice: Dice, margin: float) -> tuple[float, float]:
    return dice.between(margin, 1 - margin), dice.between(margin, 1 - margin)


def _step(dice: Dice, length: float) -> tuple[float, float]:
    """A step of this length in any direction, without sine and cosine, which differ between machines."""
    while True:
        x, y = dice.between(-1, 1), dice.between(-1, 1)
        norm = math.sqrt(x * x + y * y)
        if 0.1 < norm <= 1:
            return x * length / norm, y * length / norm


def _others(allowed: Sequence[Combination], things: Sequence[Thing]) -> list[Combination]:
    """What no thing is yet: a shape and a colour together name one object of a picture."""
    taken = {(thing.shape, thing.colour) for thing in things}
    return [combination for combination in allowed if combination not in taken]


def _within(thing: Thing) -> bool:
    edge = thing.reach + 0.005
    return edge < thing.x < 1 - edge and edge < thing.y < 1 - edge


def _apart(things: Sequence[Thing]) -> bool:
    return all(a.distance(b) > a.reach + b.reach + 0.01 for a, b in combinations(things, 2))
