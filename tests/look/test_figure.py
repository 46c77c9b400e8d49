"""The figure: a tile a word, in reading order, legible, for any picture, script and number of words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from showtell.errors import Problem
from showtell.look import attention_figure, fonts

raqm = pytest.mark.skipif(not features.check("raqm"), reason="no FriBiDi here")


def peaked(words: int, row: int, column: int, cells: int = 7) -> np.ndarray:
    maps = np.full((words, cells, cells), 0.2)
    maps[:, row, column] = 20
    return maps / maps.sum((1, 2), keepdims=True)


def photograph(width: int = 320, height: int = 240) -> Image.Image:
    return Image.new("RGB", (width, height), (110, 115, 120))


def tiles(figure: Image.Image) -> list[tuple[int, int, int, int]]:
    """left, top, right, bottom of the pictures on the page, in rows from top to bottom, each from left to right."""
    inked = np.asarray(figure.convert("L")) < 250
    found = []
    for top, bottom in runs(inked.mean(1) > 0.15, 60):
        found += [(left, top, right, bottom) for left, right in runs(inked[top:bottom].mean(0) > 0.9, 20)]
    return found


def runs(mask: np.ndarray, shortest: int) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= shortest]


def brightest(figure: Image.Image, tile: tuple[int, int, int, int]) -> tuple[float, float]:
    """Where the light is in a tile, in fractions of its sides: the centre of its warmest pixels."""
    pixels = np.asarray(figure.crop(tile)).astype(int)
    warm = pixels[..., 0] - pixels[..., 2]
    y, x = np.nonzero(warm >= warm.max() - 10)
    return float(x.mean() + 0.5) / warm.shape[1], float(y.mean() + 0.5) / warm.shape[0]


@pytest.mark.parametrize("words", [1, 2, 7, 12, 30])
def test_the_photograph_and_a_tile_a_word(words: int) -> None:
    figure = attention_figure(photograph(), [f"word{i}" for i in range(words)], peaked(words, 3, 3), title="A sentence")
    found = tiles(figure)
    assert len(found) == words + 1
    assert figure.mode == "RGB" and figure.width <= 1500 + 100
    sizes = {(right - left, bottom - top) for left, top, right, bottom in found}
    assert len(sizes) == 1, "all of one size"
    ((width, height),) = sizes
    assert abs(width / height - 4 / 3) < 0.02
    assert 0.7 <= width * height / 224**2 <= 1.4


def test_light_lies_where_the_map_says() -> None:
    figure = attention_figure(photograph(), ["upper", "right"], peaked(2, 1, 5))
    for tile in tiles(figure)[1:]:
        x, y = brightest(figure, tile)
        assert abs(x - 5.5 / 7) < 0.05 and abs(y - 1.5 / 7) < 0.05


def test_a_crop_shows_the_whole_picture_and_light_in_the_seen_part() -> None:
    figure = attention_figure(photograph(400, 200), ["dog"], peaked(1, 3, 0), (100.0, 0.0, 300.0, 200.0))
    left, top, right, bottom = tiles(figure)[0]
    lit = (right + 18, top, right + 18 + (right - left), bottom)  # the tile beside it
    x, y = brightest(figure, lit)
    assert abs(x - (0.25 + 0.5 * 0.5 / 7)) < 0.05 and abs(y - 0.5) < 0.05


def test_a_padded_picture_shows_its_padding() -> None:
    figure = attention_figure(photograph(200, 100), ["dog"], peaked(1, 3, 3), (0.0, -50.0, 200.0, 150.0))
    found = tiles(figure)
    assert all(abs((right - left) - (bottom - top)) <= 1 for left, top, right, bottom in found), "squares"
    x, y = brightest(figure, found[1])
    assert abs(x - 0.5) < 0.05 and abs(y - 0.5) < 0.05


@raqm
def test_tiles_run_from_right_to_left_for_arabic() -> None:
    maps = np.concatenate([peaked(1, 1, 1), peaked(1, 5, 5)])
    try:
        figure = attention_figure(photograph(), ["كلب", "يجري"], maps, title="كلب يجري", note="dog.jpg")
    except Problem as problem:
        pytest.skip(str(problem))
    second, first, whole = tiles(figure)  # from left to right on the page
    assert np.asarray(figure.crop(whole)).std((0, 1)).max() < 1, "the photograph comes first, on the right"
    assert brightest(figure, first)[0] < 0.4 and brightest(figure, second)[0] > 0.6
    ink = np.asarray(figure.convert("L"))[: whole[1] - 5] < 128
    assert np.flatnonzero(ink.any(0)).mean() > figure.width / 2, "the title begins on the right"


def test_order_can_be_asked_for() -> None:
    maps = np.concatenate([peaked(1, 3, 1), peaked(1, 3, 5)])
    figure = attention_figure(photograph(), ["a", "b"], maps, right_to_left=True)
    assert [round(brightest(figure, tile)[0], 1) for tile in tiles(figure)[:2]] == [0.8, 0.2]


def test_long_words_stay_within_their_tile() -> None:
    words = ["Donaudampfschifffahrtsgesellschaftskapitän".replace("ä", "ae"), "x" * 400, "i"]
    figure = attention_figure(photograph(), words, peaked(3, 3, 3))
    _, first, second, third = tiles(figure)
    for left, right in ((first[2], second[0]), (second[2], third[0])):
        assert (np.asarray(figure)[:, left + 3 : right - 3] == 255).all(), "nothing is written in the gap"


def test_a_long_title_takes_more_lines() -> None:
    short, long = (attention_figure(photograph(), ["a"], peaked(1, 3, 3), title="many words " * n) for n in (1, 20))
    assert long.height > short.height + 100 and long.width == short.width
    assert (np.asarray(long)[:, -20:] == 255).all()


@pytest.mark.parametrize("size", [(10, 900), (900, 10), (1, 1), (37, 53)])
def test_pictures_of_every_shape(size: tuple[int, int]) -> None:
    figure = attention_figure(photograph(*size), ["a", "dog"], peaked(2, 3, 3), title="A dog")
    assert figure.width < 1700 and figure.height < 1200


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_pictures_of_every_mode(mode: str) -> None:
    assert len(tiles(attention_figure(photograph().convert(mode), ["a"], peaked(1, 3, 3)))) == 2


def test_no_words_is_only_the_photograph() -> None:
    assert len(tiles(attention_figure(photograph(), [], np.zeros((0, 7, 7))))) == 1


def test_odd_characters_in_a_name_do_not_cost_the_figure() -> None:
    attention_figure(
        photograph(), ["a\nb"], peaked(1, 3, 3), title="Two\nlines", note="\x1b[31m\udcff\n\U000e0001" + "很长" * 500
    )


def test_words_and_maps_must_agree() -> None:
    with pytest.raises(ValueError, match="2 words and 3 maps"):
        attention_figure(photograph(), ["a", "b"], peaked(3, 3, 3))
    with pytest.raises(ValueError, match="weights"):
        attention_figure(photograph(), ["a"], np.zeros((1, 7, 7)))


def test_tiles_of_another_size() -> None:
    left, _, right, _ = tiles(attention_figure(photograph(), ["a"], peaked(1, 3, 3), tile=448, width=3000))[0]
    assert 450 < right - left < 650


# -- fonts


def test_no_boxes_for_words_but_a_sentence_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed", lambda: ())
    fonts._file_for.cache_clear()
    with pytest.raises(Problem, match=r"characters of these words \(一\).*apt install fonts-noto-cjk"):
        attention_figure(photograph(), ["一", "dog"], peaked(2, 3, 3))
    with pytest.raises(Problem, match="apt install fonts-dejavu-core"):
        attention_figure(photograph(), ["Привет"], peaked(1, 3, 3))
    assert attention_figure(photograph(), ["a", "dog"], peaked(2, 3, 3), note="一.jpg"), "the bundled font does for English"
    fonts._file_for.cache_clear()


def test_right_to_left_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(Problem, match="FriBiDi"):
        attention_figure(photograph(), ["كلب"], peaked(1, 3, 3))


def test_a_font_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with pytest.raises(Problem, match=r"broken\.ttf cannot be opened"):
        attention_figure(photograph(), ["a"], peaked(1, 3, 3), font=tmp_path / "broken.ttf")
    own = next((name for name in fonts._installed() if name.endswith("DejaVuSans.ttf")), None)
    if own is not None:
        assert attention_figure(photograph(), ["Straße"], peaked(1, 3, 3), font=own)
        with pytest.raises(Problem, match=r"DejaVuSans\.ttf lacks"):
            attention_figure(photograph(), ["一"], peaked(1, 3, 3), font=own)


def test_words_of_one_figure_share_a_font() -> None:
    try:
        alone, together = fonts.find_font("dog", 20), fonts.find_font("dog", 20, company="Straße")
    except Problem as problem:
        pytest.skip(str(problem))
    assert fonts.find_font("Straße", 20).getname() == together.getname() != alone.getname()
