"""Captions: what a scene's clear facts look like in words."""

from __future__ import annotations

from itertools import permutations

from showtell.data.scenes.dice import Dice
from showtell.data.scenes.lexicon import ADJECTIVES, BETWEEN, COPULAS, NOUNS, OPENINGS, PLACES, SIZES, VERBS
from showtell.data.scenes.scene import Fact, Object, Scene

CAPTIONS = 5
"""Captions of a picture."""
ALL_THREE = 0.5
"""How often a caption of three objects names all of them."""
SIZED = 0.3
"""How often the size of an object is said."""

SIMPLE = {
    "{a} {place} {b}": 0.2,
    "{a} {is} {place} {b}": 0.3,
    "{opening} {a} {place} {b}": 0.25,
    "{place} {b} {is} {a}": 0.15,
    "{place} {b} {opening} {a}": 0.1,
}
"""Sentences of one relation, and how often each is chosen."""
DOUBLE = {
    "{a} {place} {b} and {place2} {c}": 0.2,
    "{a} {is} {place} {b} and {place2} {c}": 0.35,
    "{opening} {a} {place} {b} and {place2} {c}": 0.25,
    "{a} {is} {place} {b} and {is2} {place2} {c}": 0.2,
}
"""Sentences of two relations of a."""
CHAIN = {"{a} {is} {place} {b} which {is2} {place2} {c}": 0.6, "{opening} {a} {place} {b} which {is2} {place2} {c}": 0.4}
"""Sentences of a relation of a and one of b."""
MIDDLE = {
    "{a} {between} {b} and {c}": 0.2,
    "{a} {is} {between} {b} and {c}": 0.4,
    "{opening} {a} {between} {b} and {c}": 0.2,
    "{between} {b} and {c} {is} {a}": 0.2,
}
WITH = {"inside": "{b} with {a} inside it", "on": "{b} with {a} on it"}


def captions(scene: Scene, dice: Dice) -> list[str]:
    """Five different captions, each true of the scene; capital first, full stop last."""
    found: list[str] = []
    while len(found) < CAPTIONS:
        words = " ".join(_sentence(scene, dice).split())
        caption = words[0].upper() + words[1:] + "."
        if caption not in found:
            found.append(caption)
    return found


def _sentence(scene: Scene, dice: Dice) -> str:
    middles = [fact for fact in scene.clear if fact.relation == "between"]
    pairs = [fact for fact in scene.clear if fact.relation != "between"]
    if middles and (not pairs or dice.chance(0.6)):
        a, b, c = middles[0].objects
        b, c = dice.shuffled((b, c))
        return _filled(dice.weighted(MIDDLE), scene, (a, b, c), dice, between=dice.choice(BETWEEN))
    if len(pairs) > 1 and dice.chance(ALL_THREE):
        return _two_relations(scene, pairs, dice)
    return _one_relation(scene, dice.choice(pairs), dice)


def _one_relation(scene: Scene, fact: Fact, dice: Dice) -> str:
    turned = dice.chance(0.5)
    a, b = fact.objects[::-1] if turned else fact.objects
    if not turned and fact.relation in WITH and dice.chance(0.3):
        return _filled(WITH[fact.relation], scene, (a, b), dice)
    key = (fact.relation, turned)
    if key in VERBS and (key not in PLACES or dice.chance(0.4)):
        return _filled("{a} {place} {b}", scene, (a, b), dice, place=dice.choice(VERBS[key]))
    return _filled(dice.weighted(SIMPLE), scene, (a, b), dice, place=dice.choice(PLACES[key]))


def _two_relations(scene: Scene, pairs: list[Fact], dice: Dice) -> str:
    """Two facts that share an object: of one subject, or in a chain."""
    first, second = dice.choice(list(permutations(pairs, 2)))
    shared = next(i for i in first.objects if i in second.objects)
    b, c = (next(i for i in fact.objects if i != shared) for fact in (first, second))
    chained = dice.chance(0.3)
    a, hub = (b, shared) if chained else (shared, b)
    place, place2 = _place(first, a, dice), _place(second, shared, dice)
    if not place or not place2:  # only a verb says it
        return _one_relation(scene, dice.choice(pairs), dice)
    return _filled(dice.weighted(CHAIN if chained else DOUBLE), scene, (a, hub, c), dice, place=place, place2=place2)


def _place(fact: Fact, subject: int, dice: Dice) -> str:
    key = (fact.relation, fact.objects[0] != subject)
    return dice.choice(PLACES[key]) if key in PLACES else ""


def _filled(sentence: str, scene: Scene, objects: tuple[int, ...], dice: Dice, **phrases: str) -> str:
    names = {letter: _name(scene.objects[i], dice) for letter, i in zip("abc", objects, strict=False)}
    copulas = {"is": dice.choice(COPULAS), "is2": dice.choice(COPULAS)}
    return sentence.format(opening=dice.choice(OPENINGS), **names, **copulas, **phrases)


def _name(thing: Object, dice: Dice) -> str:
    """An object in words: article, often its size, colour, shape."""
    words = [dice.choice(ADJECTIVES[thing.colour]), dice.choice(NOUNS[thing.shape])]
    if dice.chance(SIZED):
        words.insert(0, dice.choice(SIZES[thing.size]))
    article = "the" if dice.chance(0.3) else "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words])
