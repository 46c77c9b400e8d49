"""Every format of captions gives the same rows, is recognised by its content, and says in one sentence what is wrong with it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from PIL import Image

from showtell.data.formats import Row, read_rows, recognise
from showtell.data.options import DataOptions
from showtell.errors import Problem, WrongUse

OPTIONS = DataOptions()

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 3, "file_name": "b.jpg"}, {"id": 9, "file_name": "c.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 3, "caption": "A bird."},
        {"id": 2, "image_id": 7, "caption": " A dog.\n"},
        {"id": 3, "image_id": 7, "caption": "  "},
        {"id": 4, "image_id": 7, "caption": "Two dogs"},
        {"id": 5, "image_id": 1234, "caption": "A picture that is not there"},
    ],
}
KARPATHY = {
    "dataset": "coco",
    "images": [
        {"filename": "a.jpg", "imgid": 0, "split": "train", "sentences": [{"raw": "A dog."}, {"raw": "Two dogs"}]},
        {"filename": "b.jpg", "filepath": "val2014", "imgid": 1, "cocoid": 30, "split": "restval", "sentences": [{"raw": "B"}]},
        {"filename": "c.jpg", "split": "test", "sentences": [{"tokens": ["a", "cat"]}]},
    ],
}  # fmt: skip
TWO_PICTURES: list[Row] = [("a.jpg", "a.jpg", None, ("A dog, wet.", "Two dogs")), ("b.jpg", "b.jpg", None, ("A bird.",))]


def written(folder: Path, content: object, name: str = "captions") -> Path:
    """Under a name that tells nothing of the format."""
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("write", [json.dumps, lambda value: json.dumps(value, indent=2), lambda value: "\n" + json.dumps(value)])
def test_coco(write, tmp_path: Path) -> None:
    path = written(tmp_path, write(COCO))
    assert recognise(path) == "coco"
    assert read_rows(path, OPTIONS) == [
        (7, "a.jpg", None, ("A dog.", "Two dogs")),
        (3, "b.jpg", None, ("A bird.",)),
        (9, "c.jpg", None, ()),
    ]


def test_compressed(tmp_path: Path) -> None:
    plain, compressed = written(tmp_path, COCO), written(tmp_path, gzip.compress(json.dumps(COCO).encode()), "compressed")
    assert recognise(compressed) == "coco"
    assert read_rows(compressed, OPTIONS) == read_rows(plain, OPTIONS)


def test_karpathy(tmp_path: Path) -> None:
    path = written(tmp_path, KARPATHY)
    assert recognise(path) == "karpathy"
    assert read_rows(path, OPTIONS) == [
        (0, "a.jpg", "train", ("A dog.", "Two dogs")),
        (30, "val2014/b.jpg", "restval", ("B",)),
        (2, "c.jpg", "test", ("a cat",)),
    ]


@pytest.mark.parametrize(
    "table",
    [
        'image,caption\na.jpg,"A dog, wet."\na.jpg,Two dogs\nb.jpg,A bird.\n',
        "\ufeffImage;Caption\r\na.jpg;A dog, wet.\r\nb.jpg;A bird.\r\n\r\na.jpg;Two dogs\r\n",
        'image,caption\ra.jpg,"A dog, wet."\ra.jpg,Two dogs\rb.jpg,A bird.\r',  # of Excel for the Mac
        "id\tcaption\timage\n1\tA dog, wet.\ta.jpg\n2\tTwo dogs\ta.jpg\n3\tA bird.\tb.jpg",
        "image,caption\na.jpg,A dog, wet.\na.jpg,Two dogs\nb.jpg,A bird.\n",  # nobody quoted
        "image| comment_number| caption\na.jpg| 0| A dog, wet.\na.jpg| 1| Two dogs\nb.jpg| 0| A bird.\n",
        'a.jpg,"A dog, wet."\na.jpg,Two dogs\nb.jpg,"A bird."\n',  # no head line
        'caption,"image",note\n"A dog, wet.",a.jpg,\nTwo dogs,a.jpg,\nA bird.,b.jpg,\n',
        'image,"notes,\nby us",caption\na.jpg,,"A dog, wet."\na.jpg,,Two dogs\nb.jpg,,A bird.\n',
        "a.jpg#0\tA dog, wet.\na.jpg#1\tTwo dogs\nb.jpg#0\tA bird.\n",  # Flickr8k.token.txt
    ],
)
def test_tables(table: str, tmp_path: Path) -> None:
    path = written(tmp_path, table)
    assert recognise(path) == "table"
    assert read_rows(path, OPTIONS) == TWO_PICTURES


def test_quotation_marks_swallow_no_lines(tmp_path: Path) -> None:
    path = written(tmp_path, 'image| caption\na.jpg| "A dog\nb.jpg| A 7" bird\n')
    assert [row[3] for row in read_rows(path, OPTIONS)] == [('"A dog',), ('A 7" bird',)]


def test_a_table_tells_splits(tmp_path: Path) -> None:
    path = written(tmp_path, "image,split,caption\na.jpg,train,A dog\na.jpg,train,Dogs\nb.jpg,val,A bird\nc.jpg,,A cat\n")
    assert [row[2] for row in read_rows(path, OPTIONS)] == ["train", "val", None]
    path = written(tmp_path, "image,split,caption\na.jpg,train,A dog\na.jpg,val,Dogs\n")
    with pytest.raises(Problem, match=r"puts the picture a.jpg into two splits \(train, val\)"):
        read_rows(path, OPTIONS)


def test_json_lines(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "caption": ["A dog, wet.", "Two dogs"]}, {"image": "b.jpg", "caption": "A bird."}]
    lines = written(tmp_path, "\n".join(map(json.dumps, rows)) + "\n\n")
    assert recognise(lines) == "jsonl"
    assert read_rows(lines, OPTIONS) == TWO_PICTURES
    assert read_rows(written(tmp_path, rows), OPTIONS) == TWO_PICTURES
    assert read_rows(written(tmp_path, json.dumps(rows[1]) + "\n"), OPTIONS) == TWO_PICTURES[1:]


def test_json_lines_with_columns_of_other_names(tmp_path: Path) -> None:
    path = written(tmp_path, '{"file_name": "a.jpg", "text": "Hund\\u2028e", "split": "val"}')
    options = DataOptions(image_column="file_name", caption_column="text")
    assert read_rows(path, options) == [("a.jpg", "a.jpg", "val", ("Hund\u2028e",))]


def test_numbers_for_names(tmp_path: Path) -> None:
    path = written(tmp_path, [{"image_id": 7, "caption": "A dog"}, {"image_id": 7, "caption": "One dog"}])
    assert read_rows(path, DataOptions(image_column="image_id")) == [("7", "7", None, ("A dog", "One dog"))]


def test_some_of_the_images_may_be_listed(tmp_path: Path) -> None:
    annotations = [{"image_id": number, "caption": "A dog"} for number in (7, 8)]
    path = written(tmp_path, {"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": annotations})
    assert read_rows(path, OPTIONS) == [(7, "a.jpg", None, ("A dog",))]


def test_a_table_of_pandas_with_its_index(tmp_path: Path) -> None:
    """The first name is empty: a tab before it is no space to be cut off."""
    table = written(tmp_path, "\n\timage\tcaption\n0\ta.jpg\tA dog\n1\ta.jpg\tOne dog\n")
    assert read_rows(table, OPTIONS) == [("a.jpg", "a.jpg", None, ("A dog", "One dog"))]


def test_empty_cells_at_the_end_are_none(tmp_path: Path) -> None:
    table = written(tmp_path, 'image,caption,split\na.jpg,"A man, walking",train,,\n')
    assert read_rows(table, OPTIONS) == [("a.jpg", "a.jpg", "train", ("A man, walking",))]


def test_flickr8ks_list_with_commas_in_its_first_caption(tmp_path: Path) -> None:
    table = written(tmp_path, "a.jpg#0\tA dog , a cat , a man .\na.jpg#1\tThree .\n")
    assert read_rows(table, OPTIONS) == [("a.jpg", "a.jpg", None, ("A dog , a cat , a man .", "Three ."))]


def test_folder(tmp_path: Path) -> None:
    for name in ("train/b.jpg", "val/a.png", "c.jpg", "more/d.jpg", "train/without.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    for name, text in {"train/b": "Ein Hund\n\nZwei Hunde\n", "val/a": "Eine Katze", "c": "x", "more/d": "y"}.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    assert recognise(tmp_path) == "folder"
    assert {row[1]: row[2:] for row in read_rows(tmp_path, OPTIONS)} == {
        "c.jpg": (None, ("x",)),
        "more/d.jpg": (None, ("y",)),
        "train/b.jpg": ("train", ("Ein Hund", "Zwei Hunde")),
        "train/without.jpg": ("train", ()),
        "val/a.png": ("val", ("Eine Katze",)),
    }


@pytest.mark.parametrize(
    "document",
    [
        {"images": [{"id": 7}], "annotations": [{"image_id": 7, "caption": "A dog"}, {"image_id": 7, "caption": "One dog"}]},
        {"annotations": [{"image_id": 7, "caption": "A dog"}, {"image_id": 7, "caption": "One dog"}], "type": "captions"},
        {"images": [{"id": 7, "captions": ["A dog", "One dog"]}]},
        {"images": [{"image_id": 7, "sentences": ["A dog", {"caption": "One dog"}]}]},
    ],
)
def test_references_that_name_no_files(tmp_path: Path, document: object) -> None:
    """As evaluation scripts pass them on: good for scoring captions, and a number is the name."""
    assert read_rows(written(tmp_path, document), OPTIONS) == [(7, "7", None, ("A dog", "One dog"))]


@pytest.mark.parametrize(
    ("content", "kind", "sentence"),
    [
        ("picture,comment\na.jpg,A dog\n", WrongUse, "no column image (it has picture, comment); set image_column to picture"),
        ("image,captain\na.jpg,A dog\n", WrongUse, "no column caption (it has image, captain); set caption_column to captain"),
        ("{}", WrongUse, "has no column caption (it has none); name it with caption_column"),
        ('{"image": 3}', WrongUse, "has no column caption (it has image); name it with caption_column"),
        (b"PK\x03\x04\x14\x00\xff", Problem, "is an archive, such as Excel's; save the table as CSV"),
        ("a.jpg\nb.jpg\n", WrongUse, "names pictures, but has no captions"),
        ('{"image": "a.jpg", "text": "A dog"}', WrongUse, "has no column caption (it has image, text)"),
        ('{"licenses": [1], "annotations": 3, \n', Problem, "is broken JSON at line 2"),
        ('{"pictures":\n[1, 2]}', WrongUse, "holds JSON, but no captions of a known format"),
        ("{" * 70000, WrongUse, "holds JSON, but no captions of a known format"),
        ("[" * 70000, Problem, "is not laid out as jsonl captions are"),
        ('{"image": "a.jpg", "caption": "A"}\n{"image": "b.jpg"', Problem, "is broken JSON at line 2"),
        ('{"images":\n[{"file_name": "a"}], "annotations": []}', Problem, "coco captions are: something lacks 'id'"),
        ('{"images":\n[{"id": 1.5, "file_name": "a"}], "annotations": []}', Problem, "something in it is of another type"),
        ('{"images":\n[{"id": 1, "file_name": 2}], "annotations": []}', Problem, "something in it is of another type"),
        ('{"images":\n[], "annotations": [{"image_id": [], "caption": ""}]}', Problem, "something in it is of another type"),
        ('{"images":\n[{"sentences": 3}]}', Problem, "karpathy captions are: something in it is of another type"),
        ('{"images":\n[{"sentences": [{"raw": 3}]}]}', Problem, "karpathy captions are: something in it is of another type"),
        ('{"images":\n[{"sentences": [{}]}]}', Problem, "karpathy captions are: something lacks 'tokens'"),
        ('{"image": "a.jpg", "caption": 3}', Problem, "jsonl captions are: something in it is of another type"),
        ('{"image": "a.jpg", "caption": {"en": "A dog"}}', Problem, "jsonl captions are: something in it is of another type"),
        ('{"image": "a.jpg", "caption": "A", "split": ["val"]}', Problem, "something in it is of another type"),
        ('{"images":\n[{"id": 1}], "annotations": [{"image_id": "1", "caption": "A"}]}', Problem, "such as '1'; mend their ids"),
        ('{"images":\n[{"id": 1}], "annotations": [{"image_id": 1, "caption": "A"}, {"image_id": "1", "caption": "B"}]}', Problem,
         "such as '1'; mend their ids"),
        (json.dumps({str(n): ["A"] for n in range(300)}), WrongUse, "(it has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...)"),
        ('image,caption\na.jpg,"A dog\nb.jpg,A cat\n', Problem, "The quotation mark in line 2"),
        ("image,caption,more\na.jpg,A dog\n", Problem, "Line 2 of"),
        ("a.jpg,A dog, running\nb.jpg,A cat, asleep\n", WrongUse, "has no head line, and 3 cells in its first"),
        ("image,caption,caption\na.jpg,A dog,Two dogs\n", WrongUse, "has two columns caption: leave one"),
        ("image,caption,split\na.jpg,A man, walking,train\n", Problem, "put its caption in quotation marks"),
        ('{"images":\n[{"id": ' + "1" * 5000 + '}], "annotations": []}', Problem, "cannot be read as coco captions"),
        (b"image,caption\na.jpg,\xff\xfe\n", Problem, "is not text in UTF-8 (byte 20)"),
        (gzip.compress(json.dumps(COCO).encode(), mtime=0)[:60], Problem, "is damaged"),
        (b"\x1f\x8bnonsense", Problem, "is damaged"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(content: object, kind: type[Problem], sentence: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(kind) as problem:
        read_rows(path, OPTIONS)
    assert sentence in str(problem.value) and str(path) in str(problem.value) and "\n" not in str(problem.value)


def test_a_format_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, KARPATHY)
    with pytest.raises(Problem, match="not laid out as coco captions"):
        read_rows(path, DataOptions(format="coco"))
    assert len(read_rows(path, DataOptions(format="karpathy"))) == 3
