"""Exported models: the same captions bit for bit in another process, no state of training, and no vocabulary replaced."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from showtell.errors import Problem, WrongUse
from showtell.model.artefact import Artefact, read_model_file, save_artefact
from showtell.model.captioner import Captioner
from showtell.model.export import export
from showtell.model.hub import load_model
from showtell.model.options import ExportOptions
from showtell.model.torch_captioner import TorchCaptioner
from showtell.vocabulary import Vocabulary, load_vocab, save_vocab


@pytest.fixture
def checkpoint(captioner: TorchCaptioner, tmp_path: Path) -> Path:
    artefact = Artefact.of(
        captioner.encoder, captioner.decoder, captioner.vocabulary, captioner.pictures,
        training={"data": "/home/somebody/scenes", "epochs": 3, "settings": {"augment": {"flip": 0.5}}},
    )  # fmt: skip
    weights = replace(artefact.encoder_options, encoder_weights="/home/somebody/resnet.safetensors")
    artefact = replace(artefact, encoder_options=weights)
    save_artefact(artefact, tmp_path / "last_model.pt", checkpoint={"optimizer": {"moments": torch.zeros(1000)}})
    return tmp_path / "last_model.pt"


@pytest.fixture
def options(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExportOptions:
    monkeypatch.chdir(tmp_path)
    return ExportOptions(checkpoint=checkpoint, output_dir=tmp_path / "out", model_name="mine")


SAYS = """
import sys
from pathlib import Path
import numpy as np
from showtell import Captioner
from showtell.search import SearchOptions

pictures = sorted(Path(sys.argv[1]).iterdir())
for model in sys.argv[2:]:
    captions = Captioner.from_pretrained(model, "cpu").caption(pictures, SearchOptions(max_length=8))
    print([(caption.words, caption.log_probabilities, caption.attention.tobytes().hex()) for caption in captions])
"""


def says(pictures: Path, *models: Path) -> list[str]:
    """Captions, probabilities and attention of models in a process of its own, to the last bit."""
    done = subprocess.run([sys.executable, "-c", SAYS, pictures, *models], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_exported_model_says_the_same_bit_for_bit_in_a_new_process(
    options: ExportOptions, pictures: list[Image.Image], tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / "pictures" / f"{number}.png")
    exported = [
        export(replace(options, format=kind, half=half, model_name=f"half{half}"))
        for half in (False, True)
        for kind in ("pt", "hub")
    ]
    checkpoint, file, folder, half_file, half_folder = says(tmp_path / "pictures", options.checkpoint or Path(), *exported)
    assert checkpoint == file == folder
    assert half_file == half_folder != file


def test_both_forms_hold_the_model_and_nothing_of_its_training_run(options: ExportOptions, tmp_path: Path) -> None:
    file = export(options)
    assert file == tmp_path / "out" / "mine.pt"
    assert sorted(path.name for path in file.parent.iterdir()) == ["mine.pt", "vocab.pkl"]
    folder = export(replace(options, format="hub", output_dir=tmp_path / "hub"))
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors", "vocab.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    assert "checkpoint" not in read_model_file(file)
    for path in (file, folder):
        assert load_model(path).training == {"data": "scenes", "epochs": 3, "settings": {"augment": {"flip": 0.5}}}
    assert load_vocab(file.with_name("vocab.pkl")) == load_vocab(folder / "vocab.json") == load_model(folder).vocabulary


@pytest.mark.parametrize("form", ["hub", "onnx"])
def test_names_that_are_no_text_are_told_escaped(options: ExportOptions, checkpoint: Path, form: Literal["hub", "onnx"]) -> None:
    odd = "sc\udce9nes"
    artefact = load_model(checkpoint)
    save_artefact(replace(artefact, training=artefact.training | {"data": odd}), checkpoint)
    folder = export(replace(options, format=form, data_license=odd))
    assert load_model(folder).training["data"] == odd if form == "hub" else odd not in (folder / "README.md").read_text("utf-8")


def test_half_precision_halves_matrices_and_spares_the_rest(options: ExportOptions) -> None:
    whole, half = load_model(options.checkpoint or ""), load_model(export(replace(options, half=True)))
    for part in ("encoder", "decoder"):
        for name, tensor in getattr(half, part).items():
            before = getattr(whole, part)[name]
            assert tensor.dtype == (torch.float16 if before.is_floating_point() and before.ndim > 1 else before.dtype), name
    encoder, decoder = half.build()
    assert {parameter.dtype for module in (encoder, decoder) for parameter in module.parameters()} == {torch.float32}
    huge = replace(whole, decoder={"w": torch.full((2, 2), 1e6)}).halved()
    assert huge.decoder["w"].dtype == torch.float32  # float16 ends at 65,504


def test_size_and_checksum_are_printed(options: ExportOptions, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [export(options), export(replace(options, format="hub")) / "model.safetensors"]
    printed = capsys.readouterr().out
    for path in paths:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert f"{path}  {path.stat().st_size:,} bytes  sha256 {digest}\n" in printed
    export(replace(options, quiet=True))
    assert capsys.readouterr().out == ""


# ------------------------------------------------------------------------------------------------------ vocabularies


def test_another_models_vocabulary_stays(options: ExportOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "out" / "vocab.pkl"
    save_vocab(Vocabulary(("<pad>", "<start>", "<end>", "<unk>", "other")), other)
    before = other.read_bytes()
    file = export(options)
    assert other.read_bytes() == before
    assert load_vocab(file.with_name("mine.vocab.pkl")) == load_model(file).vocabulary
    assert "is another model's and stays as it is; this model's is mine.vocab.pkl" in capsys.readouterr().out
    other.write_bytes(b"something else")
    export(options)
    assert other.read_bytes() == b"something else"
    other.unlink()
    export(options)
    export(options)  # its own may be replaced
    assert load_vocab(other) == load_model(file).vocabulary


def test_a_vocabulary_that_is_not_the_models_is_refused_with_both_sizes(
    options: ExportOptions, captioner: TorchCaptioner
) -> None:
    save_vocab(Vocabulary(captioner.vocabulary.words[:-3]), "vocab.pkl")
    export(options)  # whatever lies about is not read unless it is named
    options = replace(options, vocab=Path("vocab.pkl"))
    with pytest.raises(WrongUse, match=r"vocab\.pkl does not belong to .*last_model\.pt: it has 11 words, .* 14 of its own"):
        export(options)
    save_vocab(captioner.vocabulary, "vocab.pkl")
    export(options)
    with pytest.raises(Problem, match=r"absent\.pkl cannot be read"):
        export(replace(options, vocab=Path("absent.pkl")))


def test_a_file_without_a_vocabulary_takes_the_one_beside_it(options: ExportOptions) -> None:
    file = export(options)
    content = torch.load(file, weights_only=True)
    words = content.pop("vocabulary")
    torch.save(content, file)
    assert load_model(file).vocabulary.to_dict() == words
    file.with_name("vocab.pkl").unlink()
    with pytest.raises(Problem, match=r"not a complete showtell model \('vocabulary'\)"):
        load_model(file)


# ---------------------------------------------------------------------------------------------------------- the card


def test_the_card_says_what_the_model_is(options: ExportOptions, tmp_path: Path) -> None:
    signature = "ciderd|refs:5|tok:ptb|n:500|data:scenes/test|search:beam5|showtell:0.1.0"
    scores = {"CIDEr-D": {"value": 1.234567, "signature": signature}, "SPICE": {"value": None, "signature": None}}
    (tmp_path / "scores.json").write_text(json.dumps({"scores": scores}))
    export_it = replace(options, format="hub", scores=tmp_path / "scores.json", license="mit", data_license="made by ourselves")
    folder = export(export_it)
    _, header, body = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "mit"
    assert yaml.safe_load(header)["library_name"] == "showtell"
    escaped = signature.replace("|", "\\|")
    for line in (
        "# mine", "| data | scenes |", "| epochs | 3 |", f"| CIDEr-D | 1.235 | `{escaped}` |", "| hidden_size | 8 |",
        "| flip | 0.5 |", "Weights: mit. Training data: made by ourselves.",
    ):  # fmt: skip
        assert line in body.splitlines(), line
    assert "SPICE" not in body and "somebody" not in body and "| encoder_weights | resnet.safetensors |" in body.splitlines()
    assert load_model(folder).scores == {"CIDEr-D": scores["CIDEr-D"]}


@pytest.mark.parametrize("content", ["", "[]", '{"scores": {"a": 1}}', '{"scores": []}'])
def test_scores_of_another_kind_are_refused(options: ExportOptions, tmp_path: Path, content: str) -> None:
    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(Problem, match=r"scores\.json holds no scores"):
        export(replace(options, scores=tmp_path / "scores.json"))
    with pytest.raises(Problem, match=r"absent\.json cannot be read"):
        export(replace(options, scores=tmp_path / "absent.json"))


# --------------------------------------------------------------------------------------------------------- refusals


def test_a_folder_of_something_else_is_not_replaced(options: ExportOptions, tmp_path: Path) -> None:
    (tmp_path / "out" / "mine").mkdir(parents=True)
    (tmp_path / "out" / "mine" / "thesis.txt").touch()
    with pytest.raises(Problem, match=r"thesis\.txt in it is of no model|holds no model"):
        export(replace(options, format="hub"))
    assert [path.name for path in (tmp_path / "out" / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "files", [{"config.json": '{"model_type": "bert"}'}, {"config.json": '{"format": "showtell"}', "thesis.txt": "precious"}]
)
def test_a_folder_that_only_looks_like_a_model_is_not_replaced(
    options: ExportOptions, tmp_path: Path, files: dict[str, str]
) -> None:
    folder = tmp_path / "out" / "mine"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(Problem, match=r"thesis\.txt in it is of no model|holds no model"):
        export(replace(options, format="hub"))
    assert {path.name: path.read_text() for path in folder.iterdir()} == files


def test_a_folder_that_cannot_be_replaced_stays(options: ExportOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails after the old folder was moved away, before the new one has its place."""
    folder = export(replace(options, format="hub"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    move = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(5, "Input/output error")
        return move(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(Problem, match="cannot be written"):
        export(replace(options, format="hub", half=True))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_is_replaced_by_nothing_but_another_finished_model(options: ExportOptions) -> None:
    path = export(options)
    assert export(replace(options, half=True)) == path  # a newer one of that name
    with pytest.raises(WrongUse, match=r"mine\.pt is there and is the model that is to be exported"):
        export(replace(options, checkpoint=path))
    path.write_text("the only copy of something else")
    with pytest.raises(WrongUse, match=r"mine\.pt is there and is no finished model"):
        export(options)
    assert path.read_text() == "the only copy of something else"


@pytest.mark.parametrize("changes", [{"format": "onnx"}, {"format": "hub", "half": True}])
def test_a_model_is_not_replaced_by_what_is_made_of_it(options: ExportOptions, changes: dict[str, Any]) -> None:
    folder = export(replace(options, format="hub"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(WrongUse, match=r"mine is the model that is to be exported: name another --model_name or --output_dir"):
        export(replace(options, checkpoint=folder.relative_to(Path.cwd()), **changes))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_lacks_a_file_or_holds_anothers_is_named(options: ExportOptions, captioner: TorchCaptioner) -> None:
    folder = export(replace(options, format="hub"))
    save_vocab(Vocabulary(captioner.vocabulary.words[:-3]), folder / "vocab.json")
    with pytest.raises(Problem, match="holds another vocabulary"):
        load_model(folder)
    (folder / "vocab.json").unlink()
    with pytest.raises(Problem, match=r"mine is no model folder, vocab\.json is not in it"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_name": "a/b"}, "a plain name"),
        ({"model_name": ""}, "a plain name"),
        ({"push_to": "a/b"}, "format must be hub"),
        ({"license": "mit"}, "only the formats hub and onnx"),
    ],
)
def test_options_that_cannot_be_are_named(changes: dict[str, Any], said: str) -> None:
    (problem,) = replace(ExportOptions(), **changes).problems()
    assert re.search(said, problem)


@pytest.mark.parametrize("form", ["pt", "hub"])
def test_guesses_and_the_makers_note_go_along(options: ExportOptions, pictures: list[Image.Image], form: str) -> None:
    assert options.checkpoint is not None
    save_artefact(replace(load_model(options.checkpoint), guess_below=1.0, note="for research"), options.checkpoint)
    exported = Captioner.from_pretrained(export(replace(options, format=form)), "cpu")
    assert exported.described.endswith("(for research)") and exported.caption(pictures[0]).guess


def test_a_captioner_saves_itself(captioner: TorchCaptioner, pictures: list[Image.Image], tmp_path: Path) -> None:
    """And what was loaded saves itself again, whatever was done to it for the sake of speed."""
    captioner.save_pretrained(tmp_path / "mine")
    again = Captioner.from_pretrained(tmp_path / "mine", "cpu")
    again.save_pretrained(tmp_path / "again")
    third = Captioner.from_pretrained(tmp_path / "again", "cpu")
    said = [each.caption(pictures[0]) for each in (captioner, again, third)]
    assert said[1] == said[2] and np.array_equal(said[1].attention, said[2].attention)
    assert said[0].words == said[1].words
    np.testing.assert_allclose(said[0].log_probabilities, said[1].log_probabilities, atol=1e-4)
