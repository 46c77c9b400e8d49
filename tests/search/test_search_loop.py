"""The search as a whole: batches, libraries, what comes back, and what must never happen."""

from __future__ import annotations

import subprocess
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from search_tables import END, SPECIAL, TableState, captions, find, random_tables, same, step

from showtell.errors import Problem, WrongUse
from showtell.search import SearchOptions, loop, search

WAYS = [
    SearchOptions(max_length=12),
    SearchOptions(n_best=5, length_penalty=0.0, max_length=9),
    SearchOptions(n_best=3, min_length=4, no_repeat_ngram=2, max_length=9),
    SearchOptions(search="greedy", max_length=15),
    SearchOptions(search="greedy", no_repeat_ngram=1, min_length=3),
    SearchOptions(search="sample", n_best=3, max_length=9),
    SearchOptions(search="sample", n_best=2, temperature=0.7, top_k=3, top_p=0.9, no_repeat_ngram=2),
]
NAMES = [f"{way.search}{i}" for i, way in enumerate(WAYS)]
every_way = pytest.mark.parametrize("options", WAYS, ids=NAMES)


@every_way
@pytest.mark.parametrize("library", ["torch", "strict"])
def test_all_libraries_give_the_same(options: SearchOptions, library: str) -> None:
    tables = random_tables(seed=5, pictures=6, vocabulary=40, holes=0.1)
    same(find(tables, options, library), find(tables, options))


@every_way
def test_ties_go_to_the_first_word_in_all_libraries(options: SearchOptions) -> None:
    tables = np.full((2, 97, 60), np.float32(np.log(1 / 60)))
    first = find(tables, options)
    for library in ("torch", "strict"):
        same(find(tables, options, library), first)
    if options.search == "greedy":
        assert first[0].best.words[0] == 4


@every_way
def test_a_batch_gives_what_its_pictures_give_one_by_one(options: SearchOptions) -> None:
    tables = random_tables(seed=6, pictures=9, vocabulary=12)
    random = np.random.default_rng(7)
    one_by_one = [find(table[None], options, random=[random])[0] for table in tables]
    same(find(tables, options, random=len(tables) * [np.random.default_rng(7)]), one_by_one)


@every_way
def test_asking_seldom_who_is_done_changes_nothing(options: SearchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = random_tables(seed=8, pictures=9, vocabulary=12)
    at_every_step = find(tables, options)
    monkeypatch.setattr(loop, "on_cpu", lambda array: False)
    same(find(tables, options), at_every_step)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@every_way
def test_a_gpu_gives_the_same(options: SearchOptions) -> None:
    tables = random_tables(seed=9, pictures=20, vocabulary=500)
    begin = torch.ones((20, 1), dtype=torch.int64, device="cuda")
    state = TableState(torch.asarray(tables, device="cuda"), begin * 0)
    same(search(step, state, begin, options), find(tables, options))


@every_way
def test_pictures_that_are_done_leave(options: SearchOptions) -> None:
    """One picture never ends; the others must not be carried along with it."""
    tables = random_tables(seed=10, pictures=8, vocabulary=9)
    tables[1:, :, END] = 0.0
    tables[0, :, END] = -np.inf
    sizes = []

    def watched(words: np.ndarray, state: TableState) -> tuple[np.ndarray, TableState, np.ndarray]:
        sizes.append(len(words))
        return step(words, state)

    begin = np.ones((8, 1), dtype=np.int64)
    results = search(watched, TableState(tables, begin * 0), begin, options)
    assert [result.best.ended for result in results] == [False] + [True] * 7
    assert sizes[0] == 8 and (sizes[-1] == 1 or options.no_repeat_ngram == 1)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(WAYS), st.sampled_from([0.0, 0.5]), st.integers(1, 4), st.integers(0, 3))
def test_what_a_caption_promises(seed: int, options: SearchOptions, holes: float, min_length: int, ngram: int) -> None:
    options = replace(options, min_length=min_length, no_repeat_ngram=ngram)
    tables = random_tables(seed, pictures=3, vocabulary=9, holes=holes)
    tables[:, :, 4] = np.maximum(tables[:, :, 4], -9)  # a word that can always follow, where it may
    for table, result in zip(tables, find(tables, options, forbidden=(*SPECIAL, 6)), strict=True):
        captions(table, result, options)  # log-probabilities and attention are the table's
        for c in result.candidates:
            runs = [c.words[i : i + ngram] for i in range(len(c.words) - ngram + 1)] if ngram else []
            assert 1 <= len(c.words) <= options.max_length
            assert len(c.words) >= min_length or (not c.ended and ngram > 0)
            assert len(set(runs)) == len(runs)
            assert not {*SPECIAL, END, 6} & set(c.words)
            assert c.log_probability == pytest.approx(sum(c.log_probabilities))
            assert c.mean_log_probability == pytest.approx(np.mean(c.log_probabilities))
        assert len(result.candidates) == options.n_best or options.search == "beam"


@every_way
def test_captions_that_never_end_are_completed(options: SearchOptions) -> None:
    tables = random_tables(seed=11, pictures=3, vocabulary=50)
    tables[:, :, END] = -np.inf
    for table, result in zip(tables, find(tables, options), strict=True):
        captions(table, result, options)
        assert len(result.candidates) == options.n_best
        assert all(len(c.words) == options.max_length and not c.ended for c in result.candidates)


def test_a_caption_of_the_greatest_length_can_end_by_itself() -> None:
    tables = random_tables(seed=12, pictures=1, vocabulary=6)
    tables[:, :, END] = 0.0
    for options in (SearchOptions(min_length=3, max_length=3), SearchOptions(search="greedy", min_length=3, max_length=3)):
        best = find(tables, options)[0].best
        assert len(best.words) == 3 and best.ended and len(best.log_probabilities) == 4


@every_way
def test_a_caption_that_can_go_no_further_is_completed_as_it_stands(options: SearchOptions) -> None:
    tables = np.full((1, 97, 6), -np.inf, dtype=np.float32)
    tables[0, 1, 4] = -0.5  # after <start>: one word, and after that nothing, not even <end>
    for c in find(tables, options)[0].candidates:
        assert (c.words, c.ended, c.log_probabilities) == ((4,), False, (-0.5,))


@every_way
def test_nothing_to_say_is_a_problem(options: SearchOptions) -> None:
    with pytest.raises(Problem, match="No word can begin a caption"):
        find(np.full((2, 97, 6), -np.inf, dtype=np.float32), options)
    with pytest.raises(Problem, match="No word can begin a caption"):
        find(random_tables(seed=13, pictures=2, vocabulary=6), options, forbidden=tuple(range(6)))


@every_way
@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("always", [True, False])
def test_log_probabilities_that_are_nan_are_a_problem(options: SearchOptions, library: str, always: bool) -> None:
    tables = random_tables(seed=14, pictures=3, vocabulary=300)
    tables[1, 0 if always else 2 :] = np.nan
    tables[1, :, END] = np.where(np.isnan(tables[1, :, END]), np.nan, -np.inf)
    with pytest.raises(Problem, match=r"not numbers \(NaN\)"):
        find(tables, replace(options, no_repeat_ngram=0), library)


@every_way
def test_scores_of_earlier_steps_are_not_kept(options: SearchOptions) -> None:
    """They are by far the largest arrays: pictures x beams x vocabulary."""
    tables = random_tables(seed=17, pictures=2, vocabulary=9)
    tables[:, :, END] = -np.inf
    given_out: list[weakref.ref[np.ndarray]] = []

    def watched(words: np.ndarray, state: TableState) -> tuple[np.ndarray, TableState, np.ndarray]:
        assert sum(scores() is not None for scores in given_out) <= 1
        log_probabilities, state, attention = step(words, state)
        given_out.append(weakref.ref(log_probabilities))
        return log_probabilities, state, attention

    begin = np.ones((2, 1), dtype=np.int64)
    search(watched, TableState(tables, begin * 0), begin, options)


def test_no_pictures_no_results() -> None:
    assert find(np.zeros((0, 97, 6), dtype=np.float32), SearchOptions()) == []


def test_the_only_word_is_said_though_all_beams_want_one() -> None:
    tables = np.full((2, 97, 5), np.float32(-1))
    for result in find(tables, SearchOptions(beam_size=50, n_best=50, max_length=3)):
        assert [c.words for c in result.candidates] == [(4,), (4, 4), (4, 4, 4)]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([-1.0, 0.0]), st.integers(1, 3), st.integers(0, 2))
def test_greedy_is_beam_search_with_one_beam_and_no_reward_for_length(seed: int, penalty: float, least: int, ngram: int) -> None:
    options = SearchOptions("greedy", min_length=least, no_repeat_ngram=ngram, max_length=8, length_penalty=penalty)
    tables = random_tables(seed, pictures=3, vocabulary=8, holes=0.1)
    tables[:, :, 4] = np.maximum(tables[:, :, 4], -9)
    same(find(tables, options), find(tables, replace(options, search="beam", beam_size=1)))


def test_log_probabilities_of_half_precision_are_taken() -> None:
    tables = random_tables(seed=15, pictures=2, vocabulary=9).astype(np.float16)
    begin = torch.ones((2, 1), dtype=torch.int64)
    results = search(step, TableState(torch.asarray(tables).to(torch.bfloat16), begin * 0), begin, SearchOptions())
    assert results[0].best.words


def test_gradients_do_not_matter() -> None:
    tables = random_tables(seed=16, pictures=2, vocabulary=9)
    begin = torch.ones((2, 1), dtype=torch.int64)
    with_gradient = search(step, TableState(torch.tensor(tables, requires_grad=True), begin * 0), begin, SearchOptions())
    same(with_gradient, find(tables, SearchOptions()))


def test_options_that_do_not_fit_are_wrong_use() -> None:
    with pytest.raises(WrongUse, match="n_best is 6, more than the 5 beams"):
        find(random_tables(0, 1, 6), SearchOptions(n_best=6))


def test_importing_the_search_imports_neither_torch_nor_its_options_numpy() -> None:
    code = (
        "import sys, showtell.search, showtell.search.options; assert not {'torch', 'numpy'} & set(sys.modules);"
        "from showtell.search import search, Result; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
