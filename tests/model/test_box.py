"""The captioner in the box: it speaks without torch, knows when it guesses, can be trained on, and is refused when damaged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from showtell.errors import Problem, WrongUse
from showtell.model.captioner import Captioner
from showtell.model.config import CLASSES, CONFIG
from showtell.model.encoder import Encoder
from showtell.model.exported import ENCODER, ExportedCaptioner
from showtell.model.hub import BOX_FOLDER, box_languages, find_model, is_box, load_model
from showtell.model.regained import _weight
from showtell.model.torch_captioner import TorchCaptioner
from showtell.pictures import open_picture, shape
from showtell.search import SearchOptions
from showtell.utilities import load_pretrained_model

pytestmark = pytest.mark.skipif(not box_languages(), reason="this copy of showtell came without the box")

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "safetensors", "accelerate", "onnx"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Blocked())
from showtell.cli import main
sys.exit(main(["caption", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def photographs() -> Path:
    """Of scikit-image: a cup of coffee, a cat, an astronaut, a man with a camera."""
    skimage = pytest.importorskip("skimage", reason="scikit-image, whose photographs are captioned, is not installed")
    return Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def box() -> ExportedCaptioner:
    captioner = Captioner.from_pretrained()
    assert isinstance(captioner, ExportedCaptioner)
    return captioner


def test_it_captions_photographs_without_torch(photographs: Path, tmp_path: Path) -> None:
    names = [str(photographs / name) for name in ("coffee.png", "chelsea.png", "astronaut.png")]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *names, "--output", "captions.jsonl", "--labels", "1"],
        cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Captions by box (CIDEr-D ") and "for research" in done.stderr.splitlines()[0]
    records = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text("utf-8").splitlines()]
    assert [record["labels"][0]["label"] for record in records[:2]] == ["espresso", "Egyptian cat"]
    assert all(record["model"].startswith("box (CIDEr-D ") and len(record["words"]) > 3 for record in records)


def test_what_it_says_does_not_depend_on_the_batch(box: ExportedCaptioner, photographs: Path) -> None:
    names = ["coffee.png", "chelsea.png", "astronaut.png", "camera.png", "rocket.jpg"]
    for together, name in zip(box.caption([photographs / name for name in names]), names, strict=True):
        alone = box.caption(photographs / name)
        assert alone.words == together.words
        np.testing.assert_allclose(alone.log_probabilities, together.log_probabilities, atol=1e-4)


def test_it_sees_people(box: ExportedCaptioner, photographs: Path) -> None:
    caption = box.caption(photographs / "camera.png")
    assert {"man", "person", "woman", "boy"} & set(caption.words)
    assert caption.attention.shape == (len(caption.words), 7, 7)
    assert caption.labels[0][0] == "tripod" and len(caption.labels) == 10


def test_what_it_finds_unlikely_is_a_guess(box: ExportedCaptioner, photographs: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    (caption,) = box.caption_pixels(noise)
    assert box.guess_below is not None
    assert caption.guess is (caption.confidence < box.guess_below)


@pytest.mark.parametrize(("name", "expected"), [("box", True), ("box/en", True), ("box/en/x", False), ("boxes", False)])
def test_its_name(name: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("box").mkdir()  # what lies in the current folder is not meant
    assert is_box(name) is is_box(Path(name)) is expected
    if expected:
        assert find_model(name) == BOX_FOLDER / "en"


def test_a_language_that_it_does_not_speak() -> None:
    assert "en" in box_languages()
    with pytest.raises(WrongUse, match=r"the box does not speak tlh: it speaks .*en.*--model"):
        Captioner.from_pretrained("box/tlh")


@pytest.fixture
def two_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box that speaks English, and English by another name, with other guesses."""
    box = tmp_path / "box"
    for language in ("en", "tlh"):
        shutil.copytree(BOX_FOLDER / "en", box / language)
    for shared in (CLASSES, ENCODER):
        shutil.copy(BOX_FOLDER / shared, box)
    content = json.loads((box / "tlh" / "config.json").read_bytes()) | {"guess_below": 1.0, "note": "qapla"}
    (box / "tlh" / "config.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr("showtell.model.hub.BOX_FOLDER", box)
    return box


def test_several_languages_look_once(
    two_languages: Path, box: ExportedCaptioner, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = Captioner.from_pretrained("box/tlh,en")
    assert captioner.described.startswith("box/tlh (qapla) and box/en (CIDEr-D")
    looks = []
    look = ExportedCaptioner._look
    monkeypatch.setattr(ExportedCaptioner, "_look", lambda self, pixels: looks.append(len(pixels)) or look(self, pixels))
    pictures = [photographs / "camera.png", photographs / "coffee.png"]
    captions = captioner.caption(pictures)
    assert looks == [2]
    for caption, alone in zip(captions, box.caption(pictures), strict=True):
        assert list(caption.languages) == ["tlh", "en"]
        assert caption.languages["en"] == alone and caption.text == alone.text and caption.labels == alone.labels
        assert caption.guess is caption.languages["tlh"].guess is True
        assert [said.model for said in caption.languages.values()] == ["box/tlh", "box/en"]
    assert captioner.knows("dog") and not captioner.knows("qapla")


def test_several_languages_are_several_models(two_languages: Path) -> None:
    with pytest.raises(WrongUse, match="box/en,tlh is several models: name one language"):
        load_model("box/en,tlh")
    (two_languages / "tlh" / "step.onnx").write_bytes(b"")
    with pytest.raises(Problem, match=r"tlh.step\.onnx is refused"):
        Captioner.from_pretrained("box/en,tlh")
    with pytest.raises(WrongUse, match="the box does not speak nothing: it speaks en, tlh"):
        Captioner.from_pretrained("box/en,")


# -------------------------------------------------------------------------------------------------------- to train it on


def test_its_weights_in_torch_say_what_the_graphs_say(box: ExportedCaptioner, photographs: Path) -> None:
    encoder, decoder, vocabulary = load_pretrained_model("box", device="cpu")
    regained = TorchCaptioner(encoder, decoder, vocabulary, encoder.pictures)
    pictures, greedy = [photographs / "camera.png", photographs / "rocket.jpg"], SearchOptions(search="greedy", max_length=3)
    for ours, theirs in zip(regained.caption(pictures, greedy), box.caption(pictures, greedy), strict=True):
        assert ours.words == theirs.words
        np.testing.assert_allclose(ours.log_probabilities, theirs.log_probabilities, atol=0.2)  # sums in int8 there
    pixels = np.stack([shape(open_picture(picture), encoder.pictures)[0] for picture in pictures])
    grid, classes = box.encoder(pixels)
    with torch.inference_mode():
        same = encoder(torch.tensor(pixels).permute(0, 3, 1, 2))
        assert (same - torch.tensor(grid)).square().mean() < 0.01 * same.square().mean()  # the graph's is in 8 bits, step by step
        labels = encoder.backbone.classify(same)  # type: ignore[operator]
    assert labels.argmax(1).tolist() == classes.argmax(1).tolist()
    np.testing.assert_allclose(labels.exp(), np.exp(classes), atol=0.2)


def test_weights_of_each_kind_can_be_checked_by_hand() -> None:
    whole = np.array([[127, 0, -127], [10, 20, 30]], np.int8)
    graph = {
        "a": np.float32([1.5]), "b.half": np.float16([0.5]),
        "c_quantized": whole, "c_scale": np.float32([0.1, 1, 10]), "c_zero_point": np.int8([0, 0, 0]),
        "d_quantized": whole.view(np.uint8), "d_scale": np.float32(2), "d_zero_point": np.uint8(10),
        "f_quantized": np.int32([3, -2]), "f_quantized_scale": np.float32([0.5, 2]), "f_quantized_zero_point": np.int32([0, 0]),
    }  # fmt: skip
    assert _weight(graph, "a").tolist() == [1.5] and _weight(graph, "b").tolist() == [0.5]
    np.testing.assert_allclose(_weight(graph, "c"), [[12.7, 0, -1270], [1, 20, 300]], rtol=1e-6)
    np.testing.assert_allclose(_weight(graph, "d"), [[234, -20, 238], [0, 20, 40]])
    np.testing.assert_allclose(_weight(graph, "f"), [1.5, -4])
    with pytest.raises(KeyError):
        _weight(graph, "e")


# ------------------------------------------------------------------------------------------------------ damaged, foreign


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def other_words(path: Path) -> None:
    content = json.loads(path.read_bytes())
    content["words"][10], content["words"][11] = content["words"][11], content["words"][10]
    path.write_text(json.dumps(content), encoding="utf-8")


def fewer_labels(path: Path) -> None:
    path.write_text("\n".join(path.read_text("utf-8").splitlines()[:-1]), encoding="utf-8")


def many_labels(path: Path) -> None:
    path.write_bytes(b"label\n" * 20_000)


def a_foreign_origin(path: Path) -> None:
    content = json.loads(path.read_bytes())
    content["origins"]["decoder.attention.v"] = ["step.onnx", "nothing", False]
    path.write_text(json.dumps(content), encoding="utf-8")


def origins_in(file: str) -> Callable[[Path], None]:
    """Tells that a weight lies in another file of this machine."""

    def damage(path: Path) -> None:
        content = json.loads(path.read_bytes())
        content["origins"]["decoder.attention.v"][0] = file
        path.write_text(json.dumps(content), encoding="utf-8")

    return damage


def more_origins_than_weights(path: Path) -> None:
    content = json.loads(path.read_bytes())
    content["origins"] |= {f"decoder.{n}": content["origins"]["decoder.embedding.weight"] for n in range(3)}
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("encoder.onnx", cut_off, "encoder.onnx is refused"),
        ("encoder.onnx", Path.unlink, "encoder.onnx is not in it"),
        ("en/step.onnx", lambda path: path.write_bytes(path.with_name("start.onnx").read_bytes()), "another than the one"),
        ("en/vocab.json", other_words, "another vocabulary"),
        ("en/config.json", cut_off, "cannot be read as settings"),
        ("classes.txt", fewer_labels, "1000.* where the settings tell .*999"),
        ("classes.txt", many_labels, "larger than 64 KiB"),
        ("en/config.json", a_foreign_origin, "the weights of .* cannot be read"),
        ("en/config.json", origins_in("/dev/zero"), "the weights of .* cannot be read"),
        ("en/config.json", origins_in("../classes.txt"), "the weights of .* cannot be read"),
        ("en/config.json", more_origins_than_weights, "the weights of .* cannot be read"),
    ],
)
def test_damaged_and_foreign_files_get_one_sentence(file: str, damage: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    shutil.copytree(BOX_FOLDER, tmp_path / "box")
    damage(tmp_path / "box" / file)
    with pytest.raises(Problem, match=said) as refused:
        load_model(tmp_path / "box" / "en") if "weights" in said else Captioner.from_pretrained(tmp_path / "box" / "en")
    assert "\n" not in str(refused.value)


def test_an_encoder_that_the_graphs_do_not_hold_costs_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "box" / "en"
    shutil.copytree(BOX_FOLDER / "en", folder)
    for name in (ENCODER, CLASSES):
        shutil.copy(BOX_FOLDER / name, folder.parent)
    config = json.loads((folder / CONFIG).read_bytes())
    config["architecture"]["encoder"]["encoder"] = "resnet18"
    (folder / CONFIG).write_text(json.dumps(config))
    built: list[torch.device] = []
    measure = Encoder._measure
    monkeypatch.setattr(Encoder, "_measure", lambda self: (built.append(next(self.parameters()).device), measure(self))[1])
    with pytest.raises(Problem, match=r"the weights of .*en cannot be read"):
        load_model(folder)
    assert built == [torch.device("meta")]
