"""Shares counted by hand, and pointing on maps of which the answer is plain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from showtell.data.scenes import Scene, evaluate_scenes, judge
from showtell.data.scenes.scores import cells_of, pointing_game

TRUE = ["a", "red", "star", "is", "left", "of", "a", "blue", "ring"]
HALF = ["a", "green", "star", "is", "above", "a", "small", "blue", "ring"]


def test_shares(three: Scene) -> None:
    scores = evaluate_scenes([TRUE, HALF, ["a", "red"]], [three] * 3)
    assert (scores.captions, scores.objects, scores.relations) == (3, 5, 2)
    assert scores.right == 1 / 3
    assert scores.whole == 2 / 3
    assert scores.objects_right == 3 / 5  # the star and the ring, and the ring again
    assert scores.shapes_right == 4 / 5  # "a red" has no shape
    assert scores.colours_right == 4 / 5  # nothing is green
    assert scores.sizes_right == 0
    assert scores.relations_right == 1 / 2
    assert scores.by_relation == {"left": (1, 1), "above": (1, 0)}
    assert scores.pointing is None and scores.pointing_chance is None


def test_nothing_to_count_gives_nan(three: Scene) -> None:
    scores = evaluate_scenes([""], [three])
    assert scores.right == 0 and math.isnan(scores.objects_right) and math.isnan(scores.relations_right)


def test_captions_and_scenes_must_belong_together(three: Scene) -> None:
    with pytest.raises(ValueError, match="zip"):
        evaluate_scenes([TRUE], [three, three])
    with pytest.raises(ValueError, match="9 words but 8 maps"):
        evaluate_scenes([TRUE], [three], [np.zeros((8, 14, 14))])


def test_cells_whose_centre_lies_in_the_box_grown_by_one_cell() -> None:
    cells = cells_of((16, 40, 16, 8), 112, 14, 14)  # columns 2 and 3, row 5: one more on each side
    rows, columns = np.nonzero(cells)
    assert sorted(set(rows)) == [4, 5, 6] and sorted(set(columns)) == [1, 2, 3, 4]
    assert cells.sum() == 12
    assert cells_of((0, 0, 8, 7), 112, 7, 14).sum() == 2  # rows of 16 pixels: the second one's centre, 24, is too far


def test_pointing(three: Scene) -> None:
    maps = np.full((9, 14, 14), 0.1)  # words x rows x columns
    maps[2, 7, 3] = 0.9  # "star": in its box
    maps[8, 0, 0] = 0.9  # "ring": far away
    hit, chance = pointing_game([judge(TRUE, three)], [three], [maps])
    assert hit == 1 / 2
    shares = [cells_of(three.objects[i].box, 112, 14, 14).mean() for i in (0, 1)]
    assert chance == pytest.approx(sum(shares) / 2)
    scores = evaluate_scenes([TRUE], [three], [maps])
    assert (scores.pointing, scores.pointing_chance) == (hit, chance)
    assert f"by chance {chance:.1%}" in str(scores)


def test_an_object_that_is_not_there_cannot_be_pointed_at(three: Scene) -> None:
    assert pointing_game([judge(HALF, three)], [three], [np.ones((9, 14, 14))])[1] < 0.25


def test_chance_is_what_random_maps_reach(three: Scene) -> None:
    random = np.random.default_rng(0)
    n = 1500
    hit, chance = pointing_game([judge(TRUE, three)] * n, [three] * n, random.random((n, 9, 14, 14)))
    assert hit == pytest.approx(chance, abs=0.03)


def test_scores_read_as_sentences(three: Scene) -> None:
    assert str(evaluate_scenes([TRUE, HALF], [three] * 2)).splitlines() == [
        " 50.0% of 2 captions right in everything",
        " 75.0% of 4 objects named have the right colour and shape (colour 75.0%, shape 100.0%, size where said 0.0%)",
        " 50.0% of 2 relations true",
    ]
