"""What a model's folder holds by name, and what model files say of themselves as plain data: read within bounds, checked, and
made into options. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Any, TypeVar

from showtell.errors import Problem, WrongUse, first_line, printable
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.pictures import PictureOptions

FORMAT_VERSION = 1
WEIGHTS, CONFIG, WORDS, CARD = FILES = ("model.safetensors", "config.json", "vocab.json", "README.md")
"""Of a model's folder (showtell/model/folder.py)."""
GRAPHS = ("encoder.onnx", "start.onnx", "step.onnx")
"""What an exported model's folder has in place of weights (showtell/model/exported.py)."""
CLASSES = "classes.txt"
"""The labels of the encoder's own classifier, where the graph of the encoder holds one."""
LARGEST_NOTE = 200
PLAIN = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}
"""By the annotation of an option, the types that a file may have for it; what else there is, options check by themselves."""
LARGEST_CONFIG = 1 << 20
"""Bytes of config.json that are read at most."""
Options = TypeVar("Options", EncoderOptions, DecoderOptions, PictureOptions)


def read_config(path: Path) -> Any:
    """The content of a config.json.

    Raises:
        Problem: it cannot be read, is no JSON, or is too large.
    """
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"it is larger than {LARGEST_CONFIG >> 20} MiB")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Problem(f"{path} cannot be read as settings ({first_line(error)}): get it from its maker again.") from None


def check_format(content: Any, path: Path, kind: str = "showtell") -> None:
    """See that plain data are a model's, of a format version that this code knows.

    Raises:
        Problem: they are not, or a newer showtell wrote them.
    """
    if not isinstance(content, dict) or content.get("format") != kind:
        raise Problem(f"{path} is not a showtell model: give a file that showtell wrote.")
    version = content.get("format_version")
    if type(version) is not int or not 0 < version <= FORMAT_VERSION:
        small = isinstance(version, float | str | None) or (isinstance(version, int) and abs(version) < 1e9)
        told = str(version)[:20] if small else "unknown"  # in a stranger's file it may be anything, and endless
        raise Problem(f"{path} has format version {told}, this showtell knows up to {FORMAT_VERSION}: install a newer showtell.")


def maker_told(content: dict[str, Any]) -> dict[str, Any]:
    """What a model's maker may tell of its captions: "guess_below" and "note", as a `Captioner` has them.

    Raises:
        ValueError, TypeError, OverflowError: it is of another kind, or too large a number.
    """
    guess_below, note = content.get("guess_below"), content.get("note", "")
    if not isinstance(guess_below, float | int | None) or not isinstance(note, str):
        raise TypeError("guess_below is no number, or its note no text")
    return {"guess_below": None if guess_below is None else float(guess_below), "note": printable(note[:LARGEST_NOTE])}


def kept_data(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """What a model file keeps of what its maker says of it: numbers of NumPy's and torch's become Python's, paths texts.

    Raises:
        WrongUse: it holds something that JSON cannot; the sentence calls it by `name`.
    """
    try:
        kept: dict[str, Any] = json.loads(json.dumps(dict(values), default=_in_plain_words))
        return kept
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongUse(
            f"{name} cannot be kept in a model file ({first_line(error)}): give texts, numbers, lists and dictionaries."
        ) from error


def kept_training(values: dict[str, Any]) -> dict[str, Any]:
    """The same of its training, in whose settings there are rooms.

    Raises:
        WrongUse: as `kept_data`; or its settings are otherwise.
    """
    kept = kept_data("training", values)
    if not _in_rooms(kept):
        raise WrongUse("training cannot be kept in a model file: its settings must hold rooms, and each its settings.")
    return kept


def _in_rooms(training: dict[str, Any]) -> bool:
    settings = training.get("settings", {})
    return isinstance(settings, dict) and all(isinstance(room, dict) for room in settings.values())


def _in_plain_words(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"it holds a {type(value).__name__}")


def plain_data(values: dict[str, Any]) -> dict[str, Any]:
    """What JSON can hold of a dictionary in a model file; nothing takes the place of anything else.

    Raises:
        ValueError, TypeError: it is no dictionary, or holds itself.
    """
    read: dict[str, Any] = json.loads(json.dumps(dict(values), default=lambda _: None, skipkeys=True))
    return read


def training_told(content: dict[str, Any]) -> dict[str, Any]:
    """What a model says of its training.

    Raises:
        ValueError, TypeError: it is of another kind, or the settings in it are.
    """
    training = plain_data(content["training"])
    if not _in_rooms(training):
        raise TypeError("the settings of its training are not in rooms")
    return training


def options_of(kind: Callable[..., Options], values: dict[str, Any]) -> Options:
    """An options dataclass from plain data; lists become the tuples they were.

    Raises:
        ValueError, TypeError, OverflowError: a value is of the wrong kind, or none that the options allow.
    """
    options = kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    for field in fields(options):
        value, types = getattr(options, field.name), PLAIN.get(str(field.type))
        if types and type(value) not in types:
            raise TypeError(f"{field.name} is of the wrong kind, {type(value).__name__}")  # its value may be endless
        if types and float in types:
            float(value)  # a whole number can be too large for it
    if found := options.problems():
        raise ValueError(" ".join(found))
    return options
