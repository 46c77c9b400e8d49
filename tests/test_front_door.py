"""The scripts in the root folder: what is promised of `config.py`, `train.py` and `inference.py`, and that they stay thin."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from showtell.model.hub import box_languages
from showtell.settings import CaptionSettings, ExportSettings, FinetuneSettings, TrainSettings, fill, plain

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [path for path in sorted(ROOT.glob("*.py")) if path.name != "config.py"]

pytestmark = pytest.mark.skipif(not (ROOT / "config.py").is_file(), reason="the front door is in the repository only")


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class `Config` of the root folder."""
    return runpy.run_path(str(ROOT / "config.py"))["Config"]


def script(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / name), *arguments], cwd=folder, capture_output=True, text=True, encoding="utf-8"
    )


def test_config_holds_what_is_promised(config: Any) -> None:
    promised = {
        "BATCH_SIZE": 32, "LEARNING_RATE": 4e-4, "NUM_EPOCHS": 50, "GRAD_CLIP": 5.0, "EARLY_STOP_PATIENCE": 5, "MIN_DELTA": 0.001,
        "EMBED_SIZE": 512, "HIDDEN_SIZE": 512, "ATTENTION_DIM": 512, "ENCODER_DIM": 2048, "DROPOUT": 0.5, "DEVICE": "auto",
        "DATA_DIR": "data/coco2014", "CHECKPOINT_DIR": "checkpoints", "PRETRAINED_DIR": "pretrained_models",
        "VOCAB_PATH": "vocab.pkl",
    }  # fmt: skip
    assert {name: getattr(config, name) for name in dir(config) if name.isupper()} == promised
    assert {name: getattr(config(), name) for name in promised} == promised


def test_the_scripts_and_showtell_have_the_same_defaults(config: Any) -> None:
    ours = plain(fill(TrainSettings(), [], prog="showtell train"))
    theirs = plain(fill(TrainSettings(), [], prog="train.py", config=config))
    assert ours["encoder"].pop("encoder_dim") is None  # what config.py adds is a check of the same default
    assert theirs["encoder"].pop("encoder_dim") == 2048
    assert ours == theirs
    assert fill(CaptionSettings(), [], prog="inference.py", config=config) == CaptionSettings()


def test_fine_tuning_has_its_own_rate_and_length_and_the_rest_of_config(config: Any) -> None:
    for filled in (
        fill(FinetuneSettings(), [], prog="showtell finetune"),
        fill(FinetuneSettings(), [], prog="finetune.py", config=config),
    ):
        assert filled == FinetuneSettings()
        assert (filled.training.learning_rate, filled.training.epochs) == (1e-4, 10)
    changed = type("Config", (config,), {"DATA_DIR": "mine", "NUM_EPOCHS": 3, "DROPOUT": 0.1, "CHECKPOINT_DIR": "runs"})
    filled = fill(FinetuneSettings(), [], prog="finetune.py", config=changed)
    assert (filled.data.data, filled.training.output_dir) == (Path("mine"), Path("runs"))
    assert (filled.training.epochs, filled.decoder.dropout) == (10, 0.5)
    assert fill(ExportSettings(), [], prog="export_pretrained.py", config=config) == ExportSettings()


def test_config_imports_nothing_heavy() -> None:
    code = "import config, sys; print([name for name in ('torch', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_thin(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 40


def test_data_set_and_model_can_be_imported() -> None:
    pytest.importorskip("torch")
    dataset, model = (runpy.run_path(str(ROOT / name)) for name in ("dataset.py", "model.py"))
    assert {"CaptionedPictures"} <= dataset.keys()
    assert {"Encoder", "Decoder"} <= model.keys()


@pytest.mark.parametrize("name", ["train.py", "finetune.py", "inference.py", "export_pretrained.py"])
def test_help_names_the_script(name: str, tmp_path: Path) -> None:
    done = script(name, "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"usage: {name} " in done.stdout


def test_training_without_data_says_how_to_get_some(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = script("train.py", folder=tmp_path)
    assert done.returncode in (2, 3)
    assert done.stderr.count("\n") == 1, done.stderr
    assert "showtell data coco2014" in done.stderr and "showtell data scenes" in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(not box_languages(), reason="this copy of showtell came without the box")
def test_inference_without_a_model_lets_the_box_speak(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), "red").save(tmp_path / "photo.png")
    done = script("inference.py", "photo.png", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Captions by box (CIDEr-D ") and done.stdout.startswith("photo.png: ")


def test_a_model_is_exported_and_captions(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("timm")
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(ROOT / "tests" / "model" / "formats" / "v1_half.pt", tmp_path / "checkpoints" / "best_model.pt")
    Image.new("RGB", (60, 40), "red").save(tmp_path / "photo.png")
    done = script("export_pretrained.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"coco_captioning_pretrained\.pt  [\d,]+ bytes  sha256 \w{64}\n.*vocab\.pkl  [\d,]+ bytes", done.stdout)
    assert {path.name for path in (tmp_path / "pretrained_models").iterdir()} == {"coco_captioning_pretrained.pt", "vocab.pkl"}
    named = ["--vocab", "pretrained_models/vocab.pkl", "--output_dir", "given", "--model_name", "mine", "--format", "hub"]
    done = script("export_pretrained.py", "--checkpoint", "checkpoints/best_model.pt", *named, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    said = [
        script("inference.py", "photo.png", "--model", model, "--output", f"{number}.jsonl", folder=tmp_path)
        for number, model in enumerate(["checkpoints/best_model.pt", "given/mine"])
    ]
    assert [done.returncode for done in said] == [0, 0], said[1].stderr
    one, other = (json.loads((tmp_path / f"{number}.jsonl").read_text()) for number in (0, 1))
    assert one.pop("model") == "best_model.pt" and other.pop("model") == "mine"
    assert one == other


@pytest.mark.parametrize(
    ("arguments", "pictures"), [([], ("photo.jpg",)), (["--image", "a.jpg", "b/"], ("a.jpg", "b/")), (["c.jpg"], ("c.jpg",))]
)
def test_inference_captions_image_path_when_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], pictures: tuple[str, ...]
) -> None:
    caught: dict[str, Any] = {}
    captioning = types.ModuleType("showtell.captioning.run")
    captioning.caption_pictures = lambda options, search: caught.update(options=options) or 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "showtell.captioning.run", captioning)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delitem(sys.modules, "config", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best_model.pt").touch()
    monkeypatch.setattr(sys, "argv", ["inference.py", *arguments])
    with pytest.raises(SystemExit) as leaving:
        runpy.run_path(str(ROOT / "inference.py"), run_name="__main__")
    assert leaving.value.code == 0
    assert caught["options"].image == pictures
    assert caught["options"].model == Path("checkpoints/best_model.pt")
