"""Tables of captions as people have them: CSV, TSV, divided by `;` or `|`, with a head line or without, commas quoted or not."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from showtell.errors import Problem, WrongUse
from showtell.pictures import PICTURE_SUFFIXES

LARGEST_CELL = 2**31 - 1
"""csv refuses cells beyond 131,072 characters by default; many candidates take more."""


class Table(NamedTuple):
    """What a table says, row by row."""

    columns: list[str]
    """Their names, in small letters."""
    rows: Iterator[dict[str, str]]
    """Each row's cells by column, without empty rows; raises Problem at one that does not fit."""


def read_table(text: str, path: Path, pictures: Collection[str], captions: Collection[str], unnamed: tuple[str, str]) -> Table:
    """The table in a text, however it is divided.

    Without a head line, a picture's file name comes first and its caption second (Flickr8k's `Flickr8k.token.txt`).

    Args:
        path: the file that it came from, for sentences.
        pictures, captions: names of columns that are looked for, in small letters; what nobody quoted of a caption in the last
            column is put together again.
        unnamed: what picture and caption are called where no head line names them.

    Raises:
        WrongUse: which column holds what cannot be told.
        Problem: a quotation mark is never closed.
    """
    text = re.sub(r"\A(?:[^\S\n]*\n)+", "", one_kind_of_line(text))  # empty lines; a tab before the first name is an empty name
    wanted = {*pictures, *captions}
    heads = {delimiter: _head(text, delimiter) for delimiter in "\t,;|"}
    delimiter = max(heads, key=lambda d: (len(wanted & set(heads[d])), names_picture(heads[d][0]), len(heads[d])))
    _check_quotes(text, delimiter, path)
    lines, columns = csv_rows(text, delimiter), heads[delimiter]
    if names_picture(columns[0]):
        _check_headless(columns, path)
        columns = list(unnamed)
    else:
        next(lines, None)
    if twice := next((name for name in columns if name in wanted and columns.count(name) > 1), None):
        raise WrongUse(f"{path} has two columns {twice}: leave one.")
    place = next((i for i, name in enumerate(columns) if name in wanted - set(captions)), 0)
    return Table(columns, _rows(lines, columns, place, delimiter, columns[-1] in captions, path))


def csv_rows(text: str, delimiter: str = ",", *, strict: bool = False) -> Any:
    """The rows of a table as csv's reader gives them: lists of cells, with `line_num` on the way. Cells may have any length."""
    csv.field_size_limit(LARGEST_CELL)
    quoting: Literal[0, 3] = (
        csv.QUOTE_NONE if delimiter == "|" else csv.QUOTE_MINIMAL
    )  # Flickr30k's table has lone quotation marks
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=strict)


def one_kind_of_line(text: str) -> str:
    """The text with lines that end as Unix's do: Excel for the Mac ends them with a carriage return alone."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def names_picture(cell: str) -> bool:
    """Whether it is the name of a picture's file."""
    return Path(file_name(cell)).suffix.lower() in PICTURE_SUFFIXES


def file_name(cell: str) -> str:
    """Flickr's lists number the captions: `photo.jpg#3`."""
    return re.sub(r"#\d+$", "", cell.strip())


def _head(text: str, delimiter: str) -> list[str]:
    """The first row; case, spaces and quotation marks do not count."""
    return [cell.strip(' "').lower() for cell in next(csv_rows(text, delimiter), [])] or [""]


def _check_headless(cells: list[str], path: Path) -> None:
    if len(cells) == 1:
        raise WrongUse(f"{path} names pictures, but has no captions: write a caption after each name, or name another file.")
    if len(cells) > 2:
        raise WrongUse(
            f"{path} has no head line, and {len(cells)} cells in its first: name its columns in a head line, such as "
            "image,caption, or put its captions in quotation marks."
        )


def _check_quotes(text: str, delimiter: str, path: Path) -> None:
    """See that no quotation mark opens what nothing closes: all that follows would be one caption."""
    if delimiter == "|" or text.count('"') % 2 == 0:
        return
    lines, begin = csv_rows(text, delimiter, strict=True), 0
    try:
        for _ in lines:
            begin = lines.line_num
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise Problem(
                f"The quotation mark in line {begin + 1} of {path} is never closed; close it, or leave it out."
            ) from error


def _unquoted(cell: str) -> str:
    """A cell without the quotation marks that stand around all of it; others stay."""
    found = re.fullmatch(r'\s*"((?:[^"]|"")*)"\s*', cell)
    return found[1].replace('""', '"') if found else cell


def _is_several(cells: list[str], place: int, delimiter: str) -> bool:
    """Whether a row of several lines would be as many rows but for its quotation marks, each with a picture in its place."""
    if not any("\n" in cell for cell in cells):
        return False
    rows = [line.split(delimiter) for line in delimiter.join(cells).split("\n")]
    if any(len(row) < len(cells) for row in rows):
        return False
    pictures = [row[place].strip() for row in rows]
    return delimiter == "\t" or all(map(names_picture, pictures)) or all(map(str.isdecimal, pictures))


def _rows(lines: Any, columns: list[str], place: int, delimiter: str, caption_last: bool, path: Path) -> Iterator[dict[str, str]]:
    """The rows below the head; `place` is that of the pictures' column."""
    try:
        for cells in lines:
            if not any(cells):
                continue
            while len(cells) > len(columns) and not cells[-1].strip():
                cells.pop()
            if caption_last and len(cells) > len(columns):  # its commas stand unquoted
                cells[len(columns) - 1 :] = [delimiter.join(cells[len(columns) - 1 :])]
            if len(cells) != len(columns):
                advice = "put its caption in quotation marks" if len(cells) > len(columns) else "mend it"
                raise Problem(
                    f"Line {lines.line_num} of {path} has {len(cells)} cells where the first line has {len(columns)}; {advice}."
                )
            if delimiter == "|":
                cells = [_unquoted(cell) for cell in cells]
            if _is_several(cells, place, delimiter):
                raise Problem(
                    f"A quotation mark before line {lines.line_num} of {path} opens what another line closes, and the rows "
                    "between them are one caption; leave both out, or double them."
                )
            yield dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise Problem(f"Line {lines.line_num} of {path} cannot be read as a table ({error}); mend it.") from error
