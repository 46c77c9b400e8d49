"""Which words may come next: each filter is one rule, and a new rule is a new class of ten lines.

A filter takes the scores of every next word, N x K x V (pictures x beams x vocabulary, log-probabilities at first), and the words
said so far, N x K x T, and gives the scores back with -inf for what may not come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace, device

from showtell.search.arrays import NEVER, Array, marks, to_array
from showtell.search.options import SearchOptions


class Filter(Protocol):
    """One rule about the next word."""

    def __call__(self, scores: Array, said: Array) -> Array:
        """scores: float32 N x K x V. said: int64 N x K x T, without <start>. Returns the new scores, N x K x V."""


class Forbid:
    """These words are never said."""

    def __init__(self, words: tuple[int, ...]) -> None:
        self.words = words
        self.penalty: Array | None = None  # made once, since copying to a device waits for it

    def __call__(self, scores: Array, said: Array) -> Array:
        if self.penalty is None:
            penalty = np.zeros(scores.shape[-1], dtype=np.float32)
            penalty[[word for word in self.words if word < len(penalty)]] = NEVER
            self.penalty = to_array(penalty, scores)  # V
        return scores + self.penalty  # a sum is several times as fast as a choice


class MinimumLength:
    """A caption does not end before it has so many words."""

    def __init__(self, words: int, end: int) -> None:
        self.words = words
        self.forbid_end = Forbid((end,))

    def __call__(self, scores: Array, said: Array) -> Array:
        return self.forbid_end(scores, said) if said.shape[-1] < self.words else scores


@dataclass(frozen=True)
class NoRepeatedNgrams:
    """No run of `n` words occurs twice in a caption."""

    n: int

    def __call__(self, scores: Array, said: Array) -> Array:
        xp = array_namespace(scores)
        vocabulary, length = scores.shape[-1], said.shape[-1]
        starts = length - self.n + 1  # the runs that were said began at 0 ... starts - 1
        if starts < 1:
            return scores
        again = xp.ones(said[..., :starts].shape, dtype=xp.bool, device=device(said))  # N x K x starts
        for i in range(self.n - 1):  # is the i-th of the last n - 1 words also the i-th of the run?
            again = again & (said[..., i : i + starts] == said[..., starts + i, None])
        last = said[..., self.n - 1 :]  # the word that would repeat the run; N x K x starts
        return xp.where(marks(xp.where(again, last, vocabulary), vocabulary), NEVER, scores)


def filters_of(options: SearchOptions, end: int, forbidden: tuple[int, ...]) -> list[Filter]:
    """The filters that the options ask for; `forbidden` are the options' forbidden words and the special ones, as numbers."""
    filters: list[Filter] = [MinimumLength(options.min_length, end)]
    if forbidden:
        filters.append(Forbid(forbidden))
    if options.no_repeat_ngram:
        filters.append(NoRepeatedNgrams(options.no_repeat_ngram))
    return filters
