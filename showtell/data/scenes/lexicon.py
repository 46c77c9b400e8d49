"""The words for objects and relations: what the grammar says and the judge understands."""

from __future__ import annotations

from showtell.data.scenes.scene import Relation, Size

NOUNS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "disc"),
    "square": ("square",),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "cross": ("cross", "plus"),
    "ring": ("ring", "hoop"),
    "moon": ("moon", "crescent"),
}
ADJECTIVES: dict[str, tuple[str, ...]] = {
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
    "white": ("white",),
}
SIZES: dict[Size, tuple[str, ...]] = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}

Phrases = dict[tuple[Relation, bool], tuple[str, ...]]
"""Ways to say a relation; with True, of its second object: (left, True) is right of, (inside, True) is around."""

PLACES: Phrases = {
    ("left", False): ("left of", "to the left of", "on the left of", "on the left side of"),
    ("left", True): ("right of", "to the right of", "on the right of", "on the right side of"),
    ("above", False): ("above", "higher than", "further up than"),
    ("above", True): ("below", "beneath", "lower than", "further down than"),
    ("inside", False): ("inside", "within", "in the middle of"),
    ("inside", True): ("around",),
    ("on", False): ("on", "on top of", "resting on"),
    ("front", False): ("in front of",),
    ("front", True): ("behind", "partly hidden by", "partly covered by"),
}
"""What may follow "is", and may open a sentence."""
VERBS: Phrases = {
    ("inside", True): ("surrounds", "encloses"),
    ("on", True): ("carries",),
    ("front", False): ("partly hides", "partly covers"),
}
BETWEEN = ("between", "in between")
COPULAS = ("is", "lies", "sits")
OPENINGS = ("there is", "we see", "you can see", "the picture shows", "this image shows")
