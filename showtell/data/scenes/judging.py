"""Whether a caption is true: it is read back by the grammar's words and compared with what is in the picture.

Reading is lenient where a person would be (articles, the order of size and colour, any mixture of the grammar's phrases) and
strict where it matters: a sentence with a word too many, or one that breaks off, states nothing and is not right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from showtell.data.scenes.lexicon import ADJECTIVES, BETWEEN, COPULAS, NOUNS, OPENINGS, PLACES, SIZES, VERBS
from showtell.data.scenes.scene import Fact, Relation, Scene


@dataclass(frozen=True, slots=True)
class NamedObject:
    """An object as a caption names it, and how that fits the picture."""

    word: int
    """Place among the caption's words of the noun, or of the phrase's last word where there is no noun."""
    shape: str | None
    colour: str | None
    size: str | None
    found: int | None
    """Place in `Scene.objects` of the object with this shape and colour; None if there is none."""
    shape_right: bool
    """Something in the picture has this shape."""
    colour_right: bool
    """Something in the picture has this colour."""
    size_right: bool
    """The object found has the size that is said, or none is said."""

    @property
    def right(self) -> bool:
        """Something in the picture has this shape and this colour."""
        return self.found is not None


@dataclass(frozen=True, slots=True)
class NamedRelation:
    """A relation as a caption states it: between named objects, by their places in `Verdict.objects`."""

    relation: Relation
    objects: tuple[int, ...]
    right: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a caption says, and what of it is true."""

    objects: tuple[NamedObject, ...]
    relations: tuple[NamedRelation, ...]
    """Empty where the words make no whole sentence."""
    whole: bool
    """The words make a whole sentence."""

    @property
    def right(self) -> bool:
        """Right in everything: a whole sentence, every object there as described, every relation true and none stated twice."""
        described = all(o.right and o.size_right for o in self.objects)
        stated = {(r.relation, *(self.objects[i].found for i in r.objects)) for r in self.relations}
        return self.whole and described and all(r.right for r in self.relations) and len(stated) == len(self.relations)


def judge(caption: str | Sequence[str], scene: Scene) -> Verdict:
    """Compare a caption (a sentence, or its words) with what is in the picture."""
    words = [word.strip(".,;:!?").lower() for word in (caption.split() if isinstance(caption, str) else caption)]
    pieces = _pieces(words)
    objects = tuple(_named(piece, words, scene) for piece in pieces if piece.code == "n")
    statements = _statements(pieces, words)
    checked = tuple(NamedRelation(fact.relation, fact.objects, _is_true(fact, objects, scene)) for fact in statements or ())
    return Verdict(objects, checked, statements is not None)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some words that belong together. `code` is their kind: see _KINDS; n is an object's name, ? is not understood."""

    code: str
    start: int
    stop: int


_SHAPE_OF = {word: shape for shape, words in NOUNS.items() for word in words}
_COLOUR_OF = {word: colour for colour, words in ADJECTIVES.items() for word in words}
_SIZE_OF = {word: size for size, words in SIZES.items() for word in words}
_NAMING = _SHAPE_OF.keys() | _COLOUR_OF.keys() | _SIZE_OF.keys()
_ARTICLES = ("a", "an", "the")
_KINDS = {
    "p": [phrase for phrases in PLACES.values() for phrase in phrases],
    "v": [phrase for phrases in VERBS.values() for phrase in phrases],
    "b": BETWEEN,
    "c": COPULAS,
    "o": OPENINGS,
    "&": ("and",),
    "w": ("which",),
    "h": ("with",),
    "i": ("it",),
}
_CODE_OF = {tuple(phrase.split()): code for code, phrases in _KINDS.items() for phrase in phrases}
_LONGEST = max(map(len, _CODE_OF))
_MEANING = {tuple(phrase.split()): key for phrases in (PLACES, VERBS) for key, ways in phrases.items() for phrase in ways}

_SENTENCES: list[tuple[str, list[tuple[int, ...]]]] = [
    (r"o?n(c?p|v)n", [(0, 1)]),
    (r"pn[co]n", [(1, 0)]),
    (r"o?nhnpi", [(1, 0)]),
    (r"o?n(c?p|v)n&(c?p|v)n", [(0, 1), (0, 2)]),
    (r"o?n(c?p|v)nw(cp|v)n", [(0, 1), (1, 2)]),
    (r"o?nc?bn&n", [(0, 1, 2)]),
    (r"bn&n[co]n", [(2, 0, 1)]),
]
"""Every kind of sentence, as kinds of pieces; and of each of its relations, which of the named objects it relates."""


def _pieces(words: Sequence[str]) -> list[_Piece]:
    """The words from left to right, always the longest phrase that fits; punctuation on its own is passed over."""
    pieces: list[_Piece] = []
    at = 0
    while at < len(words):
        piece = _phrase_at(words, at) or _name_at(words, at) or _Piece("?", at, at + 1)
        if words[at]:
            pieces.append(piece)
        at = piece.stop
    return pieces


def _phrase_at(words: Sequence[str], at: int) -> _Piece | None:
    for stop in range(min(at + _LONGEST, len(words)), at, -1):
        if code := _CODE_OF.get(tuple(words[at:stop])):
            return _Piece(code, at, stop)
    return None


def _name_at(words: Sequence[str], at: int) -> _Piece | None:
    """An object's name: an article or none, sizes and colours, at most one noun."""
    first = stop = at + (words[at] in _ARTICLES)
    while stop < len(words) and words[stop] in _NAMING:
        stop += 1
        if words[stop - 1] in _SHAPE_OF:
            break
    return _Piece("n", at, stop) if stop > first else None


def _named(piece: _Piece, words: Sequence[str], scene: Scene) -> NamedObject:
    """What a name says. Where it says two colours or two sizes, it says none that could be right."""
    said = words[piece.start : piece.stop]
    shape = _SHAPE_OF.get(said[-1])
    colours = [_COLOUR_OF[word] for word in said if word in _COLOUR_OF]
    sizes = [_SIZE_OF[word] for word in said if word in _SIZE_OF]
    colour = colours[0] if len(colours) == 1 else None
    found = scene.find(shape, colour) if shape and colour else None
    return NamedObject(
        word=piece.stop - 1,
        shape=shape,
        colour=colour,
        size=sizes[0] if sizes else None,
        found=found,
        shape_right=any(o.shape == shape for o in scene.objects),
        colour_right=any(o.colour == colour for o in scene.objects),
        size_right=not sizes or (found is not None and set(sizes) == {scene.objects[found].size}),
    )


def _statements(pieces: Sequence[_Piece], words: Sequence[str]) -> list[Fact] | None:
    """What a sentence states of its named objects; None where the pieces make no whole sentence."""
    codes = "".join(piece.code for piece in pieces)
    for pattern, related in _SENTENCES:
        if re.fullmatch(pattern, codes):
            return [_fact(piece, at, words) for piece, at in zip([p for p in pieces if p.code in "pvb"], related, strict=True)]
    return None


def _fact(piece: _Piece, objects: tuple[int, ...], words: Sequence[str]) -> Fact:
    if piece.code == "b":
        return Fact("between", objects)
    relation, turned = _MEANING[tuple(words[piece.start : piece.stop])]
    return Fact(relation, objects[::-1] if turned else objects)


def _is_true(fact: Fact, objects: Sequence[NamedObject], scene: Scene) -> bool:
    """Whether the fact holds of the objects that the names refer to."""
    found = [objects[i].found for i in fact.objects]
    return Fact(fact.relation, tuple(i for i in found if i is not None)) in scene.facts and None not in found
