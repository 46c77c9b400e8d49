"""Seconds from a file of captions to records and a vocabulary.

    python -m benchmarks.reading --annotations annotations/captions_val2017.json

The file given is read; then one of COCO 2014's full size (82,783 pictures, 414,113 captions) is made up of its captions in a
temporary folder and read twice: cold, and from the index that the first reading left.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.data.records import Record
from showtell.vocabulary import VocabularyOptions, build_vocabulary

PICTURES, CAPTIONS = 82_783, 414_113

T = TypeVar("T")


def timed(what: str, do: Callable[[], T]) -> T:
    start = time.perf_counter()
    result = do()
    print(f"  {time.perf_counter() - start:7.3f} s  {what}")
    return result


def read(annotations: Path) -> list[Record]:
    return read_records(DataOptions(data=annotations.parent, annotations=annotations), need_pictures=False)


def measure(annotations: Path, times: tuple[str, ...]) -> list[Record]:
    print(f"{annotations.name}, {annotations.stat().st_size / 1e6:.1f} MB")
    for how in times:
        records = timed(f"to records, {how}", lambda: read(annotations))
    captions = [caption for record in records for caption in record.captions]
    vocabulary = timed("to a vocabulary", lambda: build_vocabulary(captions, VocabularyOptions()))
    print(f"  {len(records):,} pictures, {len(captions):,} captions, {len(vocabulary):,} words")
    return records


def make_up(captions: list[str], path: Path) -> None:
    """COCO 2014's train annotations in number of pictures and captions, each caption picked at random from those given."""
    random = np.random.default_rng(0)
    ids = random.permutation(600_000)[:PICTURES].tolist()
    picked = random.integers(len(captions), size=CAPTIONS)
    pictures = [
        {"license": 3, "file_name": f"COCO_train2014_{i:012d}.jpg", "coco_url": f"http://images.cocodataset.org/train2014/{i}.jpg",
         "height": 480, "width": 640, "date_captured": "2013-11-14 17:02:52", "flickr_url": f"http://flickr/{i}_z.jpg", "id": i}
        for i in ids
    ]  # fmt: skip
    annotations = [{"image_id": ids[k % PICTURES], "id": k, "caption": captions[c]} for k, c in enumerate(picked)]
    path.write_text(json.dumps({"info": {}, "images": pictures, "licenses": [], "annotations": annotations}), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--annotations", type=Path, required=True, help="a file of captions, COCO's captions_val2017.json say")
    annotations = parser.parse_args().annotations
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOWTELL_CACHE"] = folder  # so that the first reading is cold, and nothing stays
        records = measure(annotations, ("cold",))
        made_up = Path(folder) / "captions_train2014.json"
        make_up([caption for record in records for caption in record.captions], made_up)
        measure(made_up, ("cold", "from the index"))


if __name__ == "__main__":
    main()
