"""What training does to a picture so that no epoch is like another: a random part of it, and its mirror image."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from PIL import Image

from showtell.pictures.options import AugmentOptions, Fit, PictureOptions
from showtell.pictures.shaping import Box, fitted, square

LARGEST_STRETCH = 4 / 3
"""A random part is at most so much wider, or higher, than what the encoder would see without augmentation."""

_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")  # Thai, Japanese, Chinese, Korean


def augment(
    picture: Image.Image, options: PictureOptions, augmentation: AugmentOptions, random: np.random.Generator, may_flip: bool
) -> np.ndarray:
    """A random part of the picture, perhaps mirrored, as the encoder takes it: uint8, S x S x 3; resampled once.

    The part keeps `crop_scale` to 1 of the area that `shape()` would show, its proportions changed by 3/4 to 4/3 (the
    random resized crop of Szegedy et al. 2015, but relative to what the encoder sees otherwise, so that `crop_scale` 1 is
    `shape()`). The same generator state gives the same pixels; five numbers are drawn, whatever the options.

    Args:
        picture: upright and RGB, from `open_picture`.
        options: `picture_size` and `fit`.
        augmentation: `crop_scale`, `flip`; with `augment` off this is `shape()`.
        random: where chance comes from.
        may_flip: whether the captions stay true in a mirror (see `may_flip`).
    """
    area, proportions, across, down, coin = random.random(5)
    if not augmentation.augment:
        return square(picture, fitted(*picture.size, options.fit), options.picture_size)
    scale = augmentation.crop_scale + (1 - augmentation.crop_scale) * area
    box = _random_part(picture.size, options.fit, scale, proportions, across, down)
    pixels = square(picture, box, options.picture_size)
    if may_flip and coin < augmentation.flip:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    return pixels


def _random_part(size: tuple[int, int], fit: Fit, scale: float, proportions: float, across: float, down: float) -> Box:
    """A box of `scale` of the fitted area; `proportions`, `across` and `down` in [0, 1) choose its form and its place."""
    left, top, right, bottom = fitted(*size, fit)
    width, height = right - left, bottom - top
    if fit == "crop":  # the middle square may move, and widen, as far as the picture goes
        left, top, right, bottom = 0.0, 0.0, float(size[0]), float(size[1])
    widest = min(LARGEST_STRETCH, ((right - left) / width) ** 2 / scale)
    narrowest = max(1 / LARGEST_STRETCH, scale * (height / (bottom - top)) ** 2)
    stretch = math.exp(math.log(narrowest) + proportions * (math.log(widest) - math.log(narrowest)))
    part_width = min(right - left, width * math.sqrt(scale * stretch))
    part_height = min(bottom - top, height * math.sqrt(scale / stretch))
    part_left = left + across * (right - left - part_width)
    part_top = top + down * (bottom - top - part_height)
    return part_left, part_top, part_left + part_width, part_top + part_height


def may_flip(captions: Iterable[str], augmentation: AugmentOptions) -> bool:
    """Whether a picture with these captions stays true to them in a mirror: none says left or right.

    Words are compared in lower case, whole, and without combining signs (Arabic vowels); a Chinese, Japanese, Korean or Thai
    word is looked for anywhere, since those are written together.
    """
    whole, anywhere = _patterns(augmentation.no_flip_words)
    for caption in captions:
        plain = _plain(caption)
        if any(word in plain for word in anywhere) or any(word in plain for word in whole):
            return False
    return True


@lru_cache(maxsize=8)
def _patterns(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What to look for in a `_plain` caption: words with the spaces around them, and words that may stand anywhere."""
    plain = [_plain(word) for word in words if word.strip()]
    return (
        tuple(word for word in plain if not _UNSPACED.search(word)),
        tuple(word.strip() for word in plain if _UNSPACED.search(word)),
    )


def _plain(text: str) -> str:
    """Lower case, words with one space around each, without combining signs: " the left hand "."""
    composed = unicodedata.normalize("NFC", text).lower()
    letters = "".join(c for c in composed if not unicodedata.combining(c))
    return " ".join(["", *re.findall(r"\w+", letters), ""])
