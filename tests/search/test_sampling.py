"""Sampling: the right words as often as they should come."""

from __future__ import annotations

import numpy as np
import pytest
from search_tables import END, find, random_tables, same

from showtell.search import SearchOptions

PROBABILITIES = {4: 0.4, 5: 0.3, 6: 0.2, 7: 0.1}
DRAWS = 4000


def counts(**options: object) -> dict[int, float]:
    """How often each first word is drawn, where the model gives the probabilities above."""
    tables = np.full((1, 97, 8), -np.inf, dtype=np.float32)
    for word, p in PROBABILITIES.items():
        tables[0, :, word] = np.log(p)
    tables[0, :, END] = 0  # which is forbidden at first
    result = find(tables, SearchOptions(search="sample", n_best=DRAWS, max_length=1, **options))[0]
    words, times = np.unique([c.words[0] for c in result.candidates], return_counts=True)
    assert times.sum() == DRAWS
    return dict(zip(words.tolist(), times.tolist(), strict=True))


def expected(powers: dict[int, float]) -> dict[int, float]:
    return {word: DRAWS * p / sum(powers.values()) for word, p in powers.items()}


@pytest.mark.parametrize(
    ("options", "powers"),
    [
        ({}, PROBABILITIES),
        ({"temperature": 0.5}, {word: p**2 for word, p in PROBABILITIES.items()}),
        ({"temperature": 2.0}, {word: p**0.5 for word, p in PROBABILITIES.items()}),
        ({"top_k": 2}, {4: 0.4, 5: 0.3}),
        ({"top_k": 100}, PROBABILITIES),
        ({"top_p": 0.6}, {4: 0.4, 5: 0.3}),  # the fewest that make up 0.6
        ({"top_p": 0.75}, {4: 0.4, 5: 0.3, 6: 0.2}),
        ({"top_k": 3, "top_p": 0.7}, {4: 0.4, 5: 0.3}),  # 0.4 + 0.3 of 0.9 are more than 0.7
        ({"top_p": 1e-9}, {4: 1.0}),
        ({"temperature": 1e-3}, {4: 1.0}),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_words_come_as_often_as_they_should(options: dict[str, float], powers: dict[int, float], seed: int) -> None:
    drawn, wanted = counts(seed=seed, **options), expected(powers)
    assert set(drawn) == set(wanted)
    chi_square = sum((drawn[word] - wanted[word]) ** 2 / wanted[word] for word in wanted)
    assert chi_square < 16.3  # 99.9 % of honest draws of four words


def test_all_words_of_a_caption_are_drawn_anew() -> None:
    tables = np.full((1, 97, 6), -np.inf, dtype=np.float32)
    tables[0, :, 4:] = np.log(0.5)
    result = find(tables, SearchOptions(search="sample", n_best=2000, max_length=2))[0]
    _, times = np.unique([c.words for c in result.candidates], axis=0, return_counts=True)
    assert len(times) == 4 and ((times - 500) ** 2 / 500).sum() < 16.3


def test_the_likeliest_word_alone_is_greedy_search() -> None:
    tables = random_tables(seed=1, pictures=5, vocabulary=20)
    same(find(tables, SearchOptions("sample", top_k=1)), find(tables, SearchOptions("greedy")))


def test_seed_and_generator() -> None:
    tables = random_tables(seed=2, pictures=2, vocabulary=20)
    first, second = (SearchOptions("sample", n_best=3, seed=seed) for seed in (0, 1))
    same(find(tables, first), find(tables, first))
    same(find(tables, first), find(tables, second, random=2 * [np.random.default_rng(0)]))
    assert [r.candidates for r in find(tables, first)] != [r.candidates for r in find(tables, second)]


def test_candidates_are_ranked_as_beams_are() -> None:
    tables = random_tables(seed=3, pictures=2, vocabulary=20)
    for result in find(tables, SearchOptions("sample", n_best=20, max_length=6, length_penalty=1.0)):
        keys = [(not c.ended, -c.mean_log_probability) for c in result.candidates]
        assert keys == sorted(keys) and len({c.ended for c in result.candidates}) == 2
