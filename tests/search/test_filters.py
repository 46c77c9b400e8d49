"""Each rule alone, on scores that can be read."""

from __future__ import annotations

import numpy as np
import pytest

from showtell.search.filters import Filter, Forbid, MinimumLength, NoRepeatedNgrams


def forbidden(rule: Filter, said: list[int], vocabulary: int = 8) -> list[int]:
    scores = np.linspace(-1, -2, vocabulary, dtype=np.float32)[None, None]
    after = rule(scores, np.array(said, dtype=np.int64).reshape(1, 1, -1))
    assert after.shape == scores.shape and after.dtype == scores.dtype
    kept = after > -np.inf
    np.testing.assert_array_equal(after[kept], scores[kept])
    return np.flatnonzero(~kept[0, 0]).tolist()


def test_forbidden_words() -> None:
    assert forbidden(Forbid((0, 3, 99)), []) == [0, 3]
    assert forbidden(Forbid(()), [1, 2]) == []


@pytest.mark.parametrize(("said", "expected"), [([], [2]), ([4], [2]), ([4, 5], []), ([4, 5, 6], [])])
def test_minimum_length(said: list[int], expected: list[int]) -> None:
    assert forbidden(MinimumLength(2, end=2), said) == expected


@pytest.mark.parametrize(
    ("n", "said", "expected"),
    [
        (1, [], []),
        (1, [4, 5, 4], [4, 5]),
        (2, [4], []),
        (2, [4, 4], [4]),
        (2, [4, 5, 4], [5]),
        (2, [4, 5, 4, 6, 4], [5, 6]),
        (2, [4, 5, 6], []),
        (3, [4, 5, 6, 4, 5], [6]),
        (3, [4, 4, 4], [4]),
        (3, [4, 5, 6, 5], []),
        (4, [4, 5, 6], []),
    ],
)
def test_no_run_of_words_twice(n: int, said: list[int], expected: list[int]) -> None:
    assert forbidden(NoRepeatedNgrams(n), said) == expected


def test_rows_have_their_own_history() -> None:
    scores = np.zeros((2, 2, 6), dtype=np.float32)
    said = np.array([[[4, 4], [4, 5]], [[5, 5], [5, 4]]])
    assert np.argwhere(NoRepeatedNgrams(2)(scores, said) == -np.inf).tolist() == [[0, 0, 4], [1, 0, 5]]
