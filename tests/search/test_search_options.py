"""All problems of the options are named at once."""

from __future__ import annotations

from math import nan

import pytest

from showtell.search import SearchOptions


def test_defaults_are_sound() -> None:
    assert SearchOptions().problems() == []
    assert SearchOptions(search="greedy").problems() == []
    assert SearchOptions(forbid="man").problems() == ["forbid is 'man'; it must be a list of words."]  # type: ignore[arg-type]
    assert SearchOptions(search="sample", n_best=50).problems() == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (SearchOptions(beam_size=0), ["beam_size is 0", "n_best is 1, more than the 0 beams"]),
        (SearchOptions(min_length=4, max_length=3), ["min_length is 4, above max_length 3"]),
        (SearchOptions(beam_size=10**30, max_length=10**4 + 1), ["beam_size is 1000", "max_length is 10001; it can be 10,000"]),
        (SearchOptions(min_length=0), ["min_length is 0"]),
        (SearchOptions(search="sample", seed=-1), ["seed is -1; it must be at least 0"]),
        (SearchOptions(length_penalty=nan, temperature=nan), ["length_penalty is nan", "temperature is nan"]),
        (SearchOptions(top_p=0.0, top_k=-1), ["top_k is -1", "top_p is 0.0"]),
        (SearchOptions(search="best"), ["search is 'best'; it must be one of beam, greedy, sample"]),  # type: ignore[arg-type]
        (SearchOptions(search="greedy", n_best=2), ["n_best is 2, but greedy search finds one caption"]),
    ],
)
def test_problems(options: SearchOptions, named: list[str]) -> None:
    problems = options.problems()
    assert len(problems) == len(named)
    assert all(any(name in problem for problem in problems) for name in named)
