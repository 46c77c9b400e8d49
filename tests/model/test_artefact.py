"""Model files: what comes back is what was saved, nothing in them runs, and what is wrong with one is a sentence."""

from __future__ import annotations

import os
import pickle
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_vocabulary import ENDLESS

from showtell.errors import Problem, WrongUse
from showtell.model.artefact import FORMAT_VERSION, Artefact, load_artefact, read_model_file, save_artefact
from showtell.model.captioner import Captioner
from showtell.model.encoder import Encoder
from showtell.model.torch_captioner import TorchCaptioner
from showtell.pictures import PictureOptions
from showtell.vocabulary import Vocabulary


@pytest.fixture
def artefact(captioner: TorchCaptioner) -> Artefact:
    return Artefact.of(
        captioner.encoder, captioner.decoder, captioner.vocabulary, captioner.pictures, training={"epochs": 3}, scores={"a": 0.5},
        guess_below=0.25, note="for research",
    )  # fmt: skip


@pytest.fixture
def saved(artefact: Artefact, tmp_path: Path) -> Path:
    save_artefact(artefact, tmp_path / "model.pt")
    return tmp_path / "model.pt"


def rewrite(path: Path, **changes: Any) -> Path:
    """The model file with some of its entries replaced."""
    torch.save(torch.load(path, weights_only=True) | changes, path)
    return path


def test_a_saved_captioner_says_the_same(captioner: TorchCaptioner, saved: Path, pictures: list[Image.Image]) -> None:
    """Bit for bit what another copy of the file says; one in memory, whose encoder may yet train, differs in the last digits."""
    again = Captioner.from_pretrained(saved, "cpu")
    assert (again.vocabulary, again.pictures, again.name) == (captioner.vocabulary, captioner.pictures, "model.pt")
    third = Captioner.from_pretrained(shutil.copy(saved, saved.with_name("copy.pt")), "cpu")
    said = [each.caption(list(pictures)) for each in (captioner, again, third)]
    for in_memory, before, after in zip(*said, strict=True):
        assert before == after
        assert np.array_equal(before.attention, after.attention)
        assert in_memory.words == before.words
        np.testing.assert_allclose(in_memory.log_probabilities, before.log_probabilities, atol=1e-4)
        np.testing.assert_allclose(in_memory.attention, before.attention, atol=1e-4)


def test_all_that_was_saved_comes_back(artefact: Artefact, saved: Path) -> None:
    again = load_artefact(saved)
    for name in ("encoder_options", "decoder_options", "pictures", "vocabulary", "training", "scores", "guess_below", "note"):
        assert getattr(again, name) == getattr(artefact, name)
    for part in ("encoder", "decoder"):
        before, after = getattr(artefact, part), getattr(again, part)
        assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_tuples_among_the_options_come_back_as_tuples(artefact: Artefact, tmp_path: Path) -> None:
    options = replace(artefact.encoder_options, pixel_mean=(0.1, 0.2, 0.3), stride_in_1x1=True)
    save_artefact(replace(artefact, encoder_options=options), tmp_path / "model.pt")
    again = load_artefact(tmp_path / "model.pt")
    assert again.encoder_options == options
    encoder, _ = again.build()
    assert encoder.options == options
    torch.testing.assert_close(encoder.pixel_mean.flatten() / 255, torch.tensor([0.1, 0.2, 0.3]))


def test_a_built_model_is_ready_for_use(saved: Path) -> None:
    encoder, decoder = load_artefact(saved).build()
    assert not encoder.training and not decoder.training


def test_building_needs_no_weights_of_the_backbone(artefact: Artefact, saved: Path) -> None:
    """The encoder began with a file that is not on this machine, and still says so."""
    options = replace(artefact.encoder_options, encoder_weights="resnet.safetensors")
    encoder, _ = replace(artefact, encoder_options=options).build()
    assert encoder.options.encoder_weights == "resnet.safetensors"


def test_a_checkpoint_is_a_model_too(artefact: Artefact, tmp_path: Path) -> None:
    save_artefact(artefact, tmp_path / "last_model.pt", checkpoint={"step": 3})
    assert read_model_file(tmp_path / "last_model.pt")["checkpoint"] == {"step": 3}
    assert load_artefact(tmp_path / "last_model.pt").training == {"epochs": 3}


# ---------------------------------------------------------------------------------------------------- written whole


def test_a_write_that_fails_leaves_the_old_file(artefact: Artefact, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def fail_midway(content: object, file: Any) -> None:
        file.write(b"half of it")
        raise RuntimeError("[enforce fail at inline_container.cc:595] . unexpected pos 64 vs 0\nmore")

    monkeypatch.setattr(torch, "save", fail_midway)
    with pytest.raises(Problem, match=r"model\.pt could not be written \(\[enforce fail .* vs 0\): free some space") as caught:
        save_artefact(artefact, saved)
    assert "\n" not in str(caught.value)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_folder_that_cannot_be_written_is_named(artefact: Artefact, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Problem, match=r"file cannot be written, for a file lies where a folder has to be"):
        save_artefact(artefact, tmp_path / "file" / "model.pt")


@pytest.mark.parametrize(
    "about", [{"scores": {"CIDEr-D": {"value": np.float64(0.5)}}}, {"training": {"data": Path("a/b"), 1: (2,)}}]
)
def test_what_a_notebook_says_of_a_model_becomes_plain(artefact: Artefact, tmp_path: Path, about: dict[str, Any]) -> None:
    save_artefact(replace(artefact, **about), tmp_path / "model.pt")
    read = load_artefact(tmp_path / "model.pt")
    assert read.scores == {"CIDEr-D": {"value": 0.5}} or read.training == {"data": "a/b", "1": [2]}


@pytest.mark.parametrize("odd", [object(), 10**5000, {1, 2}], ids=["object", "endless", "set"])
def test_what_no_reader_would_take_is_not_written(artefact: Artefact, tmp_path: Path, odd: Any) -> None:
    with pytest.raises(WrongUse, match=r"training cannot be kept in a model file \(.{1,150}\): give texts, numbers"):
        save_artefact(replace(artefact, training={"x": odd}), tmp_path / "model.pt")
    with pytest.raises(WrongUse, match="its settings must hold rooms"):
        save_artefact(replace(artefact, training={"settings": [1]}), tmp_path / "model.pt")
    assert not any(tmp_path.iterdir())


# ----------------------------------------------------------------------------------------- broken and hostile files


class Hostile:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("writer", ["torch.save", "pickle", "inside a model"])
def test_code_in_a_file_does_not_run(saved: Path, writer: str) -> None:
    ran = saved.with_name("ran")
    if writer == "torch.save":
        torch.save(Hostile(ran), saved)
    elif writer == "pickle":
        saved.write_bytes(pickle.dumps(Hostile(ran)))
    else:
        rewrite(saved, training={"data": Hostile(ran)})
    with pytest.raises(Problem, match=r"model\.pt cannot be read as a model: it .* carries code, which showtell never runs"):
        load_artefact(saved)
    assert not ran.exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"there is no model at .*absent\.pt: train one"):
        load_artefact(tmp_path / "absent.pt")
    with pytest.raises(Problem, match="there is no model at"):
        load_artefact(tmp_path)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(Problem, match=r"model\.pt cannot be read as a model: it .*; get it from its maker again\.") as caught:
        load_artefact(saved)
    assert "\n" not in str(caught.value)


def test_damaged_bytes_give_a_sentence_or_a_model(saved: Path) -> None:
    """Whatever byte is wrong, nothing but a Problem comes out."""
    content, dice = saved.read_bytes(), random.Random(0)
    pickled = content.index(b"format_version")  # damage the part that says what is in the file, where it hurts
    for _ in range(200):
        broken = bytearray(content)
        for _ in range(dice.randint(1, 3)):
            broken[max(0, pickled + dice.randint(-300, 3000))] = dice.randrange(256)
        saved.write_bytes(broken)
        try:
            load_artefact(saved)
        except Problem as problem:
            assert "\n" not in str(problem)


@pytest.mark.parametrize("content", [[1, 2], {"decoder": {}}, {"format": "other"}, torch.zeros(3)])
def test_a_file_of_another_program_is_named(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(Problem, match=r"other\.pt is not a showtell model"):
        load_artefact(tmp_path / "other.pt")


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, "2", None])
def test_a_newer_format_is_refused(saved: Path, version: Any) -> None:
    with pytest.raises(Problem, match=rf"format version {version}, this showtell knows up to {FORMAT_VERSION}: install a newer"):
        load_artefact(rewrite(saved, format_version=version))


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": []},
        {"architecture": {"encoder": [], "decoder": {}}},
        {"architecture": {"encoder": {"encoder": "tiny", "layers": 3}, "decoder": {}}},
        {"architecture": {"encoder": {}, "decoder": {"hidden_size": -1}}},
        {"architecture": {"encoder": {}, "decoder": {"hidden_size": "many"}}},
        {"architecture": {"encoder": {}, "decoder": {"no_repeat_ngram": 2.5}}},
        {"architecture": {"encoder": {"freeze_encoder": 1}, "decoder": {}}},
        {"guess_below": []},
        {"guess_below": 10**400},
        {"architecture": {"encoder": {}, "decoder": {"dropout": 10**400}}},
        {"architecture": {"encoder": {}, "decoder": {"embed_size": ENDLESS}}},
        {"note": ENDLESS},
        {"training": {"settings": [1]}},
        {"training": {"settings": {"training": 1}}},
        {"architecture": {"encoder": {"grid": "round"}, "decoder": {}}},
        {"architecture": {"encoder": {"pixel_std": [1, 1, float("nan")]}, "decoder": {}}},
        {"architecture": {"encoder": {"pixel_mean": [10**400, 0, 0]}, "decoder": {}}},
        {"pictures": {"picture_size": 1_000_000}},
        {"pictures": {"fit": "bend"}},
        {"pictures": None},
        {"vocabulary": {"words": ["a"]}},
        {"vocabulary": 3},
        {"encoder": [1]},
        {"decoder": {"embedding.weight": 3}},
        {"training": 3},
    ],
)
def test_an_incomplete_model_is_named(saved: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(Problem, match=r"model\.pt is not a complete showtell model \(.{1,99}\): get it from its maker again"):
        load_artefact(rewrite(saved, **changes))


@pytest.mark.parametrize("sizes", [{"hidden_size": 9}, {"hidden_size": 8.5}, {"attention_dim": 2**40}])
def test_weights_that_do_not_fit_the_architecture_are_named(artefact: Artefact, sizes: dict[str, Any]) -> None:
    with pytest.raises(Problem, match="do not fit the architecture"):
        replace(artefact, decoder_options=replace(artefact.decoder_options, **sizes)).build()


def test_a_network_that_the_file_does_not_hold_costs_no_memory(artefact: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is built where tensors have shapes and no numbers, until its weights are seen to be the file's."""
    built: list[torch.device] = []
    measure = Encoder._measure
    monkeypatch.setattr(Encoder, "_measure", lambda self: (built.append(next(self.parameters()).device), measure(self))[1])
    large = replace(artefact, encoder_options=replace(artefact.encoder_options, encoder="resnet18"))
    with pytest.raises(Problem, match="the weights do not fit the architecture that it names"):
        large.build()
    assert built == [torch.device("meta")]


def test_what_a_stranger_tells_of_its_training_is_plain(saved: Path) -> None:
    odd = {"x": torch.zeros(3), "settings": {"augment": {5: {1, 2}}}, ("a", "pair"): 1}
    told = load_artefact(rewrite(saved, training=odd, scores={"a": torch.zeros(2)}))
    assert (told.training, told.scores) == ({"x": None, "settings": {"augment": {"5": None}}}, {"a": None})


def test_another_picture_size_is_no_other_architecture(artefact: Artefact) -> None:
    larger = replace(artefact, pictures=PictureOptions(picture_size=64))
    assert larger.build()[0].grid_shape.rows == 2 * artefact.build()[0].grid_shape.rows


# ------------------------------------------------------------------------------------------------------ vocabularies


def test_a_vocabulary_of_another_size_names_both_sizes(captioner: TorchCaptioner, artefact: Artefact, tmp_path: Path) -> None:
    more = Vocabulary((*captioner.vocabulary.words, "extra"))
    save_artefact(replace(artefact, vocabulary=more), tmp_path / "model.pt")
    with pytest.raises(Problem, match=r"model\.pt: the vocabulary has 15 words, but the decoder's weights are for 14: give"):
        Captioner.from_pretrained(tmp_path / "model.pt", "cpu")


def test_an_exchanged_vocabulary_is_noticed(captioner: TorchCaptioner, saved: Path) -> None:
    first, second, *others = captioner.vocabulary.words[4:]
    exchanged = Vocabulary((*captioner.vocabulary.words[:4], second, first, *others))
    with pytest.raises(Problem, match=r"model\.pt holds another vocabulary"):
        load_artefact(rewrite(saved, vocabulary=exchanged.to_dict()))
