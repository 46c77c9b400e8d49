"""From a folder or file, named in any of the usual ways, to records; and the sentences for what is not as it should be."""

from __future__ import annotations

import gc
import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import reading
from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.errors import Problem, WrongUse


def coco(path: Path, pictures: dict[int, str]) -> None:
    """COCO annotations, a caption a picture: {id: file name}."""
    images = [{"id": i, "file_name": name} for i, name in pictures.items()]
    captions = [{"image_id": i, "caption": f"Picture {i}."} for i in pictures]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"images": images, "annotations": captions}).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def lines(records: list) -> list[tuple]:
    return [(record.image_id, record.path, record.captions, record.split) for record in records]


@pytest.mark.parametrize(
    ("annotations", "pictures", "file_name"),
    [
        ("annotations/captions_{split}2014.json", "{split}2014", "COCO_{split}2014_{n}.jpg"),
        ("annotations/captions_{split}2014.json.gz", "images/{split}2014", "COCO_{split}2014_{n}.jpg"),
        ("captions_{split}2017.json", "{split}2017", "00{n}.jpg"),
        ("annotations/captions_{split}.json", "images/{split}", "{n}.png"),
        ("annotations/captions_{split}.json", "images", "{n}.png"),
        ("annotations/captions_{split}.json", "images", "{split}/{n}.png"),
        ("annotations/captions_{split}.json", ".", "{n}.png"),
    ],
)
def test_layouts_of_coco(annotations: str, pictures: str, file_name: str, tmp_path: Path) -> None:
    expected = []
    for n, split in enumerate(["train", "val", "test_new"]):
        file, folder = annotations.format(split=split), tmp_path / pictures.format(split=split)
        name = file_name.format(split=split, n=n)
        coco(tmp_path / file, {n: name})
        touch(folder / name)
        expected.append((n, folder / name, (f"Picture {n}.",), split))
    found = lines(read_records(DataOptions(data=tmp_path)))
    assert sorted(found) == expected


def test_one_file_and_pictures_elsewhere(tmp_path: Path) -> None:
    coco(tmp_path / "my own.json", {1: "a.jpg"})
    touch(tmp_path / "pictures/a.jpg")
    options = DataOptions(annotations=tmp_path / "my own.json", images=tmp_path / "pictures")
    assert lines(read_records(options)) == [(1, tmp_path / "pictures/a.jpg", ("Picture 1.",), None)]
    beside = DataOptions(data=tmp_path / "my own.json", images=tmp_path / "pictures")
    assert read_records(beside) == read_records(options)


def test_pictures_are_found_near_the_captions(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("image,caption\na.jpg,A dog\na.jpg,A wet dog\n")
    touch(tmp_path / "Images/a.jpg")
    by_file = read_records(DataOptions(annotations=tmp_path / "captions.txt"))
    assert lines(by_file) == [("a.jpg", tmp_path / "Images/a.jpg", ("A dog", "A wet dog"), None)]
    assert read_records(DataOptions(data=tmp_path)) == by_file


def test_karpathys_coco(tmp_path: Path) -> None:
    image = {"filepath": "val2014", "filename": "x.jpg", "cocoid": 5, "split": "restval", "sentences": [{"raw": "A dog"}]}
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": [image]}))
    touch(tmp_path / "val2014/x.jpg")
    assert lines(read_records(DataOptions(data=tmp_path))) == [(5, tmp_path / "val2014/x.jpg", ("A dog",), "restval")]


def test_folder_of_pictures_and_texts(tmp_path: Path) -> None:
    touch(tmp_path / "b/dog.jpg", tmp_path / "cat.png", tmp_path / "no caption.png")
    (tmp_path / "b/dog.txt").write_text("A dog\nA wet dog\n")
    (tmp_path / "cat.txt").write_text("A cat")
    assert lines(read_records(DataOptions(data=tmp_path))) == [
        ("b/dog.jpg", tmp_path / "b/dog.jpg", ("A dog", "A wet dog"), None),
        ("cat.png", tmp_path / "cat.png", ("A cat",), None),
    ]


def test_captions_alone(tmp_path: Path) -> None:
    coco(tmp_path / "captions_val2017.json", {1: "a.jpg"})
    [record] = read_records(DataOptions(data=tmp_path), need_pictures=False)
    assert record.path == tmp_path / "val2017/a.jpg"


def test_years_are_not_mixed(tmp_path: Path) -> None:
    for split, year, n in [("train", 2014, 1), ("val", 2014, 2), ("train", 2017, 2), ("val", 2017, 1)]:
        coco(tmp_path / f"annotations/captions_{split}{year}.json", {n: f"{n}.jpg"})
        touch(tmp_path / f"{split}{year}/{n}.jpg")
    with pytest.raises(WrongUse, match="several years, which share pictures; set train_split and val_split"):
        read_records(DataOptions(data=tmp_path))
    records = read_records(DataOptions(data=tmp_path, train_split="train2017", val_split="val2017"))
    assert sorted((record.split, record.image_id) for record in records) == [("train2017", 2), ("val2017", 1)]


def test_a_list_of_splits_counts_instead_of_the_files(tmp_path: Path) -> None:
    coco(tmp_path / "captions_train2014.json", {1: "a.jpg", 2: "b.jpg", 3: "c.jpg"})
    touch(tmp_path / "train2014/a.jpg")
    (tmp_path / "list.json").write_text(json.dumps({"train": [1], "val": ["b.jpg"]}))
    options = DataOptions(data=tmp_path, split_list=tmp_path / "list.json", annotations=tmp_path / "captions_train2014.json")
    assert [record.split for record in read_records(options)] == ["train", "val", None]


def test_a_second_reading_gives_the_same(tmp_path: Path, own_cache: Path) -> None:
    coco(tmp_path / "captions_train.json", {n: f"{n:0100d}.jpg" for n in range(8000)})
    first = read_records(DataOptions(data=tmp_path), need_pictures=False)
    assert len(list((own_cache / "indexes").iterdir())) == 1
    assert read_records(DataOptions(data=tmp_path), need_pictures=False) == first
    assert gc.isenabled()


def refused(options: DataOptions, kind: type[Problem] = WrongUse) -> str:
    with pytest.raises(kind) as problem:
        read_records(options)
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_no_data(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        sentence = refused(DataOptions(data=folder))
        assert str(folder) in sentence
        assert "`showtell data coco2014`" in sentence and "`showtell data scenes`" in sentence
    assert "absent.csv are not there" in refused(DataOptions(annotations=tmp_path / "absent.csv"))


def test_no_pictures(tmp_path: Path) -> None:
    coco(tmp_path / "annotations/captions_val2014.json", {1: "a.jpg"})
    sentence = refused(DataOptions(data=tmp_path))
    assert "captions_val2014.json (a.jpg, for one) are not in" in sentence and str(tmp_path / "val2014") in sentence
    assert f"{tmp_path / 'pics'}, is not there" in refused(DataOptions(data=tmp_path, images=tmp_path / "pics"))


def test_no_captions(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("image,caption\na.jpg, \n")
    assert "empty.csv holds no captions" in refused(DataOptions(annotations=tmp_path / "empty.csv"), Problem)
    touch(tmp_path / "pictures/a.jpg")
    assert "pictures holds no captions" in refused(DataOptions(data=tmp_path / "pictures", format="folder"), Problem)


def test_several_files_of_captions(tmp_path: Path) -> None:
    for language in ("de", "en"):
        image = {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "x"}]}
        (tmp_path / f"captions_{language}.json").write_text(json.dumps({"images": [image]}))
    touch(tmp_path / "a.jpg")
    sentence = refused(DataOptions(data=tmp_path))
    assert "(captions_de.json, captions_en.json); name one with --annotations" in sentence
    [record] = read_records(DataOptions(data=tmp_path, annotations=tmp_path / "captions_de.json"))
    assert record.split == "train"


def test_the_same_picture_twice(tmp_path: Path) -> None:
    for split in ("train", "val"):
        coco(tmp_path / f"captions_{split}.json", {7: "a.jpg"})
    touch(tmp_path / "a.jpg")
    assert "The picture with id 7 occurs twice" in refused(DataOptions(data=tmp_path))


def test_real_coco(shared: Path) -> None:
    records = read_records(DataOptions(data=shared / "data/coco"), need_pictures=False)
    assert (len(records), sum(len(record.captions) for record in records)) == (5000, 25_014)
    karpathy = DataOptions(data=shared / "data/coco", split_list=shared / "data/coco/karpathy_coco_split.json.gz")
    splits = Counter(record.split for record in read_records(karpathy, need_pictures=False))
    assert splits == {"restval": 3799, "val": 608, "test": 593}
    mini = read_records(DataOptions(data=shared / "data/coco_mini"))
    assert len(mini) == 80 and all(record.path.is_file() and record.split == "train" for record in mini)


def test_real_flickr8k(shared: Path) -> None:
    folder = shared / "data/flickr8k"
    records = read_records(DataOptions(data=folder, annotations=folder / "captions_en.json"))
    assert Counter(record.split for record in records) == {"train": 6000, "val": 1000}
    assert all(len(record.captions) == 5 for record in records)
    assert records[0].path.is_file()


def test_the_benchmark_of_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    coco(tmp_path / "captions_val2017.json", {n: f"{n}.jpg" for n in range(9)})
    monkeypatch.setattr(reading, "PICTURES", 10)
    monkeypatch.setattr(reading, "CAPTIONS", 51)
    monkeypatch.setattr("sys.argv", ["reading", "--annotations", str(tmp_path / "captions_val2017.json")])
    reading.main()
    shown = capsys.readouterr().out
    assert "9 pictures, 9 captions, 5 words" in shown and "10 pictures, 51 captions" in shown
