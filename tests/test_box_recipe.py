"""The recipe of the box: what counts as a guess, and that a better captioner is never replaced by a worse one."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from showtell.errors import Problem
from showtell.evaluation.results import Result, load_result
from showtell.model.onnx_file import initializers
from showtell.model.quantization import dynamic
from showtell.model.regained import _weight

ROOT = Path(__file__).parents[1]
pytest.importorskip("onnx", reason="the recipe exports, which needs the extra export")


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "recipes" / "box.py"))


def result(folder: Path, captions: list[tuple[float, float]]) -> Result:
    """An evaluation that left (confidence, CIDEr-D) of these pictures."""
    folder.mkdir()
    scores = {"format": "showtell scores", "version": 1, "scores": {}, "diversity": {}, "protocol": {}}
    (folder / "scores.json").write_text(json.dumps(scores))
    pictures = [
        {"image_id": n, "image": f"{n}.jpg", "caption": "", "references": ["a dog"], "CIDEr-D": cider}
        for n, (_, cider) in enumerate(captions)
    ]
    said = [{"image": f"photos/{n}.jpg", "confidence": confidence} for n, (confidence, _) in enumerate(captions)]
    for name, lines in (("pictures.jsonl", pictures), ("captions.jsonl", said)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return load_result(folder)


def test_guesses_are_as_many_as_three_of_five_are_poor_of(recipe: dict[str, Any], tmp_path: Path) -> None:
    """By confidence: poor, good, poor | good, good, poor, good, good: of the first three two are poor, of more never so many."""
    captions = [(0.1, 0.0), (0.2, 0.9), (0.3, 0.1), (0.4, 0.9), (0.5, 0.9), (0.6, 0.1), (0.7, 0.9), (0.8, 0.9)]
    guesses = recipe["find_guesses"](result(tmp_path / "scores", captions))
    assert (guesses.below, guesses.share, guesses.precision, guesses.recall) == (0.4, 3 / 8, 2 / 3, 2 / 3)


def test_where_all_is_good_nothing_is_a_guess(recipe: dict[str, Any], tmp_path: Path) -> None:
    guesses = recipe["find_guesses"](result(tmp_path / "scores", [(0.3, 0.9), (0.2, 0.8)]))
    assert (guesses.below, guesses.share, guesses.precision) == (0.2, 0.0, 0.0)


def candidate(folder: Path, cider: float, language: str = "en", encoder: bytes = b"eyes") -> Path:
    (folder / language).mkdir(parents=True)
    (folder / "encoder.onnx").write_bytes(encoder)
    (folder / "classes.txt").write_text("cup\n")
    (folder / language / "config.json").write_text(
        json.dumps({"format": "showtell onnx", "scores": {"CIDEr-D": {"value": cider}}})
    )
    return folder


def test_only_a_better_one_comes_into_the_box(recipe: dict[str, Any], tmp_path: Path) -> None:
    keep, box = recipe["keep_if_better"], tmp_path / "box"

    def kept() -> float:
        return float(json.loads((box / "en" / "config.json").read_text())["scores"]["CIDEr-D"]["value"])

    keep(candidate(tmp_path / "first", 0.5), box, "en")
    with pytest.raises(Problem, match=r"candidate's CIDEr-D is 49\.00, that of the box 50\.00: the box stays"):
        keep(candidate(tmp_path / "worse", 0.49), box, "en")
    with pytest.raises(Problem, match="the box stays"):
        keep(candidate(tmp_path / "same", 0.5), box, "en")
    assert kept() == 0.5
    keep(candidate(tmp_path / "better", 0.51), box, "en")
    assert kept() == 0.51
    with pytest.raises(Problem, match="another encoder, which en need"):
        keep(candidate(tmp_path / "german", 0.3, "de", b"other eyes"), box, "de")
    keep(candidate(tmp_path / "german again", 0.3, "de"), box, "de")
    assert sorted(path.name for path in box.iterdir()) == ["classes.txt", "de", "en", "encoder.onnx"]


def test_the_box_does_not_grow_beyond_what_it_may_have(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, box = recipe["keep_if_better"], tmp_path / "box"
    keep(candidate(tmp_path / "english", 0.5), box, "en")
    german = candidate(tmp_path / "german", 0.3, "de")
    sizes = [path.stat().st_size for folder in (box / "en", german) for path in folder.rglob("*") if path.is_file()]
    monkeypatch.setitem(keep.__globals__, "LARGEST_BOX", sum(sizes) - 1)
    with pytest.raises(Problem, match=f"would have {sum(sizes)} bytes, and may have {sum(sizes) - 1}"):
        keep(german, box, "de")
    assert not (box / "de").exists()
    monkeypatch.setitem(keep.__globals__, "LARGEST_BOX", sum(sizes))
    keep(german, box, "de")


def test_a_square_matrix_comes_back_with_a_scale_for_each_column(recipe: dict[str, Any], tmp_path: Path) -> None:
    """As the quantiser writes it: by its shape alone nobody could tell columns from rows."""
    from onnx import helper

    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32) * np.geomspace(0.01, 10, 64, dtype=np.float32)
    values = [helper.make_tensor_value_info(name, 1, [1, 64]) for name in ("x", "y")]
    initializer = helper.make_tensor("w", 1, weight.shape, weight.tobytes(), raw=True)
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", values[:1], values[1:], [initializer])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    (tmp_path / "small.onnx").write_bytes(recipe["_raw"](dynamic(model)).SerializeToString())
    regained = _weight(initializers(tmp_path / "small.onnx"), "w")
    steps = np.abs(weight).max(axis=0) / 63  # of each column
    assert (np.abs(regained - weight) <= 0.6 * steps).all()
