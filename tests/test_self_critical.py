"""Training with a reward: who is made likelier, and that the likelihoods are those that the decoder gives word by word."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from showtell.data.records import Record
from showtell.model.decoder import Decoder
from showtell.model.options import DecoderOptions
from showtell.search import SearchOptions, search
from showtell.vocabulary import END, PAD, START, UNK

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "recipes" / "self_critical.py"))


def test_a_sample_is_held_against_the_others_of_its_picture(recipe: dict[str, Any]) -> None:
    rewards = torch.tensor([[3.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    assert recipe["advantages"](rewards).tolist() == [[3.0, -1.5, -1.5], [0.0, 0.0, 0.0]]


def test_a_caption_that_breaks_off_earns_less(recipe: dict[str, Any]) -> None:
    records = [
        Record(0, Path("a.jpg"), ["A dog runs on the grass.", "A dog is running."], "train"),
        Record(1, Path("b.jpg"), ["A man in a hat.", "A man wears a hat."], "train"),
    ]
    reward = recipe["Reward"](records, "ptb")
    whole, broken, right, wrong = reward(
        ["A dog is running", "A dog is running on", "A dog is running", "A man wears a hat"],
        [True, False, True, True],
        [0, 0, 0, 0],
    )
    assert whole == right > broken > wrong


def test_likelihoods_are_those_of_the_samples(recipe: dict[str, Any]) -> None:
    torch.manual_seed(0)
    decoder = Decoder(DecoderOptions(6, 8, 5, dropout=0.0, deep_output=True, tied_embedding=True), 9, 4).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(4)
    grid, begin = torch.randn(3, 5, 4), torch.full((3, 1), START)
    drawn = SearchOptions(search="sample", n_best=4, max_length=6)
    results = search(decoder.step, decoder.start(grid), begin, drawn, end=END, forbidden=(PAD, START, UNK))
    captions, lengths = recipe["as_batch"](results)
    assert captions.shape[:2] == lengths.shape == (3, 4) and (captions[:, :, 0] == START).all()
    got = recipe["log_likelihoods"](decoder, grid, captions, lengths)
    expected = [[sum(sample.log_probabilities) for sample in result.candidates] for result in results]
    np.testing.assert_allclose(got.detach(), expected, atol=1e-4)
    got.sum().backward()
    assert decoder.embedding.weight.grad is not None and decoder.embedding.weight.grad.abs().sum() > 0
