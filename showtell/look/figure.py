"""One picture that shows where the model looked for every word: the photograph, then a tile a word."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from showtell.errors import JOINERS, Problem
from showtell.look.fonts import Font, find_font, needs_layout
from showtell.look.maps import BRIGHTEST, DARKEST, Box, density, glow, overlay

PAPER, INK, PALE_INK = "#ffffff", "#1b1b1b", "#6d6d6d"
GREY = (128, 128, 128)  # beside a padded picture, as the model saw it
MARGIN, GAP, TITLE, WORD, SMALL = 36, 18, 38, 28, 19
"""In pixels, for tiles of 224; they grow with the tiles. Legible when the figure is shown at half its size, as in a README."""


def attention_figure(
    picture: Image.Image,
    words: Sequence[str],
    maps: ArrayLike,
    seen: Box | None = None,
    *,
    title: str | None = None,
    note: str | None = None,
    right_to_left: bool | None = None,
    tile: int = 224,
    width: int = 1500,
    font: str | os.PathLike[str] | None = None,
) -> Image.Image:
    """The picture, then for every word the picture in the light of the word's map, the word beneath.

    Beside a word stands its largest weight as a multiple of an even look; the scale under the first tile is the same for all
    words and all figures (see `showtell.look.maps`, which also smooths). What the model did not see is pale; where it saw a
    padded picture, the padding is shown.

    Args:
        picture: upright, of any mode.
        words: one a tile, as they shall be read.
        maps: words x rows x columns, attention weights (not negative; each map need not sum to 1).
        seen: the part of the picture that the maps cover: left, top, right, bottom in its pixels; all of it by default.
        title: the caption, on top.
        note: a small line under it (the file, the model, the confidence).
        right_to_left: the order of the tiles and the side where lines begin; by default what the words are written in.
        tile: a tile is as large as a square of this side, in pixels, whatever the picture's proportions.
        width: of the figure at most, in pixels; tiles wrap into rows.
        font: a font file; by default one on this machine that has the characters.

    Raises:
        Problem: no font here has the characters, or right-to-left words cannot be laid out; the sentence says what to install.
        ValueError: `words` and `maps` differ in number, or a map is no map (see `density`).
    """
    grids = np.asarray(maps, np.float64)
    if len(grids) != len(words):
        raise ValueError(f"There are {len(words)} words and {len(grids)} maps.")
    words, title, note = [_line(word) for word in words], _line(title or ""), _line(note or "")
    if right_to_left is None:
        right_to_left = needs_layout(" ".join(words))
    canvas, box = _with_padding(picture.convert("RGB"), seen)
    size, columns, rows = _arrangement(canvas.size, 1 + len(words), tile, width)
    photograph = canvas.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    shrunk = (size[0] / canvas.width, size[1] / canvas.height)
    on_tile = (box[0] * shrunk[0], box[1] * shrunk[1], box[2] * shrunk[0], box[3] * shrunk[1])

    typeface = partial(find_font, company="".join([*words, title, "…"]), file=font)
    page = _Page(size, columns, rows, tile / 224, title, note, right_to_left, typeface)
    page.tile(0, photograph)
    page.scale(0)
    for number, (word, grid) in enumerate(zip(words, grids, strict=True), start=1):
        page.tile(number, overlay(photograph, grid, on_tile))
        page.label(number, word, f"{density(grid).max():.1f}x")
    return page.image


def _with_padding(picture: Image.Image, seen: Box | None) -> tuple[Image.Image, Box]:
    """The picture on a canvas that holds all that the model saw, and where the seen part lies on it."""
    left, top, right, bottom = seen or (0.0, 0.0, float(picture.width), float(picture.height))
    before_x, before_y = max(0, math.ceil(-left)), max(0, math.ceil(-top))
    after_x, after_y = max(0, math.ceil(right - picture.width)), max(0, math.ceil(bottom - picture.height))
    canvas = Image.new("RGB", (before_x + picture.width + after_x, before_y + picture.height + after_y), GREY)
    canvas.paste(picture, (before_x, before_y))
    return canvas, (left + before_x, top + before_y, right + before_x, bottom + before_y)


def _arrangement(picture: tuple[int, int], tiles: int, tile: int, width: int) -> tuple[tuple[int, int], int, int]:
    """The size of a tile, and how many columns and rows of them: as many columns as fit, or one less if that is fuller."""
    aspect = picture[0] / picture[1]
    wide = tile * math.sqrt(min(3.0, max(1 / 3, aspect)))
    margin, gap = MARGIN * tile / 224, GAP * tile / 224
    most = max(1, round((width - 2 * margin + gap) / (wide + gap)))
    wide = min(wide * 1.15, (width - 2 * margin + gap) / most - gap)
    high = min(wide / aspect, 3 * wide)
    grids = []
    for columns in {most, max(1, most - 1)}:
        rows = math.ceil(tiles / columns)
        columns = math.ceil(tiles / rows)
        grids.append((rows * columns - tiles, rows, columns))
    _, rows, columns = min(grids)
    return (max(1, round(high * aspect)), max(1, round(high))), columns, rows


class _Page:
    """Paper with a heading and places for tiles; x runs from the side where reading begins."""

    def __init__(
        self,
        tile: tuple[int, int],
        columns: int,
        rows: int,
        scale: float,
        title: str,
        note: str,
        right_to_left: bool,
        typeface: Callable[[str, int], Font],
    ) -> None:
        self._tile, self._columns, self._right_to_left, self._font = tile, columns, right_to_left, typeface
        self._margin, self._gap = round(MARGIN * scale), round(GAP * scale)
        self._title, self._word, self._small = round(TITLE * scale), round(WORD * scale), round(SMALL * scale)
        self._cell = max(tile[0], round(150 * scale))  # a narrow picture leaves room for its word
        width = max(2 * self._margin + columns * (self._cell + self._gap) - self._gap, round(600 * scale))
        lines = self._wrapped(title, width - 2 * self._margin)
        self._top = self._margin + round(1.3 * self._title * len(lines)) + (round(1.9 * self._small) if note else 0)
        self._top += self._gap if lines or note else 0
        self._row = tile[1] + round(2.5 * self._word)  # a tile with its label
        self.image = Image.new("RGB", (width, self._top + rows * self._row + self._margin // 2), PAPER)
        self._pen = ImageDraw.Draw(self.image)
        self._head(lines, note)

    def tile(self, number: int, picture: Image.Image) -> None:
        """Puts a picture in its place; number 0 comes first."""
        x, y = self._corner(number)
        self.image.paste(picture, (self.image.width - x - self._tile[0] if self._right_to_left else x, y))

    def label(self, number: int, word: str, aside: str) -> None:
        """Writes a word under its tile, and something small at the line's other end; a long word gets smaller, then shorter."""
        x, y = self._corner(number)
        baseline = y + self._tile[1] + round(1.15 * self._word)
        small = self._font(aside, self._small)
        self._write(aside, x + self._cell, baseline, small, PALE_INK, ends=True)
        room = self._cell - small.getlength(aside) - self._small / 2
        font = self._font(word, self._word)
        if font.getlength(word) > room:
            font = self._font(word, max(self._small, int(self._word * room / font.getlength(word))))
        self._write(_cut(word, font, room), x, baseline, font, INK)

    def scale(self, number: int) -> None:
        """Draws what light means under a tile: from dim over an even look to bright."""
        x, y = self._corner(number)
        left = self.image.width - x - self._cell if self._right_to_left else x
        y += self._tile[1] + self._word // 2
        octaves = np.linspace(math.log2(DARKEST), math.log2(BRIGHTEST), self._cell)
        strip = np.full((max(1, self._small // 2), self._cell, 3), 150, np.uint8)
        self.image.paste(Image.fromarray(glow(strip, np.broadcast_to(2**octaves, strip.shape[:2]))), (left, y))
        baseline = y + self._small // 2 + round(1.1 * self._small)
        even = left + self._cell * -octaves[0] / (octaves[-1] - octaves[0])
        small = self._font("even look", self._small)
        self._pen.text((even, baseline), "even look", PALE_INK, small, anchor="ms")
        self._pen.text((left + self._cell, baseline), f"{BRIGHTEST:g}x", PALE_INK, small, anchor="rs")

    def _corner(self, number: int) -> tuple[int, int]:
        row, column = divmod(number, self._columns)
        return self._margin + column * (self._cell + self._gap), self._top + row * self._row

    def _head(self, lines: list[str], note: str) -> None:
        baseline = self._margin + round(0.8 * self._title)
        for line in lines:
            self._write(line, self._margin, baseline, self._font(line, self._title), INK)
            baseline += round(1.3 * self._title)
        if note:
            baseline += round(1.6 * self._small) - round(self._title * (1.0 if lines else 0.5))
            try:
                font = self._font(note, self._small)
            except Problem:  # the name of a file may be in any script; it is not worth losing the figure
                note = note.encode("ascii", "replace").decode()
                font = self._font(note, self._small)
            note = _cut(note, font, self.image.width - 2 * self._margin)
            self._write(note, self._margin, baseline, font, PALE_INK)

    def _write(self, text: str, x: float, baseline: float, font: Font, ink: str, ends: bool = False) -> None:
        """Text that begins at x, or ends there."""
        place = self.image.width - x if self._right_to_left else x
        side = "r" if ends != self._right_to_left else "l"
        direction = "rtl" if self._right_to_left and needs_layout(text) else None
        self._pen.text((place, baseline), text, ink, font, anchor=f"{side}s", direction=direction)

    def _wrapped(self, text: str, room: float) -> list[str]:
        """The title in lines that fit: broken at spaces, or anywhere where there are none (Chinese)."""
        if not text:
            return []
        font = self._font(text, self._title)
        lines, join = [""], " " if " " in text else ""
        for piece in text.split() if join else text:
            longer = f"{lines[-1]}{join}{piece}" if lines[-1] else piece
            if lines[-1] and font.getlength(longer) > room:
                lines.append(piece)
            else:
                lines[-1] = longer
        return lines


def _cut(text: str, font: Font, room: float) -> str:
    """The text, or as much of its beginning as there is room for."""
    length = font.getlength(text)
    if length <= room:
        return text
    kept = text[: math.ceil(len(text) * room / length)]
    while kept and font.getlength(kept + "…") > room:
        kept = kept[:-1]
    return kept + "…"


def _line(text: str) -> str:
    """On one line, and without what cannot be seen (control characters in a file's name); joiners of letters stay."""
    return "".join(c if c.isprintable() or c in JOINERS else " " for c in text).strip()
