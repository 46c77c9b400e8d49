"""How the next words are searched for."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

Method = Literal["beam", "greedy", "sample"]


MOST = 10_000
"""Of beams, captions and words: more than anybody wants, and than memory may hold."""


@dataclass(frozen=True)
class SearchOptions:
    """How a caption is found, given the model's probabilities of every next word."""

    search: Method = "beam"
    """beam keeps the best few beginnings, greedy takes the likeliest word, sample draws one."""
    beam_size: int = 5
    """Beginnings that beam search keeps."""
    n_best: int = 1
    """Captions to give for each picture, best first; sampling draws as many."""
    min_length: int = 1
    """Fewest words of a caption; with less it does not end."""
    max_length: int = 30
    """Most words of a caption; one that has not ended by then is completed as it stands."""
    length_penalty: float = 0.7
    """Beams are ranked by log-probability / length ** length_penalty: 0 favours short captions, 1 is the mean a word."""
    no_repeat_ngram: int | None = None
    """No run of this many words occurs twice in a caption; 0 allows repetition; None does as the model was made to."""
    forbid: tuple[str, ...] = ("<unk>",)
    """Words that are never said, besides <unk>; an empty list allows that too."""
    temperature: float = 1.0
    """Sampling: below 1 bolder for likely words, above 1 more varied."""
    top_k: int = 0
    """Sampling: draw among this many likeliest words only; 0 means all."""
    top_p: float = 1.0
    """Sampling: draw among the fewest words that make up this probability."""
    seed: int = 0
    """Seed of the random numbers that sampling draws."""

    def problems(self) -> list[str]:
        found = [
            f"{name} is {getattr(self, name)}; it must be at least {least}."
            for name, least in (
                ("beam_size", 1), ("n_best", 1), ("min_length", 1), ("max_length", 1), ("no_repeat_ngram", 0), ("top_k", 0),
                ("seed", 0),
            )
            if (getattr(self, name) or 0) < least
        ]  # fmt: skip
        found += [
            f"{name} is {getattr(self, name)}; it can be {MOST:,} at most."
            for name in ("beam_size", "n_best", "max_length")
            if getattr(self, name) > MOST
        ]
        if self.min_length > self.max_length:
            found.append(f"min_length is {self.min_length}, above max_length {self.max_length}.")
        if not -10 <= self.length_penalty <= 10:
            found.append(f"length_penalty is {self.length_penalty}; it must lie between -10 and 10, most often 0 to 1.")
        if not 0 < self.temperature < inf:
            found.append(f"temperature is {self.temperature}; it must be above 0 and finite.")
        if not 0 < self.top_p <= 1:
            found.append(f"top_p is {self.top_p}; it must lie above 0 and at most at 1.")
        if isinstance(self.forbid, str):  # a text too is a sequence of texts
            found.append(f"forbid is {self.forbid!r}; it must be a list of words.")
        if self.search not in get_args(Method):
            found.append(f"search is {self.search!r}; it must be one of {', '.join(get_args(Method))}.")
        if self.search == "beam" and self.n_best > self.beam_size:
            found.append(f"n_best is {self.n_best}, more than the {self.beam_size} beams: raise beam_size.")
        if self.search == "greedy" and self.n_best > 1:
            found.append(f"n_best is {self.n_best}, but greedy search finds one caption: use beam or sample.")
        return found
