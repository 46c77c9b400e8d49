"""What the search brings back, and how it is read from the steps that the search took."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace

from showtell.search.arrays import NEVER, Array, Places, to_array, to_host
from showtell.search.ranking import Leaders


@dataclass(frozen=True)
class Hypothesis:
    """One caption that the search found."""

    words: tuple[int, ...]
    """Numbers of the words, without <start> and <end>; at least one."""
    log_probabilities: tuple[float, ...]
    """The model's, natural logarithm, whatever filters and temperature did: one a word, and one for <end> where it ended."""
    attention: npt.NDArray[np.float32] = field(compare=False)
    """words x cells: where the model looked for each word."""
    ended: bool
    """Whether the model said <end>; otherwise the caption was completed as it stood."""

    @property
    def log_probability(self) -> float:
        """Of the whole caption."""
        return float(np.sum(self.log_probabilities))

    @property
    def mean_log_probability(self) -> float:
        """Of a word, <end> counted as one; exp of it is the confidence."""
        return self.log_probability / len(self.log_probabilities)


@dataclass(frozen=True)
class Result:
    """What the search found for one picture."""

    best: Hypothesis
    candidates: tuple[Hypothesis, ...]
    """At most `n_best`, best first: those that ended before those that did not, each by score."""


@dataclass(frozen=True)
class Move:
    """One step of the search, as it stays on the device: N pictures whose K rows became L."""

    pictures: Places
    """N, rising: the numbers of the pictures that took part; on the host."""
    parents: Array
    """int64 N x L: the row that each new row continues."""
    words: Array
    """int64 N x L: the word that it adds."""
    log_probabilities: Array
    """float32 N x L: the model's, of that word."""
    end: Array
    """float32 N x K: the model's, of <end>."""
    attention: Array
    """float N x K x cells: where each old row looked for its next word."""


def results(leaders: Leaders, moves: list[Move]) -> list[Result]:
    """The results of all pictures: each caption is followed back from its end, word by word, to its beginning."""
    picture, rank = np.nonzero(leaders.best["score"] > NEVER)  # C captions, here and below
    best = leaders.best[picture, rank]
    ended, lengths, rows = best["ended"], best["words"], best["row"].copy()
    moves = moves[: lengths.max() + 1]
    parents = to_host([move.parents for move in moves])
    said = to_host([move.words for move in moves])
    gained = to_host([move.log_probabilities for move in moves])
    ends = to_host([move.end for move in moves])

    words = np.zeros((len(picture), len(moves)), dtype=np.int64)
    log_probabilities = np.zeros((len(picture), len(moves)))
    looked: list[Places] = []  # for each move, the rows of its attention that belong to captions still being said
    for i, move in reversed(list(enumerate(moves))):
        at = np.searchsorted(move.pictures, picture)  # where the picture stood in this move's block, if it still did
        here = np.flatnonzero(lengths == i)
        log_probabilities[here, i] = ends[i][at[here], rows[here]]
        here = np.flatnonzero(lengths > i)
        place = at[here], rows[here]
        words[here, i], log_probabilities[here, i], rows[here] = said[i][place], gained[i][place], parents[i][place]
        looked.append(at[here] * move.end.shape[1] + rows[here])
    attention = _attention(moves, looked[::-1], lengths)

    found: list[list[Hypothesis]] = [[] for _ in leaders.best]
    for c, length in enumerate(lengths.tolist()):
        numbers = tuple(words[c, :length].tolist())
        each = tuple(log_probabilities[c, : length + int(ended[c])].tolist())
        found[picture[c]].append(Hypothesis(numbers, each, attention[c], bool(ended[c])))
    return [Result(candidates[0], tuple(candidates)) for candidates in found]


def _attention(moves: list[Move], looked: list[Places], lengths: Places) -> list[npt.NDArray[np.float32]]:
    """For each caption, words x cells: gathered on the device, so that only what is asked for is copied."""
    xp = array_namespace(moves[0].attention)
    places = to_array(np.concatenate(looked), moves[0].attention)
    first, gathered = 0, []
    for move, rows in zip(moves, looked, strict=True):
        n, k, cells = move.attention.shape
        flat = xp.reshape(move.attention, (n * k, cells))
        gathered.append(xp.astype(xp.take(flat, places[first : first + len(rows)], axis=0), xp.float32))
        first += len(rows)
    (by_step,) = to_host([xp.concat(gathered)])  # words of all captions x cells: first all first words, then all second ones
    caption = np.concatenate([np.flatnonzero(lengths > i) for i in range(len(moves))])
    return np.split(by_step[np.argsort(caption, kind="stable")], np.cumsum(lengths)[:-1])
