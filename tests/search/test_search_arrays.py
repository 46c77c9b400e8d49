"""What the array API standard lacks, against the plain way to do it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_tables import LIBRARIES

from showtell.search.arrays import marks, to_host, top_k


@settings(max_examples=150)
@given(st.data(), st.integers(1, 700), st.sampled_from(["distinct", "ties", "impossible"]), st.sampled_from(list(LIBRARIES)))
def test_top_k_is_a_stable_sort(data: st.DataObject, size: int, kind: str, library: str) -> None:
    k = data.draw(st.integers(1, min(size, 40)))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    values = random.geometric(0.5, size=(2, 3, size)).astype(np.float32)  # many small ones, few large ones
    if kind == "distinct":
        values += random.normal(size=values.shape)
    if kind == "impossible":
        values[random.random(values.shape) < 0.95] = -np.inf
    places = np.argsort(-values, axis=-1, kind="stable")[..., :k]
    found, where = top_k(LIBRARIES[library].asarray(values), k)
    np.testing.assert_array_equal(np.asarray(where), places)
    np.testing.assert_array_equal(np.asarray(found), np.take_along_axis(values, places, axis=-1))


def test_the_first_of_equal_values_is_first_even_if_a_later_one_has_the_largest_beside_it() -> None:
    values = np.zeros(100, dtype=np.float32)
    values[[10, 20, 51]], values[50] = 4, 9
    assert top_k(values, 3)[1].tolist() == [50, 10, 20]


@pytest.mark.parametrize("library", LIBRARIES)
def test_marks(library: str) -> None:
    places = LIBRARIES[library].asarray(np.array([[[1, 1, 3]], [[0, 3, 2]]]))  # 3 names none
    np.testing.assert_array_equal(np.asarray(marks(places, 3)), [[[False, True, False]], [[True, False, True]]])


@pytest.mark.parametrize("library", LIBRARIES)
def test_to_host_keeps_shapes(library: str) -> None:
    arrays = [np.arange(6).reshape(2, 3), np.zeros((0, 4), dtype=np.int64), np.array([[[7]]])]
    for mine, yours in zip(to_host([LIBRARIES[library].asarray(x) for x in arrays]), arrays, strict=True):
        np.testing.assert_array_equal(mine, yours)
        assert mine.shape == yours.shape
