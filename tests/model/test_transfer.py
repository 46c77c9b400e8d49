"""Freezing and counting by hand, and a decoder that gets other words: what both vocabularies have stays what it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from showtell.errors import Problem, WrongUse
from showtell.model.decoder import Decoder
from showtell.model.device import resolve_device
from showtell.model.encoder import Encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.model.torch_captioner import TorchCaptioner
from showtell.model.transfer import (
    adapt_vocab_size,
    count_parameters,
    freeze_model,
    get_trainable_params,
    model_info,
    move_vocabulary,
    unfreeze_model,
    use_word_vectors,
)
from showtell.vocabulary import SPECIALS, START, Vocabulary


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(EncoderOptions("tiny", "none", unfrozen_groups=1), 32)


@pytest.fixture(params=[False, True], ids=["plain", "deep output, word query, smaller grid"])
def decoder(request: pytest.FixtureRequest, captioner: TorchCaptioner) -> Decoder:
    more = {"deep_output": True, "word_query": True, "grid_size": 6} if request.param else {}
    torch.manual_seed(0)
    decoder = Decoder(DecoderOptions(8, 8, 8, **more), len(captioner.vocabulary), 5)
    torch.nn.init.normal_(decoder.output.vocabulary.bias)  # as after training
    return decoder.eval()


# ------------------------------------------------------------------------------------------------- freezing and counting


def training_groups(encoder: Encoder) -> list[str]:
    groups = encoder.layer_groups().items()
    return [name for name, group in groups if any(weight.requires_grad for weight in group.parameters())]


def test_an_encoder_freezes_and_unfreezes_by_groups(encoder: Encoder) -> None:
    names = list(encoder.layer_groups())
    freeze_model(encoder)
    assert encoder.frozen and get_trainable_params(encoder) == []
    for groups in range(len(names) + 1):
        unfreeze_model(encoder, groups)
        assert training_groups(encoder) == names[len(names) - groups :]
    unfreeze_model(encoder, 1)
    unfreeze_model(encoder)
    assert training_groups(encoder) == names
    unfreeze_model(encoder, 1)  # "no others"
    assert training_groups(encoder) == names[-1:]


def test_frozen_statistics_stand_still(encoder: Encoder) -> None:
    freeze_model(encoder)
    encoder.train()
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    assert all(torch.equal(buffer, before[name]) for name, buffer in encoder.named_buffers())


def test_other_models_freeze_as_a_whole(decoder: Decoder, encoder: Encoder) -> None:
    freeze_model(decoder)
    assert get_trainable_params(decoder) == []
    unfreeze_model(decoder)
    assert len(get_trainable_params(decoder)) == len(list(decoder.parameters()))
    with pytest.raises(WrongUse, match="a Decoder has no layer groups"):
        unfreeze_model(decoder, 1)
    with pytest.raises(WrongUse, match="it cannot be negative"):
        unfreeze_model(encoder, -1)


def test_counts_can_be_checked_by_hand() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    assert count_parameters(layer) == 3 * 4 + 4 + 4 + 4
    layer[0].requires_grad_(False)
    assert count_parameters(layer, trainable_only=True) == sum(weight.numel() for weight in get_trainable_params(layer)) == 8


def test_the_table_reads_rates_from_the_optimiser(encoder: Encoder) -> None:
    decoder = Decoder(DecoderOptions(8, 8, 8), 14, encoder.channels)
    decoder.output.requires_grad_(False)
    optimizer = torch.optim.SGD([
        {"params": [*encoder.layer_groups()["top"].parameters()], "lr": 0.25},
        {"params": [*decoder.embedding.parameters(), *decoder.output.parameters()], "lr": 0.5},
    ])  # fmt: skip
    plain, rated = (
        {line.split()[0]: line.split()[1:] for line in model_info(encoder, decoder, each).splitlines()}
        for each in (None, optimizer)
    )
    counts = {name: count_parameters(group) for name, group in encoder.layer_groups().items()}
    assert plain["encoder.stem"] == [f"{counts['stem']:,}", "0"]
    assert rated["encoder.stem"] == [f"{counts['stem']:,}", "0", "-"]
    assert plain["encoder.top"] == [f"{counts['top']:,}"] * 2
    assert rated["encoder.top"] == [f"{counts['top']:,}", f"{counts['top']:,}", "0.25"]
    assert rated["decoder.embedding"] == ["112", "112", "0.5"]  # 14 words x 8
    assert rated["decoder.output"] == ["126", "0", "-"]  # 14 x 8 + 14, frozen though the optimiser has them
    assert plain["decoder.attention"][1] != "0" and rated["decoder.attention"][1:] == ["0", "-"]  # in no group of the optimiser
    assert plain["all"][0] == f"{count_parameters(encoder) + count_parameters(decoder):,}"
    assert rated["all"][1] == f"{counts['top'] + 112:,}"


# ------------------------------------------------------------------------------------------------------------ other words


def row_tensors(decoder: Decoder) -> list[torch.Tensor]:
    return [decoder.embedding.weight, decoder.output.vocabulary.weight, decoder.output.vocabulary.bias]


def test_words_that_both_have_keep_their_rows(decoder: Decoder, captioner: TorchCaptioner) -> None:
    old = captioner.vocabulary
    new = Vocabulary((*SPECIALS, "cat", "star", "red", "dog", "a"))
    moved, kept = move_vocabulary(decoder, old, new)
    assert (kept, moved.vocabulary_size, moved.training) == (3, 9, False)
    for before, after in zip(row_tensors(decoder), row_tensors(moved), strict=True):
        for word in (*SPECIALS, "star", "red", "a"):
            assert torch.equal(after[new.index(word)], before[old.index(word)])
        # Output rows that are alike give the decoder nothing to learn from: what one word pulls the others push.
        assert not torch.equal(after[new.index("cat")], after[new.index("dog")])
    state = moved.state_dict()
    for name, tensor in decoder.state_dict().items():
        if name not in ("embedding.weight", "output.vocabulary.weight", "output.vocabulary.bias"):
            assert torch.equal(state[name], tensor)


def test_common_words_are_as_likely_to_each_other_as_before(decoder: Decoder, captioner: TorchCaptioner) -> None:
    """In a vocabulary of another order, and with some new words, the model still says of known words what it said."""
    old = captioner.vocabulary
    new = Vocabulary((*SPECIALS, "new", *old.words[:3:-1], "newer"))
    moved, kept = move_vocabulary(decoder, old, new)
    assert kept == len(old) - 4
    grid, numbers = torch.randn(1, 4, 5), torch.tensor([new.index(word) for word in old.words])
    with torch.inference_mode():
        for words in ([[START]], [[old.index("red")]]):
            before, _, _ = decoder.step(torch.tensor(words), decoder.start(grid))
            after, _, _ = moved.step(torch.tensor([[new.index(old.words[words[0][0]])]]), moved.start(grid))
            among_known = after[..., numbers].log_softmax(-1)
            torch.testing.assert_close(among_known, before, atol=1e-5, rtol=1e-5)


def test_tied_words_that_both_have_keep_their_vectors(captioner: TorchCaptioner) -> None:
    old = captioner.vocabulary
    decoder = Decoder(DecoderOptions(8, 8, 8, deep_output=True, tied_embedding=True), len(old), 5)
    moved, kept = move_vocabulary(decoder, old, Vocabulary((*SPECIALS, "cat", "star")))
    assert kept == 1
    assert torch.equal(moved.embedding.weight[5], decoder.embedding.weight[old.index("star")])
    assert moved.output.vocabulary(torch.ones(8)).shape == (6,)


def test_the_same_words_change_nothing(decoder: Decoder, captioner: TorchCaptioner) -> None:
    moved, kept = move_vocabulary(decoder, captioner.vocabulary, captioner.vocabulary)
    assert kept == len(captioner.vocabulary) - 4
    state = moved.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in decoder.state_dict().items())


def test_a_vocabulary_of_another_size_is_refused(decoder: Decoder) -> None:
    with pytest.raises(WrongUse, match="the vocabulary has 5 words, but the decoder is for 14"):
        move_vocabulary(decoder, Vocabulary((*SPECIALS, "a")), Vocabulary((*SPECIALS, "b")))


@pytest.mark.parametrize("size", [5, 14, 40])
def test_a_size_alone_keeps_the_special_tokens(decoder: Decoder, size: int) -> None:
    adapted = adapt_vocab_size(decoder, size, torch.device("cpu"))
    assert adapted is not decoder and decoder.vocabulary_size == 14
    assert adapted.vocabulary_size == size
    for before, after in zip(row_tensors(decoder), row_tensors(adapted), strict=True):
        assert len(after) == size
        assert torch.equal(after[:4], before[:4])
        assert after.isfinite().all() and not torch.equal(after[4], before[4])
    adapted.forward(torch.randn(1, 4, 5), torch.tensor([[[1, size - 1, 2]]]))
    assert not adapted.embedding.weight[0].any()  # <pad> stays nothing


def test_a_size_without_words_is_refused(decoder: Decoder) -> None:
    with pytest.raises(WrongUse, match="the special tokens alone are 4"):
        adapt_vocab_size(decoder, 4, "cpu")


def test_a_device_may_be_left_to_showtell(decoder: Decoder) -> None:
    assert adapt_vocab_size(decoder, 9, "auto").embedding.weight.device == resolve_device("auto")
    with pytest.raises(WrongUse, match="device tpu is not on this machine"):
        adapt_vocab_size(decoder, 9, "tpu")


# ----------------------------------------------------------------------------------------------------------- word vectors


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    lines = ["red " + " ".join(["1"] * 8), "blue " + " ".join(["-1"] * 8), "elsewhere " + " ".join(["9"] * 8)]
    (tmp_path / "vectors.txt").write_text("\n".join([*lines, "two words " + " ".join(["0.5"] * 8)]) + "\n", "utf-8")
    return tmp_path / "vectors.txt"


@pytest.mark.parametrize("header", ["", "4 8\n"], ids=["GloVe", "fastText"])
def test_word_vectors_come_in_at_the_scale_of_those_there(
    decoder: Decoder, captioner: TorchCaptioner, vectors: Path, header: str
) -> None:
    vectors.write_text(header + vectors.read_text("utf-8"), "utf-8")
    words, before = captioner.vocabulary, decoder.embedding.weight.clone()
    assert use_word_vectors(decoder, words, vectors) == 2
    after = decoder.embedding.weight
    scale = before[4:].std() / torch.tensor([1.0] * 8 + [-1.0] * 8).std()
    torch.testing.assert_close(after[words.index("red")], scale * torch.ones(8))
    torch.testing.assert_close(after[words.index("blue")], -scale * torch.ones(8))
    others = [number for number, word in enumerate(words.words) if word not in ("red", "blue")]
    assert torch.equal(after[others], before[others])


def test_spared_words_keep_what_they_have(decoder: Decoder, captioner: TorchCaptioner, vectors: Path) -> None:
    before = decoder.embedding.weight.clone()
    assert use_word_vectors(decoder, captioner.vocabulary, vectors, spared=Vocabulary((*SPECIALS, "red"))) == 1
    assert torch.equal(decoder.embedding.weight[captioner.vocabulary.index("red")], before[captioner.vocabulary.index("red")])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("red 1 2 3\n", "line 1: the vectors have 3 numbers, and the model's word vectors 8"),
        ("red " + "1 " * 300 + "\n", "line 1: the vectors have 300 numbers, and the model's word vectors 8"),
        ("red " + "1 " * 7 + "x\n", "line 1 is no word with 8 numbers"),
        ("red nan " + "1 " * 7 + "\n", "line 1 is no word with 8 numbers"),
        ("none " + "1 " * 8 + "\n", "has a vector for none of the 10 words"),
        ("", "has a vector for none"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    decoder: Decoder, captioner: TorchCaptioner, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "vectors.txt").write_text(text)
    with pytest.raises(Problem, match=said):
        use_word_vectors(decoder, captioner.vocabulary, tmp_path / "vectors.txt")
    with pytest.raises(Problem, match=r"absent\.txt cannot be read"):
        use_word_vectors(decoder, captioner.vocabulary, tmp_path / "absent.txt")
