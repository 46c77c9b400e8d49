"""Augmentation shows a part of what the encoder sees otherwise, mirrored only where the captions stay true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.pictures import AugmentOptions, PictureOptions, augment, may_flip, shape
from showtell.pictures.options import Fit

FITS: tuple[Fit, ...] = ("stretch", "crop", "pad")


def ramps(width: int, height: int) -> Image.Image:
    """A picture that tells where each pixel was: red grows from left to right, green from top to bottom, blue is full."""
    values = np.full((height, width, 3), 255, np.uint8)
    values[..., 0] = np.linspace(0, 255, width)[None, :]
    values[..., 1] = np.linspace(0, 255, height)[:, None]
    return Image.fromarray(values)


def part_shown(pixels: np.ndarray) -> tuple[float, float, float, float]:
    """left, top, right, bottom of the part of `ramps`, in fractions of its sides; left > right in a mirror."""
    inside = pixels[..., 2] == 255  # not the padding
    across, down = pixels[..., 0][inside].astype(float), pixels[..., 1][inside].astype(float)
    columns = np.nonzero(inside.any(0))[0]
    mirrored = pixels[inside.any(1), columns[0], 0].mean() > pixels[inside.any(1), columns[-1], 0].mean()
    ends = (across.max(), across.min()) if mirrored else (across.min(), across.max())
    return ends[0] / 255, down.min() / 255, ends[1] / 255, down.max() / 255


@settings(max_examples=100)
@given(
    seed=st.integers(0, 10_000),
    crop_scale=st.floats(0.1, 1.0),
    width=st.integers(100, 300),
    height=st.integers(100, 300),
)
def test_the_part_keeps_its_share_of_area_and_proportions(seed: int, crop_scale: float, width: int, height: int) -> None:
    options = PictureOptions(picture_size=128, fit="stretch")
    pixels = augment(ramps(width, height), options, AugmentOptions(crop_scale=crop_scale), np.random.default_rng(seed), False)
    left, top, right, bottom = part_shown(pixels)
    across, down = right - left, bottom - top
    assert across * down >= crop_scale - 0.06
    assert 3 / 4 * 0.9 <= across / down <= 4 / 3 * 1.1


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), fit=st.sampled_from(FITS), width=st.integers(20, 300), height=st.integers(20, 300))
def test_the_same_generator_gives_the_same_pixels(seed: int, fit: Fit, width: int, height: int) -> None:
    options, picture = PictureOptions(picture_size=32, fit=fit), ramps(width, height)
    first, second = (augment(picture, options, AugmentOptions(), np.random.default_rng(seed), True) for _ in range(2))
    assert first.shape == (32, 32, 3) and first.dtype == np.uint8 and first.flags.writeable
    assert np.array_equal(first, second)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_crop_scale_one_is_shape(fit: Fit) -> None:
    options, picture = PictureOptions(picture_size=64, fit=fit), ramps(200, 120)
    pixels = augment(picture, options, AugmentOptions(crop_scale=1.0), np.random.default_rng(1), False)
    assert np.array_equal(pixels, shape(picture, options)[0])


@pytest.mark.parametrize("fit", FITS)
def test_augment_off_is_shape_and_draws_as_many_numbers(fit: Fit) -> None:
    options, picture, random = PictureOptions(picture_size=64, fit=fit), ramps(200, 120), np.random.default_rng(1)
    assert np.array_equal(augment(picture, options, AugmentOptions(augment=False), random, True), shape(picture, options)[0])
    other = np.random.default_rng(1)
    augment(picture, options, AugmentOptions(), other, False)
    assert random.random() == other.random()


def test_crop_reaches_all_of_the_picture_and_never_leaves_it() -> None:
    options, random = PictureOptions(picture_size=32, fit="crop"), np.random.default_rng(0)
    parts = np.array([part_shown(augment(ramps(300, 100), options, AugmentOptions(), random, False)) for _ in range(200)])
    assert parts[:, 0].min() < 0.05 and parts[:, 2].max() > 0.95
    widths = (parts[:, 2] - parts[:, 0]) * 3  # in units of the height
    assert 0.5 < widths.min() < widths.max() < 1.3


def test_mirrored_as_often_as_asked() -> None:
    options, random = PictureOptions(picture_size=16), np.random.default_rng(0)
    keep = AugmentOptions(crop_scale=1.0, flip=0.25)
    picture = ramps(32, 32)
    straight = shape(picture, options)[0]
    mirrored = 0
    for _ in range(400):
        pixels = augment(picture, options, keep, random, may_flip=True)
        assert np.array_equal(pixels, straight) or np.array_equal(pixels, straight[:, ::-1])
        mirrored += not np.array_equal(pixels, straight)
    assert 70 <= mirrored <= 130
    assert all(np.array_equal(augment(picture, options, keep, random, may_flip=False), straight) for _ in range(50))


@pytest.mark.parametrize(
    ("caption", "allowed"),
    [
        ("A dog on the LEFT of a cat", False),
        ("a left-hand drive car", False),
        ("turn right.", False),
        ("the rightmost player", False),
        ("a brightly lit, upright piano", True),
        ("an old copyright sign", True),
        ("a frightened bird leaves", True),
        ("Ein Mann steht links", False),
        ("das rechte Auge", False),
        ("ein rechteckiger, verlinkter Tisch", True),
        ("一个人站在左边", False),
        ("右手拿着球", False),
        ("一只狗在跑", True),
        ("كلب على اليسار", False),
        ("كلب على يَسَارِ الصورة", False),
        ("رجل ينظر إلى اليمين", False),
        ("كلب يجري", True),
        ("", True),
    ],
)
def test_captions_that_say_left_or_right(caption: str, allowed: bool) -> None:
    assert may_flip([caption], AugmentOptions()) is allowed
    assert may_flip(["a dog", caption], AugmentOptions()) is allowed


def test_words_of_ones_own() -> None:
    options = AugmentOptions(no_flip_words=("gauche", "à droite", "左"))
    assert not may_flip(["Un chien à GAUCHE"], options)
    assert not may_flip(["Un chien à  droite"], options)
    assert may_flip(["la droite"], options)
    assert may_flip(["left"], options)
    assert may_flip(["anything left or 右"], AugmentOptions(no_flip_words=()))
    assert may_flip(["anything"], AugmentOptions(no_flip_words=("", " ")))
