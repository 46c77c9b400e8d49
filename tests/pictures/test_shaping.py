"""The square shows what `Seen` says, to the pixel."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.pictures import PictureOptions, Seen, open_picture, shape
from showtell.pictures.options import Fit

FITS: tuple[Fit, ...] = ("stretch", "crop", "pad")
UNTURN = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # EXIF orientation -> Pillow's Transpose that stores an upright picture so


@settings(max_examples=150)
@given(
    width=st.integers(40, 400),
    height=st.integers(40, 400),
    across=st.floats(0.12, 0.88),
    down=st.floats(0.12, 0.88),
    fit=st.sampled_from(FITS),
    size=st.sampled_from([64, 112, 224]),
    orientation=st.integers(1, 8),
)
def test_a_dot_lands_where_seen_predicts(
    width: int, height: int, across: float, down: float, fit: Fit, size: int, orientation: int
) -> None:
    options = PictureOptions(picture_size=size, fit=fit)
    side = min(width, height) if fit == "crop" else None  # in a crop, the dot lies where the crop looks
    x = width * across if side is None else (width - side) / 2 + side * across
    y = height * down if side is None else (height - side) / 2 + side * down
    picture, centre = with_red_dot(width, height, x, y)

    pixels, seen = shape(open_picture(stored(picture, orientation)), options)

    assert (seen.width, seen.height) == (width, height)
    found = seen.place(*centre_of_red(pixels))
    tolerance_x, tolerance_y = ((seen.right - seen.left) / size, (seen.bottom - seen.top) / size)  # a pixel of the square
    assert abs(found[0] - centre[0]) <= 0.5 * tolerance_x + 0.1
    assert abs(found[1] - centre[1]) <= 0.5 * tolerance_y + 0.1


def with_red_dot(width: int, height: int, x: float, y: float) -> tuple[Image.Image, tuple[float, float]]:
    """A black picture with a red block around (x, y), and the block's exact centre."""
    half = min(width, height) // 20
    left, top = round(x) - half, round(y) - half
    picture = Image.new("RGB", (width, height))
    picture.paste((255, 0, 0), (left, top, left + 2 * half, top + 2 * half))
    return picture, (left + half, top + half)


def stored(picture: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    turned = picture if orientation == 1 else picture.transpose(Image.Transpose(UNTURN[orientation]))
    turned.save(file, "PNG", exif=exif, compress_level=1)
    return file.getvalue()


def centre_of_red(pixels: np.ndarray) -> tuple[float, float]:
    """Fractions of the square's side; grey and black count nothing."""
    red = pixels[..., 0].astype(float) - pixels[..., 1]
    places = (np.arange(len(pixels)) + 0.5) / len(pixels)
    return float((red.sum(0) * places).sum() / red.sum()), float((red.sum(1) * places).sum() / red.sum())


@given(width=st.integers(1, 3000), height=st.integers(1, 3000), fit=st.sampled_from(FITS))
@settings(max_examples=60)
def test_seen_of_every_size(width: int, height: int, fit: Fit) -> None:
    pixels, seen = shape(Image.new("RGB", (width, height), "white"), PictureOptions(picture_size=32, fit=fit))
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    assert (pixels == 255).any(), "however thin a picture is, some of it is in the square"
    across, down = seen.right - seen.left, seen.bottom - seen.top
    if fit == "stretch":
        assert seen.box == (0, 0, width, height)
    else:
        assert across == down == (min if fit == "crop" else max)(width, height)
        assert seen.left + seen.right == width and seen.top + seen.bottom == height, "in the middle"


def test_seen_by_hand() -> None:
    picture = Image.new("RGB", (640, 480))
    expected = {"stretch": (0, 0, 640, 480), "crop": (80, 0, 560, 480), "pad": (0, -80, 640, 560)}
    for fit in FITS:
        assert shape(picture, PictureOptions(fit=fit))[1] == Seen(*expected[fit], 640, 480)


def test_seen_in_another_size() -> None:
    seen = Seen(80.0, 0.0, 560.0, 480.0, 640, 480)
    assert seen.on(1280, 960) == Seen(160.0, 0.0, 1120.0, 960.0, 1280, 960)
    assert seen.place(0.5, 1.0) == (320.0, 480.0)


def test_padding_is_grey_and_the_rest_is_the_picture() -> None:
    pixels, _ = shape(Image.new("RGB", (200, 100), "white"), PictureOptions(picture_size=64, fit="pad"))
    assert (pixels[:16] == 128).all() and (pixels[16:48] == 255).all() and (pixels[48:] == 128).all()


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for fit in FITS:
        assert np.array_equal(shape(Image.fromarray(values), PictureOptions(picture_size=64, fit=fit))[0], values)


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels, _ = shape(Image.fromarray(stripes), PictureOptions(picture_size=64))
    assert np.abs(pixels.astype(int) - 127).max() <= 8, "fine stripes become grey, not coarse stripes"


def test_pixels_may_be_written_to() -> None:
    for fit in FITS:  # a tensor is made of them without a copy
        assert shape(Image.new("RGB", (30, 20)), PictureOptions(picture_size=16, fit=fit))[0].flags.writeable


@pytest.mark.parametrize("fit", FITS)
def test_real_pictures(shared: object, fit: Fit) -> None:
    folder = shared / "data" / "coco_mini" / "train2017"  # type: ignore[operator]
    for path in sorted(folder.glob("*.jpg"))[:5]:
        pixels, _ = shape(open_picture(path), PictureOptions(fit=fit))
        assert pixels.std() > 10
