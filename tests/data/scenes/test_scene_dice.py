"""Random numbers that never change."""

from __future__ import annotations

from collections import Counter

import numpy as np

from showtell.data.scenes.dice import Dice


def test_the_numbers_are_these() -> None:
    dice = Dice(1, 2, 3)
    assert [dice.below(100) for _ in range(8)] == [67, 11, 51, 35, 70, 47, 71, 38]
    assert dice.between(-1, 1) == -0.8352878018283685
    assert dice.shuffled(range(6)) == [5, 3, 4, 2, 0, 1]
    assert dice.bytes(2, 3).tolist() == [[36, 94, 136], [11, 56, 141]]


def test_keys_give_different_numbers() -> None:
    assert len({Dice(*key).below(1 << 30) for key in ((0, 0), (1, 0), (0, 1), (1, 1), (2**32 - 1, 0))}) == 5


def test_all_values_come_as_often() -> None:
    dice = Dice(0)
    counts = Counter(dice.below(5) for _ in range(5000))
    assert sorted(counts) == [0, 1, 2, 3, 4] and min(counts.values()) > 880
    assert 0.28 < sum(dice.chance(0.3) for _ in range(5000)) / 5000 < 0.32
    weighted = Counter(dice.weighted({"a": 0.7, "b": 0.2, "c": 0.1}) for _ in range(5000))
    assert [round(weighted[name] / 5000, 1) for name in "abc"] == [0.7, 0.2, 0.1]
    assert abs(float(np.mean(dice.bytes(100, 100))) - 127.5) < 2


def test_shuffling_keeps_every_item() -> None:
    items = Dice(0).shuffled("abcdef")
    assert sorted(items) == list("abcdef")
