"""The decoder computes what the textbook form computes, `forward` what `step` gives, and nothing depends on how rows lie."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.textbook.decoder import TextbookDecoder
from showtell.model.decoder import Decoder, State
from showtell.model.encoder import Encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.vocabulary import PAD

FEW = settings(max_examples=15)
DEEP = {"deep_output": True}
TIED = {"deep_output": True, "tied_embedding": True}


def build(seed: int = 0, vocabulary: int = 11, channels: int = 6, **options: Any) -> Decoder:
    """A small decoder whose attention and words differ clearly (fresh weights would look everywhere alike)."""
    torch.manual_seed(seed)
    sizes = {"embed_size": 5, "hidden_size": 7, "attention_dim": 4, "dropout": 0.0} | options
    decoder = Decoder(DecoderOptions(**sizes), vocabulary, channels)
    with torch.no_grad():
        decoder.attention.v.mul_(6)
        decoder.embedding.weight.mul_(8)
    return decoder


def make_captions(seed: int, lengths: list[list[int]], vocabulary: int = 11) -> Tensor:
    """N x R x T random words, padded."""
    random = torch.Generator().manual_seed(seed)
    longest = max(max(row) for row in lengths)
    words = torch.randint(1, vocabulary, (len(lengths), len(lengths[0]), longest), generator=random)
    return words.masked_fill(torch.arange(longest) >= torch.tensor(lengths).unsqueeze(-1), PAD)


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, list[list[int]], int]:
    """A seed, the lengths of captions (pictures x captions, in any order, 0 where a picture has fewer), and cells."""
    pictures, rows = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    row = st.lists(st.integers(0, 6), min_size=rows, max_size=rows)
    lengths = draw(st.lists(row, min_size=pictures, max_size=pictures).filter(lambda found: max(map(max, found)) > 0))
    return draw(st.integers(0, 2**31)), lengths, draw(st.integers(1, 9))


def textbook_outputs(textbook: TextbookDecoder, grid: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities and attention of the textbook form, laid out as ours, zero where there is no word."""
    n_captions = captions.shape[1]
    logits, weights = textbook(grid.repeat_interleave(n_captions, 0), captions.flatten(0, 1), (captions != PAD).sum(-1).flatten())
    real = (captions != PAD).unsqueeze(-1)
    return logits.log_softmax(-1).unflatten(0, captions.shape[:2]) * real, weights.unflatten(0, captions.shape[:2])


@FEW
@given(batches(), st.sampled_from([0, 3]))
def test_values_and_gradients_are_the_textbooks(batch: tuple[int, list[list[int]], int], grid_size: int) -> None:
    seed, lengths, cells = batch
    decoder, captions = build(seed, grid_size=grid_size), make_captions(seed, lengths)
    textbook = TextbookDecoder(5, 7, 4, 6, 11, grid_size).load_from(decoder)
    ours = torch.randn(len(lengths), cells, 6).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()

    got, expected = decoder(ours, captions), textbook_outputs(textbook, theirs, captions)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)

    weights = [torch.randn_like(output) for output in got]  # an arbitrary loss, of log-probabilities and attention alike
    for outputs in (got, expected):
        torch.stack([(output * weight).sum() for output, weight in zip(outputs, weights, strict=True)]).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-4)
    gradients = copy.deepcopy(decoder)  # with gradients for weights, so that `load_from` translates them
    for parameter, source in zip(gradients.parameters(), decoder.parameters(), strict=True):
        parameter.data = source.grad
    translated = dict(TextbookDecoder(5, 7, 4, 6, 11, grid_size).load_from(gradients).named_parameters())
    for name, parameter in textbook.named_parameters():
        torch.testing.assert_close(
            translated[name], parameter.grad, atol=1e-4, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_the_oracle_sees_a_difference() -> None:
    """The comparison above would notice a wrong decoder."""
    decoder, captions = build(), make_captions(0, [[4, 3]])
    textbook = TextbookDecoder(5, 7, 4, 6, 11).load_from(decoder)
    grid = torch.randn(1, 5, 6)
    with torch.no_grad():
        textbook.f_beta.bias[0] += 0.5
    difference = decoder(grid, captions)[0] - textbook_outputs(textbook, grid, captions)[0]
    assert difference.abs().max() > 1e-3


# ------------------------------------------------------------------------------------------------- forward and step agree


def step_by_step(decoder: Decoder, grid: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
    """What `step` gives, fed the captions word by word, zero where there is no word."""
    n, rows, words = captions.shape
    state = decoder.start(grid).select(torch.arange(n), torch.zeros(n, rows, dtype=torch.long))
    outputs: list[tuple[Tensor, Tensor]] = []
    for t in range(words):
        log_probabilities, state, weights = decoder.step(captions[:, :, t], state)
        outputs.append((log_probabilities, weights))
    real = (captions != PAD).unsqueeze(-1)
    return tuple(torch.stack(each, dim=2) * real for each in zip(*outputs, strict=True))  # type: ignore[return-value]


@FEW
@given(batches(), st.sampled_from([{}, DEEP, TIED, {"word_query": True}, {"grid_size": 3, "grid_scale": 2.0}]))
def test_forward_gives_what_step_gives(batch: tuple[int, list[list[int]], int], options: dict[str, Any]) -> None:
    seed, lengths, cells = batch
    decoder, captions = build(seed, **options), make_captions(seed, lengths)
    grids = [torch.randn(len(lengths), cells, 6, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in "ab"]
    gradients = []
    outputs = decoder(grids[0], captions), step_by_step(decoder, grids[1], captions)
    for ours, theirs in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for (log_probabilities, _), grid in zip(outputs, grids, strict=True):
        decoder.zero_grad()
        (log_probabilities * torch.linspace(-1, 1, 11)).sum().backward()
        gradients.append([grid.grad] + [parameter.grad for parameter in decoder.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_a_scaled_grid_is_a_grid_of_larger_numbers() -> None:
    plain, scaled, grid = build(), build(grid_scale=2.0), torch.randn(2, 4, 6)
    captions = make_captions(0, [[3, 2], [4, 1]])
    for ours, theirs in zip(scaled(grid, captions), plain(2 * grid, captions), strict=True):
        assert torch.equal(ours, theirs)


def test_the_first_step_of_many_rows_is_that_of_one() -> None:
    decoder, grid = build(), torch.randn(2, 4, 6)
    one = decoder.step(torch.full((2, 1), 1), decoder.start(grid))
    many = decoder.step(torch.full((2, 3), 1), decoder.start(grid).select(torch.arange(2), torch.zeros(2, 3, dtype=torch.long)))
    torch.testing.assert_close(many[0], one[0].expand(2, 3, 11))
    torch.testing.assert_close(many[2], one[2].expand(2, 3, 4))
    torch.testing.assert_close(one[0].exp().sum(-1), torch.ones(2, 1))
    torch.testing.assert_close(one[2].sum(-1), torch.ones(2, 1))


def test_attention_of_real_words_sums_to_one_and_of_padding_to_zero() -> None:
    decoder, captions = build(), make_captions(3, [[2, 5, 0], [4, 1, 3]])
    _, weights = decoder(torch.randn(2, 4, 6), captions)
    torch.testing.assert_close(weights.sum(-1), (captions != PAD).float())


def test_the_order_of_pictures_and_captions_changes_nothing() -> None:
    lengths = [[1, 6], [3, 2], [0, 4], [5, 5]]
    decoder, captions, grid = build(), make_captions(0, lengths), torch.randn(4, 3, 6)
    pictures, rows = torch.tensor([3, 1, 0, 2]), torch.tensor([1, 0])
    here = decoder(grid, captions)
    there = decoder(grid[pictures], captions[pictures][:, rows])
    for one, other in zip(here, there, strict=True):
        torch.testing.assert_close(one[pictures][:, rows], other)


def test_what_stands_beyond_a_captions_length_is_ignored() -> None:
    decoder, captions, grid = build(), make_captions(0, [[4, 2], [3, 1]]), torch.randn(2, 3, 6)
    lengths = torch.tensor([[3, 2], [1, 0]])
    clean = captions.masked_fill(torch.arange(4) >= lengths.unsqueeze(-1), PAD)
    for one, other in zip(decoder.unroll(grid, captions, lengths), decoder.unroll(grid, clean, lengths), strict=True):
        if isinstance(one, Tensor):
            assert torch.equal(one, other)


def test_unrolled_words_know_where_they_stood() -> None:
    """`order` leads from the unrolled words back to their places: targets, and deep output, depend on it."""
    decoder, captions = build(), make_captions(0, [[1, 3], [4, 0]])
    unrolled = decoder.unroll(torch.randn(2, 3, 6), captions, (captions != PAD).sum(-1))
    assert sorted(unrolled.order.tolist()) == (captions != PAD).flatten().nonzero().squeeze(1).tolist()
    assert torch.equal(unrolled.embedded, decoder.embedding(captions.flatten()[unrolled.order]))
    assert len(unrolled.hidden) == len(unrolled.context) == 8


def test_dropout_is_for_training_only() -> None:
    decoder = build(dropout=0.5, embed_dropout=0.5, grid_dropout=0.5, deep_output=True)
    grid, captions = torch.randn(2, 3, 6), make_captions(0, [[3], [2]])
    assert not torch.equal(decoder(grid, captions)[0], decoder(grid, captions)[0])
    decoder.eval()
    assert torch.equal(decoder(grid, captions)[0], decoder(grid, captions)[0])


def test_the_padding_vector_neither_starts_nor_moves_from_zero() -> None:
    decoder = build()
    decoder(torch.randn(1, 3, 6), make_captions(0, [[4, 1]]))[0].sum().backward()
    assert not decoder.embedding.weight[PAD].any()
    assert not decoder.embedding.weight.grad[PAD].any()


# ------------------------------------------------------------------------------------------------------------ the state


@pytest.fixture
def state() -> State:
    """Of 3 pictures with 2 rows each; every number occurs once."""
    return State(*(torch.arange(float(n)).view(3, -1, width) + n for n, width in ((24, 4), (12, 2), (30, 5), (18, 3))))


def test_select_takes_rows_of_pictures(state: State) -> None:
    for pictures, rows in [
        ([0, 1, 2], [[1, 0], [0, 0], [1, 1]]),  # reordered
        ([0, 1, 2], [[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1]]),  # widened
        ([0, 2], [[1, 0], [0, 0]]),  # a picture retired
        ([1], [[1]]),
    ]:
        chosen = state.select(torch.tensor(pictures), torch.tensor(rows))
        for m, n in enumerate(pictures):
            assert torch.equal(chosen.grid[m], state.grid[n]) and torch.equal(chosen.keys[m], state.keys[n])
            for k, row in enumerate(rows[m]):
                assert torch.equal(chosen.hidden[m, k], state.hidden[n, row])
                assert torch.equal(chosen.cell[m, k], state.cell[n, row])


def test_select_of_all_pictures_does_not_copy_what_belongs_to_them(state: State) -> None:
    chosen = state.select(torch.arange(3), torch.zeros(3, 5, dtype=torch.long))
    assert chosen.grid is state.grid and chosen.keys is state.keys


def test_stepping_goes_on_after_a_select() -> None:
    """A row that moved says what it would have said where it stood."""
    decoder, grid = build(), torch.randn(3, 4, 6)
    state = decoder.start(grid).select(torch.arange(3), torch.zeros(3, 2, dtype=torch.long))
    _, state, _ = decoder.step(torch.tensor([[4, 5], [6, 7], [8, 9]]), state)
    pictures, rows = torch.tensor([0, 2]), torch.tensor([[1, 0], [1, 1]])
    words = torch.tensor([[5, 6], [7, 8], [9, 10]])
    stayed, _, _ = decoder.step(words, state)
    moved, _, _ = decoder.step(words[pictures[:, None], rows], state.select(pictures, rows))
    torch.testing.assert_close(moved, stayed[pictures[:, None], rows])


# ---------------------------------------------------------------------------------------------------- tied word vectors


def test_tied_words_are_scored_by_their_own_vectors_which_are_kept_once() -> None:
    decoder = build(**TIED)
    assert [name for name in decoder.state_dict() if "vocabulary" in name] == ["output.vocabulary.bias"]
    features = torch.randn(2, 5)
    scores = decoder.output.vocabulary(features)
    torch.testing.assert_close(scores, features @ decoder.embedding.weight.T + decoder.output.vocabulary.bias)
    twin = copy.deepcopy(decoder)  # as the moving average of the weights is one
    with torch.no_grad():
        twin.embedding.weight.zero_()
    assert not twin.output.vocabulary(features).any()
    assert torch.equal(decoder.output.vocabulary(features), scores)


def test_tied_words_need_features_of_a_words_length() -> None:
    assert DecoderOptions(tied_embedding=True).problems() == [
        "tied_embedding needs deep_output, whose features are as long as a word's vector."
    ]


# ----------------------------------------------------------------------------------------------------- pooled-up grids


def test_cells_that_count_four_times_equal_their_copies() -> None:
    """Softmax over four equal cells is softmax over one, with its weight divided by four."""
    with torch.device("meta"):
        encoder = Encoder(EncoderOptions("resnet18", "none"), 64)
    assert encoder.grid_shape.copies == 4
    decoder, captions = build(), make_captions(0, [[5, 2], [3, 4]])
    grid = torch.randn(2, encoder.grid_shape.cells, 6)
    few, many = decoder(grid, captions), decoder(encoder.pooled_up(grid), captions)
    torch.testing.assert_close(few[0], many[0], atol=1e-5, rtol=1e-5)
    shares = few[1].flatten(0, 2).unsqueeze(-1) / 4  # captions' words x cells x 1
    torch.testing.assert_close(encoder.pooled_up(shares).squeeze(-1), many[1].flatten(0, 2), atol=1e-6, rtol=1e-5)
