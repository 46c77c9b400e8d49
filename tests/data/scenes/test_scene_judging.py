"""The judge: literal verdicts on one scene, and what becomes of true captions when a word is changed."""

from __future__ import annotations

import pytest

from showtell.data.scenes import Scene, judge
from showtell.data.scenes.lexicon import ADJECTIVES, NOUNS, SIZES

Captioned = list[tuple[Scene, list[str]]]


@pytest.mark.parametrize(
    "caption",
    [
        "A red star is left of a blue ring.",
        "red star left of blue ring",
        "The blue hoop is on the right side of the red star.",
        "To the left of a blue ring there is a large red star",
        "a red big star to the left of the huge blue ring",
        "A white heart is inside a blue ring and to the right of a red star.",
        "There is a red star left of a blue ring which surrounds a little white heart.",
        "A blue ring with a white heart inside it.",
        "this image shows a blue ring with a tiny white heart within it",
        "A red star sits left of a white heart , which lies inside a blue ring .",
    ],
)
def test_true(three: Scene, caption: str) -> None:
    assert judge(caption, three).right
    assert judge(caption.split(), three).right
    assert judge(caption.lower(), three).right


@pytest.mark.parametrize(
    ("caption", "objects_right", "relations_right"),
    [
        ("A red star is right of a blue ring.", [True, True], [False]),
        ("A blue ring is left of a red star.", [True, True], [False]),
        ("A red star is above a blue ring.", [True, True], [False]),
        ("A green star is left of a blue ring.", [False, True], [False]),
        ("A red circle is left of a blue ring.", [False, True], [False]),
        ("A blue star is left of a red ring.", [False, False], [False]),
        ("A small red star is left of a blue ring.", [True, True], [True]),
        ("A blue ring is inside a white heart.", [True, True], [False]),
        ("A white heart is on a blue ring.", [True, True], [False]),
        ("A red star is left of a blue ring and above a white heart.", [True, True, True], [True, False]),
        ("A red star is left of a blue ring and left of a blue ring.", [True, True, True], [True, True]),
        ("A star is left of a blue ring.", [False, True], [False]),
        ("A red is left of a blue ring.", [False, True], [False]),
        ("A red blue star is left of a blue ring.", [False, True], [False]),
        ("A red star is left of a red star.", [True, True], [False]),
        ("A blue ring is between a red star and a white heart.", [True, True, True], [False]),
    ],
)
def test_false(three: Scene, caption: str, objects_right: list[bool], relations_right: list[bool]) -> None:
    verdict = judge(caption, three)
    assert verdict.whole and not verdict.right
    assert [o.right for o in verdict.objects] == objects_right
    assert [r.right for r in verdict.relations] == relations_right


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a red star",
        "a red star left of",
        "a red star left left of a blue ring",
        "a red star is left of a blue ring and",
        "a red star is left of a blue ring inside",
        "a red star <unk> left of a blue ring",
        "a red star and a blue ring",
        "left of a red star",
        "the the red star is left of a blue ring",
        "a red star which left of a blue ring",
    ],
)
def test_no_whole_sentence_states_anything(three: Scene, caption: str) -> None:
    verdict = judge(caption, three)
    assert not verdict.whole and not verdict.right and verdict.relations == ()


def test_what_a_name_says(three: Scene) -> None:
    star, ring = judge("there is a small red star to the left of the green hoop", three).objects
    assert (star.word, star.shape, star.colour, star.size, star.found) == (5, "star", "red", "small", 0)
    assert star.right and star.shape_right and star.colour_right and not star.size_right
    assert (ring.word, ring.shape, ring.colour, ring.size, ring.found) == (12, "ring", "green", None, None)
    assert not ring.right and ring.shape_right and not ring.colour_right and ring.size_right


def test_punctuation_on_its_own_keeps_the_places_of_words(three: Scene) -> None:
    verdict = judge([",", "a", "red", "star", "is", "left", "of", "a", "blue", "ring", "."], three)
    assert verdict.right and [o.word for o in verdict.objects] == [3, 9]


SWAPS = {"left": "right", "above": "below", "higher": "lower", "beneath": "above", "inside": "around", "behind": "on"}
SWAPS |= {"within": "around", "surrounds": "inside", "up": "down", "between": "behind", "around": "within"}
SWAPS |= {there: here for here, there in list(SWAPS.items())[:3]}


def changed(words: list[str], table: dict[str, str]) -> list[list[str]]:
    """The words with one of them replaced, in every way that the table allows."""
    return [[*words[:i], table[word], *words[i + 1 :]] for i, word in enumerate(words) if word in table]


def test_a_relation_turned_round_is_wrong(captioned: Captioned) -> None:
    tried = 0
    for scene, texts in captioned:
        for text in texts:
            for words in changed(text.lower().strip(".").split(), SWAPS):
                assert not judge(words, scene).right, (words, scene)
                tried += 1
    assert tried > 1000


def test_another_colour_shape_or_size_is_wrong(captioned: Captioned) -> None:
    for scene, texts in captioned:
        for there, table in (("colour", ADJECTIVES), ("shape", NOUNS)):
            here = {getattr(o, there) for o in scene.objects}
            absent = next(word for name, (word, *_) in table.items() if name not in here)
            others = {word: absent for ways in table.values() for word in ways}
            for words in changed(texts[0].lower().strip(".").split(), others):
                verdict = judge(words, scene)
                assert not verdict.right
                assert sum(not o.right for o in verdict.objects) == 1
        sizes = {word: "large" if size == "small" else "small" for size, ways in SIZES.items() for word in ways}
        for words in changed(texts[0].lower().strip(".").split(), sizes):
            verdict = judge(words, scene)
            assert not verdict.right and all(o.right for o in verdict.objects) and all(r.right for r in verdict.relations)


def test_a_caption_cut_short_is_wrong_unless_what_is_left_is_a_sentence(captioned: Captioned) -> None:
    for scene, texts in captioned[:100]:
        words = texts[0].lower().strip(".").split()
        for stop in range(len(words)):
            verdict = judge(words[:stop], scene)
            assert verdict.right in (False, verdict.whole)
        assert not judge(words[:-1], scene).right
