"""How the next words are chosen from their scores: greedy, beam search and sampling.

N pictures have K rows each, beginnings of captions. A row's sum is the log-probability of its words; -inf marks a row that is
over or was never filled, kept only because a block is a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace, device

from showtell.search.arrays import NEVER, Array, to_array, top_k
from showtell.search.options import SearchOptions

Randoms = Sequence[np.random.Generator]
"""A source of chance for each picture."""


@dataclass(frozen=True)
class Choice:
    """What goes on and what ends. K rows become L: beam search grows from one row, the others keep theirs."""

    parents: Array
    """int64 N x L: the row that each new row continues."""
    words: Array
    """int64 N x L: the word that it adds."""
    sums: Array
    """float32 N x L: its log-probability; -inf where the row is over."""
    ended: Array
    """bool N x K: the old rows that end here, with <end>."""


class Decoder(Protocol):
    """One way to choose."""

    @property
    def rows(self) -> int:
        """Rows of a picture at the first step."""

    def choose(self, scores: Array, sums: Array, length: int, pictures: Array) -> Choice:
        """scores: float32 N x K x V, of every next word. sums: float32 N x K. length: words said so far. pictures: int64 N, the
        numbers that these pictures had at the beginning."""


@dataclass(frozen=True)
class Greedy:
    """The likeliest word, of equally likely ones the first; ends when that is <end>."""

    end: int
    rows: int = 1

    def choose(self, scores: Array, sums: Array, length: int, pictures: Array) -> Choice:
        xp = array_namespace(scores)
        return _a_word_for_each(xp.argmax(scores, axis=-1), scores, sums, self.end)


@dataclass(frozen=True)
class Sampling:
    """A word drawn by its probability; every row is a caption of its own."""

    end: int
    rows: int
    temperature: float
    top_k: int
    top_p: float
    uniform: Array
    """Random numbers from 0 to 1: pictures x rows x steps, drawn beforehand, so that neither the library, nor the other pictures
    in the batch, nor when those are finished changes what is drawn; probabilities are added up in this dtype."""

    def choose(self, scores: Array, sums: Array, length: int, pictures: Array) -> Choice:
        xp = array_namespace(scores)
        draw = xp.take(self.uniform[..., length], pictures, axis=0)[..., None]  # N x K x 1
        candidates, words = scores, None
        if self.top_k or self.top_p < 1:
            vocabulary = scores.shape[-1]
            candidates, words = top_k(scores, min(self.top_k or vocabulary, vocabulary))
        candidates = xp.astype(candidates, draw.dtype)
        largest = xp.max(candidates, axis=-1, keepdims=True)
        # from here on, in units of the largest probability; a row without any possible word gets zeros
        p = xp.exp((candidates - xp.where(largest == NEVER, 0.0, largest)) / self.temperature)
        up_to = xp.cumulative_sum(p, axis=-1)
        if self.top_p < 1:
            p = xp.where(up_to - p < self.top_p * up_to[..., -1:], p, 0.0)
        total = xp.max(xp.where(p > 0, up_to, 0.0), axis=-1, keepdims=True)
        hit = (p > 0) & (up_to > draw * total)
        place = xp.argmax(xp.astype(hit, xp.uint8), axis=-1)
        place = xp.where(xp.any(hit, axis=-1), place, xp.argmax(p, axis=-1))  # draw * total was rounded up to total
        if words is not None:
            place = xp.take_along_axis(words, place[..., None], axis=-1)[..., 0]
        return _a_word_for_each(place, scores, sums, self.end)


@dataclass(frozen=True)
class Beam:
    """The best `size` continuations of all rows of a picture; <end> competes with the words for those places.

    A row whose <end> is among the best `size` ends here; the best `size` continuations by a word go on.
    """

    end: int
    size: int
    rows: int = 1

    def choose(self, scores: Array, sums: Array, length: int, pictures: Array) -> Choice:
        xp = array_namespace(scores)
        n, k, vocabulary = scores.shape
        # the best of each row first, so that nothing is computed for the whole vocabulary: one more than we keep, for its <end>
        best, words = top_k(scores, min(self.size + 1, vocabulary))
        places = xp.arange(k, device=device(scores))[:, None] * vocabulary + words
        totals = xp.reshape(sums[..., None] + best, (n, -1))
        totals, order = top_k(totals, min(2 * self.size, totals.shape[1]))
        places = xp.take_along_axis(xp.reshape(places, (n, -1)), order, axis=1)
        width = min(self.size, places.shape[1])
        ends = xp.arange(k, device=device(scores)) * vocabulary + self.end
        best = xp.where(totals > NEVER, places, -1)[:, :width]
        ended = xp.any(best[:, :, None] == ends, axis=1)  # N x K
        sums, order = top_k(xp.where(places % vocabulary == self.end, NEVER, totals), width)
        places = xp.take_along_axis(places, order, axis=1)
        return Choice(places // vocabulary, places % vocabulary, sums, ended)


def decoder_of(options: SearchOptions, end: int, begin: Array, random: Randoms | None) -> Decoder:
    """The decoder that the options ask for; sampling draws its random numbers here. begin: N x 1, as `search` has it."""
    if options.search == "beam":
        return Beam(end, options.beam_size)
    if options.search == "greedy":
        return Greedy(end)
    random = random or begin.shape[0] * [np.random.default_rng(options.seed)]
    uniform = np.stack([each.random((options.n_best, options.max_length + 1)) for each in random])
    # float64 where the device has it: then libraries that add in another order still draw the same word
    floats = array_namespace(begin).__array_namespace_info__().dtypes(device=device(begin), kind="real floating")
    uniform = to_array(uniform.astype("float64" if "float64" in floats else "float32"), begin)
    return Sampling(end, options.n_best, options.temperature, options.top_k, options.top_p, uniform)


def _a_word_for_each(words: Array, scores: Array, sums: Array, end: int) -> Choice:
    """The choice where every row takes the one word (N x K) found for it."""
    xp = array_namespace(scores)
    sums = sums + xp.take_along_axis(scores, words[..., None], axis=-1)[..., 0]
    at_end = words == end
    rows = xp.broadcast_to(xp.arange(words.shape[1], device=device(words)), words.shape)
    return Choice(rows, words, xp.where(at_end, NEVER, sums), at_end & (sums > NEVER))
