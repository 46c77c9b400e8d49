"""The search itself: step, filter, choose, note, again; whoever is done leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace, device

from showtell.errors import WrongUse
from showtell.search.arrays import NEVER, Array, Places, on_cpu, to_array, to_host
from showtell.search.decoders import Choice, Randoms, decoder_of
from showtell.search.filters import filters_of
from showtell.search.options import SearchOptions
from showtell.search.ranking import Leaders, LengthPenalty
from showtell.search.results import Move, Result, results

ASK_EVERY = 4
"""Steps between two questions to a GPU who is done: each waits for it. The CPU is asked at every step."""


class State(Protocol):
    """What a model keeps from step to step for N pictures with K rows each (beginnings of captions)."""

    def select(self, pictures: Array, beams: Array) -> Self:
        """The state of M pictures with L rows: row [m, l] is the old row [pictures[m], beams[m, l]].

        pictures: int64 M, rising, none twice: so M == N says that all stay, and what belongs to pictures need not be copied.
        beams: int64 M x L.
        """


S = TypeVar("S", bound=State)
Step = Callable[[Array, S], tuple[Array, S, Array]]
"""step(words int64 N x K, state) -> log-probabilities float N x K x V, state, attention float N x K x cells."""


def search(
    step: Step[S],
    state: S,
    begin: Array,
    options: SearchOptions,
    *,
    end: int = 2,
    forbidden: tuple[int, ...] = (0, 1, 3),
    random: Randoms | None = None,
) -> list[Result]:
    """The captions of N pictures, found as the options say.

    step, state: the model, with N x 1 rows at the beginning. begin: int64 N x 1, the word before the first (<start>), of the
    library and on the device in which all is to happen. end: the number of <end>. forbidden: numbers of words never said.
    random: for sampling, what n_best x (max_length + 1) numbers are drawn from for each picture; by default one for all, made
    of `options.seed`.

    - Every caption has a word, and at least `min_length` unless no word is left that may be said; then, and at `max_length`, it
      is completed as it stands. After the last word that fits, the model is asked once more whether it ends there.
    - Beam search keeps the `n_best` best captions that ended, ranked by log-probability / length ** length_penalty, where <end>
      counts as a word, and goes on with a picture until none of its beams can become better than the last of them. With W words
      that may be said, beam_size >= W ** max_length * (W + 1) drops nothing and finds the best of all captions there are.
    - Greedy search finds what beam search with one beam finds if length_penalty <= 0; above 0 that may go on beyond the first
      <end>, for a longer caption with a higher mean.
    - A batch gives what its pictures give one by one, as far as the model's `step` does; sampling too, with the same `random`.

    Returns a result for each picture. Raises WrongUse for options that do not fit together, and Problem for a model that gives
    NaN or leaves no word to begin with.
    """
    if problems := options.problems():
        raise WrongUse(" ".join(problems))
    if begin.shape[0] == 0:
        return []
    xp, where, n = array_namespace(begin), device(begin), begin.shape[0]
    decoder, filters = decoder_of(options, end, begin, random), filters_of(options, end, forbidden)
    leaders = Leaders(n, options.n_best, LengthPenalty(options.length_penalty))
    moves: list[Move] = []
    unread: list[Array] = []  # of the moves that the leaders have not seen
    patience = 1 if on_cpu(begin) else ASK_EVERY

    pictures = np.arange(n)  # those still here, by the numbers they had at the beginning; on the host
    numbers = everyone = xp.arange(n, device=where)  # the same on the device, and their places in the block
    if decoder.rows > 1:
        state = state.select(everyone, xp.zeros((n, decoder.rows), dtype=xp.int64, device=where))
    words = xp.broadcast_to(begin, (n, decoder.rows))  # N x K
    said = xp.zeros((n, decoder.rows, 0), dtype=xp.int64, device=where)  # N x K x length
    sums = xp.zeros((n, decoder.rows), dtype=xp.float32, device=where)  # N x K
    for length in range(options.max_length + 1):
        log_probabilities, state, attention = step(words, state)
        log_probabilities = xp.astype(log_probabilities, xp.float32, copy=False)  # N x K x V
        scores = log_probabilities
        for rule in filters:
            scores = rule(scores, said)
        choice = decoder.choose(scores, sums, length, numbers)
        last = length == options.max_length
        unread += [*_complete(scores, sums, choice, end, last), choice.sums]
        moves.append(_move(pictures, choice, log_probabilities, end, attention))

        here = everyone
        if last or (length + 1) % patience == 0:
            done = _read(unread, leaders, pictures, length, options.max_length)
            unread.clear()
            if last or done.all():
                break
            if 4 * done.sum() >= len(done):  # leaving costs a copy of everybody else's state
                here, pictures = to_array(np.flatnonzero(~done), begin), pictures[~done]
                numbers, everyone = xp.take(numbers, here, axis=0), xp.arange(len(pictures), device=where)
                choice = Choice(*(xp.take(x, here, axis=0) for x in (choice.parents, choice.words, choice.sums, choice.ended)))
                said = xp.take(said, here, axis=0)
        state, words, sums = state.select(here, choice.parents), choice.words, choice.sums
        said = xp.take_along_axis(said, xp.broadcast_to(choice.parents[..., None], (*words.shape, length)), axis=1)
        said = xp.concat([said, words[..., None]], axis=-1)
    return results(leaders, moves)


def _complete(scores: Array, sums: Array, choice: Choice, end: int, last: bool) -> tuple[Array, Array]:
    """Two arrays N x K: the log-probability of rows that end in this step, and of those cut off (NaN where the scores were)."""
    xp = array_namespace(scores)
    ended = xp.where(choice.ended, sums + scores[..., end], NEVER)
    best = xp.max(scores, axis=-1)  # NaN if any is
    over = ~choice.ended if last else best == NEVER
    cut = xp.where(over, sums, NEVER)
    return ended, xp.where(xp.isnan(best) & (sums > NEVER), best, cut)


def _move(pictures: Places, choice: Choice, log_probabilities: Array, end: int, attention: Array) -> Move:
    """What has to be remembered of this step."""
    xp = array_namespace(log_probabilities)
    n, k, vocabulary = log_probabilities.shape
    places = choice.parents * vocabulary + choice.words
    gained = xp.take_along_axis(xp.reshape(log_probabilities, (n, k * vocabulary)), places, axis=1)
    of_end = xp.astype(log_probabilities[..., end], xp.float32, copy=True)  # a view would keep all N x K x V in memory
    return Move(pictures, choice.parents, choice.words, gained, of_end, attention)


def _read(unread: list[Array], leaders: Leaders, pictures: Places, length: int, most: int) -> npt.NDArray[np.bool_]:
    """Copies to the host what the steps up to `length` completed, enters it, and says which pictures are done."""
    host = to_host(unread)
    ended, cut, sums = host[0::3], host[1::3], host[2::3]
    for i in range(len(sums)):
        leaders.enter(pictures, length - len(sums) + 1 + i, ended[i], cut[i])
    return leaders.settled(pictures, sums[-1], length + 1, most)
