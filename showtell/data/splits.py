"""Which pictures to train on and which to validate on: as the file says, by a list, or a seeded share."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from showtell.data.options import DataOptions
from showtell.data.records import Record
from showtell.errors import Problem, WrongUse
from showtell.files import as_utf8, unpacked, written_whole
from showtell.vocabulary import captions_hash

_OTHER_NAMES_FOR_VAL = {"valid", "validation", "dev"}


@dataclass(frozen=True)
class Splits:
    """The two sets of pictures that training needs; no picture is in both."""

    train: list[Record]
    val: list[Record]
    by_share: bool = False
    """Whether the seed divided them, not the data."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of both sets' image ids and captions, in their order; wherever the files lie."""
        return captions_hash(
            text
            for name, records in (("train", self.train), ("val", self.val))
            for record in records
            for text in (f"{name} {record.image_id}", *record.captions)
        )


def split_records(records: list[Record], options: DataOptions, seed: int) -> Splits:
    """Divide the pictures as their records say; where no split is for validation, the seed chooses `val_fraction` of them.

    Raises:
        WrongUse: there is no split of the asked name, one for both, or there are too few pictures to divide.
    """
    named = split_names(records)
    pool = split(records, options.train_split, "train_split") if named else records
    if options.val_split in named:
        pool = [record for record in pool if record.split != options.val_split]  # restval is part of train, or for validation
        if not pool:
            raise WrongUse(
                f"train_split and val_split are both {options.val_split} (the data have {', '.join(named)}): name two of them."
            )
        return Splits(pool, split(records, options.val_split, "val_split"))
    asked_for = options.val_split != DataOptions.val_split
    if named and (asked_for or _OTHER_NAMES_FOR_VAL & set(named)):
        raise _no_split(options.val_split, named, "val_split")
    return _by_share(pool, options.val_fraction, seed)


def belongs(record: Record, name: str) -> bool:
    """Whether a picture is of a split; Karpathy's `restval` (COCO's validation pictures left for training) is `train`'s."""
    return record.split == name or (name == "train" and record.split == "restval")


def split(records: list[Record], name: str, setting: str) -> list[Record]:
    """The pictures of one split.

    Args:
        setting: what named it, for the sentence.

    Raises:
        WrongUse: there is no such split; the sentence names those that are there.
    """
    found = [record for record in records if belongs(record, name)]
    if not found:
        raise _no_split(name, split_names(records), setting)
    return found


def split_names(records: Iterable[Record]) -> list[str]:
    """The names of the splits, as they first appear."""
    return [name for name in dict.fromkeys(record.split for record in records) if name is not None]


def _no_split(name: str, named: list[str], setting: str) -> WrongUse:
    if not named:
        return WrongUse(f"The data are not divided into splits, so that there is no {name}; give them splits by --split_list.")
    nearest = get_close_matches(name, named, n=1, cutoff=0.0)[0]
    return WrongUse(f"The data have no split {name} (they have {', '.join(named)}); set {setting} to {nearest}, say.")


def _by_share(records: list[Record], fraction: float, seed: int) -> Splits:
    """A picture's lot depends on the seed and its id alone, so that neither order nor Python's version matters."""
    if len(records) < 2:
        raise WrongUse(f"The data have {len(records)} picture(s) to train on, and validation needs some of them; add pictures.")
    number = min(max(1, round(fraction * len(records))), len(records) - 1)
    lots = sorted(records, key=lambda record: hashlib.sha256(as_utf8(f"{seed} {record.image_id}")).digest())
    chosen = {record.image_id for record in lots[:number]}
    return Splits(
        [record for record in records if record.image_id not in chosen],
        [record for record in records if record.image_id in chosen],
        by_share=True,
    )


# ---------------------------------------------------------------------------------------------------------- split list


def assign_splits(records: list[Record], split_list: Path) -> list[Record]:
    """The records with the splits of a list in place of their own; a picture that is not on the list has none.

    The list is JSON, `.gz` too: {"train": [...], "val": [...], ...} with ids, file names, or file names without suffix, or
    Karpathy's own file (`dataset_coco.json`), of which only ids, names and splits count.

    Raises:
        WrongUse: the list is not there or not a list, puts a picture into two splits, or names none of the pictures.
    """
    by_name: dict[str, str] = {}
    for name, split_name in _listed(split_list):
        if by_name.setdefault(name, split_name) != split_name:
            raise WrongUse(f"{split_list} puts {name} into two splits ({by_name[name]}, {split_name}); give it one.")
    ids = {str(record.image_id) for record in records}  # what is one picture's id is no other's file name
    names = {name: split_name for name, split_name in by_name.items() if name not in ids}
    assigned = [
        record._replace(split=by_name.get(str(record.image_id)) or names.get(record.path.name) or names.get(record.path.stem))
        for record in records
    ]
    if not any(record.split for record in assigned):
        raise WrongUse(f"{split_list} names none of the {len(records)} pictures; name the list that belongs to these data.")
    return assigned


def save_split_list(splits: Splits, path: Path) -> None:
    """Writes which pictures are in which split, by their ids, as `assign_splits` reads it."""
    listed = {"train": [record.image_id for record in splits.train], "val": [record.image_id for record in splits.val]}
    with written_whole(path) as file:
        file.write(as_utf8(json.dumps(listed, ensure_ascii=False)))


def _listed(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs of id or name, and split."""
    document = _json(path)
    try:
        if isinstance(document.get("images"), list):
            for image in document["images"]:
                if not isinstance(image["split"], str):
                    raise TypeError
                yield str(image.get("cocoid", image["filename"])), image["split"]
        else:
            for split_name, names in document.items():
                if not isinstance(names, list):
                    raise TypeError
                yield from ((str(name), split_name) for name in names)
    except (LookupError, TypeError, AttributeError) as error:
        raise WrongUse(f'{path} is no split list; write it as {{"train": [ids or file names], "val": [...]}}.') from error


def _json(path: Path) -> Any:
    try:
        return json.loads(unpacked(path.read_bytes()))
    except OSError as error:
        raise WrongUse(f"The split list {path} cannot be read ({error.strerror or error}); name another.") from error
    except (ValueError, EOFError, RecursionError, zlib.error) as error:
        raise Problem(f"The split list {path} is broken JSON ({error}); write or fetch it again.") from error
