"""The set on disk: COCO's layout, the same bytes everywhere, whole or not there."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.data.scenes import SPLITS, ScenesOptions, judge, make, read_scenes, write_scenes
from showtell.data.scenes import write as writing
from showtell.data.scenes.compose import NEW
from showtell.errors import Problem, WrongUse


def small(folder: Path, **changes: Any) -> ScenesOptions:
    return replace(ScenesOptions(folder, train=6, val=2, test=2, test_new=3, workers=1, quiet=True), **changes)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(small(tmp_path_factory.mktemp("scenes")))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def load(folder: Path, kind: str, split: str) -> Any:
    return json.loads((folder / "annotations" / f"{kind}_{split}.json").read_text())


def test_the_bytes_are_these(written: Path) -> None:
    """If this fails on purpose, raise VERSION in write.py: sets made before are others."""
    found = contents(written)
    assert digest(found["images/train/scene_0000001.png"]) == "f78d89949595424d"
    assert digest(found["images/test_new/scene_3000002.png"]) == "f7ff0714f30eff96"
    assert digest(make(7, "val", 41, 200)[0]) == "222b55d68ce178ea"
    assert digest(*(found[name] for name in sorted(found))) == "5b19afd765e9a959"


def test_several_processes_draw_the_same(written: Path, tmp_path: Path) -> None:
    assert contents(write_scenes(small(tmp_path, workers=2))) == contents(written)


def test_another_seed_draws_another_set(written: Path, tmp_path: Path) -> None:
    one, other = contents(written), contents(write_scenes(small(tmp_path, seed=1)))
    assert one.keys() == other.keys() and not set(one.values()) & set(other.values())


def test_a_larger_set_begins_with_the_smaller(written: Path, tmp_path: Path) -> None:
    more = contents(write_scenes(small(tmp_path, train=8)))
    same = {name: data for name, data in contents(written).items() if name.startswith("images/")}
    assert same.items() <= more.items()


@pytest.mark.parametrize("split", SPLITS)
def test_coco_layout(written: Path, split: str) -> None:
    captions, instances = load(written, "captions", split), load(written, "instances", split)
    assert captions["images"] == instances["images"]
    for image in captions["images"]:
        path = written / "images" / split / image["file_name"]
        assert int(path.stem.split("_")[1]) == image["id"]
        with Image.open(path) as picture:
            assert picture.size == (image["width"], image["height"]) == (112, 112)
        assert sum(a["image_id"] == image["id"] for a in captions["annotations"]) == 5
    for rows in (captions["annotations"], instances["annotations"]):
        assert len({row["id"] for row in rows}) == len(rows)
    assert captions["info"]["options"]["train"] == 6


def test_ids_are_unique_over_all_splits(written: Path) -> None:
    ids = [image["id"] for split in SPLITS for image in load(written, "captions", split)["images"]]
    assert len(set(ids)) == len(ids) == 13


@pytest.mark.parametrize("split", SPLITS)
def test_boxes_captions_and_scenes_agree(written: Path, split: str) -> None:
    instances, scenes = load(written, "instances", split), read_scenes(written, split)
    shapes = {category["id"]: category["name"] for category in instances["categories"]}
    for number, scene in scenes.items():
        rows = [row for row in instances["annotations"] if row["image_id"] == number]
        assert [(shapes[r["category_id"]], r["attributes"]["colour"], tuple(r["bbox"]), r["area"]) for r in rows] == [
            (o.shape, o.colour, o.box, o.area) for o in scene.objects
        ]
    for row in load(written, "captions", split)["annotations"]:
        assert judge(row["caption"], scenes[row["image_id"]]).right
    new = {(o.shape, o.colour) for scene in scenes.values() for o in scene.objects} & set(NEW)
    assert bool(new) == (split == "test_new")


def test_the_readers_read_it(written: Path) -> None:
    records = read_records(DataOptions(data=written))
    assert {split: sum(r.split == split for r in records) for split in SPLITS} == {"train": 6, "val": 2, "test": 2, "test_new": 3}
    assert all(record.path.is_file() and len(record.captions) == 5 for record in records)


def test_broken_scenes_are_named(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for content in ('{"scenes": [', "[]", '{"scenes": [{}]}'):
        (tmp_path / "annotations/scenes_val.json").write_text(content)
        with pytest.raises(Problem, match=r"scenes_val.json is broken .*: draw the set again"):
            read_scenes(tmp_path, "val")


def test_scenes_come_back_from_json(written: Path) -> None:
    scenes = read_scenes(written, "train")
    assert scenes[1] == make(0, "train", 0, 112)[1]
    with pytest.raises(Problem, match=r"scenes_dev.json is not there"):
        read_scenes(written, "dev")


def test_pictures_are_not_flat(written: Path) -> None:
    pixels = np.asarray(Image.open(written / "images/train/scene_0000001.png"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000


def test_a_finished_set_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scenes(small(tmp_path))
    monkeypatch.setattr(writing, "make", None)  # nothing is drawn
    assert write_scenes(small(tmp_path, overwrite=True, workers=3)) == tmp_path


def test_a_set_with_missing_pictures_is_drawn_again(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "set")
    (tmp_path / "set/images/val/scene_1000001.png").unlink()
    (tmp_path / "set/images/train/scene_0000002.png").write_bytes(b"")
    write_scenes(small(tmp_path / "set"))
    assert contents(tmp_path / "set") == contents(written)


def test_another_set_is_refused_unless_overwritten(written: Path, tmp_path: Path) -> None:
    folder = write_scenes(small(tmp_path, seed=3))
    before = contents(folder)
    with pytest.raises(WrongUse, match=r"made with other options.*--overwrite"):
        write_scenes(small(folder))
    assert contents(folder) == before
    write_scenes(small(folder, overwrite=True))
    assert contents(folder) == contents(written)


@pytest.mark.parametrize("name", ["annotations/captions_train.json", "images/holiday.jpg"])
def test_other_peoples_files_are_never_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("{}")
    with pytest.raises(WrongUse, match="not built-in scenes"):
        write_scenes(small(tmp_path, overwrite=True))
    assert contents(tmp_path) == {name: b"{}"}


def test_what_looks_like_ours_is_not_removed_either(written: Path, tmp_path: Path) -> None:
    """Neither where a set lacks a picture and would be drawn again, nor where a picture's name begins as ours do."""
    folder = Path(shutil.copytree(written, tmp_path / "set"))
    (folder / "images/val/scene_1000001.png").unlink()
    for name in ("annotations/my_boxes.json", "images/train/mine.jpg", "images/train/scene_holiday.png", "images/album/a.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("precious")
        for overwrite in (False, True):
            with pytest.raises(WrongUse, match=rf"not built-in scenes \({name}\)|not built-in scenes \(images/album\)"):
                write_scenes(small(folder, overwrite=overwrite))
        (folder / name).unlink()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "scene_holiday.jpg").write_text("precious")
    with pytest.raises(WrongUse, match="not built-in scenes"):
        write_scenes(small(tmp_path))


def test_files_beside_the_set_stay(written: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_scenes(small(tmp_path))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_write_annotations", full)
    with pytest.raises(Problem, match=r"No space left on device.*--data"):
        write_scenes(small(tmp_path))
    assert contents(tmp_path) == {}


def test_what_a_killed_run_left_is_cleared_away(written: Path, tmp_path: Path) -> None:
    (tmp_path / ".scenes-abc/images").mkdir(parents=True)
    shutil.copytree(written / "images", tmp_path / "images")  # it was killed before the annotations came
    assert contents(write_scenes(small(tmp_path))) == contents(written)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations", "images"]


def test_wrong_options_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(WrongUse) as caught:
        write_scenes(small(tmp_path, val=0, seed=-1, picture_side=64, workers=-1))
    assert all(name in str(caught.value) for name in ("val is 0", "seed is -1", "picture_side is 64", "workers is -1"))
