"""Opening any picture safely, and making it the square of pixels that a model sees: the only place that does.

    picture = open_picture("photo.jpg", options)
    pixels, seen = shape(picture, options)

`showtell.pictures.options` can be imported without NumPy and Pillow: the names below are fetched at their first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from showtell.pictures.options import AugmentOptions, PictureOptions

if TYPE_CHECKING:
    from showtell.pictures.augmenting import augment, may_flip
    from showtell.pictures.opening import PICTURE_SUFFIXES, PictureError, list_pictures, open_picture
    from showtell.pictures.shaping import Seen, pixels_of, shape

__all__ = [
    "PICTURE_SUFFIXES",
    "AugmentOptions",
    "PictureError",
    "PictureOptions",
    "Seen",
    "augment",
    "list_pictures",
    "may_flip",
    "open_picture",
    "pixels_of",
    "shape",
]

_HOMES = {
    "opening": ("PICTURE_SUFFIXES", "PictureError", "list_pictures", "open_picture"),
    "shaping": ("Seen", "pixels_of", "shape"),
    "augmenting": ("augment", "may_flip"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
