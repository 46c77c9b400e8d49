"""How records stand in a file that grows: JSON lines, CSV, and the results of COCO, one after another."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import zlib
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any, NamedTuple, Protocol

from showtell.captioning.inputs import picture_key
from showtell.captioning.records import Record
from showtell.data.tables import csv_rows
from showtell.errors import Problem, WrongUse, disk_sentences, printable
from showtell.files import as_utf8, unpacked

COLUMNS = ("image", "caption", "words", "logprobs", "confidence", "candidates", "model", "guess", "labels", "languages", "error")


class Entry(NamedTuple):
    """What a file tells of a picture when it is read again."""

    key: Hashable
    """Stands for the picture."""
    error: str | None
    """Why it was skipped; None if it has a caption."""


class Format(Protocol):
    """A way to write records one after another, and to find out later which are there."""

    header: bytes
    """What the file begins with."""

    def refusal(self, image: str) -> str | None:
        """Why the picture cannot stand in this format, as a sentence; None if it can."""

    def key(self, image: str) -> Hashable:
        """What stands for a picture in this format."""

    def encode(self, record: Record) -> bytes:
        """The record as it is appended, line end included; nothing for what this format leaves out."""

    def lines(self, file: Iterable[bytes]) -> Iterator[bytes]:
        """The whole records of a file after its header; what was cut off at its end is left out."""

    def decode(self, line: bytes) -> Entry:
        """What a record tells; ValueError, KeyError, TypeError or RecursionError if it is none of this format's."""


def _whole_lines(file: Iterable[bytes]) -> Iterator[bytes]:
    return (line for line in file if line.endswith(b"\n"))


class _ByName:
    """Pictures stand under the names that the user gave them.

    Args:
        folder: where relative names begin.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = str(folder)
        self._elsewhere = os.path.realpath(folder) != os.path.realpath(os.curdir)

    def refusal(self, image: str) -> str | None:
        """A relative name would mean another picture, where the file was begun in another folder."""
        if os.path.isabs(image) or not self._elsewhere:  # noqa: PTH117
            return None
        return (
            f"{printable(image)} is a name in this folder, and those in the output are in {printable(self._folder)}: "
            "call from there, give whole paths, or name another output."
        )

    def key(self, image: str) -> Hashable:
        """The picture's path, hashed."""
        return picture_key(os.path.join(self._folder, image))  # noqa: PTH118


class JsonLines(_ByName):
    """A JSON object a line."""

    header = b""
    lines = staticmethod(_whole_lines)

    def encode(self, record: Record) -> bytes:
        return as_utf8(json.dumps(record, ensure_ascii=False) + "\n")

    def decode(self, line: bytes) -> Entry:
        record = json.loads(line)
        if "caption" not in record and "error" not in record:
            raise ValueError
        return Entry(self.key(record["image"]), record.get("error"))


class Csv(_ByName):
    """A table with a header (RFC 4180, UTF-8); cells of words, logprobs, candidates, labels and languages hold JSON."""

    header = ",".join(COLUMNS).encode() + b"\n"

    def key(self, image: str) -> Hashable:
        return super().key(as_utf8(image).decode())  # as it is read again

    def encode(self, record: Record) -> bytes:
        text = io.StringIO(newline="")
        cells = {
            key: json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
            for key, value in record.items()
        }
        csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(cells)
        return as_utf8(text.getvalue())

    def lines(self, file: Iterable[bytes]) -> Iterator[bytes]:
        row = b""
        for line in file:
            row += line
            if line.endswith(b"\n") and row.count(b'"') % 2 == 0:  # else the line ends inside a quoted cell
                yield row
                row = b""

    def decode(self, line: bytes) -> Entry:
        try:
            (row,) = csv_rows(line.decode())
        except csv.Error as error:
            raise ValueError(str(error)) from error
        record = dict(zip(COLUMNS, row, strict=True))
        return Entry(self.key(record["image"]), record["error"] or None)


class CocoResults:
    """Results as COCO's evaluation reads them, `image_id` and `caption`; a picture that was skipped is left out.

    Args:
        image_ids: the annotations' image ids by file name; None takes the digits that end the file's name.
    """

    header = b""
    lines = staticmethod(_whole_lines)

    def __init__(self, image_ids: dict[str, int | str] | None = None) -> None:
        self._image_ids = image_ids

    def refusal(self, image: str) -> str | None:
        try:
            self.key(image)
        except WrongUse as problem:
            return str(problem)
        return None

    def key(self, image: str) -> int | str:
        """The picture's image_id.

        Raises:
            WrongUse: it has none.
        """
        path = PurePath(image)
        if self._image_ids is not None:
            names = ("/".join(path.parts[i:]) for i in range(len(path.parts)))  # the annotations may name a folder
            found = next((self._image_ids[name] for name in names if name in self._image_ids), None)
            if found is None:
                raise WrongUse(
                    f"{printable(image)} is not in the annotations, so it has no image_id: name the right ones, or leave it out."
                )
            return found
        digits = re.search(r"(?<![0-9])[0-9]{1,18}$", path.stem)
        if digits is None:
            raise WrongUse(
                f"{printable(image)} has no image_id, for its name does not end in digits, at most 18: "
                "name its annotations with --annotations, or an output that ends in .jsonl or .csv."
            )
        return int(digits[0])

    def encode(self, record: Record) -> bytes:
        if "error" in record:
            return b""
        return as_utf8(
            json.dumps({"image_id": self.key(record["image"]), "caption": record["caption"]}, ensure_ascii=False) + "\n"
        )

    def decode(self, line: bytes) -> Entry:
        result = json.loads(line)
        if "caption" not in result:
            raise ValueError
        return Entry(result["image_id"], None)


def read_image_ids(annotations: Path) -> dict[str, int | str]:
    """The image ids of COCO annotations by file name; captions need not be there, as in `image_info_test2014.json`.

    Raises:
        Problem: the file is not there, or holds something else.
    """
    with disk_sentences(annotations, "read"):
        packed = annotations.read_bytes()
    try:
        content: Any = json.loads(unpacked(packed))
        image_ids = {image["file_name"]: image["id"] for image in content["images"]}
        if len({(image["file_name"], image["id"]) for image in content["images"]}) > len(image_ids):
            raise Problem(f"{annotations} gives a file two ids: leave one of them.")
        if not {type(image_id) for image_id in image_ids.values()} <= {int, str}:
            raise TypeError
        return image_ids
    except (OSError, ValueError, LookupError, TypeError, EOFError, RecursionError, zlib.error) as error:
        raise Problem(
            f"{annotations} holds no COCO annotations: it must be JSON with images, each with file_name and id."
        ) from error
