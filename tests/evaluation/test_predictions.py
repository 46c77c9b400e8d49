"""Captions of other programs: every usual layout is read, and matched with its picture by number or name."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from showtell.data.records import Record
from showtell.errors import Problem, WrongUse
from showtell.evaluation.matching import choose_split, match, references_hash
from showtell.evaluation.predictions import Prediction, read_predictions

BOTH = [("391895", "a man on a bike"), ("60623", "a woman, eating")]


def written(folder: Path, text: str | bytes, name: str = "predictions") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


COCO: list[dict[str, Any]] = [{"image_id": int(i), "caption": caption} for i, caption in BOTH]
LAYOUTS: dict[str, Any] = {
    "COCO results": COCO,
    "numbers as text": [{"image_id": i, "caption": caption} for i, caption in BOTH],
    "under images": {"images": [{"id": int(i), "caption": caption} for i, caption in BOTH]},
    "under annotations": {"info": {}, "annotations": [{"id": 7, **each} for each in COCO]},
    "by picture": dict(BOTH),
    "of a model with a name": {"name": "mine", "captions": COCO},
    "by picture, in lists": {i: [{"caption": caption}] for i, caption in BOTH},
    "as Karpathy has references": {"images": [{"cocoid": int(i), "sentences": [{"raw": caption}]} for i, caption in BOTH]},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_json_layouts(tmp_path: Path, layout: str) -> None:
    found = read_predictions(written(tmp_path, json.dumps(LAYOUTS[layout])))
    assert [(each.picture, each.caption) for each in found] == BOTH
    assert all(each.by_number for each in found)


@pytest.mark.parametrize(
    "text",
    [
        'image_id,caption\n391895,a man on a bike\n60623,"a woman, eating"\n',
        'image_id,caption\r391895,a man on a bike\r60623,"a woman, eating"\r',  # of Excel for the Mac
        "Image_ID\tcaption\n391895\ta man on a bike\n60623\ta woman, eating\n",
        "\ufeff" + "\n".join(map(json.dumps, COCO)) + "\n\n",
        json.dumps(COCO, indent=1),
        json.dumps([{"image_id": int(i) + 0.0, "caption": caption} for i, caption in BOTH]),  # numbers as pandas has them
        "image_id|caption\n391895|a man on a bike\n60623|a woman, eating\n",
        'image_id|caption\n391895|"a man on a bike"\n60623| "a woman, eating" \n',
        "image_id,caption\n391895,a man on a bike,\n60623,a woman, eating,,\n",  # commas that nobody quoted
    ],
)
def test_tables_and_lines(tmp_path: Path, text: str) -> None:
    assert [(each.picture, each.caption) for each in read_predictions(written(tmp_path, text))] == BOTH


def test_a_single_line_and_gzip(tmp_path: Path) -> None:
    line = '{"image": "photos/a.jpg", "caption": "a dog", "words": ["a", "dog"], "logprobs": [-1, -1]}'
    assert read_predictions(written(tmp_path, gzip.compress(line.encode()))) == [Prediction("photos/a.jpg", False, "a dog")]
    line = '{"image": "a.jpg", "captions": ["a dog"]}'
    assert read_predictions(written(tmp_path, line)) == [Prediction("a.jpg", False, "a dog")]


def test_a_table_without_a_head_line(tmp_path: Path) -> None:
    table = written(tmp_path, 'a.jpg,"a dog, running"\nb.jpg,a cat, asleep\n')
    assert read_predictions(table) == [Prediction("a.jpg", False, "a dog, running"), Prediction("b.jpg", False, "a cat, asleep")]


@pytest.mark.parametrize(
    "table",
    [
        'image,caption\na.jpg,"There are\n2, maybe 3, dogs"\n',
        'image,caption\na.jpg,"2, maybe 3, dogs\nin snow"\n',
        'a.jpg,"a dog:\n3, no 4 dogs"\n',
        'image\tcaption\na.jpg\t"a\tdog\nruns"\n',
        'image,caption\n"x\ny.jpg",a dog\n',
    ],
)
def test_captions_and_names_may_have_lines(tmp_path: Path, table: str) -> None:
    (found,) = read_predictions(written(tmp_path, table))
    assert "\n" in found.picture + (found.caption or "")


def test_pictures_that_were_skipped_have_no_caption(tmp_path: Path) -> None:
    lines = '{"image": "a.jpg", "error": "it is broken"}\n{"image": "b.jpg", "caption": ""}\n'
    assert read_predictions(written(tmp_path, lines)) == [Prediction("a.jpg", False, None), Prediction("b.jpg", False, "")]
    table = "image,caption,error\na.jpg,,it is broken\nb.jpg,a dog,0.5\n"  # somebody's error of another kind
    assert read_predictions(written(tmp_path, table)) == [Prediction("a.jpg", False, None), Prediction("b.jpg", False, "a dog")]


def test_captions_count_and_not_the_pictures_listed_beside_them(tmp_path: Path) -> None:
    both = {"images": [{"id": 1, "file_name": "a.jpg"}], "predictions": [{"image_id": 1, "caption": "a dog"}]}
    assert read_predictions(written(tmp_path, json.dumps(both))) == [Prediction("1", True, "a dog")]


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("", WrongUse, "names nothing"),
        ("[]", WrongUse, "holds no captions"),
        ("391895,a man\n", WrongUse, "must name the columns"),
        ('[{"caption": "a"}]', WrongUse, "does not name the picture"),
        ('[{"image_id": 1}]', WrongUse, "gives no caption, or several, of the picture 1"),
        ('{"1": ["a", "b"]}', WrongUse, "gives no caption, or several, of the picture 1"),
        ("[3]", WrongUse, "holds 3 where an object"),
        ('[{"image_id": 1,', Problem, "broken JSON"),
        ('{"image_id": 1, "caption": "a"}\n{"image_id": 2, oops}', Problem, "broken JSON at line 2"),
        ('{"image_id": ' + "1" * 5000 + ', "caption": "a"}', Problem, "cannot be read as captions"),
        ('{"1": "a", "1": "b"}', WrongUse, "says twice what 1 is"),
        ('{"id": 1, "text": "a"}\n{"id": 2, "text": "a", "text": "b"}', WrongUse, "says twice what text is"),
        ('[{"image_id": 1, "caption": "a", "caption": "b"}]', WrongUse, "says twice what caption is"),
        ("image,split,caption\na.jpg,val\n", Problem, "Line 2 of"),
        ("image_id,caption,caption\n1,a,b\n", WrongUse, "has two columns caption: leave one"),
        ('[{"image_id": true, "caption": "a"}]', WrongUse, "does not name the picture"),
        ('image,caption\na.jpg,"a dog\nb.jpg,a cat\n', Problem, "The quotation mark in line 2"),
        ('image_id\tcaption\n1\t"a dog\n2\ta cat\n3\ta bird"\n', Problem, "A quotation mark before line 4"),
        ('image,caption\na.jpg,"a dog\nb.jpg,a cat"\n', Problem, "A quotation mark before line 3"),
        ('image_id,caption\n1,"a dog\n2,a cat\n3,a bird"\n', Problem, "A quotation mark before line 4"),
        ('caption;image_id\n"a dog;1\na cat";2\n', Problem, "A quotation mark before line 3"),
        ('caption;image_id\n"a dog;1\na cat;2\na bird";3\n', Problem, "A quotation mark before line 4"),
        ('image,caption,split\na.jpg,"a dog,train\nb.jpg,a cat",train\n', Problem, "A quotation mark before line 3"),
        ("image,caption,split\na.jpg,a dog, running,val\n", Problem, "put its caption in quotation marks"),
        (b"\x1f\x8b\x08broken", Problem, "is damaged"),
        (b"image,caption\n\xff,a\n", Problem, "not text in UTF-8"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str | bytes, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as raised:
        read_predictions(written(tmp_path, text))
    assert said in str(raised.value)
    assert type(raised.value) is kind


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="cannot be read"):
        read_predictions(tmp_path / "none.json")


# -------------------------------------------------------------------------------------------------------------- matching


def record(image_id: int | str, path: str, split: str | None = "val") -> Record:
    return Record(image_id, path, ("a reference",), split)


RECORDS = [
    record(391895, "val2014/COCO_val2014_000000391895.jpg"),
    record(7, "cats/1.jpg"),
    record(8, "dogs/1.jpg"),
    record(60623, "val2014/COCO_val2014_000000060623.jpg", "test"),
    record("x.png", "x.png", None),
]
SOURCE = Path("predictions.json")


@pytest.mark.parametrize(
    ("picture", "by_number", "image_id"),
    [
        ("391895", True, 391895),
        ("COCO_val2014_000000391895.jpg", False, 391895),
        ("elsewhere/COCO_val2014_000000391895.jpg", False, 391895),
        ("COCO_val2014_000000391895", False, 391895),
        ("000000391895.jpg", False, 391895),  # as the pictures of 2017 are called
        (r"data\cats\1.jpg", False, None),
        (r"cats\1.jpg", False, 7),
        ("dogs/1.jpg", False, 8),
        ("x.png", False, "x.png"),
        ("other_7.jpg", False, None),  # picture 7 is not called by its number
        ("12", True, None),
    ],
)
def test_a_picture_is_found(picture: str, by_number: bool, image_id: int | str | None) -> None:
    if "data" in picture:
        with pytest.raises(WrongUse, match="fits several pictures"):
            match([Prediction(picture, by_number, "a")], RECORDS, RECORDS, SOURCE)
        return
    found = match([Prediction(picture, by_number, "a")], RECORDS, RECORDS, SOURCE)
    assert [each.image_id for each in found.records] == ([] if image_id is None else [image_id])
    assert found.unknown == ([picture] if image_id is None else [])


def test_where_one_number_is_an_id_all_are() -> None:
    """Karpathy's numbers from 0, of files numbered from 1: a file of captions is read in one numbering, not in two."""
    records = [record(n, f"{n + 1}.jpg") for n in range(4)]
    found = match([Prediction(str(n), True, "a") for n in (3, 4)], records, records, SOURCE)
    assert ([each.image_id for each in found.records], found.unknown) == ([3], ["4"])
    found = match([Prediction(n, True, "a") for n in ("4",)], records, records, SOURCE)
    assert [each.image_id for each in found.records] == [3]  # none of them is an id, so that they are files' names


def test_the_whole_of_a_name_comes_before_its_end() -> None:
    records = [record("1.png", "1.png"), record("sub/1.png", "sub/1.png")]
    said = [Prediction("1.png", False, "x"), Prediction("sub/1.png", False, "y"), Prediction("./1.png", False, "x")]
    assert match(said, records, records, SOURCE).captions == ["x", "y"]


def test_ids_come_before_names() -> None:
    crossed = [record("a", "b.jpg"), record("b", "a.jpg")]
    assert [each.image_id for each in match([Prediction("a", True, "x")], crossed, crossed, SOURCE).records] == ["a"]
    padded = [record(42, "x.jpg"), record(391895, "y.jpg")]
    found = match([Prediction(n, True, "x") for n in ("000042", "391895")], padded, padded, SOURCE)
    assert [each.image_id for each in found.records] == [42, 391895]
    assert match([Prediction("000042", True, "x")], padded, padded, SOURCE).captions == ["x"]
    zeros = [record("p", "1.jpg"), record("q", "001.jpg")]
    assert [each.image_id for each in match([Prediction("1", True, "x")], zeros, zeros, SOURCE).records] == ["p"]


def test_numbers_in_other_names_are_no_ids() -> None:
    records = [record(n, f"train_{n}.jpg") for n in range(1, 4)]
    assert match([Prediction("val_1.jpg", False, "a")], records, records, SOURCE).unknown == ["val_1.jpg"]
    coco = [Record("COCO_val2014_000000000042.jpg", "COCO_val2014_000000000042.jpg", ("a reference",), None)]
    assert match([Prediction("42", True, "a")], coco, coco, SOURCE).captions == ["a"]
    windows = [Record("a", r"photos\x.jpg", ("a reference",), None)]
    assert match([Prediction("x.jpg", False, "a")], windows, windows, SOURCE).captions == ["a"]


def test_number_and_name_are_of_one_picture(tmp_path: Path) -> None:
    lines = '{"image_id": 7, "image": "x/1.jpg", "caption": "a"}\n{"image_id": 8, "file_name": "x.png", "caption": "b"}\n'
    first, second = read_predictions(written(tmp_path, lines))
    assert (first.file, second.file) == ("x/1.jpg", "x.png")
    assert match([first], RECORDS, RECORDS, SOURCE).captions == ["a"]
    with pytest.raises(WrongUse, match=r"has a caption of 8 and of x\.png at once: leave one of them"):
        match([second], RECORDS, RECORDS, SOURCE)
    with pytest.raises(WrongUse, match=r"has a caption of 7 and of dogs/1\.jpg at once"):
        match([Prediction("7", True, "a", "dogs/1.jpg")], RECORDS, RECORDS, SOURCE)


def test_what_is_left_over_is_counted() -> None:
    said = [("391895", "a"), ("391895", "a"), ("60623", "b"), ("99", "c")]
    found = match([Prediction(picture, True, caption) for picture, caption in said], RECORDS, RECORDS[:3], SOURCE)
    assert found.captions == ["a"]
    assert (found.missing, found.unknown, found.elsewhere, found.repeated) == (["7", "8"], ["99"], 1, 1)


def test_two_captions_of_one_picture_are_refused() -> None:
    with pytest.raises(WrongUse, match='says two things of the picture 7, "a" and "b"'):
        match([Prediction("7", True, "a"), Prediction("7", True, "b")], RECORDS, RECORDS, SOURCE)


def test_the_split_is_val_or_the_only_one_or_named() -> None:
    assert choose_split(RECORDS, None, "val")[1] == "val"
    assert choose_split(RECORDS, None, "test")[1] == "test"
    assert choose_split(RECORDS[3:4], None, "val")[1] == "test"
    assert choose_split(RECORDS[4:], None, "val") == (RECORDS[4:], None)
    assert [each.image_id for each in choose_split(RECORDS, "test", "val")[0]] == [60623]
    with pytest.raises(WrongUse, match="test, dev"):
        choose_split([RECORDS[3], record(1, "a.jpg", "dev")], None, "val")
    with pytest.raises(WrongUse, match=r"have no split train \(they have val, test\); set split to"):
        choose_split(RECORDS, "train", "val")


def test_the_hash_of_references_does_not_depend_on_their_pictures_order() -> None:
    assert references_hash(RECORDS) == references_hash(RECORDS[::-1])
    assert references_hash(RECORDS) != references_hash(RECORDS[1:])
