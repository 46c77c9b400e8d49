"""The built-in set: captioned pictures that the program draws itself, and a judge that knows what is in them.

    folder = write_scenes(ScenesOptions(data=Path("data/scenes")))
    scenes = read_scenes(folder, "test")
    judge("A red star is left of a blue ring.", scenes[2000001]).right

No torch, no network. Everything can be seen working with it in minutes on any machine, and attention can be checked, since every
object's box is known. `options` can be imported without NumPy: the other names below are fetched at their first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from showtell.data.scenes.options import SPLITS, ScenesOptions

if TYPE_CHECKING:
    from showtell.data.scenes.judging import NamedObject, NamedRelation, Verdict, judge
    from showtell.data.scenes.scene import Fact, Object, Scene
    from showtell.data.scenes.scores import SceneScores, evaluate_scenes
    from showtell.data.scenes.write import make, read_scenes, write_scenes

__all__ = [
    "SPLITS",
    "Fact",
    "NamedObject",
    "NamedRelation",
    "Object",
    "Scene",
    "SceneScores",
    "ScenesOptions",
    "Verdict",
    "evaluate_scenes",
    "judge",
    "make",
    "read_scenes",
    "write_scenes",
]

_HOMES = {
    "judging": ("NamedObject", "NamedRelation", "Verdict", "judge"),
    "scene": ("Fact", "Object", "Scene"),
    "scores": ("SceneScores", "evaluate_scenes"),
    "write": ("make", "read_scenes", "write_scenes"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
