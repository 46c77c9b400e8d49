"""The n-grams of many tokenised texts as arrays of numbers, so that scores are sums over arrays, not loops over words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

Texts = Sequence[Sequence[str]]
Ints = npt.NDArray[np.int64]

LONGEST = 4
"""BLEU and CIDEr-D count n-grams of one to four tokens."""
SHIFT = 2**31
"""Pairs of numbers below it are one number: first * SHIFT + second."""


@dataclass(frozen=True)
class Grams:
    """The n-grams of one length in some texts, each once a text, sorted by text and gram; three arrays of equal length."""

    text: Ints
    """The text's number."""
    gram: Ints
    """The n-gram's number in the index."""
    count: Ints
    """How often it stands there."""


def pairs(first: Ints, second: Ints) -> Ints:
    """One number for each pair."""
    return first * SHIFT + second


def find(sorted_keys: Ints, keys: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Where the keys stand in `sorted_keys`, and which of them stand there at all."""
    at = np.searchsorted(sorted_keys, keys)
    at[at == len(sorted_keys)] = 0
    known = sorted_keys[at] == keys if len(sorted_keys) else np.zeros(len(keys), bool)
    return at, known


class GramIndex:
    """Numbers for the words and n-grams of some texts.

    An n-gram is known by the number of its first n - 1 tokens and the number of its last. Those that are not in the texts get
    numbers too, beyond the known ones, that hold within one call.

    Args:
        texts: the tokenised texts.
    """

    def __init__(self, texts: Texts) -> None:
        self._words = {word: number for number, word in enumerate(dict.fromkeys(chain.from_iterable(texts)))}
        self._keys: list[Ints] = []
        self.own = self.grams(texts)
        """The n-grams of these texts."""

    @property
    def sizes(self) -> list[int]:
        """How many n-grams of each length are known."""
        return [len(self._words), *map(len, self._keys)]

    def grams(self, texts: Texts) -> list[Grams]:
        """The n-grams of the texts, for each length from one to four."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        text = np.repeat(np.arange(len(texts)), lengths)
        gram = word = self._word_numbers(chain.from_iterable(texts), int(lengths.sum()))
        found = [_counted(text, gram)]
        for n in range(2, LONGEST + 1):
            begin = text[n - 1 :] == text[: 1 - n]  # whether a whole n-gram begins at a place
            keys = pairs(gram[: len(begin)], word[n - 1 :])
            gram = np.zeros(len(begin), np.int64)
            gram[begin] = self._gram_numbers(n, keys[begin])
            found.append(_counted(text[: len(begin)][begin], gram[begin]))
        return found

    def _gram_numbers(self, n: int, keys: Ints) -> Ints:
        if len(self._keys) < n - 1:  # these are of the texts that the index is made of
            known, numbers = np.unique(keys, return_inverse=True)
            self._keys.append(known)
            return numbers
        numbers, there = find(self._keys[n - 2], keys)
        if not there.all():
            numbers[~there] = len(self._keys[n - 2]) + np.unique(keys[~there], return_inverse=True)[1]
        return numbers

    def _word_numbers(self, words: Iterable[str], number: int) -> Ints:
        new: dict[str, int] = {}
        known, size = self._words, len(self._words)
        return np.fromiter((known[w] if w in known else new.setdefault(w, size + len(new)) for w in words), np.int64, number)


def _counted(text: Ints, gram: Ints) -> Grams:
    keys, counts = np.unique(pairs(text, gram), return_counts=True)
    return Grams(keys // SHIFT, keys % SHIFT, counts)
