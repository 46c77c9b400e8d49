"""The loss and its tally: what plain formulas give, however it is cut into chunks and however the captions lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from training_kit import make_batch

from showtell.data.batches import Batch
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.training import word_loss
from showtell.training.loss import Tally, TrainingModel, doubly_stochastic
from showtell.training.word_loss import CHUNK
from showtell.vocabulary import PAD

LENGTHS = [[7, 4], [5], [6, 6, 3]]


def build(copies: int = 1, smoothing: float = 0.0, attention_lambda: float = 0.0, **options: Any) -> TrainingModel:
    torch.manual_seed(0)
    sizes = {"embed_size": 5, "hidden_size": 7, "attention_dim": 4, "dropout": 0.0} | options
    decoder = Decoder(DecoderOptions(**sizes), 11, 6)
    with torch.no_grad():
        decoder.attention.v.mul_(6)
        decoder.output.vocabulary.weight.mul_(20)  # fresh weights would guess all words alike
    return TrainingModel(None, decoder, copies, smoothing, attention_lambda)


def plain(model: TrainingModel, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities (words x V), targets (words) and attention (N x R x T x P), by the decoder's `forward`."""
    fed = batch.captions[:, :, :-1].masked_fill(batch.captions[:, :, 1:] == PAD, PAD)  # <end> is not fed
    log_probabilities, attention = model.decoder(batch.pictures, fed)
    targets = batch.captions[:, :, 1:]
    return log_probabilities[targets != PAD], targets[targets != PAD], attention


def gradients(model: TrainingModel, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("output", [{}, {"deep_output": True}, {"deep_output": True, "tied_embedding": True}])
def test_the_loss_is_the_mean_cross_entropy_of_real_words(smoothing: float, output: dict[str, bool]) -> None:
    model, batch = build(smoothing=smoothing, **output), make_batch(0, LENGTHS)
    loss, _ = model(batch)
    log_probabilities, targets, _ = plain(model, batch)
    assert len(targets) == sum(n - 1 for row in LENGTHS for n in row)
    expected = F.cross_entropy(log_probabilities, targets, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)
    assert_alike(gradients(model, loss), gradients(model, F.cross_entropy(*plain(model, batch)[:2], label_smoothing=smoothing)))


def test_the_tally_counts_words_nats_and_right_guesses() -> None:
    model, batch = build(smoothing=0.3), make_batch(1, LENGTHS)
    _, tally = model(batch)
    log_probabilities, targets, _ = plain(model, batch)
    best = log_probabilities.topk(5).indices == targets.unsqueeze(1)
    nats = -log_probabilities.gather(1, targets.unsqueeze(1)).sum().item()
    expected = torch.tensor([len(targets), nats, best[:, 0].sum(), best.sum()])
    torch.testing.assert_close(tally.stack(), expected)
    assert 0 < tally.top1 < tally.top5 < tally.words  # or the test would see little


def test_the_regularisation_is_equation_14() -> None:
    model, batch = build(attention_lambda=0.7), make_batch(2, LENGTHS)
    loss, tally = model(batch)
    _, _, attention = plain(model, batch)
    captions = [attention[n, r] for n, row in enumerate(batch.lengths.tolist()) for r, length in enumerate(row) if length]
    assert len(captions) == 6
    expected = torch.stack([(1 - each.sum(0)).square().mean() for each in captions]).mean()  # over captions and cells
    torch.testing.assert_close(loss - tally.cross_entropy / tally.words, 0.7 * expected)


def test_captions_that_are_not_there_do_not_count() -> None:
    sums = torch.rand(2, 2, 3)
    lengths = torch.tensor([[4, 0], [2, 1]])
    real = torch.stack([sums[0, 0], sums[1, 0], sums[1, 1]])
    torch.testing.assert_close(doubly_stochastic(sums, lengths, 1), (1 - real).square().mean())
    torch.testing.assert_close(doubly_stochastic(sums, lengths, 4), (1 - real / 4).square().mean())


def test_49_cells_that_count_four_times_train_as_196_do() -> None:
    """Here 4 and 16 cells: the same loss, regularisation included, and the same gradients of all weights."""
    few, many = build(copies=4, attention_lambda=1.0), build(copies=1, attention_lambda=1.0)
    with torch.device("meta"):
        encoder = Encoder(EncoderOptions("resnet18", "none"), 64)
    batch = make_batch(3, LENGTHS)
    written_out = replace(batch, pictures=encoder.pooled_up(batch.pictures))
    assert written_out.pictures.shape[1] == 16
    (loss, tally), (expected, expected_tally) = few(batch), many(written_out)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(tally.stack(), expected_tally.stack())
    assert_alike(gradients(few, loss), gradients(many, expected))


@pytest.mark.parametrize("chunk", [1, 40, 11 * 24])  # a word, three words, all but one at a time
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    model, batch = build(smoothing=0.1, attention_lambda=1.0, deep_output=True), make_batch(4, LENGTHS)
    loss, tally = model(batch)
    expected = gradients(model, loss)
    monkeypatch.setitem(CHUNK, "cpu", chunk)
    again, again_tally = model(batch)
    torch.testing.assert_close(again, loss)
    torch.testing.assert_close(again_tally.stack(), tally.stack())
    assert_alike(gradients(model, again), expected)
    with torch.no_grad():
        torch.testing.assert_close(model(batch)[0], loss)


def test_dropout_does_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, found = build(dropout=0.5), make_batch(5, LENGTHS), []
    for chunk in (CHUNK["cpu"], 40):
        monkeypatch.setitem(CHUNK, "cpu", chunk)
        torch.manual_seed(7)
        found.append(gradients(model, model(batch)[0]))
    assert_alike(*found)


def test_validation_computes_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    gradient = word_loss._gradient
    monkeypatch.setattr(word_loss, "_gradient", lambda *given: (asked.append(1), gradient(*given))[1])
    model, batch = build(), make_batch(0, LENGTHS)
    expected, _ = model(batch)
    assert asked
    asked.clear()
    with torch.no_grad():
        loss, _ = model(batch)
    assert not asked and torch.equal(loss, expected)


def test_in_bf16_loss_and_gradients_are_nearly_the_same() -> None:
    model, batch = build(smoothing=0.1), make_batch(5, LENGTHS)
    loss, _ = model(batch)
    with torch.autocast("cpu", torch.bfloat16):
        nearly, _ = model(batch)
    torch.testing.assert_close(nearly, loss, rtol=2e-2, atol=0)
    one, other = gradients(model, loss), gradients(model, nearly)
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        assert other[name].dtype == torch.float32
        assert (other[name] - gradient).norm() < 0.1 * gradient.norm(), name


def test_the_order_of_the_batch_changes_nothing() -> None:
    model, batch = build(attention_lambda=1.0), make_batch(6, LENGTHS)
    pictures, rows = torch.tensor([2, 0, 1]), torch.tensor([1, 2, 0])
    shuffled = Batch(
        batch.pictures[pictures], batch.captions[pictures][:, rows], batch.lengths[pictures][:, rows]
    )  # fmt: skip
    for one, other in zip(model(batch), model(shuffled), strict=True):
        torch.testing.assert_close(*(each.stack() if isinstance(each, Tally) else each for each in (one, other)))


def test_cached_grids_are_read_in_half_precision() -> None:
    model, batch = build(), make_batch(7, LENGTHS)
    half = replace(batch, pictures=batch.pictures.half())
    torch.testing.assert_close(model(half)[0], model(replace(half, pictures=half.pictures.float()))[0])


def test_pictures_go_through_the_encoder_where_there_is_one() -> None:
    encoder = Encoder(EncoderOptions("tiny", "none"), 16).eval()
    decoder = Decoder(DecoderOptions(4, 4, 4, dropout=0.0), 11, encoder.channels)
    model, batch = TrainingModel(encoder, decoder, 1), make_batch(8, LENGTHS)
    pixels = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    from_pixels, _ = model.eval()(replace(batch, pictures=pixels))
    from_grid, _ = TrainingModel(None, decoder, 1)(replace(batch, pictures=encoder(pixels)))
    torch.testing.assert_close(from_pixels, from_grid)
