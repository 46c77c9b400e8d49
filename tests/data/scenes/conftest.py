"""Scenes and their captions for the tests of the built-in set, without pixels."""

from __future__ import annotations

import pytest

from showtell.data.scenes import Fact, Object, Scene
from showtell.data.scenes.compose import NEW, SEEN, compose
from showtell.data.scenes.dice import Dice
from showtell.data.scenes.grammar import captions


@pytest.fixture(scope="session")
def captioned() -> list[tuple[Scene, list[str]]]:
    """400 scenes of the kind that all splits but test_new have, with their captions."""
    scenes = [compose(Dice(5, i), SEEN, 112)[1] for i in range(400)]
    return [(scene, captions(scene, Dice(5, i, 1))) for i, scene in enumerate(scenes)]


@pytest.fixture(scope="session")
def new_scenes() -> list[Scene]:
    """Scenes of the kind that test_new has."""
    return [compose(Dice(6, i), NEW, 112)[1] for i in range(60)]


@pytest.fixture
def three() -> Scene:
    """A red star, left of a large blue ring in which a small white heart lies."""
    objects = (
        Object("star", "red", "large", (8, 40, 40, 40), 700, 1),
        Object("ring", "blue", "large", (62, 40, 44, 44), 800, 1),
        Object("heart", "white", "small", (74, 52, 20, 20), 300, 1),
    )
    clear = (Fact("left", (0, 1)), Fact("left", (0, 2)), Fact("inside", (2, 1)))
    return Scene(112, objects, frozenset(clear), clear)
