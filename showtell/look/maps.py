"""From attention weights over a grid to light on a picture.

The scale is honest: it is fixed, not stretched to each word's own largest weight. A weight counts by how many times it is what an
even look at the whole picture would give (weight x cells), so that maps of all words, pictures and grids compare, and a word that
looked nowhere in particular shows nothing in particular. Below 1 x the picture is grey and dim, at 1 x it has half its colours,
and above it a warm lamp shines on it, full at `BRIGHTEST` x; more weight is never less light, and a blue thing in full light is
still blue. The scale is logarithmic: equal steps are equal factors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]
"""left, top, right, bottom in pixels of a picture, y downwards."""

DARKEST, BRIGHTEST = 1 / 4, 8.0
"""The ends of the scale, as multiples of an even look."""

# The colour of the light from faint to full: lightness grows throughout, and it runs from red to yellow beside greys, so that
# nothing hangs on telling red from green.
_LIGHT = np.array([(0x40, 0x08, 0x30), (0x9A, 0x20, 0x50), (0xE0, 0x50, 0x30), (0xFF, 0x95, 0x30), (0xFF, 0xD8, 0x90)], float)
_WARM_LAMP, _WHITE_LAMP = np.array([1.45, 1.3, 1.05]), 1.3  # what full light does to grey things, and to those with a colour
_GREY = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)


def density(weights: ArrayLike) -> Floats:
    """Attention weights (rows x columns) as multiples of an even look: their mean is 1. Weights that do not sum to 1 are scaled.

    Raises:
        ValueError: they are not two-dimensional, or negative or not finite somewhere, or zero everywhere.
    """
    grid = np.asarray(weights, np.float64)
    if grid.ndim != 2 or not grid.size:
        raise ValueError(f"A map has rows and columns; this one has the shape {grid.shape}.")
    if not np.isfinite(grid).all() or (grid < 0).any() or not grid.any():
        raise ValueError("Attention weights are finite, not negative, and not all zero.")
    times_even: Floats = grid / grid.mean()
    return times_even


def upsample(grid: ArrayLike, height: int, width: int, box: Box | None = None) -> Floats:
    """A map (rows x columns) as a smooth surface of height x width pixels, between the map's smallest and largest value.

    Each cell spreads as a cubic B-spline, a round bump of about the cell's size, around its own centre; so the light over a
    part of the picture sums up to its weight (but for what cells on the rim would throw outside), a flat map stays exactly flat,
    and nothing rings. A single bright cell is lowered to 4/9. Cells that are copies of coarser ones (14 x 14 pooled from
    7 x 7) are put together first, or their blocks would show.

    Args:
        grid: the map; cell (0, 0) is top left.
        height, width: the size wanted.
        box: which part of it the map covers, as floats; all of it by default. Beyond the box, the rim goes on.
    """
    coarse = _without_copies(np.asarray(grid, np.float64))
    left, top, right, bottom = box or (0.0, 0.0, float(width), float(height))
    down = _spline(coarse.shape[0], height, top, bottom)  # height x rows
    across = _spline(coarse.shape[1], width, left, right)  # width x columns
    return down @ coarse @ across.T  # height x width


def _without_copies(grid: Floats) -> Floats:
    """Halved for as long as every block of 2 x 2 cells is four times the same."""
    while grid.shape[0] % 2 == 0 and grid.shape[1] % 2 == 0:
        coarse = grid[::2, ::2]
        if not np.allclose(grid, coarse.repeat(2, axis=0).repeat(2, axis=1), rtol=1e-5, atol=0):
            break
        grid = coarse
    return grid


def _spline(cells: int, length: int, start: float, stop: float) -> Floats:
    """How much of each cell every pixel shows along one axis: length x cells, each row sums to 1."""
    pixels = np.arange(length) + 0.5
    places = (pixels - start) / (stop - start) * cells - 0.5  # cell k's centre is at k
    shares = np.zeros((length, cells))
    places = np.clip(places, -1.0, cells)  # beyond the box the rim goes on
    for cell in range(-2, cells + 2):  # those beyond the rim are like the rim
        shares[:, min(max(cell, 0), cells - 1)] += _bump(places - cell)
    return shares


def _bump(x: Floats) -> Floats:
    """The cubic B-spline: 2/3 at 0, 1/6 at 1, 0 from 2 on."""
    x = np.abs(x)
    return np.where(x < 1, 2 / 3 - x**2 + x**3 / 2, np.maximum(2 - x, 0) ** 3 / 6)


def glow(pixels: NDArray[np.uint8], times_even: Floats) -> NDArray[np.uint8]:
    """A picture in the light of a map.

    Args:
        pixels: height x width x 3 (RGB).
        times_even: height x width, multiples of an even look.

    Returns:
        height x width x 3, uint8.
    """
    octaves = np.log2(np.clip(times_even, DARKEST, BRIGHTEST))[..., None]  # height x width x 1
    shade = np.clip(octaves / np.log2(DARKEST), 0, 1)  # 0 at an even look, 1 at the dark end
    light = np.clip(octaves / np.log2(BRIGHTEST), 0, 1)  # 0 at an even look, 1 at the bright end
    colours = pixels.astype(np.float64)
    grey = (colours @ _GREY)[..., None]
    colourful = np.clip((octaves + 1) / 2, 0, 1)  # none at half an even look, all at twice
    lit = (grey + (colours - grey) * colourful) * (0.8 - 0.3 * shade)
    tint = 1 - 0.8 * _saturation(colours)  # a red or blue thing keeps its hue; grey ones around it take the warm light
    lamp = _WHITE_LAMP + (_WARM_LAMP - _WHITE_LAMP) * tint
    lit = np.clip(lit * (1 + light * (lamp - 1)), 0, 255)
    beam = _light(light[..., 0]) * np.clip(light / 0.2, 0, 1) * 0.5 * tint
    screen: Floats = 255 - (255 - lit) * (255 - beam) / 255  # as two projectors add up
    return np.rint(screen).astype(np.uint8)


def _saturation(colours: Floats) -> Floats:
    """How far from grey, 0 to 1; dark pixels, whose hue is noise, count as greyer. ... x 3 to ... x 1."""
    largest = colours.max(-1, keepdims=True)
    saturation: Floats = (largest - colours.min(-1, keepdims=True)) / np.maximum(largest, 64)
    return saturation


def _light(light: Floats) -> Floats:
    """The light's colour, ... x 3 in 0 to 255, for 0 (faint) to 1 (full)."""
    places = light * (len(_LIGHT) - 1)
    return np.stack([np.interp(places, np.arange(len(_LIGHT)), channel) for channel in _LIGHT.T], axis=-1)


def overlay(picture: Image.Image, weights: ArrayLike, seen: Box | None = None) -> Image.Image:
    """The picture in the light of one map, in the picture's size; what the model did not see is pale.

    Args:
        picture: RGB, upright.
        weights: rows x columns, not negative.
        seen: the part of the picture that the map covers, in its pixels; all of it by default.

    Raises:
        ValueError: as `density`.
    """
    width, height = picture.size
    pixels = np.asarray(picture.convert("RGB"))
    lit = glow(pixels, upsample(density(weights), height, width, seen))
    unseen = ~_inside(height, width, seen)
    lit[unseen] = 255 - (255 - (pixels[unseen] @ _GREY)[:, None]) * 0.3
    return Image.fromarray(lit)


def _inside(height: int, width: int, box: Box | None) -> NDArray[np.bool_]:
    """Which pixels have their centres in the box: height x width."""
    left, top, right, bottom = box or (0.0, 0.0, float(width), float(height))
    across, down = np.arange(width) + 0.5, np.arange(height) + 0.5
    return ((down >= top) & (down < bottom))[:, None] & ((across >= left) & (across < right))[None, :]
