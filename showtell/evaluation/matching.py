"""Which picture of the data a caption is of, and what is left over on either side."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from showtell.data.records import Record
from showtell.data.splits import split, split_names
from showtell.errors import WrongUse
from showtell.evaluation.predictions import Prediction

SHOWN = 3
"""Pictures named in a sentence that stands for many."""


@dataclass(frozen=True)
class Matched:
    """Pictures with a caption and references, and what has only one of them."""

    records: list[Record]
    captions: list[str]
    """Of each record."""
    missing: list[str]
    """Pictures of the split that have no caption."""
    unknown: list[str]
    """Captions of pictures that the data do not have."""
    elsewhere: int
    """Captions of pictures that belong to other splits."""
    repeated: int
    """Captions that say of a picture what was said of it before."""


def choose_split(records: Sequence[Record], name: str | None, usual: str) -> tuple[list[Record], str | None]:
    """The pictures to score, and the name of their split: as named, else the usual one where it is there, else all.

    Raises:
        WrongUse: there is no such split, or there are several and none is the usual one.
    """
    names = split_names(records)
    if name is None:
        name = usual if usual in names else names[0] if len(names) == 1 else None
        if name is None and names:
            raise WrongUse(f"The data have the splits {', '.join(names)}; name the one to score with --split.")
    return (list(records), None) if name is None else (split(list(records), name, "split"), name)


def match(predictions: Iterable[Prediction], records: Sequence[Record], wanted: Sequence[Record], source: Path) -> Matched:
    """Finds the caption of each picture wanted.

    Args:
        records: all pictures of the data, `wanted` among them.
        source: the file of the predictions, for messages.

    Raises:
        WrongUse: a picture has two captions that differ, a name fits several pictures, or number and name are of different ones.
    """
    predictions = list(predictions)
    finder = _Finder(records, predictions)
    said: dict[int | str, str] = {}
    unknown, repeated = [], 0
    for prediction in predictions:
        record = finder.find(prediction)
        if prediction.caption is None:
            continue
        if record and prediction.file:
            others = finder.called(_path(prediction.file))
            if others and record not in others:
                raise WrongUse(
                    f"{source} has a caption of {prediction.picture} and of {prediction.file} at once: leave one of them."
                )
        if record is None:
            unknown.append(prediction.picture)
        elif record.image_id not in said:
            said[record.image_id] = prediction.caption
        elif said[record.image_id] == prediction.caption:
            repeated += 1
        else:
            raise WrongUse(
                f'{source} says two things of the picture {prediction.picture}, "{said[record.image_id]:.60}" and '
                f'"{prediction.caption:.60}": leave one.'
            )
    found = [record for record in wanted if record.image_id in said]
    return Matched(
        found, [said[record.image_id] for record in found],
        missing=[str(record.image_id) for record in wanted if record.image_id not in said],
        unknown=unknown, elsewhere=len(said) - len(found), repeated=repeated,
    )  # fmt: skip


def named(pictures: Sequence[str]) -> str:
    """The first few of them, for a sentence."""
    return ", ".join(pictures[:SHOWN]) + (", ..." if len(pictures) > SHOWN else "")


class _Finder:
    """Finds records by id, by file name (with as much of its path as tells pictures apart), or by the number in COCO's names.

    Args:
        records: the pictures.
        predictions: what is said of them; where one number among them is an id, all are.
    """

    def __init__(self, records: Sequence[Record], predictions: Iterable[Prediction]) -> None:
        self._by_id = {str(record.image_id): record for record in records}
        self._by_name: dict[str, list[Record]] = defaultdict(list)
        names = [_path(str(record.path)) for record in records]
        stems = {name.stem for name in names}
        for record, name in zip(records, names, strict=True):
            number = _number(name.stem)
            for called in {name.name, name.stem, *([number] if number and number not in stems else [])}:
                self._by_name[called].append(record)
        self._ids = any(each.by_number and each.picture in self._by_id for each in predictions)

    def find(self, prediction: Prediction) -> Record | None:
        """The prediction's picture; None if the data do not have it.

        Raises:
            WrongUse: it could be several.
        """
        same = self._by_id.get(prediction.picture)
        if same and prediction.by_number:
            return same
        number = _number(prediction.picture) if prediction.by_number and prediction.picture.isdecimal() else None
        if number and self._ids:
            return self._by_id.get(number)
        name = _path(prediction.picture)
        candidates = self.called(name)
        if same in candidates:
            return same
        if len(candidates) > 1:
            raise WrongUse(f"The name {prediction.picture} fits several pictures of the data: give more of its path.")
        if candidates:
            return candidates[0]
        return same or (self._by_id.get(number) if number else self._of_coco(name))

    def called(self, name: PurePath) -> list[Record]:
        """The pictures whose file has that name; of photos/1.jpg and drawings/1.jpg that which the rest of its path names."""
        found = self._by_name.get(name.name, [])
        ends = [record for record in found if _path(str(record.path)).parts[-len(name.parts) :] == name.parts]
        whole = [record for record in ends if _path(str(record.path)) == name]
        return whole or ends or found

    def _of_coco(self, name: PurePath) -> Record | None:
        """COCO_val2014_000000391895.jpg is picture 391895, and 000000391895.jpg, as the pictures of 2017 are called."""
        number = _number(name.stem)
        record = self._by_id.get(number) if number else None
        return record if record and _number(_path(str(record.path)).stem) == number else None


def _path(name: str) -> PurePath:
    return PurePath(name.replace("\\", "/"))


def _number(stem: str) -> str | None:
    """The number that a file's name is, or that stands in it as in COCO's; without zeros before it."""
    found = re.fullmatch(r"(?:COCO_\w+_(?=[0-9]{12}$))?0*([0-9]+)", stem)
    return found[1] if found else None


def references_hash(records: Sequence[Record]) -> str:
    """SHA-256 (hex) of pictures and references, in whatever order the pictures come."""
    told = sorted(json.dumps([str(record.image_id), *record.captions]) for record in records)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()
