"""Light falls where the weights are, in honest amounts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.look import density, glow, overlay, upsample


def centre_of(surface: np.ndarray) -> tuple[float, float]:
    """Centre of mass as (x, y) in pixels."""
    down, across = np.indices(surface.shape) + 0.5
    return float((surface * across).sum() / surface.sum()), float((surface * down).sum() / surface.sum())


@settings(max_examples=80)
@given(
    rows=st.integers(5, 14),
    columns=st.integers(5, 14),
    height=st.integers(60, 250),
    width=st.integers(60, 250),
    row=st.floats(0.35, 0.65),
    column=st.floats(0.35, 0.65),
)
def test_a_cells_centre_lands_on_the_centre_of_its_part(
    rows: int, columns: int, height: int, width: int, row: float, column: float
) -> None:
    grid = np.zeros((rows, columns))
    r, c = int(row * rows), int(column * columns)
    grid[r, c] = 1
    x, y = centre_of(upsample(grid, height, width))
    assert abs(x - (c + 0.5) / columns * width) < 0.75
    assert abs(y - (r + 0.5) / rows * height) < 0.75


@settings(max_examples=60)
@given(seed=st.integers(0, 1000), cells=st.integers(1, 14), height=st.integers(1, 200), width=st.integers(1, 200))
def test_between_smallest_and_largest_and_never_negative(seed: int, cells: int, height: int, width: int) -> None:
    grid = np.random.default_rng(seed).random((cells, cells)) ** 8
    surface = upsample(grid, height, width)
    assert surface.shape == (height, width)
    assert grid.min() - 1e-12 <= surface.min() and surface.max() <= grid.max() + 1e-12


def test_a_flat_map_stays_exactly_flat() -> None:
    assert np.allclose(upsample(np.full((7, 7), 1 / 49), 100, 150), 1 / 49, rtol=1e-12)
    assert np.allclose(upsample(np.full((7, 7), 1 / 49), 100, 150, (20, -30, 110, 90)), 1 / 49, rtol=1e-12)


def test_light_sums_up_to_the_weight() -> None:
    grid = np.zeros((14, 14))
    grid[3:11, 3:11] = np.random.default_rng(0).random((8, 8))
    surface = upsample(grid, 140, 280)
    assert surface.sum() * (14 * 14) / (140 * 280) == pytest.approx(grid.sum(), rel=1e-3)


def test_a_single_cell_by_hand() -> None:
    grid = np.zeros((5, 5))
    grid[2, 2] = 9
    surface = upsample(grid, 15, 15)  # three pixels a cell: the middle one lies on the cell's centre
    assert surface[7, 7] == pytest.approx(9 * 4 / 9)
    assert surface[7, 10] == pytest.approx(9 * 2 / 3 / 6)  # the neighbour's centre
    assert surface[7, 13] == pytest.approx(0, abs=1e-12)


def test_copies_of_coarse_cells_are_put_together() -> None:
    coarse = np.random.default_rng(1).random((7, 7))
    copied = coarse.repeat(2, axis=0).repeat(2, axis=1)
    assert np.allclose(upsample(copied, 90, 120), upsample(coarse, 90, 120))
    copied[0, 0] += 0.1
    assert not np.allclose(upsample(copied, 90, 120), upsample(coarse, 90, 120))


def test_a_box_places_the_map_to_a_fraction_of_a_pixel() -> None:
    grid = np.zeros((9, 9))
    grid[4, 4] = 1
    x, y = centre_of(upsample(grid, 200, 300, (60.5, -20.25, 160.5, 179.75)))
    assert (x, y) == (pytest.approx(110.5, abs=0.01), pytest.approx(79.75, abs=0.01))


def test_density_counts_in_multiples_of_an_even_look() -> None:
    assert np.allclose(density(np.full((14, 14), 1 / 196)), 1)
    grid = np.zeros((7, 7))
    grid[0, 0] = 1
    assert density(grid).max() == pytest.approx(49)
    assert np.allclose(density([[2, 6]]), [[0.5, 1.5]])


@pytest.mark.parametrize("wrong", [np.zeros((7, 7)), np.full((7, 7), np.nan), np.array([[1, -1]]), np.ones(7), np.ones((0, 3))])
def test_what_is_no_map_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"map|weights"):
        density(wrong)


# -- colours


def lightness(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(float) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("grey", [0, 60, 128, 200])
def test_more_weight_is_more_light_and_so_needs_no_colour_vision(grey: int) -> None:
    steps = 2 ** np.linspace(-2, 3, 40)[None, :]
    lit = glow(np.full((1, 40, 3), grey, np.uint8), steps)[0]
    assert (np.diff(lightness(lit)) >= -1).all(), "to rounding"
    assert lightness(lit)[-1] - lightness(lit)[16] > 30, "full light stands out from an even look"


def test_a_flat_map_adds_no_light() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 1), dtype=np.uint8).repeat(3, axis=2)
    even = glow(pixels, np.ones((20, 20)))
    assert np.abs(even - 0.8 * pixels).max() <= 0.5, "the picture, a little dimmed"
    noisy = glow(pixels, np.full((20, 20), 1.05))
    assert np.abs(noisy.astype(int) - even).max() <= 12, "hardly peaked looks hardly peaked"


def test_the_picture_stays_recognisable_under_full_light() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[:, 1] = 160
    lit = lightness(glow(pixels, np.full((2, 2), 50.0)))
    assert lit[0, 1] - lit[0, 0] > 60


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_thing_in_full_light_keeps_its_colour(channel: int) -> None:
    colour = np.full((1, 1, 3), 30, np.uint8)
    colour[..., channel] = 200
    lit = glow(colour, np.full((1, 1), 8.0))[0, 0].astype(int)
    assert lit.argmax() == channel and lit[channel] - np.delete(lit, channel).max() > 60


def test_colour_leaves_what_is_not_looked_at() -> None:
    pixels = np.tile(np.array([200, 30, 90], np.uint8), (1, 2, 1))
    dark, bright = glow(pixels, np.array([[0.01, 2.0]]))[0].astype(int)
    assert np.ptp(dark) == 0 and np.ptp(bright) > 100


def test_overlay_is_bright_where_the_map_is_and_pale_where_nobody_looked() -> None:
    grid = np.full((7, 7), 0.2)
    grid[1, 5] = 20
    picture = Image.new("RGB", (400, 200), (90, 90, 90))
    lit = lightness(np.asarray(overlay(picture, grid, (100, 0, 300, 200))))
    assert lit.shape == (200, 400)
    assert (lit[:, :100] > 180).all() and (lit[:, 300:] > 180).all(), "outside the crop"
    y, x = np.argwhere(lit[:, 100:300] == lit[:, 100:300].max()).mean(0)
    assert abs(x + 0.5 - 5.5 / 7 * 200) < 8 and abs(y + 0.5 - 1.5 / 7 * 200) < 8
