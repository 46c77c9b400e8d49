"""The recipe by which a large captioner teaches a small one: only the training pictures get captions of its own."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]


def test_a_teacher_captions_what_is_learnt_from_and_nothing_else(tmp_path: Path) -> None:
    pictures = []
    for name, split in (("a.png", "train"), ("b.png", "val"), ("c.png", "train")):
        Image.effect_noise((40, 30), 90).convert("RGB").save(tmp_path / name)
        pictures.append({"filename": name, "split": split, "sentences": [{"raw": "A dog runs."}, {"raw": "A cat sleeps."}]})
    by_people = tmp_path / "captions.json"
    by_people.write_text(json.dumps({"dataset": "mine", "images": pictures}))
    recipe = runpy.run_path(str(ROOT / "recipes" / "teach.py"))
    output = tmp_path / "taught.json"
    recipe["main"](recipe["TeachOptions"](by_people, tmp_path, Path("box"), output, captions=2))

    taught = json.loads(output.read_text("utf-8"))
    assert taught["dataset"] == "mine" and taught["taught"].startswith("2 captions each by")
    for before, after in zip(pictures, taught["images"], strict=True):
        said = [sentence["raw"] for sentence in after["sentences"]]
        assert said[:2] == ["A dog runs.", "A cat sleeps."], "what people said stays, and comes first"
        assert len(said) == (4 if before["split"] == "train" else 2)
        assert len(set(said)) == len(said)
    captioned = [json.loads(line)["image"] for line in output.with_suffix(".jsonl").read_text("utf-8").splitlines()]
    assert [Path(image).name for image in captioned] == ["a.png", "c.png"]
