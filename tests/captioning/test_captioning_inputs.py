"""What names, folders, patterns and lists stand for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from fake_captioner import BROKEN, WHOLE
from PIL import Image

from showtell.captioning.figures import FigureNames, _comment, may_draw
from showtell.captioning.inputs import find_pictures

ALL = sorted([*WHOLE, BROKEN])


def found(*inputs: str, lines: list[str] | None = None) -> tuple[list[str], list[str]]:
    """The pictures, and the sentences of what is left out."""
    skipped: list[str] = []
    return list(find_pictures(inputs, lines or [], skipped.append)), skipped


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["photos/a_001.png"], ["photos/a_001.png"]),
        (["photos/f_006.png", "photos/a_001.png"], ["photos/f_006.png", "photos/a_001.png"]),  # in the order given
        (["photos"], ALL),
        (["photos/"], ALL),
        (["./photos/sub", "photos"], ["photos/sub/a_001.png", "photos/sub/z.png", *ALL[:6]]),
        (["photos/*.png"], [name for name in ALL if name.endswith(".png") and "sub" not in name]),
        (["photos/*"], ALL),  # as in a folder: no notes.txt, and folders are searched through
        (["photos/**"], ALL),
        (["photos/**/a_*.png"], ["photos/a_001.png", "photos/sub/a_001.png"]),
        (["p*/s?b"], ["photos/sub/a_001.png", "photos/sub/z.png"]),
        (["photos/[ac]_*"], ["photos/a_001.png", "photos/c_003.png"]),
    ],
)
def test_inputs_stand_for_pictures(here: Path, inputs: list[str], expected: list[str]) -> None:
    assert found(*inputs) == (expected, [])


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_patterns_enter_no_links_to_folders(here: Path) -> None:
    """Two that lead back would be 2 ** 40 ways to each picture."""
    for name in ("round", "again"):
        (here / "photos" / name).symlink_to(".")
    (here / "photos/.hidden").mkdir()
    Image.new("RGB", (8, 8)).save(here / "photos/.hidden/x.png")
    for pattern in (
        "photos/**/*.png",
        "**/*.png",
        f"{here}/**/*.png",
        "photos/**/sub/**/*.png",
        "./**",
        "photos/**/*",
        "photos/**/",
    ):
        expected = [
            name
            for name in ALL
            if ".png" not in pattern or (name.endswith(".png") and ("/sub/**" not in pattern or "sub/" in name))
        ]
        assert [os.path.relpath(name) for name in found(pattern)[0]] == expected, pattern
    assert found("photos/**/round")[0] == [f"photos/round/{name.removeprefix('photos/')}" for name in ALL]  # named as such
    assert found("photos/**//z.png")[0] == ["photos/sub/z.png"]


def test_absolute_names_stay_absolute(here: Path) -> None:
    assert found(str(here / "photos/sub"))[0] == [str(here / "photos/sub/a_001.png"), str(here / "photos/sub/z.png")]
    assert found(f"{here}/photos/sub/*")[0] == [f"{here}/photos/sub/a_001.png", f"{here}/photos/sub/z.png"]


def test_a_picture_comes_once_however_it_is_named(here: Path) -> None:
    names = ["photos/a_001.png", "./photos/a_001.png", "photos/sub/../a_001.png", str(here / "photos/a_001.png")]
    assert found(*names) == ([names[0]], [])
    assert found("photos", "photos/*", *ALL)[0] == ALL


def test_a_file_with_brackets_in_its_name_is_no_pattern(here: Path) -> None:
    (here / "photos/a[1].png").touch()
    assert found("photos/a[1].png") == (["photos/a[1].png"], [])


def test_a_missing_file_is_left_to_opening(here: Path) -> None:
    assert found("nowhere.jpg", "https://example.org/a.jpg?b=*") == (["nowhere.jpg", "https://example.org/a.jpg?b=*"], [])


def test_what_brings_nothing_is_named(here: Path) -> None:
    (here / "empty").mkdir()
    pictures, skipped = found("empty", "*.webp", "photos/a_001.png", "photos/*.txt")
    assert pictures == ["photos/a_001.png"]
    assert [("empty" in skipped[0]), ("*.webp" in skipped[1]), ("photos/*.txt" in skipped[2])] == [True] * 3
    assert len(skipped) == 3


def test_a_folder_that_cannot_be_read_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def locked(folder: str) -> object:
        if str(folder).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", locked)
    pictures, skipped = found("photos")
    assert pictures == ALL[:6] and len(skipped) == 1 and "photos/sub" in skipped[0]
    pictures, skipped = found("photos/sub", "photos/a_001.png")
    assert pictures == ["photos/a_001.png"] and len(skipped) == 1 and "photos/sub" in skipped[0]


def test_standard_input_lists_pictures_and_folders(here: Path) -> None:
    lines = ["\ufeffphotos/f_006.png\r\n", "\n", "photos/sub\n", "photos/[ac]_*\n", " spaced .png"]
    assert found("photos/a_001.png", "-", lines=lines)[0] == [
        *("photos/a_001.png", "photos/f_006.png", "photos/sub/a_001.png", "photos/sub/z.png"),
        "photos/[ac]_*",  # a list holds names, not patterns
        " spaced .png",
    ]


@pytest.mark.parametrize("lines", [[], ["\n", "\r\n"]])
def test_standard_input_without_names_is_named(here: Path, lines: list[str]) -> None:
    assert found("-", lines=lines) == ([], ["Standard input holds no names; write one a line."])


def test_standard_input_is_read_as_pictures_are_asked_for() -> None:
    def lines():  # type: ignore[no-untyped-def]
        yield "a.png\n"
        raise AssertionError("read too far")

    assert next(find_pictures(["-"], lines(), print)) == "a.png"


def test_figures_have_the_names_of_their_pictures(here: Path) -> None:
    figures = FigureNames(Path("maps"))
    paths = [figures.path(name).as_posix() for name in ("photos/dog.jpg", "photos/sub/cat.png", "photos/a.b.png")]
    assert paths == ["maps/dog.jpg", "maps/cat.jpg", "maps/a.b.jpg"]


def test_figures_of_equal_names_are_told_apart_always_in_the_same_way(here: Path) -> None:
    names = ["x/dog.jpg", "y/dog.jpg", "y/Dog.png", "y/" + "长" * 200 + ".png"]

    def paths() -> list[Path]:
        figures = FigureNames(Path("maps"))
        return [figures.path(name) for name in names]

    assert paths() == paths()
    assert len({str(path).lower() for path in paths()}) == len(names)
    assert all(len(path.name.encode()) < 200 for path in paths())


def test_a_figure_takes_no_other_files_name(here: Path) -> None:
    """What lies there may be a photograph, or another picture's figure of an earlier run."""
    Path("maps").mkdir()
    Image.new("RGB", (9, 9)).save("maps/dog.jpg")
    path = FigureNames(Path("maps")).path("x/dog.jpg")
    assert path.name.startswith("dog-")
    Image.new("RGB", (9, 9)).save(path, comment=_comment(path, "x/dog.jpg"))
    assert FigureNames(Path("maps")).path("x/dog.jpg") == path  # its own
    assert FigureNames(Path("maps")).path("y/dog.jpg") != path
    assert not may_draw(Path("maps/dog.jpg"), "x/dog.jpg") and not may_draw(path, "y/dog.jpg")
    Path("moved").mkdir()
    Path("maps").rename("moved/maps")
    assert may_draw(Path("moved/maps") / path.name, "moved/x/dog.jpg")  # with its picture


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are always text")
def test_names_of_bytes_that_are_no_text(here: Path) -> None:
    name = os.fsdecode(b"photos/caf\xe9.png")
    (here / name).touch()
    assert name in found("photos")[0]
    assert found("-", lines=[name + "\n"])[0] == [name]
