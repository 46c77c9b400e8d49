"""Captions that some program wrote, in whatever of the usual ways: which picture, and what it says of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from showtell.data.formats import json_lines
from showtell.data.tables import read_table
from showtell.errors import Problem, WrongUse, disk_sentences
from showtell.files import unpacked

PICTURE_KEYS = (
    "image_id",
    "cocoid",
    "file_name",
    "filename",
    "image",
    "file",
    "image_path",
    "path",
    "imgid",
    "img_id",
    "id",
    "name",
)
"""Names under which a picture stands; the first that is there counts."""
CAPTION_KEYS = ("caption", "prediction", "pred", "generated_caption", "hypothesis", "text", "sentence", "sentences", "captions")
LISTS = ("annotations", "images", "predictions", "results", "captions", "imgToEval")
"""Under which an object keeps its list of captions."""
NUMBERS = ("image_id", "cocoid", "imgid", "img_id", "id")
"""Those that are a picture's number rather than its name."""


class TwiceSaid(Exception):
    """A name that a JSON object has twice."""


class Prediction(NamedTuple):
    """What a file says of a picture."""

    picture: str
    """Its number or name, as the file gives it."""
    by_number: bool
    """Whether that is a number in the data set rather than a file's name."""
    caption: str | None
    """None: it was skipped, as showtell's own files say of pictures that could not be read."""
    file: str | None = None
    """Beside a number: the file's name, where it is given too."""


def read_predictions(path: Path) -> list[Prediction]:
    """All that the file holds, in its order: JSON (COCO results, or an object that holds such a list), JSON lines, CSV or TSV.

    Raises:
        WrongUse: it is laid out otherwise.
        Problem: it cannot be read, or is broken.
    """
    text = _text(path)
    try:
        objects = _objects(text, path)
        predictions = [_prediction(each, path) for each in objects]
    except TwiceSaid as name:
        raise WrongUse(f"{path} says twice what {name} is: leave one.") from None
    except json.JSONDecodeError as error:
        raise Problem(f"{path} is broken JSON at line {error.lineno} ({error.msg}); write it again.") from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of five thousand digits
        raise Problem(f"{path} cannot be read as captions ({error}); mend it.") from error
    if not predictions:
        raise WrongUse(f"{path} holds no captions.")
    return predictions


def _text(path: Path) -> str:
    try:
        with disk_sentences(path, "read"):
            content = path.read_bytes()
        return unpacked(content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise Problem(f"{path} is damaged ({error}); fetch or write it again.") from error
    except UnicodeDecodeError as error:
        raise Problem(f"{path} is not text in UTF-8 (byte {error.start}); save it as UTF-8.") from error


# ----------------------------------------------------------------------------------------------------- one after another


def _objects(text: str, path: Path) -> Iterator[Any]:
    begin = text.lstrip()[:1]
    if begin not in ("{", "["):
        return _rows(text, path)
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError:
        if begin == "[" or "\n" not in text.strip():
            raise
        return json_lines(text, path, _once)
    return _listed(document, path)


def _listed(document: Any, path: Path) -> Iterator[Any]:
    """The captions of a JSON document: a list, an object that holds one, one caption alone, or captions by picture."""
    if isinstance(document, list):
        return iter(document)
    for name in LISTS:
        listed = document.get(name)
        if isinstance(listed, list) and all(map(_says_something, listed[:1])):
            return iter(listed)
    if _says_something(document):
        return iter([document])
    return ({"image_id": picture, "caption": caption} for picture, caption in document.items())


def _says_something(entry: Any) -> bool:
    """Whether it is an object that names a picture, and what is said of it or why nothing is."""
    return isinstance(entry, Mapping) and bool(set(entry) & set(PICTURE_KEYS)) and bool(set(entry) & {*CAPTION_KEYS, "error"})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different: of two captions of a picture, JSON's readers keep the last without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise TwiceSaid(next(name for name in names if names.count(name) > 1))
    return found


def _rows(text: str, path: Path) -> Iterator[Mapping[str, str]]:
    table = read_table(text, path, PICTURE_KEYS, CAPTION_KEYS, unnamed=("image", "caption"))
    if not set(table.columns) & set(PICTURE_KEYS) or not set(table.columns) & set(CAPTION_KEYS):
        raise WrongUse(
            f"{path} is no table of captions: its first line must name the columns, image or image_id and caption, and it names "
            f"{', '.join(filter(None, table.columns)) or 'nothing'}."
        )
    return table.rows


# ----------------------------------------------------------------------------------------------------------- one of them


def _prediction(each: Any, path: Path) -> Prediction:
    if not isinstance(each, Mapping):
        raise WrongUse(f"{path} holds {each!r:.60} where an object with image_id and caption is expected.")
    key = next((name for name in PICTURE_KEYS if each.get(name) not in (None, "")), None)
    if key is None or not (type(each[key]) in (int, str) or (type(each[key]) is float and each[key].is_integer())):
        raise WrongUse(f"{path} does not name the picture of {json.dumps(each, ensure_ascii=False)[:80]}: give it an image_id.")
    picture = str(int(each[key]) if isinstance(each[key], float) else each[key])
    captions = [_caption(each[name]) for name in CAPTION_KEYS if each.get(name) is not None]
    if each.get("error") and not any(captions):
        return Prediction(picture, False, None)
    if not captions or captions[0] is None:
        raise WrongUse(f"{path} gives no caption, or several, of the picture {picture}: it must give one.")
    named = (each[name] for name in PICTURE_KEYS if name not in NUMBERS and isinstance(each.get(name), str))
    return Prediction(picture, key in NUMBERS, captions[0], next(named, None) if key in NUMBERS else None)


def _caption(value: Any) -> str | None:
    """Text, the same in a list of one, or an object with the text in it; None for anything else."""
    if isinstance(value, list):
        return _caption(value[0]) if len(value) == 1 else None
    if isinstance(value, Mapping):
        return next((_caption(value[name]) for name in ("caption", "raw", "sentence", "text") if name in value), None)
    return value if isinstance(value, str) else None
