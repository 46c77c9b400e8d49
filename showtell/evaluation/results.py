"""The files that an evaluation leaves: captions, scores of each picture, and `scores.json` with the protocol."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from showtell.data.records import Record
from showtell.errors import Problem, WrongUse, disk_sentences
from showtell.files import as_utf8, written_whole
from showtell.metrics import Scores

CAPTIONS, PICTURES, SCORES = "captions.jsonl", "pictures.jsonl", "scores.json"
FORMAT, VERSION = "showtell scores", 1
BLEU_COUNTS = 6
"""Of a picture: right n-grams (4), length, closest reference length."""


@dataclass(frozen=True)
class Result:
    """What the files of one evaluation tell."""

    path: Path
    """Of its scores.json."""
    scores: dict[str, dict[str, Any]]
    """By name: value, signature, unmeasured."""
    diversity: dict[str, Any]
    protocol: dict[str, Any]
    pictures: dict[str, dict[str, Any]]
    """By image id: caption, references, and the figures of the picture."""


def is_ours(pictures: Path) -> bool:
    """Whether a file of pictures is one that an evaluation wrote."""
    try:
        with pictures.open("rb") as file:
            return {"image_id", "image", "caption", "references"} <= set(json.loads(file.readline()))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def forget(folder: Path) -> None:
    """Removes what an earlier evaluation found, before its captions go: no scores stand beside captions that they are not of."""
    for name in (SCORES, PICTURES):
        (folder / name).unlink(missing_ok=True)


def save_captions(folder: Path, records: Sequence[Record], captions: Sequence[str]) -> None:
    """The captions that were scored, a JSON object a line."""
    lines = (
        {"image_id": record.image_id, "image": record.path.name, "caption": caption}
        for record, caption in zip(records, captions, strict=True)
    )
    _save_lines(folder / CAPTIONS, lines)


def save_pictures(folder: Path, records: Sequence[Record], captions: Sequence[str], scores: Scores) -> None:
    """Caption, references and scores of each picture, a JSON object a line."""
    measured = [each for each in scores.scores if each.per_picture]
    counts = scores.bleu_counts
    figures = None if counts is None else np.column_stack([counts.right, counts.length, counts.closest]).tolist()

    def lines() -> Iterable[dict[str, Any]]:
        for i, (record, caption) in enumerate(zip(records, captions, strict=True)):
            line: dict[str, Any] = {"image_id": record.image_id, "image": record.path.name, "caption": caption}
            line |= {each.name: _plain(each.per_picture[i]) for each in measured}
            if figures:
                line["bleu_counts"] = figures[i]  # n-grams that are right for n = 1..4, length, closest reference length
            yield line | {"references": record.captions}

    _save_lines(folder / PICTURES, lines())


def save_scores(folder: Path, scores: Scores, protocol: dict[str, Any], unmeasured: dict[str, str]) -> None:
    """`scores.json`. unmeasured: why figures of diversity are missing."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "scores": {
            each.name: {"value": each.value, "signature": each.signature}
            | ({"unmeasured": each.unmeasured} if each.unmeasured else {})
            for each in scores.scores
        },
        "diversity": asdict(scores.diversity) | {"warning": scores.diversity.warning, "unmeasured": unmeasured},
        "protocol": protocol,
    }
    with written_whole(folder / SCORES) as file:
        file.write(as_utf8(json.dumps(content, ensure_ascii=False, indent=2) + "\n"))


def _save_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with written_whole(path) as file:
        file.writelines(as_utf8(json.dumps(line, ensure_ascii=False) + "\n") for line in lines)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 12)


def load_result(path: Path) -> Result:
    """What an evaluation left.

    Args:
        path: its folder, or the scores.json or pictures.jsonl in it.

    Raises:
        WrongUse: there is no such thing.
        Problem: it cannot be read, or is damaged.
    """
    scores = path / SCORES if path.is_dir() else path.with_name(SCORES) if path.name == PICTURES else path
    if not scores.is_file():
        raise WrongUse(f"There are no scores at {path}: name a folder that showtell evaluate wrote, or the scores.json in it.")
    try:
        content = json.loads(_read(scores))
        if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
            raise WrongUse(f"{scores} holds no scores of this showtell's: evaluate again.")
        # Lines end with \n alone: str.splitlines would cut captions at U+2028 and its like, which JSON may hold as they are.
        lines = [json.loads(line) for line in _read(scores.with_name(PICTURES)).split("\n") if line]
        pictures = {str(line["image_id"]): line for line in lines}
        parts = content["scores"], content["diversity"], content["protocol"]
        if not all(isinstance(part, dict) for part in parts) or not all(map(_has_texts, lines)):
            raise ValueError("something is missing in them")
        if not all(_has_numbers(line, parts[0]) for line in lines):
            raise ValueError("something in them is no number")
        return Result(scores, *parts, pictures)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise Problem(f"{scores.parent} holds damaged scores ({error}): evaluate again.") from error


def _read(path: Path) -> str:
    with disk_sentences(path, "read"):
        return path.read_text("utf-8")


def _has_texts(line: dict[str, Any]) -> bool:
    """Whether a picture's line names it, and holds what was said of it and by whom."""
    references = line["references"]
    texts = [line["image"], line["caption"], *references] if isinstance(references, list) else []
    return len(texts) > 2 and all(isinstance(text, str) for text in texts)


def _has_numbers(line: dict[str, Any], names: Iterable[str]) -> bool:
    """Whether a picture's figures can be computed with, as far as it has them."""
    counts = line.get("bleu_counts", [0] * BLEU_COUNTS)
    return (
        isinstance(counts, list)
        and len(counts) == BLEU_COUNTS
        and all(type(count) is int and 0 <= count < 1 << 31 for count in counts)
        and all(value is None or (isinstance(value, int | float) and math.isfinite(value)) for value in map(line.get, names))
    )
