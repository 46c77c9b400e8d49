"""The captions in a file, whatever its format: one row a picture, before anybody knows where the pictures lie.

Formats, and where each comes from:

- `coco`: MS COCO's caption annotations (https://cocodataset.org/#format-data): `images` with `id` and `file_name`, and
  `annotations` with `image_id` and `caption`.
- `karpathy`: the split files that Andrej Karpathy published with *Deep Visual-Semantic Alignments* (2015), `dataset_coco.json`,
  `dataset_flickr8k.json`, `dataset_flickr30k.json`: `images` with `filename`, `imgid`, `split` and `sentences`, each with `raw`;
  for COCO also `filepath` and `cocoid`. Variants with `id`, `file_name`, `captions` or plain sentences are understood.
- `table`: CSV or TSV with a header, or divided by `;` or `|` (Flickr30k's `results.csv`); without a header, the file name comes
  first and the caption second (Flickr8k's `Flickr8k.token.txt`).
- `jsonl`: a JSON object a line (or a list of objects) with a file name and a caption or a list of them (Hugging Face's
  `metadata.jsonl`; the columns are settings).
- `folder`: a `.txt` beside each picture, a caption a line.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from showtell.data.options import DataOptions, Format
from showtell.data.tables import file_name, read_table
from showtell.errors import Problem, WrongUse, first_line
from showtell.pictures import list_pictures

Row = tuple[int | str, str, str | None, tuple[str, ...]]
"""Picture id, file name as the annotations give it, split (where they tell), captions (without empty ones)."""

_HEAD = 2**16
"""Bytes in which a format shows itself."""


def read_rows(path: Path, options: DataOptions) -> list[Row]:
    """The captions in the file or folder, in its order; a picture without captions has an empty tuple.

    Raises:
        WrongUse: a table or JSONL lacks the columns that the options name; the format cannot be recognised.
        Problem: the file is broken, or laid out otherwise than its format is.
    """
    kind = recognise(path) if options.format == "auto" else options.format
    try:
        rows = list(_folder(path, options) if kind == "folder" else _READERS[kind](_text(path), path, options))
        ids, files, splits = ({type(row[place]) for row in rows} for place in range(3))
        if not ids <= {int, str} or not files <= {str} or not splits <= {str, type(None)}:
            raise TypeError
        return rows
    except json.JSONDecodeError as error:
        raise Problem(f"{path} is broken JSON at line {error.lineno} ({error.msg}); fetch or write it again.") from error
    except UnicodeDecodeError as error:
        if error.object.startswith(b"PK\x03\x04"):
            raise Problem(f"{path} is an archive, such as Excel's; save the table as CSV in UTF-8.") from error
        raise Problem(f"{path} is not text in UTF-8 (byte {error.start}); save it as UTF-8.") from error
    except ValueError as error:  # such as a number of five thousand digits
        raise Problem(f"{path} cannot be read as {kind} captions ({first_line(error)}); mend it.") from error
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        lacks = f"something lacks {error}" if isinstance(error, KeyError) else "something in it is of another type"
        raise Problem(f"{path} is not laid out as {kind} captions are: {lacks}; mend it, or name another format.") from error


def recognise(path: Path) -> Format:
    """The format of a file of captions, by its content alone.

    Raises:
        WrongUse: it is JSON of some other kind.
        Problem: the file cannot be read.
    """
    if path.is_dir():
        return "folder"
    head = _read(path, _HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.startswith((b"{", b"[")):
        return "table"
    if head.startswith(b"["):
        return "jsonl"
    try:
        first_line = json.loads(head.split(b"\n", 1)[0])
        if not {"images", "annotations"} & set(first_line):
            return "jsonl"
    except (ValueError, RecursionError):
        pass  # an object of many lines, or of one very long line
    if b'"sentences"' in head or (b'"images"' in head and re.search(rb'"captions"\s*:\s*\[', head)):
        return "karpathy"
    if b'"images"' in head or b'"annotations"' in head:
        return "coco"
    raise WrongUse(f"{path} holds JSON, but no captions of a known format; name its format, or write it as COCO does.")


def _read(path: Path, size: int = -1) -> bytes:
    """The file's bytes, decompressed where it is gzip."""
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if compressed else path.open("rb") as file:
            return file.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Problem(f"{path} is damaged ({error}); fetch it again.") from error
    except OSError as error:
        raise Problem(f"{path} cannot be read ({error.strerror}); see that it is there and that you may read it.") from error


def _text(path: Path) -> str:
    return _read(path).decode("utf-8-sig")


# ---------------------------------------------------------------------------------------------------------------- JSON


def _coco(text: str, path: Path, options: DataOptions) -> Iterator[Row]:
    document = json.loads(text)
    captions: dict[int | str, list[str]] = defaultdict(list)
    for annotation in document["annotations"]:
        captions[annotation["image_id"]].append(annotation["caption"])
    listed = {image["id"] for image in document.get("images") or ()}
    strange = [image_id for image_id in captions if image_id not in listed]
    if len(strange) < len(captions):  # who lists some of the images wants those; but "9" is no other than 9
        spelt = set(map(str, listed)) if strange else set()
        strange = [image_id for image_id in strange if str(image_id) in spelt]
    if listed and strange:
        raise Problem(f"{path} has captions of images that it does not list, such as {strange[0]!r}; mend their ids.")
    for image in document.get("images") or [{"id": image_id} for image_id in captions]:  # references alone need no pictures
        yield image["id"], image.get("file_name", str(image["id"])), None, _clean(captions[image["id"]])


def _karpathy(text: str, path: Path, options: DataOptions) -> Iterator[Row]:
    for number, image in enumerate(json.loads(text)["images"]):
        image_id = next((image[key] for key in ("cocoid", "imgid", "image_id", "id") if key in image), number)
        file = next((image[key] for key in ("filename", "file_name") if key in image), str(image_id))
        name = "/".join(filter(None, (image.get("filepath"), file)))
        sentences = image["sentences"] if "sentences" in image else image["captions"]
        sentences = [sentences] if isinstance(sentences, str) else sentences
        yield image_id, name, image.get("split"), _clean(map(_said, sentences))


def _said(sentence: Any) -> str:
    """A sentence of Karpathy's, or one that was simplified to its text."""
    if isinstance(sentence, str):
        return sentence
    key = next((key for key in ("raw", "caption") if key in sentence), None)
    text: str = sentence[key] if key else " ".join(sentence["tokens"])
    return text


def _clean(captions: Iterable[str]) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, captions)))


# ----------------------------------------------------------------------------------- a caption or a few, line by line


def _jsonl(text: str, path: Path, options: DataOptions) -> Iterator[Row]:
    return _grouped(_json_lines(text, path, options), path)


def _json_lines(text: str, path: Path, options: DataOptions) -> Iterator[tuple[str, str | None, Iterable[str]]]:
    for value in json.loads(text) if text.lstrip().startswith("[") else json_lines(text, path):
        columns = list(value.keys())
        captions = value[_column("caption_column", options.caption_column, columns, path)]
        file = value[_column("image_column", options.image_column, columns, path)]
        if not isinstance(captions, str | list):
            raise TypeError
        yield str(file) if type(file) is int else file, value.get("split"), [captions] if isinstance(captions, str) else captions


def json_lines(text: str, path: Path, object_of: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Iterator[Any]:
    """The values of JSON lines; `object_of` makes objects of their names and values, where dictionaries do not do.

    Raises:
        Problem: one is broken; the sentence tells its line.
    """
    for number, line in enumerate(text.split("\n"), start=1):  # not at U+2028, as str.splitlines would
        if line.strip():
            try:
                yield json.loads(line, object_pairs_hook=object_of)
            except json.JSONDecodeError as error:
                raise Problem(f"{path} is broken JSON at line {number} ({error.msg}); fetch or write it again.") from error


def _table(text: str, path: Path, options: DataOptions) -> Iterator[Row]:
    return _grouped(_table_lines(text, path, options), path)


def _table_lines(text: str, path: Path, options: DataOptions) -> Iterator[tuple[str, str | None, Iterable[str]]]:
    asked = options.image_column.lower(), options.caption_column.lower()
    table = read_table(text, path, asked[:1], asked[1:], unnamed=asked)
    image = _column("image_column", options.image_column, table.columns, path)
    caption = _column("caption_column", options.caption_column, table.columns, path)
    for row in table.rows:
        yield file_name(row[image]), row.get("split", "").strip(), [row[caption]]


def _column(setting: str, asked: str, columns: list[str], path: Path) -> str:
    """`asked` as the file spells it."""
    for column in columns:
        if column.lower() == asked.lower():
            return column
    if columns and not any(columns):
        raise WrongUse(f"{path} has no head line that names its columns: add one, such as image,caption.")
    others = {DataOptions.image_column, DataOptions.caption_column, "split"}  # they hold what their names say
    nearest = get_close_matches(asked, [column for column in columns if column.lower() not in others], n=1, cutoff=0.0)
    advice = f"; set {setting} to {nearest[0]:.40}, say" if nearest else f"; name it with {setting}"
    raise WrongUse(f"{path} has no column {asked} (it has {_few(columns) or 'none'}){advice}.")


def _few(columns: list[str]) -> str:
    """The first of them, each as far as a sentence can hold it: what is no table may have thousands."""
    return ", ".join([f"{column:.40}" for column in columns[:12]] + ["..."] * (len(columns) > 12))


def _grouped(lines: Iterable[tuple[str, str | None, Iterable[str]]], path: Path) -> Iterator[Row]:
    """One row a picture, in the order in which the pictures first appear."""
    captions: dict[str, list[str]] = defaultdict(list)
    splits: dict[str, str | None] = {}
    for file, split, texts in lines:
        captions[file].extend(texts)
        if splits.setdefault(file, split or None) != (split or None):
            raise Problem(f"{path} puts the picture {file} into two splits ({splits[file]}, {split}); give it one.")
    for file, texts in captions.items():
        yield file, file, splits[file], _clean(texts)


# -------------------------------------------------------------------------------------------------------------- folder


def _folder(folder: Path, options: DataOptions) -> Iterator[Row]:
    splits = {options.train_split, options.val_split, "train", "val", "test"}
    for picture in list_pictures(folder):
        text = picture.with_suffix(".txt")
        name = picture.relative_to(folder).as_posix()
        top = name.split("/", 1)[0]
        captions = _clean(_text(text).splitlines()) if text.is_file() else ()
        yield name, name, top if top in splits and "/" in name else None, captions


_READERS: dict[str, Callable[[str, Path, DataOptions], Iterator[Row]]] = {
    "coco": _coco,
    "karpathy": _karpathy,
    "table": _table,
    "jsonl": _jsonl,
}
