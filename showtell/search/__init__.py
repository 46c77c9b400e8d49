"""The search for the next words: greedy, beam and sampling over any step function; it knows nothing of pictures or models.

    results = search(step, state, begin, SearchOptions(beam_size=5), end=2, forbidden=(0, 1, 3))
    results[0].best.words

Written once to the Python array API standard, it runs on torch tensors (CPU, GPU) and on NumPy arrays alike, and gives the same
words from the same log-probabilities. `loop` is the search itself, `decoders` choose the next words, `filters` say which words
may come, `ranking` says which captions are best, `results` is what comes back, `arrays` holds what the standard lacks.
Importing `showtell.search` or its options imports neither torch nor NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from showtell.search.options import SearchOptions

__all__ = ["Hypothesis", "Result", "SearchOptions", "State", "Step", "search"]

if TYPE_CHECKING:
    from showtell.search.loop import State, Step, search
    from showtell.search.results import Hypothesis, Result


def __getattr__(name: str) -> Any:
    if name in ("State", "Step", "search"):
        from showtell.search import loop

        return getattr(loop, name)
    if name in ("Hypothesis", "Result"):
        from showtell.search import results

        return getattr(results, name)
    raise AttributeError(f"module 'showtell.search' has no attribute {name!r}")
