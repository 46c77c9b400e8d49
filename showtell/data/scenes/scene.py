"""What is in a picture: its objects and what is true of them. Plain data, with no pixels and no words of captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Relation = Literal["left", "above", "inside", "on", "front", "between"]
Size = Literal["small", "large"]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (206, 34, 40),
    "orange": (244, 128, 22),
    "yellow": (250, 214, 40),
    "green": (46, 152, 58),
    "blue": (36, 86, 206),
    "purple": (124, 48, 158),
    "pink": (250, 142, 186),
    "white": (246, 246, 242),
}
"""The eight colours: red, green, blue from 0 to 255, before light, shade and noise."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object of a picture."""

    shape: str
    colour: str
    size: Size
    box: tuple[float, float, float, float]
    """Left, top, width, height in pixels, of the whole object, also where it is partly hidden."""
    area: float
    """Pixels of the whole object."""
    visible: float
    """Share of it that can be seen, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A relation that is true of objects, which are given by their place in `Scene.objects`.

    (left, a, b): a is left of b · (above, a, b) · (inside, a, b): a lies in the hole of the ring b · (on, a, b): a lies
    wholly on top of b · (front, a, b): a hides part of b · (between, a, b, c): a is between b and c.
    """

    relation: Relation
    objects: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture's objects, back to front, and what is true of them."""

    side: int
    """Pixels along a side of the square picture."""
    objects: tuple[Object, ...]
    facts: frozenset[Fact]
    """Everything that counts as true: left and above up to the diagonal."""
    clear: tuple[Fact, ...]
    """The facts that nobody would doubt; captions state only these."""

    def find(self, shape: str, colour: str) -> int | None:
        """Place of the object with this shape and colour (there is at most one); None if there is none."""
        return next((i for i, o in enumerate(self.objects) if (o.shape, o.colour) == (shape, colour)), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "side": self.side,
            "objects": [{name: getattr(o, name) for name in Object.__slots__} for o in self.objects],
            "facts": [[f.relation, *f.objects] for f in sorted(self.facts, key=lambda f: (f.relation, f.objects))],
            "clear": [[f.relation, *f.objects] for f in self.clear],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scene:
        """The inverse of `to_dict`."""

        def facts(rows: list[list[Any]]) -> Iterator[Fact]:
            return (Fact(relation, tuple(objects)) for relation, *objects in rows)

        objects = tuple(Object(**{**o, "box": tuple(o["box"])}) for o in data["objects"])
        return cls(data["side"], objects, frozenset(facts(data["facts"])), tuple(facts(data["clear"])))
