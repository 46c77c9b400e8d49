"""PNG files of the same bytes everywhere, which any reader opens."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.data.scenes.png import _code_lengths, png


def read(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        return np.asarray(picture)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([1, 12, 128, 256]))
@settings(max_examples=60)
def test_pixels_come_back(rows: int, columns: int, seed: int, spread: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, spread, (rows, columns, 3)).astype(np.uint8)
    assert np.array_equal(read(png(pixels)), pixels)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255])
def test_plain_pictures_come_back(value: int) -> None:
    pixels = np.full((9, 7, 3), value, np.uint8)
    assert np.array_equal(read(png(pixels)), pixels)


def test_the_code_is_complete_and_short_enough() -> None:
    lengths = _code_lengths()
    assert len(lengths) == 257
    assert sum(2.0**-length for length in lengths) == 1  # zlib refuses a code with gaps
    assert max(lengths) <= 15


def test_the_bytes_are_these() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    data = png(pixels)
    assert zlib.crc32(data) == 2680139531
    assert len(data) == 211


def test_files_are_about_as_small_as_zlib_makes_them() -> None:
    grainy = np.clip(np.random.default_rng(0).normal(128, 4, (112, 112, 3)), 0, 255).astype(np.uint8)
    assert len(png(grainy)) < 0.68 * grainy.nbytes
