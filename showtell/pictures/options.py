"""How a picture becomes the pixels that a model sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Fit = Literal["stretch", "crop", "pad"]

LEFT_RIGHT_WORDS = (
    # English, German (with its endings), Chinese, Arabic (with and without the article, "to the", "his", "her")
    *("left", "right", "leftmost", "rightmost", "left-hand", "right-hand", "lefthand", "righthand"),
    *("links", "rechts", "linke", "linken", "linker", "linkes", "linkem", "rechte", "rechten", "rechter", "rechtes", "rechtem"),
    *("左", "右"),
    *("يسار", "يمين", "اليسار", "اليمين", "يسارا", "يمينا", "اليسرى", "اليمنى", "الأيسر", "الأيمن"),
    *("لليسار", "لليمين", "يساره", "يمينه", "يسارها", "يمينها", "يسرى", "يمنى", "أيسر", "أيمن"),
)


@dataclass(frozen=True)
class PictureOptions:
    """The one path from a file to pixels, the same in training, validation, inference and export; travels in the model file."""

    picture_size: int = 224
    """Side of the square, in pixels, that the encoder sees."""
    fit: Fit = "stretch"
    """How a picture becomes a square: stretch it (nothing is lost), crop its middle, or pad it with grey."""
    max_pixels: int = 200_000_000
    """A picture of more pixels than this is refused (a small file can hold a huge picture)."""

    def problems(self) -> list[str]:
        found = []
        if not 16 <= self.picture_size <= 4096:
            found.append(f"picture_size is {self.picture_size}; it must lie between 16 and 4096 pixels.")
        if self.fit not in get_args(Fit):
            found.append(f"fit is {self.fit!r:.40}; it must be one of {', '.join(get_args(Fit))}.")
        if self.max_pixels < 1:
            found.append(f"max_pixels is {self.max_pixels}; it must be positive.")
        return found


@dataclass(frozen=True)
class AugmentOptions:
    """What training does to a picture before the encoder sees it, so that no epoch is like another."""

    augment: bool = True
    """Crop and flip training pictures at random. Cached features of a frozen encoder have the views that cache_views says."""
    crop_scale: float = 0.7
    """Smallest share of a picture's area that a random crop keeps; 1 keeps all of it."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    no_flip_words: tuple[str, ...] = LEFT_RIGHT_WORDS
    """A picture with one of these words in a caption is never flipped (in Chinese: one of these characters)."""

    def problems(self) -> list[str]:
        found = []
        if not 0 < self.crop_scale <= 1:
            found.append(f"crop_scale is {self.crop_scale}; it must lie above 0 and at most at 1.")
        if not 0 <= self.flip <= 1:
            found.append(f"flip is {self.flip}; it must lie between 0 and 1.")
        return found
