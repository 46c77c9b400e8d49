"""Captioned pictures from a folder or file: finds the captions, finds their pictures, and makes the records."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os.path import join
from pathlib import Path

from showtell.data.formats import read_rows, recognise
from showtell.data.index import indexed
from showtell.data.options import DataOptions
from showtell.data.records import Record
from showtell.data.splits import assign_splits
from showtell.errors import Problem, WrongUse

_WHERE_DATA_COME_FROM = (
    "`showtell data coco2014` downloads COCO, `showtell data scenes` draws the built-in set, "
    "and --data names a folder of your own"
)
_COCO_FILE = re.compile(r"captions_(?P<split>.+?)(?P<year>20\d\d)?\.json(\.gz)?")
_OTHER_FILE = re.compile(r".+\.(json|jsonl|ndjson|csv|tsv)(\.gz)?|captions\.txt|results\.csv|.+\.token\.txt")


def read_records(options: DataOptions, *, need_pictures: bool = True) -> list[Record]:
    """Every captioned picture of the data, in the captions' order; pictures without captions are left out.

    That the pictures' folder is there is seen by its first pictures, the others are not looked for; with
    `need_pictures=False` none is (to score captions, say), and paths may lead nowhere.

    Raises:
        WrongUse: data, pictures' folder, columns or format are not what the options say; the captions' files are ambiguous.
        Problem: a file of captions is broken, or empty.
    """
    with _no_garbage_collection():
        files = caption_files(options)
        records = [record for file in files for record in _records(file, options, need_pictures)]
    if not records:
        raise Problem(f"{files[0]} holds no captions; see that it is the right file, or that a .txt lies beside each picture.")
    _refuse_twins(records, files)
    return assign_splits(records, options.split_list) if options.split_list else records


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Half a million new objects, none of them garbage, would have the collector walk them all again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _records(file: Path, options: DataOptions, need_pictures: bool) -> list[Record]:
    kind = recognise(file) if options.format == "auto" else options.format
    read_as = (kind, options.image_column, options.caption_column)
    rows = [row for row in indexed(file, read_as, lambda: read_rows(file, options)) if row[3]]
    split, folders = _split_of(file, options) if kind == "coco" else (None, ())
    if kind == "folder":
        pictures = file
    else:
        pictures = _picture_folder(file, [name for _, name, _, _ in rows[:10]], folders, options, need_pictures)
    folder = str(pictures)
    return [
        Record(image_id, join(folder, name), captions, own or split)  # noqa: PTH118  (text: see Record.file)
        for image_id, name, own, captions in rows
    ]


def _refuse_twins(records: list[Record], files: list[Path]) -> None:
    if len({str(record.image_id) for record in records}) < len(records):  # 1 and "1" are one picture in captions of it
        twin = Counter(str(record.image_id) for record in records).most_common(1)[0][0]
        named = " and ".join(map(str, files))
        raise WrongUse(f"The picture with id {twin} occurs twice in {named}; name one file with --annotations, or mend it.")


# -------------------------------------------------------------------------------------------------- where captions lie


def caption_files(options: DataOptions) -> list[Path]:
    """The files (or the folder) that hold the captions.

    Raises:
        WrongUse: there are none, or several that make no data set together.
    """
    where = options.annotations or options.data
    if not where.exists():
        if options.annotations:
            raise WrongUse(f"The captions {where} are not there; name their file or folder with --annotations.")
        raise WrongUse(f"There are no captioned pictures at {where}: {_WHERE_DATA_COME_FROM}.")
    if where.is_file() or options.format == "folder":
        return [where]
    for place in (where / "annotations", where):
        if found := _files(place, _COCO_FILE):
            return _together(found, options)
    if found := _files(where, _OTHER_FILE):
        return _together(found, options)
    if any(where.rglob("*.txt")):
        return [where]
    raise WrongUse(f"{where} holds no captions of a known format: {_WHERE_DATA_COME_FROM}.")


def _files(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """The files of the folder with such a name; of two that differ in `.gz` only, the one without."""
    found = sorted(path for path in folder.glob("*") if name.fullmatch(path.name) and path.is_file())
    return [path for path in found if path.suffix != ".gz" or path.with_suffix("") not in found]


def _together(files: list[Path], options: DataOptions) -> list[Path]:
    """The files that make one data set: a single one, or COCO's, one a split and all of one year."""
    if len(files) == 1:
        return files
    names = [_COCO_FILE.fullmatch(file.name) for file in files]
    if not all(names) or any(recognise(file) != "coco" for file in files):
        listed = ", ".join(file.name for file in files)
        raise WrongUse(f"{files[0].parent} holds several files of captions ({listed}); name one with --annotations.")
    years = {name["year"] for name in names if name}
    if len(years) == 1:
        return files
    chosen = [file for file in files if _split_of(file, options)[0] in _year_named(options)]
    if chosen:
        return chosen
    raise WrongUse(
        f"{files[0].parent} holds captions of several years, which share pictures; "
        "set train_split and val_split with the year, to train2014 and val2014, say."
    )


def _year_named(options: DataOptions) -> set[str]:
    """The splits that the options name with a year: train2014, not train."""
    return {name for name in (options.train_split, options.val_split) if re.search(r"20\d\d$", name)}


def _split_of(file: Path, options: DataOptions) -> tuple[str | None, tuple[str, ...]]:
    """The split that a COCO file is for, by its name, and how the folder of its pictures may be called."""
    name = _COCO_FILE.fullmatch(file.name)
    if name is None:
        return None, ()
    with_year = name["split"] + (name["year"] or "")
    return with_year if with_year in _year_named(options) else name["split"], (with_year, name["split"])


# -------------------------------------------------------------------------------------------------- where pictures lie


def _picture_folder(file: Path, names: Sequence[str], folders: Sequence[str], options: DataOptions, need_pictures: bool) -> Path:
    """The folder from which the names lead to pictures: the first one that holds one of them."""
    if options.images and need_pictures and not options.images.is_dir():
        raise WrongUse(f"The folder of the pictures, {options.images}, is not there; name it with --images.")
    roots = [options.images] if options.images else [options.data, file.parent, file.parent.parent]
    places = [root / within / folder for root in roots for folder in (*folders, "") for within in ("", "images", "Images")]
    for place in places:
        if any((place / name).is_file() for name in names):
            return place
    if names and need_pictures:
        raise WrongUse(
            f"The pictures of {file} ({names[0]}, for one) are not in {places[0]} or anywhere near; "
            "name their folder with --images, or fetch them (`showtell data coco2014` for COCO's)."
        )
    return places[0]
