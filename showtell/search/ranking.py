"""Which captions are best: the ranker, and the list of the best captions found so far. On the host, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from showtell.errors import Problem
from showtell.search.arrays import NEVER, Places

Floats = npt.NDArray[np.float64]

FOUND = np.dtype([("score", np.float64), ("ended", np.bool_), ("words", np.intp), ("row", np.intp)])
"""A caption on the list: its score (-inf: a free place), whether it ended by itself, its number of words, which is also the step
at which it was complete, and its row before that step."""


class Ranker(Protocol):
    """A score of captions by their log-probability and their length (words, and <end> where it was said)."""

    def score(self, log_probability: Floats, length: int) -> Floats:
        """The higher, the better; -inf for -inf."""

    def bound(self, log_probability: Floats, shortest: int, longest: int) -> Floats:
        """At least the score of whatever a beginning of this log-probability can become, with a length in this range."""


@dataclass(frozen=True)
class LengthPenalty:
    """log-probability / length ** penalty: 0 ranks by probability, which favours short captions; 1 by the mean a word."""

    penalty: float

    def score(self, log_probability: Floats, length: int) -> Floats:
        scores: Floats = log_probability / float(length) ** self.penalty
        return scores

    def bound(self, log_probability: Floats, shortest: int, longest: int) -> Floats:
        # log-probabilities only fall as words are added, and the score rises or falls with the length throughout
        return np.maximum(self.score(log_probability, shortest), self.score(log_probability, longest))


class Leaders:
    """The best captions of each picture so far: those that ended by themselves first, then by score, then as they were found."""

    def __init__(self, pictures: int, n_best: int, ranker: Ranker) -> None:
        self.ranker = ranker
        self.best = np.full((pictures, n_best), np.array((NEVER, False, 0, 0), FOUND))  # best first

    def enter(self, pictures: Places, words: int, ended: npt.NDArray[Any], cut: npt.NDArray[Any]) -> None:
        """Log-probabilities, after `words` words, of the rows that said <end>, and of those that have to stop as they stand.

        pictures: numbers of N pictures. ended, cut: N x K, -inf for other rows. Raises Problem where `cut` is NaN, the sign that
        the model's log-probabilities were, and where a caption would have no words.
        """
        if np.isnan(cut).any():
            raise Problem(
                f"The model's log-probabilities after {words} words are not numbers (NaN), so no next word can be found: its "
                "weights are damaged or its training diverged; use another model file."
            )
        if words == 0 and (cut > NEVER).any():
            raise Problem("No word can begin a caption, as all are forbidden or have probability 0: forbid fewer words.")
        n, k = ended.shape
        new = np.empty((n, 2 * k), FOUND)
        new["score"][:, :k] = self.ranker.score(ended.astype(np.float64), words + 1)
        new["score"][:, k:] = self.ranker.score(cut.astype(np.float64), max(words, 1))
        new["ended"] = np.arange(2 * k) < k
        new["words"] = words
        new["row"] = np.arange(2 * k) % k
        both = np.concatenate([self.best[pictures], new], axis=1)
        later = ~both["ended"] | (both["score"] == NEVER)
        order = np.lexsort((-both["score"], later), axis=-1)[:, : self.best.shape[1]]
        self.best[pictures] = np.take_along_axis(both, order, axis=1)

    def settled(self, pictures: Places, sums: npt.NDArray[Any], words: int, most: int) -> npt.NDArray[np.bool_]:
        """N booleans: none of the rows that go on, with `words` words and these sums (N x K), can still change the list.

        They can have `most` words in the end, and one more for <end>.
        """
        hope = self.ranker.bound(sums.astype(np.float64), words + 1, most + 1).max(axis=1)
        last = self.best[pictures, -1]
        settled: npt.NDArray[np.bool_] = hope <= np.where(last["ended"], last["score"], NEVER)
        return settled
