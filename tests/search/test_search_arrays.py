"""What the array API standard lacks, against the plain way to do it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_tables import LIBRARIES

from showtell.search.arrays import marks, to_host, top_k


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 700), st.integers(1, 3), st.sampled_from(["torch", "numpy", "strict"]))
def test_top_k_is_a_stable_sort(data: st.DataObject, size: int, different: int, library: str) -> None:
    k = data.draw(st.integers(1, min(size, 40)))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    choices = [-np.inf, -1.5, 0.25, 3][: different + 1] if different < 3 else random.normal(size=5000)
    values = random.choice(choices, size=(2, 3, size)).astype(np.float32)
    places = np.argsort(-values, axis=-1, kind="stable")[..., :k]
    found, where = top_k(LIBRARIES[library].asarray(values), k)
    np.testing.assert_array_equal(np.asarray(where), places)
    np.testing.assert_array_equal(np.asarray(found), np.take_along_axis(values, places, axis=-1))


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
