"""What `utils.py` promises: all of its names, and what each gives, in numbers that can be checked by hand."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from showtell.errors import Problem, WrongUse
from showtell.model.artefact import Artefact, save_artefact
from showtell.model.captioner import Captioner
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.model.torch_captioner import TorchCaptioner
from showtell.pictures import PictureOptions, shape
from showtell.search import SearchOptions
from showtell.utilities import (
    accuracy,
    adjust_learning_rate,
    beam_search_caption,
    build_vocab,
    clip_gradients,
    generate_caption,
    load_checkpoint,
    load_image,
    load_pretrained_model,
    load_vocab,
    print_model_info,
    save_pretrained_model,
    save_vocab,
    visualize_attention,
)
from showtell.vocabulary import SPECIALS, Vocabulary

UTILS = Path(__file__).resolve().parents[1] / "utils.py"
PROMISED = [
    "build_vocab", "save_vocab", "load_vocab", "Vocabulary", "load_pretrained_model", "save_pretrained_model",
    "load_checkpoint", "adapt_vocab_size", "print_model_info", "freeze_model", "unfreeze_model", "count_parameters",
    "get_trainable_params", "load_image", "generate_caption", "beam_search_caption", "visualize_attention",
    "EarlyStopping", "clip_gradients", "adjust_learning_rate", "accuracy",
]  # fmt: skip


@pytest.fixture
def captioner() -> TorchCaptioner:
    torch.manual_seed(0)
    encoder = Encoder(EncoderOptions("tiny", "none"), 32)
    encoder.pictures = PictureOptions(picture_size=32, fit="pad")
    decoder = Decoder(DecoderOptions(8, 8, 8), 8, encoder.channels)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(6)
    return TorchCaptioner(encoder, decoder, Vocabulary((*SPECIALS, "a", "red", "star", "ring")), encoder.pictures)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.skipif(not UTILS.is_file(), reason="the front door is in the repository only")
def test_all_promised_names_are_there_typed_and_documented() -> None:
    spec = importlib.util.spec_from_file_location("utils", UTILS)
    assert spec and spec.loader
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    assert sorted(utils.__all__) == sorted(PROMISED) and len(PROMISED) == 21
    for name in PROMISED:
        promised = getattr(utils, name)
        assert inspect.getdoc(promised), name
        if inspect.isfunction(promised):
            signature = inspect.signature(promised)
            assert signature.return_annotation is not inspect.Signature.empty, name
            assert all(each.annotation is not inspect.Parameter.empty for each in signature.parameters.values()), name


# ---------------------------------------------------------------------------------------------------------------- words


def test_a_vocabulary_from_captions_goes_to_a_file_and_back(tmp_path: Path) -> None:
    vocab = build_vocab(["A dog runs.", "a dog"], min_frequency=2)
    assert vocab.words == (*SPECIALS, "a", "dog")
    assert build_vocab(["狗跑", "狗"], 2, tokenizer="character").words == (*SPECIALS, "狗")
    save_vocab(vocab, tmp_path / "vocab.pkl")
    assert load_vocab(tmp_path / "vocab.pkl") == vocab
    with pytest.raises(WrongUse, match="captions is a text; it must be a list of texts"):
        build_vocab("a dog runs", min_frequency=1)
    with pytest.raises(WrongUse, match="min_frequency is 0"):
        build_vocab(["a"], 0)


# ---------------------------------------------------------------------------------------------------------- model files


def test_a_model_goes_to_a_file_and_back(captioner: TorchCaptioner, photo: Path, tmp_path: Path) -> None:
    path = tmp_path / "models" / "mine.pt"
    place = save_pretrained_model(captioner.encoder, captioner.decoder, captioner.vocabulary, path, training={"epochs": 3})
    assert place == tmp_path / "models" / "vocab.pkl"
    encoder, decoder, vocab = load_pretrained_model(pretrained_path=str(path), vocab_path=str(place), device="cpu")
    assert encoder.pictures == captioner.pictures  # how pictures are fitted comes along
    assert not encoder.training and not decoder.training
    assert generate_caption(encoder, decoder, photo, vocab) == captioner.caption(photo, SearchOptions(search="greedy"))
    assert Captioner.from_pretrained(path, "cpu").training == {"epochs": 3}
    half = save_pretrained_model(encoder, decoder, vocab, tmp_path / "half.pt", half=True)
    assert half.is_file() and (tmp_path / "half.pt").stat().st_size < 0.6 * path.stat().st_size


def test_words_and_weights_of_two_models_do_not_come_together(captioner: TorchCaptioner, photo: Path, tmp_path: Path) -> None:
    encoder, decoder, vocab = captioner.encoder, captioner.decoder, captioner.vocabulary
    other = Vocabulary((*SPECIALS, "a"))
    with pytest.raises(Problem, match="the vocabulary has 5 words, but the decoder's weights are for 8"):
        save_pretrained_model(encoder, decoder, other, tmp_path / "mine.pt")
    with pytest.raises(WrongUse, match="the vocabulary has 5 words, but the decoder is for 8"):
        generate_caption(encoder, decoder, photo, other)
    save_pretrained_model(encoder, decoder, vocab, tmp_path / "mine.pt")
    save_vocab(other, tmp_path / "other.pkl")
    with pytest.raises(WrongUse, match=r"other\.pkl does not belong to .*mine\.pt: it has 5 words, .* 8 of its own"):
        load_pretrained_model(tmp_path / "mine.pt", tmp_path / "other.pkl", "cpu")


def test_a_checkpoint_comes_with_the_state_of_its_run(captioner: TorchCaptioner, tmp_path: Path) -> None:
    path = tmp_path / "last_model.pt"
    artefact = Artefact.of(captioner.encoder, captioner.decoder, captioner.vocabulary, captioner.pictures, training={"epochs": 2})
    save_artefact(artefact, path, checkpoint={"position": {"epoch": 2}, "optimizer": {}})
    checkpoint = load_checkpoint(path, "cpu")
    assert (checkpoint.vocab, checkpoint.training) == (captioner.vocabulary, {"epochs": 2})
    assert checkpoint.state == {"position": {"epoch": 2}, "optimizer": {}}
    assert checkpoint.decoder.vocabulary_size == 8 and not checkpoint.encoder.training
    save_artefact(artefact, path)
    with pytest.raises(Problem, match="is a model, not a checkpoint"):
        load_checkpoint(path)


def test_the_table_is_printed(captioner: TorchCaptioner, capsys: pytest.CaptureFixture[str]) -> None:
    print_model_info(captioner.encoder, captioner.decoder)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["part", "weights", "trainable"]
    assert printed[-1].split()[0] == "all"


# ------------------------------------------------------------------------------------------------------------- captions


def test_a_picture_is_loaded_as_the_encoder_takes_it(captioner: TorchCaptioner, photo: Path) -> None:
    pixels = load_image(photo, captioner.pictures)
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.uint8, (1, 3, 32, 32))
    assert np.array_equal(pixels[0].permute(1, 2, 0).numpy(), shape(Image.open(photo), captioner.pictures)[0])
    assert captioner.encoder(pixels).shape == (1, 16, captioner.encoder.channels)
    assert tuple(load_image(photo).shape) == (1, 3, 224, 224)
    with pytest.raises(Problem, match=r"absent\.png"):
        load_image("absent.png")


def test_captions_are_the_captioners_own(captioner: TorchCaptioner, photo: Path) -> None:
    parts = captioner.encoder.train(), captioner.decoder.train(), load_image(photo, captioner.pictures), captioner.vocabulary
    greedy, beam = generate_caption(*parts, max_length=5), beam_search_caption(*parts, beam_size=3, max_length=5)
    assert captioner.encoder.training and captioner.decoder.training  # left as they were
    captioner.encoder.eval()
    captioner.decoder.eval()
    assert greedy == captioner.caption(photo, SearchOptions(search="greedy", max_length=5))
    assert beam == captioner.caption(photo, SearchOptions(beam_size=3, n_best=3, max_length=5))
    assert len(beam.candidates) == 3 and len(greedy.words) <= 5
    assert beam_search_caption(*parts[:2], photo, parts[3], 3, 5) == beam


@pytest.mark.parametrize("image", [torch.zeros(1, 3, 32, 32), torch.zeros(3, 32, 32, dtype=torch.uint8)])
def test_pixels_of_another_kind_are_refused(captioner: TorchCaptioner, image: torch.Tensor) -> None:
    with pytest.raises(WrongUse, match="this model takes uint8 1 x 3 x 32 x 32"):
        generate_caption(captioner.encoder, captioner.decoder, image, captioner.vocabulary)
    with pytest.raises(WrongUse, match="beam_size is 0"):
        beam_search_caption(captioner.encoder, captioner.decoder, image, captioner.vocabulary, beam_size=0)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_attention_is_drawn_on_the_picture(captioner: TorchCaptioner, photo: Path, tmp_path: Path, kind: str) -> None:
    caption = generate_caption(captioner.encoder, captioner.decoder, photo, captioner.vocabulary, max_length=3)
    path = tmp_path / "figures" / f"attention.{kind}"
    figure = visualize_attention(photo, caption, path, captioner.pictures)
    with Image.open(path) as written:
        assert written.size == figure.size and written.format == {"png": "PNG", "jpg": "JPEG"}[kind]
    with pytest.raises(WrongUse, match=r"drawing\.svg is of no kind that a figure can be written as"):
        visualize_attention(photo, caption, tmp_path / "drawing.svg")
    assert not list(tmp_path.glob("drawing*"))
    stretched = visualize_attention(photo, caption)
    assert stretched.tobytes() != figure.tobytes()  # the padded square reaches beyond the picture


# ------------------------------------------------------------------------------------------------------------- training


def test_gradients_are_clipped_to_a_norm() -> None:
    layer = torch.nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    for each in (layer, optimizer):
        layer.weight.grad = torch.tensor([[3.0, 4.0]])
        assert clip_gradients(each, 1.0) == pytest.approx(5.0)
        torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.6, 0.8]]))
        assert clip_gradients(each, 10.0) == pytest.approx(1.0)  # small ones are left alone
    with pytest.raises(WrongUse, match="max_norm is 0"):
        clip_gradients(layer, 0)


def test_rates_are_multiplied() -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups: list[dict[str, Any]] = [{"params": [weights[0]], "lr": 0.5}, {"params": [weights[1]], "lr": 2.0, "base_rate": 4.0}]
    optimizer = torch.optim.SGD(groups)
    assert adjust_learning_rate(optimizer, 0.5) == [0.25, 1.0]
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 1.0]
    assert optimizer.param_groups[1]["base_rate"] == 2.0
    with pytest.raises(WrongUse, match="factor is 0"):
        adjust_learning_rate(optimizer, 0)


def test_accuracy_counts_words_and_no_padding() -> None:
    scores = torch.tensor([[[0.0, 3.0, 2.0, 1.0], [0.0, 3.0, 2.0, 1.0], [0.0, 3.0, 2.0, 1.0], [9.0, 0.0, 0.0, 0.0]]])
    targets = torch.tensor([[1, 2, 3, 0]])
    assert accuracy(scores, targets) == pytest.approx(1 / 3)
    assert accuracy(scores, targets, k=2) == pytest.approx(2 / 3)
    assert accuracy(scores, targets, k=4) == 1
    for wrong, said in (((scores, targets[0]), "must be"), ((scores, targets, 5), "k is 5"), ((scores, targets * 0), "no word")):
        with pytest.raises(WrongUse, match=said):
            accuracy(*wrong)
