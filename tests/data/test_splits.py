"""Splits by name, by list, by share: always by picture, and never silently another than was asked for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from showtell.data.options import DataOptions
from showtell.data.records import Record
from showtell.data.splits import assign_splits, save_split_list, split, split_records
from showtell.errors import Problem, WrongUse


def records(*splits: str | None) -> list[Record]:
    """Pictures 0, 1, ... in these splits."""
    return [Record(n, f"pictures/{n}a.jpg", (f"Picture {n}",), name) for n, name in enumerate(splits)]


def ids(found: list[Record]) -> list[int | str]:
    return [record.image_id for record in found]


def test_splits_of_the_file() -> None:
    splits = split_records(records("train", "val", "test", "train", None), DataOptions(), seed=0)
    assert (ids(splits.train), ids(splits.val)) == ([0, 3], [1])


def test_restval_is_for_training() -> None:
    pictures = records("train", "restval", "val")
    assert ids(split(pictures, "train", "split")) == [0, 1]
    assert ids(split(pictures, "restval", "split")) == [1]
    assert ids(split_records(pictures, DataOptions(), seed=0).train) == [0, 1]


def test_restval_may_be_for_validation() -> None:
    splits = split_records(records("train", "restval", "val"), DataOptions(val_split="restval"), seed=0)
    assert (ids(splits.train), ids(splits.val)) == ([0], [1])


def test_one_split_is_not_for_both() -> None:
    with pytest.raises(WrongUse, match=r"train_split and val_split are both train \(the data have train, val\)"):
        split_records(records("train", "val"), DataOptions(val_split="train"), seed=0)


def test_names_that_are_no_utf8_have_their_lot(tmp_path: Path) -> None:
    pictures = [record._replace(image_id=f"K\udce4fer {record.image_id}.jpg") for record in records(*[None] * 9)]
    splits = split_records(pictures, DataOptions(), seed=0)
    save_split_list(splits, tmp_path / "splits.json")
    again = split_records(assign_splits(pictures, tmp_path / "splits.json"), DataOptions(), seed=1)
    assert (ids(again.train), ids(again.val)) == (ids(splits.train), ids(splits.val))


def test_splits_of_other_names() -> None:
    splits = split_records(records("a", "b", "train"), DataOptions(train_split="b", val_split="a"), seed=0)
    assert (ids(splits.train), ids(splits.val)) == ([1], [0])


@pytest.mark.parametrize("name", [None, "train"])
def test_a_share_of_the_pictures(name: str | None) -> None:
    pictures = records(*[name] * 50, *(["test"] * 9 if name else []))
    splits = split_records(pictures, DataOptions(val_fraction=0.2), seed=3)
    assert len(splits.val) == 10 and len(splits.train) == 40
    assert sorted(ids(splits.val) + ids(splits.train)) == list(range(50))
    assert split_records(pictures, DataOptions(val_fraction=0.2), seed=3) == splits
    assert split_records(pictures, DataOptions(val_fraction=0.2), seed=4) != splits
    shuffled = split_records(pictures[::-1], DataOptions(val_fraction=0.2), seed=3)
    assert set(ids(shuffled.val)) == set(ids(splits.val))


def test_the_share_is_the_same_everywhere() -> None:
    assert ids(split_records(records(*[None] * 20), DataOptions(), seed=0).val) == [6, 14]


def test_a_share_leaves_something_on_both_sides() -> None:
    for fraction in (0.001, 0.999):
        splits = split_records(records(None, None), DataOptions(val_fraction=fraction), seed=0)
        assert len(splits.train) == len(splits.val) == 1
    with pytest.raises(WrongUse, match="validation needs some"):
        split_records(records(None), DataOptions(), seed=0)


@pytest.mark.parametrize(
    ("names", "options", "sentence"),
    [
        (("val", "test"), DataOptions(), "have no split train (they have val, test); set train_split to"),
        (("train", "validation"), DataOptions(), "have no split val (they have train, validation); set val_split to validation"),
        (("train", "dev"), DataOptions(), "have no split val (they have train, dev); set val_split"),
        (("train", "val"), DataOptions(val_split="vel"), "have no split vel (they have train, val); set val_split to val"),
        (("train", "val"), DataOptions(train_split="trein"), "have no split trein (they have train, val); set train_split to"),
    ],
)
def test_a_split_that_is_not_there(names: tuple[str, ...], options: DataOptions, sentence: str) -> None:
    with pytest.raises(WrongUse) as problem:
        split_records(records(*names), options, seed=0)
    assert sentence in str(problem.value)


def test_no_splits_at_all() -> None:
    with pytest.raises(WrongUse, match="not divided into splits, so that there is no test"):
        split(records(None, None), "test", "split")


@pytest.mark.parametrize(
    "document",
    [
        {"train": [0, 2], "restval": [], "val": [1]},
        {"train": ["0a.jpg", "2a.jpg"], "val": ["1a.jpg", "not here.jpg"]},
        {"train": ["0a", "2a"], "val": ["1a"]},
        {"images": [{"cocoid": n, "filename": "x", "split": s} for n, s in enumerate(["train", "val", "train"])]},
        {"images": [{"filename": f"{n}a.jpg", "split": s} for n, s in enumerate(["train", "val", "train"])]},
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_lists(document: dict[str, list], compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    content = json.dumps(document).encode()
    path.write_bytes(gzip.compress(content) if compressed else content)
    found = assign_splits(records("val", "val", "val", "train"), path)
    assert [record.split for record in found] == ["train", "val", "train", None]


def test_a_number_is_an_id_before_it_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('{"train": [1], "val": [2]}')
    pictures = [Record(0, "1.jpg", ("A dog",), None), Record(1, "7.jpg", ("A cat",), None), Record(5, "2.jpg", ("A bird",), None)]
    assert [record.split for record in assign_splits(pictures, tmp_path / "list.json")] == [None, "train", "val"]


@pytest.mark.parametrize(
    ("content", "kind", "sentence"),
    [
        (None, WrongUse, "cannot be read (No such file or directory)"),
        ("{", Problem, "is broken JSON"),
        ("[1, 2]", WrongUse, "is no split list"),
        ('{"train": 3}', WrongUse, "is no split list"),
        ('{"images": [{"filename": "a.jpg"}]}', WrongUse, "is no split list"),
        ('{"train": [1], "val": [1]}', WrongUse, "puts 1 into two splits (train, val)"),
        ('{"train": [77]}', WrongUse, "names none of the 1 pictures"),
    ],
)
def test_lists_that_are_none(content: str | None, kind: type[Problem], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(kind) as problem:
        assign_splits(records("val"), path)
    assert sentence in str(problem.value) and str(path) in str(problem.value)
