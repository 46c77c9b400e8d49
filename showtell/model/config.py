"""What a model's folder holds by name, and what model files say of themselves as plain data: read within bounds, checked, and
made into options. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from showtell.errors import Problem, first_line
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.pictures import PictureOptions
from showtell.pictures.opening import printable

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
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise Problem(
            f"{path} has format version {version}, this showtell knows up to {FORMAT_VERSION}: install a newer showtell."
        )


def maker_told(content: dict[str, Any]) -> dict[str, Any]:
    """What a model's maker may tell of its captions: "guess_below" and "note", as a `Captioner` has them.

    Raises:
        ValueError, TypeError: it is of another kind.
    """
    guess_below, note = content.get("guess_below"), str(content.get("note", ""))[:LARGEST_NOTE]
    return {"guess_below": None if guess_below is None else float(guess_below), "note": printable(note)}


def options_of(kind: Callable[..., Options], values: dict[str, Any]) -> Options:
    """An options dataclass from plain data; lists become the tuples they were."""
    options = kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    for field in fields(options):
        value, types = getattr(options, field.name), PLAIN.get(str(field.type))
        if types and type(value) not in types:
            raise TypeError(f"{field.name} is {value!r}")
    if found := options.problems():
        raise ValueError(" ".join(found))
    return options
