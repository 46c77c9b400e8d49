"""The built-in set: captioned pictures that the program draws itself, and a judge that knows what is in them.

No torch, no network. Everything can be seen working with it in minutes on any machine,
and attention can be checked, since every object's box is known.
"""

from __future__ import annotations

from showtell.data.scenes.options import SPLITS, ScenesOptions
from showtell.data.scenes.scene import Fact, Object, Scene
from showtell.data.scenes.write import make, read_scenes, write_scenes

__all__ = ["SPLITS", "Fact", "Object", "Scene", "ScenesOptions", "make", "read_scenes", "write_scenes"]
