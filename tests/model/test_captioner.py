"""The captioner: a batch equals its pictures, whatever a picture is given as, and every map and number is what it says."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showtell.errors import Problem, WrongUse
from showtell.model.artefact import Artefact, save_artefact
from showtell.model.captioner import Caption, Captioner
from showtell.model.torch_captioner import TorchCaptioner
from showtell.pictures import PictureOptions, shape
from showtell.search import SearchOptions


def close(one: Caption, other: Caption) -> bool:
    return (
        one.words == other.words
        and one.ended == other.ended
        and np.allclose(one.log_probabilities, other.log_probabilities, atol=1e-4)
        and np.allclose(one.attention, other.attention, atol=1e-4)
    )


def test_three_lines_caption_a_photograph(captioner: TorchCaptioner, pictures: list[Image.Image], tmp_path: Path) -> None:
    model, photo = tmp_path / "best_model.pt", tmp_path / "photo.png"
    save_artefact(Artefact.of(captioner.encoder, captioner.decoder, captioner.vocabulary, captioner.pictures), model)
    pictures[0].save(photo)

    from showtell import Captioner as Promised

    loaded = Promised.from_pretrained(model)
    caption = loaded.caption(photo)
    assert caption.text.lower().split() == list(caption.words)
    assert set(caption.words) <= set(captioner.vocabulary.words[4:])


@pytest.mark.parametrize("search", ["beam", "greedy", "sample"])
def test_a_batch_gives_what_its_pictures_give_one_by_one(
    captioner: TorchCaptioner, pictures: list[Image.Image], search: str
) -> None:
    options = SearchOptions(search=search, max_length=8)
    together = captioner.caption(list(pictures), options)
    assert len({caption.words for caption in together}) > 1  # or the test would see nothing
    for caption, picture in zip(together, pictures, strict=True):
        assert close(caption, captioner.caption(picture, options))


def test_a_picture_may_come_in_any_form(captioner: TorchCaptioner, pictures: list[Image.Image], tmp_path: Path) -> None:
    pictures[1].save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    pixels = shape(pictures[1], captioner.pictures)[0]
    expected = captioner.caption(pictures[1])
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), content, io.BytesIO(content)):
        assert captioner.caption(source) == expected
    assert captioner.caption_pixels(pixels[None]) == [expected]
    assert [each.text for each in captioner.caption((content, pictures[1]))] == [expected.text] * 2


def test_pixels_may_be_read_only(captioner: TorchCaptioner, pictures: list[Image.Image]) -> None:
    pixels = np.asarray(pictures[1].resize((32, 32)))[None]  # as Pillow gives them, and torch warns of
    assert not pixels.flags.writeable
    assert captioner.caption_pixels(pixels)


@pytest.mark.parametrize("shape", [(1, 100, 100, 3), (1, 3, 32, 32), (32, 32, 3)])
def test_pixels_of_another_size_are_refused(captioner: TorchCaptioner, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        WrongUse, match=f"the pixels are uint8 {' x '.join(map(str, shape))}, and this model takes uint8 N x 32 x"
    ):
        captioner.caption_pixels(np.zeros(shape, np.uint8))
    with pytest.raises(WrongUse, match="the pixels are float32"):
        captioner.caption_pixels(np.zeros((1, 32, 32, 3), np.float32))  # type: ignore[arg-type]


def test_no_pictures_no_captions(captioner: TorchCaptioner) -> None:
    assert captioner.caption([]) == []


def test_a_broken_picture_is_named(captioner: TorchCaptioner, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(Problem, match=r"broken\.jpg"):
        captioner.caption(tmp_path / "broken.jpg")


def test_confidence_is_the_mean_probability_of_words_and_end(captioner: TorchCaptioner, pictures: list[Image.Image]) -> None:
    ended, cut = Caption("A b", ("a", "b"), (-1.0, -2.0, -3.0), np.zeros((2, 1, 1)), True), captioner.caption(
        pictures[0], SearchOptions(min_length=3, max_length=3)
    )  # fmt: skip
    assert ended.confidence == pytest.approx(math.exp(-2))
    assert len(cut.log_probabilities) == len(cut.words) + cut.ended
    assert 0 < cut.confidence <= 1
    assert cut.confidence == pytest.approx(math.exp(np.mean(cut.log_probabilities)))


def test_there_is_a_map_for_every_word(captioner: TorchCaptioner, pictures: list[Image.Image]) -> None:
    for caption in captioner.caption(list(pictures)):
        grid = captioner.encoder.grid_shape
        assert caption.attention.shape == (len(caption.words), grid.rows, grid.columns)
        np.testing.assert_allclose(caption.attention.sum((1, 2)), 1, rtol=1e-5)


def test_the_map_lies_as_the_picture_does(captioner: TorchCaptioner, pictures: list[Image.Image]) -> None:
    """Row by row from the top left, as the encoder gives its cells."""
    import torch

    pixels = shape(pictures[0], captioner.pictures)[0]
    with torch.inference_mode():
        grid = captioner.encoder(torch.from_numpy(pixels).permute(2, 0, 1)[None])
        _, _, weights = captioner.decoder.step(torch.tensor([[1]]), captioner.decoder.start(grid))
    first = captioner.caption(pictures[0]).attention[0]
    np.testing.assert_allclose(first.flatten(), weights[0, 0], atol=1e-5)


def test_n_best_come_best_first(captioner: TorchCaptioner, pictures: list[Image.Image]) -> None:
    caption = captioner.caption(pictures[0], SearchOptions(n_best=3, max_length=6, length_penalty=1.0))
    assert len(caption.candidates) == 3
    assert caption.candidates[0].words == caption.words and caption.candidates[0].text == caption.text
    assert len({candidate.words for candidate in caption.candidates}) == 3
    alike = [candidate for candidate in caption.candidates if candidate.ended == caption.ended]
    assert alike == sorted(alike, key=lambda candidate: -candidate.confidence)  # with length_penalty 1, the mean decides


def test_special_words_are_never_said_nor_what_is_forbidden(captioner: TorchCaptioner, pictures: list[Image.Image]) -> None:
    options = SearchOptions(search="sample", n_best=20, temperature=3.0, forbid=("<unk>", "red", "a word it does not know"))
    for caption in captioner.caption(list(pictures), options):
        for candidate in caption.candidates:
            assert candidate.words
            assert not {"<pad>", "<start>", "<end>", "<unk>", "red"} & set(candidate.words)


def test_unknown_may_be_said_where_it_is_allowed(captioner: TorchCaptioner, pictures: list[Image.Image]) -> None:
    options = SearchOptions(search="sample", n_best=50, temperature=5.0, forbid=())
    said = {word for caption in captioner.caption(list(pictures), options) for each in caption.candidates for word in each.words}
    assert "<unk>" in said


def test_whoever_forbids_words_does_not_allow_unknown_ones(captioner: TorchCaptioner, pictures: list[Image.Image]) -> None:
    forbidden = captioner.vocabulary.words[4]
    options = SearchOptions(search="sample", n_best=50, temperature=5.0, forbid=(forbidden,))
    said = {word for caption in captioner.caption(list(pictures), options) for each in caption.candidates for word in each.words}
    assert said and not {"<unk>", forbidden} & said


def test_picture_settings_decide_what_is_seen(captioner: TorchCaptioner) -> None:
    """The same pixels come from the captioner's own settings, so a wide picture is not the same cropped and stretched."""
    wide = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 96, 3), dtype=np.uint8))
    cropping = TorchCaptioner(
        captioner.encoder, captioner.decoder, captioner.vocabulary, PictureOptions(picture_size=32, fit="crop"), "cropping"
    )
    middle = wide.crop((32, 0, 64, 32))
    assert close(cropping.caption(wide), captioner.caption(middle))
    assert not close(cropping.caption(wide), captioner.caption(wide))


def test_a_captioner_draws_no_dropout(captioner: TorchCaptioner, pictures: list[Image.Image]) -> None:
    trained = TorchCaptioner(
        captioner.encoder.train(), captioner.decoder.train(), captioner.vocabulary, captioner.pictures
    )  # fmt: skip
    assert trained.caption(pictures[0]) == trained.caption(pictures[0])
    assert not captioner.encoder.training and not captioner.decoder.training


def test_a_device_that_is_not_there_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "broken.pt").touch()
    with pytest.raises(WrongUse, match=r"device tpu is not on this machine: use one of .*cpu"):
        Captioner.from_pretrained(tmp_path / "broken.pt", "tpu")
