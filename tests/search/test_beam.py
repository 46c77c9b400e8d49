"""Beam search against exhaustive search, and against beam search written as plainly as can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_tables import SPECIAL, captions, every_caption, find, no_better_way, plain_beam, random_tables

from showtell.errors import Problem
from showtell.search import SearchOptions

EXACT = SearchOptions(beam_size=3**3 * 4, n_best=100, max_length=3)  # three words may be said: W ** max_length * (W + 1)


def options_of(beam_sizes: st.SearchStrategy[int]) -> st.SearchStrategy[SearchOptions]:
    return st.builds(
        lambda beam_size, **more: SearchOptions(beam_size=beam_size, n_best=beam_size, **more),
        beam_size=beam_sizes,
        length_penalty=st.sampled_from([-0.5, 0.0, 0.4, 0.7, 1.0, 2.0]),
        min_length=st.integers(1, 3),
        max_length=st.integers(3, 6),
        no_repeat_ngram=st.integers(0, 3),
    )


@pytest.mark.parametrize("length_penalty", [-0.5, 0.0, 0.7, 1.0, 1.5])
@pytest.mark.parametrize(("min_length", "no_repeat_ngram"), [(1, 0), (2, 0), (3, 0), (1, 1), (1, 2), (2, 2)])
def test_wide_beam_finds_the_best_of_all_captions(length_penalty: float, min_length: int, no_repeat_ngram: int) -> None:
    options = replace(EXACT, length_penalty=length_penalty, min_length=min_length, no_repeat_ngram=no_repeat_ngram)
    tables = random_tables(seed=1, pictures=3, vocabulary=7)
    for table, result in zip(tables, find(tables, options), strict=True):
        all_captions = no_better_way(table, options)
        assert captions(table, result, options) == all_captions[:100]
        assert [c for c in every_caption(table, options) if c[2]] == all_captions


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.8]), options_of(st.just(150)))
def test_wide_beam_is_exhaustive_search_where_much_is_impossible(seed: int, holes: float, options: SearchOptions) -> None:
    options = replace(options, max_length=3)
    table = random_tables(seed, pictures=1, vocabulary=7, holes=holes)
    expected = every_caption(table[0], options)
    if not expected:
        with pytest.raises(Problem, match="No word can begin"):
            find(table, options)
        return
    assert same_but_for_ties(captions(table[0], find(table, options)[0], options), expected[:150])


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5]), options_of(st.integers(1, 6)), st.sampled_from([4, 7, 30]))
def test_narrow_beam_is_the_plain_one(seed: int, holes: float, options: SearchOptions, vocabulary: int) -> None:
    """In batches too, and stopping early loses nothing."""
    tables = random_tables(seed, pictures=4, vocabulary=vocabulary, holes=holes)
    for forbidden in [SPECIAL, (), (0, 99)]:
        expected = [plain_beam(table, options, forbidden)[: options.n_best] for table in tables]
        if not all(expected):
            with pytest.raises(Problem, match="No word can begin"):
                find(tables, options, forbidden=forbidden)
            continue
        for table, result, wanted in zip(tables, find(tables, options, forbidden=forbidden), expected, strict=True):
            assert same_but_for_ties(captions(table, result, options), wanted)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0.0, 0.7, 1.0]))
def test_fewer_of_the_best_are_the_first_of_more(seed: int, n_best: int, length_penalty: float) -> None:
    """So that it may stop as soon as the captions asked for are sure."""
    options = SearchOptions(beam_size=4, n_best=4, max_length=8, length_penalty=length_penalty)
    tables = random_tables(seed, pictures=3, vocabulary=9)
    for few, many in zip(find(tables, replace(options, n_best=n_best)), find(tables, options), strict=True):
        assert few.candidates == many.candidates[:n_best]


def test_length_penalty_by_hand() -> None:
    """P(a <end>) = .5 x .5; P(a a <end>) = .5 x .4 x .9: the shorter is likelier, the longer has the better mean."""
    table = np.full((1, 97, 5), -np.inf, dtype=np.float32)
    start, a, end = 1, 4, 2
    after_a = (start * 31 + a) % 97
    after_aa = (after_a * 31 + a) % 97
    table[0, start, a] = np.log(0.5)
    table[0, after_a, [a, end]] = np.log([0.4, 0.5])
    table[0, after_aa, end] = np.log(0.9)
    short, long = (a,), (a, a)
    found = {p: [c.words for c in find(table, SearchOptions(n_best=2, length_penalty=p))[0].candidates] for p in (0.0, 1.0)}
    assert found == {0.0: [short, long], 1.0: [long, short]}


def test_hope_counts_the_longest_caption_and_its_end() -> None:
    """The mean of `a <end>` is -1. What `a b` (-3.2) can become has a better one with two more words, not with one."""
    table = np.full((1, 97, 7), -np.inf, dtype=np.float32)
    start, a, b, c, end = 1, 4, 5, 6, 2
    after_a = (start * 31 + a) % 97
    after_b = (after_a * 31 + b) % 97
    table[0, start, a] = -1
    table[0, after_a, [end, b]] = [-1, -2.2]
    table[0, after_b, c] = -0.01
    table[0, (after_b * 31 + c) % 97, end] = -0.01
    assert find(table, SearchOptions(max_length=3))[0].best.words == (a, b, c)


def same_but_for_ties(
    found: list[tuple[float, tuple[int, ...], bool]], expected: list[tuple[float, tuple[int, ...], bool]]
) -> bool:
    """The same captions, where those of equal score may stand in any order."""
    return [c[0] for c in found] == [c[0] for c in expected] and sorted(found) == sorted(expected)
