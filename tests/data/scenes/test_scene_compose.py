"""What scenes are like: sizes, hiding, combinations, and that the stated relations are plain to see."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from showtell.data.scenes import Fact, Scene
from showtell.data.scenes.compose import ALL, NEW, PLAIN, SEEN, compose
from showtell.data.scenes.dice import Dice
from showtell.data.scenes.draw import draw
from showtell.data.scenes.layout import Layout, Tape, Thing, mask
from showtell.data.scenes.measure import measure
from showtell.data.scenes.scene import COLOURS
from showtell.data.scenes.shapes import SHAPES


def thing(shape: str = "circle", colour: str = "red", x: float = 0.5, y: float = 0.5, radius: float = 0.1) -> Thing:
    return Thing(shape, colour, "small", x, y, radius, 0.0)


def facts(*things: Thing) -> set[tuple[object, ...]]:
    return {(f.relation, *f.objects) for f in measure(Layout(things, None), 112).facts}


def test_enough_of_everything(captioned: list[tuple[Scene, list[str]]]) -> None:
    assert len(SHAPES) >= 6 and len(COLOURS) >= 8
    objects = [o for scene, _ in captioned for o in scene.objects]
    assert {o.shape for o in objects} == set(SHAPES)
    assert {o.colour for o in objects} == set(COLOURS)
    assert {o.size for o in objects} == {"small", "large"}
    stated = Counter(fact.relation for scene, _ in captioned for fact in scene.clear)
    assert min(stated[name] for name in ("left", "above", "inside", "on", "front", "between")) >= 20
    assert {len(scene.objects) for scene, _ in captioned} == {2, 3}


def test_objects_take_2_to_12_percent_of_the_picture(captioned: list[tuple[Scene, list[str]]]) -> None:
    shares = {"small": [], "large": []}
    for scene, _ in captioned:
        for o in scene.objects:
            shares[o.size].append(o.area / scene.side**2)
    assert min(shares["small"]) >= 0.02 and max(shares["large"]) <= 0.12
    assert min(shares["large"]) > 1.2 * max(shares["small"])  # sizes can be told apart


def test_one_object_in_five_is_partly_hidden(captioned: list[tuple[Scene, list[str]]]) -> None:
    visible = np.array([o.visible for scene, _ in captioned for o in scene.objects])
    hidden = visible[visible <= PLAIN]
    assert 0.15 < len(hidden) / len(visible) < 0.25
    assert hidden.min() >= 0.5 and hidden.max() <= 0.9


def test_a_shape_and_a_colour_name_one_object(captioned: list[tuple[Scene, list[str]]]) -> None:
    for scene, _ in captioned:
        assert len({(o.shape, o.colour) for o in scene.objects}) == len(scene.objects)


def test_boxes_lie_in_the_picture_and_fit_the_objects(captioned: list[tuple[Scene, list[str]]]) -> None:
    for scene, _ in captioned:
        for left, top, width, height in (o.box for o in scene.objects):
            assert left >= 0 and top >= 0 and left + width <= 112 and top + height <= 112
        assert all(o.box[2] * o.box[3] >= o.area for o in scene.objects)


def test_new_combinations_are_never_seen_but_their_shapes_and_colours_are(
    captioned: list[tuple[Scene, list[str]]], new_scenes: list[Scene]
) -> None:
    assert set(NEW) | set(SEEN) == set(ALL) and not set(NEW) & set(SEEN)
    assert sorted(shape for shape, _ in NEW) == sorted(SHAPES)
    assert sorted(colour for _, colour in NEW) == sorted(COLOURS)
    assert not {(o.shape, o.colour) for scene, _ in captioned for o in scene.objects} & set(NEW)
    assert {(o.shape, o.colour) for scene in new_scenes for o in scene.objects} == set(NEW)


def test_every_object_can_be_spoken_of(captioned: list[tuple[Scene, list[str]]]) -> None:
    for scene, _ in captioned:
        assert {i for fact in scene.clear for i in fact.objects} == set(range(len(scene.objects)))
        assert set(scene.clear) <= scene.facts


@pytest.mark.parametrize("combinations", [SEEN, NEW], ids=["seen", "new"])
def test_a_seed_means_the_same_scene_at_every_side(combinations: tuple[tuple[str, str], ...]) -> None:
    for i in range(10):
        layout, small = compose(Dice(3, i), combinations, 112)
        again, large = compose(Dice(3, i), combinations, 224)
        assert layout == again and small.facts == large.facts and small.clear == large.clear
        for a, b in zip(small.objects, large.objects, strict=True):
            assert b.box == tuple(2 * edge for edge in a.box) and b.visible == a.visible


def test_left_and_above_up_to_the_diagonal() -> None:
    middle = thing(x=0.5, y=0.5)
    assert facts(middle, thing(x=0.8, y=0.55, colour="blue")) == {("left", 0, 1)}
    assert facts(middle, thing(x=0.2, y=0.55, colour="blue")) == {("left", 1, 0)}
    assert facts(middle, thing(x=0.55, y=0.8, colour="blue")) == {("above", 0, 1)}
    assert facts(middle, thing(x=0.55, y=0.2, colour="blue")) == {("above", 1, 0)}
    assert facts(middle, thing(x=0.8, y=0.75, colour="blue")) == {("left", 0, 1)}


def test_nothing_is_said_of_the_diagonal() -> None:
    scene = measure(Layout((thing(x=0.3, y=0.3), thing(x=0.6, y=0.55)), None), 112)
    assert scene.facts == {Fact("left", (0, 1))} and scene.clear == ()


def test_inside_on_and_front() -> None:
    ring, square = thing("ring", radius=0.2), thing("square", radius=0.18)
    assert facts(ring, thing("heart", "blue")) == {("inside", 1, 0)}
    assert facts(square, thing("heart", "blue")) == {("on", 1, 0), ("front", 1, 0)}
    assert facts(square, thing("heart", "blue", x=0.66)) == {("front", 1, 0), ("left", 0, 1)}
    assert facts(ring, thing("heart", "blue", x=0.64)) == {("front", 1, 0), ("left", 0, 1)}


def test_between_needs_a_row() -> None:
    ends = thing(x=0.2, y=0.2), thing(x=0.8, y=0.8, colour="green")
    assert {("between", 2, 0, 1), ("between", 2, 1, 0)} <= facts(*ends, thing("star", x=0.5, y=0.48))
    assert not any(fact[0] == "between" for fact in facts(*ends, thing("star", x=0.6, y=0.3)))
    assert not any(fact[0] == "between" for fact in facts(*ends, thing("star", x=0.3, y=0.32)))


def test_tape_hides_what_lies_under_it() -> None:
    whole = measure(Layout((thing("square"),), None), 112).objects[0]
    half = measure(Layout((thing("square"),), Tape(0.5, 0.55, 0.3, 0.05, 0.0)), 112).objects[0]
    assert whole.visible == 1 and 0.4 < half.visible < 0.55
    assert half.box == whole.box and half.area == whole.area  # of the whole object


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_drawn_where_its_box_says(shape: str) -> None:
    """Taken away, the object changes the pixels of its mask and little else (its shadow)."""
    one = thing(shape, "white", x=0.4, y=0.6, radius=0.15)
    whole = mask(one)
    dark = draw(Layout((dataclasses.replace(one, colour="blue"),), None), Dice(0), 112).astype(int)
    light = draw(Layout((one,), None), Dice(0), 112).astype(int)
    changed = np.abs(light - dark).sum(axis=2) > 60
    assert (changed == whole).mean() > 0.985
    assert 0.3 < whole.sum() / 112**2 / (4 * 0.15**2) < 0.8


def test_colours_stay_apart_under_light_and_noise() -> None:
    """The mean colour of every drawn object is nearest to its own name's."""
    for i in range(40):
        layout, scene = compose(Dice(9, i), SEEN, 112)
        pixels = draw(layout, Dice(9, i, 1), 112)
        alone = [k for k, o in enumerate(scene.objects) if o.visible > PLAIN]
        for k in alone:
            mean = np.median(pixels[mask(layout.things[k])], axis=0)
            nearest = min(COLOURS, key=lambda name: float(np.abs(mean - COLOURS[name]).sum()))
            assert nearest == scene.objects[k].colour
