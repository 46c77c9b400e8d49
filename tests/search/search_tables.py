"""Models for the tests: tables of log-probabilities, in any array library, and plain searches that are easy to believe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import array_api_strict
import numpy as np
import torch
from array_api_compat import array_namespace

from showtell.search import Result, SearchOptions, search

PAD, START, END, UNK = range(4)
SPECIAL = (PAD, START, UNK)
LIBRARIES = {"numpy": np, "torch": torch, "strict": array_api_strict}

Caption = tuple[float, tuple[int, ...], bool]
"""Score, words, ended."""


def random_tables(seed: int, pictures: int, vocabulary: int, holes: float = 0.0, codes: int = 97) -> np.ndarray:
    """pictures x codes x vocabulary: log-probabilities of the next word after a history with this code; `holes` of them -inf."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(pictures, codes, vocabulary)) * 1.5
    scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    return np.where(random.random(scores.shape) < holes, -np.inf, scores).astype(np.float32)


def code_of(words: tuple[int, ...], codes: int) -> int:
    """A number for all that was said, in its order."""
    code = 0
    for word in (START, *words):
        code = (code * 31 + word) % codes
    return code


@dataclass(frozen=True)
class TableState:
    """What a model would keep: here the tables of the pictures, and the codes of the words so far."""

    tables: Any  # N x codes x V
    codes: Any  # N x K

    def select(self, pictures: Any, beams: Any) -> TableState:
        xp = array_namespace(pictures, beams)
        assert pictures.shape[0] == beams.shape[0]
        assert bool(xp.all(pictures[1:] > pictures[:-1]))
        codes = xp.take_along_axis(xp.take(self.codes, pictures, axis=0), beams, axis=1)
        return TableState(xp.take(self.tables, pictures, axis=0), codes)


def step(words: Any, state: TableState) -> tuple[Any, TableState, Any]:
    """A step whose log-probabilities depend on every word said; its attention over two cells is the code and the last word."""
    xp = array_namespace(words)
    assert words.shape == state.codes.shape
    codes = (state.codes * 31 + words) % state.tables.shape[1]
    attention = xp.stack([xp.astype(codes, xp.float32), xp.astype(words, xp.float32)], axis=-1)
    places = xp.broadcast_to(codes[..., None], (*codes.shape, state.tables.shape[-1]))
    return xp.take_along_axis(state.tables, places, axis=1), replace(state, codes=codes), attention


def find(tables: np.ndarray, options: SearchOptions, library: str = "numpy", **more: Any) -> list[Result]:
    """`search` over the tables; `more` goes to it."""
    xp = array_namespace(LIBRARIES[library].asarray(0))
    zeros = xp.zeros((len(tables), 1), dtype=xp.int64)
    return search(step, TableState(xp.asarray(tables), zeros), zeros + START, options, **more)


def captions(table: np.ndarray, result: Result, options: SearchOptions) -> list[Caption]:
    """The candidates, each scored anew and checked against the table in all that it carries."""
    found = []
    for c in result.candidates:
        histories = [code_of(c.words[:i], len(table)) for i in range(len(c.words) + 1)]
        said = [*c.words, END][: len(c.words) + c.ended]
        expected = [table[code, word] for code, word in zip(histories, said, strict=False)]
        assert c.log_probabilities == tuple(float(x) for x in expected)
        assert c.attention.dtype == np.float32
        np.testing.assert_array_equal(c.attention, list(zip(histories[:-1], (START, *c.words[:-1]), strict=True)))
        found.append((score(expected, options), c.words, c.ended))
    assert result.best is result.candidates[0]
    return found


def score(log_probabilities: list[np.float32], options: SearchOptions) -> float:
    """As the ranker has it, added up in float32, word by word."""
    total = np.float32(0)
    for x in log_probabilities:
        total += x
    return float(total) / float(len(log_probabilities)) ** options.length_penalty


def possible(table: np.ndarray, words: tuple[int, ...], options: SearchOptions, forbidden: tuple[int, ...]) -> list[int]:
    """The words that may follow, <end> among them."""
    follow = []
    for word in range(table.shape[-1]):
        n, longer = options.no_repeat_ngram, (*words, word)
        again = n and any(words[i : i + n] == longer[-n:] for i in range(len(words) - n + 1))
        early = word == END and len(words) < options.min_length
        if word not in forbidden and not again and not early and table[code_of(words, len(table)), word] > -np.inf:
            follow.append(word)
    return follow


def every_caption(table: np.ndarray, options: SearchOptions, forbidden: tuple[int, ...] = SPECIAL) -> list[Caption]:
    """All captions there are, ended ones first, best first; one that cannot end is there where it can go no further."""
    return plain_beam(table, options, forbidden, size=10**9)


def plain_beam(table: np.ndarray, options: SearchOptions, forbidden: tuple[int, ...] = SPECIAL, size: int = 0) -> list[Caption]:
    """Beam search for one picture as one would write it down: lists, no array, no early stop."""
    size = size or options.beam_size
    beams: list[tuple[np.float32, tuple[int, ...]]] = [(np.float32(0), ())]
    found: list[Caption] = []
    for length in range(options.max_length + 1):
        longer = []
        for place, (total, words) in enumerate(beams):
            row = table[code_of(words, len(table))]
            follow = possible(table, words, options, forbidden)
            longer += [(total + row[word], place, word) for word in follow]
            if words and not follow:
                found.append((float(total) / float(length) ** options.length_penalty, words, False))
        longer.sort(key=lambda x: (-x[0], x[1], x[2]))
        ends = [(total, place) for total, place, word in longer[:size] if word == END]
        found += [(float(total) / float(length + 1) ** options.length_penalty, beams[place][1], True) for total, place in ends]
        if length == options.max_length:
            cut = [beam for place, beam in enumerate(beams) if place not in [place for _, place in ends]]
            cut = [(total, words) for total, words in cut if possible(table, words, options, forbidden)]
            found += [(float(total) / float(length) ** options.length_penalty, words, False) for total, words in cut]
        beams = [(total, (*beams[place][1], word)) for total, place, word in longer if word != END][:size]
    return sorted(found, key=lambda caption: (not caption[2], -caption[0]))


def no_better_way(table: np.ndarray, options: SearchOptions) -> list[Caption]:
    """All captions by trying all sequences of words: a second oracle, to check the first."""
    words = [word for word in range(table.shape[-1]) if word not in (*SPECIAL, END)]
    found = []
    for length in range(options.min_length, options.max_length + 1):
        for said in product(words, repeat=length):
            runs = [said[i : i + options.no_repeat_ngram] for i in range(length - options.no_repeat_ngram + 1)]
            if not options.no_repeat_ngram or len(set(runs)) == len(runs):
                steps = [table[code_of(said[:i], len(table)), word] for i, word in enumerate((*said, END))]
                found.append((score(steps, options), said, True))
    return sorted(found, key=lambda caption: -caption[0])


def same(one: list[Result], other: list[Result]) -> None:
    """Two searches found the same, to the last bit."""
    assert [result.candidates for result in one] == [result.candidates for result in other]
    for a, b in zip(one, other, strict=True):
        for mine, yours in zip(a.candidates, b.candidates, strict=True):
            np.testing.assert_array_equal(mine.attention, yours.attention)
