"""The built-in set on disk, as COCO lays it out.

images/SPLIT/scene_0000001.png         the pictures; the number is the image's id, unique over all splits
annotations/captions_SPLIT.json        five captions a picture
annotations/instances_SPLIT.json       boxes, shapes as categories, colour, size and visible share of every object
annotations/scenes_SPLIT.json          what is true of every picture, for the judge
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from showtell.data.scenes.compose import NEW, SEEN, compose
from showtell.data.scenes.dice import Dice
from showtell.data.scenes.draw import draw
from showtell.data.scenes.grammar import captions
from showtell.data.scenes.options import SPLITS, ScenesOptions
from showtell.data.scenes.png import png
from showtell.data.scenes.scene import Scene
from showtell.data.scenes.shapes import SHAPES
from showtell.errors import Problem, WrongUse, first_line, printable
from showtell.machine import processors

VERSION = 3
"""Raised whenever the same options give other bytes."""
DESCRIPTION = "showtell scenes"
SCRATCH = ".scenes-"
"""How the names of folders begin in which a set is drawn until it is whole."""
CHUNK = 50
"""Pictures that a process draws before it reports."""


def make(seed: int, split: str, index: int, side: int) -> tuple[bytes, Scene, list[str]]:
    """One picture as PNG, what is in it and its captions; the same whether drawn alone or among others."""
    key = (seed, SPLITS.index(split), index)
    layout, scene = compose(Dice(*key, 0), NEW if split == "test_new" else SEEN, side)
    return png(draw(layout, Dice(*key, 1), side)), scene, captions(scene, Dice(*key, 2))


def write_scenes(options: ScenesOptions) -> Path:
    """Draw the set into `options.data`, whole or not at all, and return that folder. A set made with the same options is kept.

    Raises:
        WrongUse: an option is wrong, or the folder holds another set (and `overwrite` is not set) or something else.
        Problem: the disk is full, the folder cannot be written, or a drawing process was killed.
    """
    if problems := options.problems():
        raise WrongUse(" ".join(problems))
    folder = options.data
    if _is_finished(options):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob(f"{SCRATCH}*"):  # by a run that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
            _write_splits(options, Path(scratch))
            for name in ("annotations", "images"):  # annotations go first and come last: where they are, the set is whole
                shutil.rmtree(folder / name, ignore_errors=True)
            for name in ("images", "annotations"):
                (Path(scratch) / name).replace(folder / name)
    except OSError as error:
        reason = error.strerror or error
        raise Problem(
            f"The scenes could not be written to {folder} ({reason}): make room there or name another --data."
        ) from error
    except BrokenProcessPool as error:
        raise Problem("A process that drew scenes was killed, for lack of memory perhaps: try again with --workers 1.") from error
    return folder


def read_scenes(folder: Path, split: str) -> dict[int, Scene]:
    """What is in the pictures of a split, by image id.

    Raises:
        Problem: the folder holds no such split, or a broken one.
    """
    path = Path(folder) / "annotations" / f"scenes_{split}.json"
    try:
        return {row["image_id"]: Scene.from_dict(row) for row in json.loads(path.read_text("utf-8"))["scenes"]}
    except FileNotFoundError:
        raise Problem(
            f"{path} is not there: draw the set with `showtell data scenes`, or name one of its splits: {', '.join(SPLITS)}."
        ) from None
    except (ValueError, LookupError, TypeError) as error:
        raise Problem(f"{path} is broken ({first_line(error)}): draw the set again, with --overwrite.") from error


def image_id(split: str, index: int) -> int:
    """The id of a picture, unique over all splits; its file is scene_ID.png with seven digits."""
    return SPLITS.index(split) * 1_000_000 + index + 1


def _info(options: ScenesOptions) -> dict[str, Any]:
    """What decides the set's bytes."""
    chosen = {name: getattr(options, name) for name in (*SPLITS, "picture_side", "seed")}
    return {"description": DESCRIPTION, "version": VERSION, "options": chosen}


def _is_finished(options: ScenesOptions) -> bool:
    """Whether the folder holds this very set, whole; False where the set may be drawn there.

    Raises:
        WrongUse: it holds another set, and `overwrite` is not set, or something that is not ours.
    """
    annotations, images = options.data / "annotations", options.data / "images"
    if not annotations.exists():
        _check_all_ours(options.data)
        return False
    try:
        info = json.loads((annotations / f"scenes_{SPLITS[-1]}.json").read_text("utf-8"))["info"]
        ours = info["description"] == DESCRIPTION
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise WrongUse(
            f"{options.data} holds pictures or annotations that are not built-in scenes: name another folder with --data."
        )
    if info != _info(options) and not options.overwrite:
        raise WrongUse(
            f"{options.data} holds scenes made with other options: name another folder with --data, or replace them with "
            "--overwrite."
        )
    if info == _info(options) and all(_pictures_in(images / split) == options.count(split) for split in SPLITS):
        return True
    _check_all_ours(options.data)
    return False


def _check_all_ours(folder: Path) -> None:
    """See that nothing would be removed that was not drawn here.

    Raises:
        WrongUse: something would.
    """
    ours = re.compile(
        rf"annotations/(captions|instances|scenes)_({'|'.join(SPLITS)})\.json|images/({'|'.join(SPLITS)})/scene_\d+\.png"
    )
    folders = {"annotations", "images", *(f"images/{split}" for split in SPLITS)}
    for name in ("annotations", "images"):
        for path in sorted((folder / name).rglob("*")):
            inside = path.relative_to(folder).as_posix()
            if not ((inside in folders and path.is_dir()) or (ours.fullmatch(inside) and path.is_file())):
                raise WrongUse(
                    f"{folder} holds pictures or annotations that are not built-in scenes ({printable(inside)}): name another "
                    "folder with --data, or move them away."
                )


def _pictures_in(folder: Path) -> int:
    """Pictures in a folder that are not empty, as a power cut may leave them."""
    return sum(path.stat().st_size > 0 for path in folder.glob("scene_*.png"))


def _write_splits(options: ScenesOptions, folder: Path) -> None:
    (folder / "annotations").mkdir()
    total = sum(options.count(split) for split in SPLITS)
    with (
        _processes(options.workers) as run,
        tqdm(total=total, desc="drawing scenes", unit="picture", disable=options.quiet) as bar,
    ):
        for split in SPLITS:
            (folder / "images" / split).mkdir(parents=True)
            count = options.count(split)
            task = partial(_write_pictures, options.seed, split, options.picture_side, folder / "images" / split)
            rows: list[tuple[Scene, list[str]]] = []
            for part in run(task, [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]):
                rows += part
                bar.update(len(part))
            _write_annotations(options, split, rows, folder / "annotations")


@contextmanager
def _processes(workers: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` that works in so many processes (0: one a processor), or here where one is enough."""
    workers = workers or processors()
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:  # forking is unsafe where other threads run
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write_pictures(seed: int, split: str, side: int, folder: Path, indices: range) -> list[tuple[Scene, list[str]]]:
    """Draw some pictures of a split into a folder (in a process of its own)."""
    rows = []
    for index in indices:
        picture, scene, texts = make(seed, split, index, side)
        (folder / _file_name(split, index)).write_bytes(picture)
        rows.append((scene, texts))
    return rows


def _file_name(split: str, index: int) -> str:
    return f"scene_{image_id(split, index):07d}.png"


def _write_annotations(options: ScenesOptions, split: str, rows: list[tuple[Scene, list[str]]], folder: Path) -> None:
    side = options.picture_side
    images, sentences, instances, scenes = [], [], [], []
    for index, (scene, texts) in enumerate(rows):
        number = image_id(split, index)
        images.append({"id": number, "file_name": _file_name(split, index), "width": side, "height": side})
        sentences += [{"id": number * 10 + k, "image_id": number, "caption": text} for k, text in enumerate(texts)]
        instances += [_instance(number, k, scene) for k in range(len(scene.objects))]
        scenes.append({"image_id": number, **scene.to_dict()})
    head = {"info": _info(options), "licenses": [], "images": images}
    categories = [{"id": k + 1, "name": shape, "supercategory": "shape"} for k, shape in enumerate(SHAPES)]
    _dump(folder / f"captions_{split}.json", {**head, "type": "captions", "annotations": sentences})
    _dump(folder / f"instances_{split}.json", {**head, "type": "instances", "annotations": instances, "categories": categories})
    _dump(folder / f"scenes_{split}.json", {"info": _info(options), "scenes": scenes})


def _instance(number: int, k: int, scene: Scene) -> dict[str, Any]:
    thing = scene.objects[k]
    return {
        "id": number * 10 + k,
        "image_id": number,
        "category_id": tuple(SHAPES).index(thing.shape) + 1,
        "bbox": list(thing.box),
        "area": thing.area,
        "iscrowd": 0,
        "attributes": {"colour": thing.colour, "size": thing.size, "visible": thing.visible},
    }


def _dump(path: Path, data: dict[str, Any]) -> None:
    path.write_bytes(json.dumps(data, separators=(",", ":")).encode("ascii"))
