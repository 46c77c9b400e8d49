"""The documents are true: every example of the reference, the guide and the README runs, and the reference leaves nothing out."""

from __future__ import annotations

import inspect
import io
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from showtell import cli, utilities
from showtell.model.artefact import Artefact, save_artefact
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.pictures import PictureOptions
from showtell.utilities import save_pretrained_model
from showtell.vocabulary import SPECIALS, Vocabulary

ROOT = Path(__file__).resolve().parents[1]
REFERENCE, GUIDE, README = (ROOT / name for name in ("UTILS_REFERENCE.md", "INFERENCE_GUIDE.md", "README.md"))
SCORING = ROOT / "docs" / "evaluation.md"

pytestmark = pytest.mark.skipif(not REFERENCE.is_file(), reason="the documents are in the repository only")


def fenced(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def indented(path: Path) -> list[str]:
    """Blocks set in by four spaces, without them."""
    blocks = re.findall(r"(?:^    .*\n)+", path.read_text("utf-8"), re.MULTILINE)
    return [re.sub("^    ", "", block, flags=re.MULTILINE) for block in blocks]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the documents say is there: pictures, a model, a checkpoint, a list of names."""
    torch.manual_seed(0)
    encoder = Encoder(EncoderOptions("tiny", "none"), 32)
    decoder = Decoder(DecoderOptions(8, 8, 8), 10, encoder.channels)
    vocabulary = Vocabulary((*SPECIALS, "a", "dog", "runs", "red", "man", "woman"))
    save_pretrained_model(encoder, decoder, vocabulary, tmp_path / "pretrained_models" / "mine.pt")
    artefact = Artefact.of(encoder, decoder, vocabulary, PictureOptions(picture_size=32), training={"epochs": 3})
    for name in ("best_model.pt", "last_model.pt"):
        save_artefact(artefact, tmp_path / "checkpoints" / name, checkpoint={"position": {"step": 9}})
    dice = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "photos/a.png", "photos/b.png"):
        Image.fromarray(dice.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "names.txt").write_text("photos/a.png\nphotos/b.png\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delitem(sys.modules, "utils", raising=False)
    return tmp_path


@pytest.mark.parametrize("path", [REFERENCE, GUIDE], ids=lambda path: path.name)
def test_python_examples_run(path: Path, folder: Path) -> None:
    """One after another, as in a notebook."""
    examples, names = fenced(path, "python"), {}
    assert len(examples) >= 5
    for example in examples:
        exec(compile(example, path.name, "exec"), names)


def test_python_examples_of_the_readme_and_of_scoring_run(folder: Path) -> None:
    examples = [block for page in (README, SCORING) for block in indented(page) if block.startswith("from showtell")]
    assert len(examples) >= 3
    for example in examples:
        exec(compile(example, README.name, "exec"), {})


def test_commands_of_the_guide_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [line for block in fenced(GUIDE, "bash") for line in block.splitlines()]
    assert len(commands) >= 6
    for command in commands:
        command, _, names = command.partition(" < ")
        monkeypatch.setattr("sys.stdin", io.StringIO((folder / names).read_text() if names else ""))
        program, *arguments = shlex.split(command)
        assert program == "showtell"
        assert cli.main(arguments) == 0, command
    assert len((folder / "all.jsonl").read_text().splitlines()) == len((folder / "captions.jsonl").read_text().splitlines()) == 2
    assert (folder / "figures" / "photo.jpg").is_file()


def test_the_reference_has_every_name_with_its_signature_and_an_example() -> None:
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", REFERENCE.read_text("utf-8"), re.DOTALL | re.MULTILINE))
    scope: dict[str, object] = {}
    exec((ROOT / "utils.py").read_text("utf-8"), scope)
    assert sorted(sections) == sorted(scope["__all__"])  # type: ignore[call-overload]
    for name, text in sections.items():
        shown = re.search(rf"^    {name}\((.*)\)$", text, re.MULTILINE)
        assert shown and "```python" in text, name
        parameters = [each.partition("=")[0].lstrip("*") for each in shown[1].split(", ") if each != "*"]
        given = list(inspect.signature(getattr(utilities, name)).parameters)
        assert parameters == given[: len(parameters)] and (inspect.isclass(getattr(utilities, name)) or parameters == given), name
        for each in shown[1].split(", "):
            if "=" in each:
                parameter = inspect.signature(getattr(utilities, name)).parameters[each.partition("=")[0]]
                assert repr(parameter.default).replace("'", '"') == each.partition("=")[2], (name, each)
