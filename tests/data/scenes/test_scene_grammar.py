"""Captions: five a picture, different, within the vocabulary, and true."""

from __future__ import annotations

from collections import Counter

import pytest

from showtell.data.scenes import Scene, judge
from showtell.data.scenes.compose import SEEN, compose
from showtell.data.scenes.dice import Dice
from showtell.data.scenes.grammar import captions
from showtell.data.scenes.lexicon import ADJECTIVES, NOUNS, SIZES
from showtell.vocabulary import tokenise

Captioned = list[tuple[Scene, list[str]]]


def test_five_different_sentences(captioned: Captioned) -> None:
    for _, texts in captioned:
        assert len(set(texts)) == 5
        assert all(text[0].isupper() and text.endswith(".") and "  " not in text for text in texts)


def test_every_caption_is_right_in_everything(captioned: Captioned, new_scenes: list[Scene]) -> None:
    new = [(scene, captions(scene, Dice(6, i, 1))) for i, scene in enumerate(new_scenes)]
    for scene, texts in captioned + new:
        for text in texts:
            verdict = judge(text, scene)
            assert verdict.right, (text, verdict, scene)
            assert len(verdict.objects) >= 2 and len(verdict.relations) >= 1


def test_the_vocabulary_is_of_60_to_120_words(captioned: Captioned) -> None:
    words = Counter(word for _, texts in captioned for text in texts for word in tokenise(text))
    assert len(words) == 80
    assert min(words.values()) >= 5  # so that the vocabulary's usual minimum frequency drops none in larger sets
    said = {word for table in (NOUNS, ADJECTIVES, SIZES) for ways in table.values() for word in ways}
    assert said <= set(words)


def test_captions_differ_in_what_comes_first(captioned: Captioned) -> None:
    openings = Counter(text.split()[0] for _, texts in captioned for text in texts)
    assert {"A", "The", "There", "We", "To", "Behind", "Between"} <= set(openings)
    lengths = Counter(len(tokenise(text)) for _, texts in captioned for text in texts)
    assert min(lengths) >= 6 and max(lengths) <= 28


def test_pictures_of_three_are_often_told_whole(captioned: Captioned) -> None:
    told = [len(judge(text, scene).objects) for scene, texts in captioned if len(scene.objects) == 3 for text in texts]
    assert 0.3 < told.count(3) / len(told) < 0.7


@pytest.mark.parametrize(("word", "article"), [("orange", "an"), ("red", "a")])
def test_articles_fit(captioned: Captioned, word: str, article: str) -> None:
    text = " ".join(text.lower() for _, texts in captioned for text in texts)
    before = {pair[0] for pair in zip(text.split(), text.split()[1:], strict=False) if pair[1] == word}
    assert article in before and {"a": "an", "an": "a"}[article] not in before


def test_the_captions_are_these() -> None:
    assert captions(compose(Dice(1), SEEN, 112)[1], Dice(2)) == [
        "Below a big violet star lies the large pink square.",
        "A pink square beneath the violet star.",
        "You can see a violet star higher than a pink square.",
        "A pink square lower than a violet star.",
        "A pink square further down than a violet star.",
    ]
