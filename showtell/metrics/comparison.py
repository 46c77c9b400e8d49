"""Whether one system is better than another on the same pictures, or only luckier: the paired bootstrap.

Pictures are drawn again and again with replacement, as many as there are, both systems' scores taken on each draw, and the middle
95 % of the differences given (P. Koehn, *Statistical Significance Tests for Machine Translation Evaluation*, EMNLP 2004).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DRAWS = 2000
AT_ONCE = 100
"""Draws held in memory together."""


@dataclass(frozen=True)
class Difference:
    """Of a score, second system minus first, all in the score's own units."""

    first: float
    second: float
    low: float
    """Lower end of the 95 % interval of the difference."""
    high: float
    """Upper end."""
    worse: float
    """Share of the draws in which the second system is not better."""

    @property
    def difference(self) -> float:
        return self.second - self.first

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(
    first: Floats, second: Floats, of: Callable[[Floats], Floats] | None = None, seed: int = 0, draws: int = DRAWS
) -> Difference:
    """Compares two systems on the same pictures.

    Args:
        first, second: pictures x figures (or pictures alone), in the same order of pictures.
        of: the score of draws from the sums of the figures over the pictures drawn (draws x figures -> draws); by default the
            mean of the one figure. For a corpus score, which is no mean, such as BLEU.
        seed: of the draws, which are the same for both systems.
        draws: how many samples of the pictures, with replacement, the interval is taken from.

    Raises:
        ValueError: there is no picture, or the systems have not as many.
    """
    first, second = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (first, second))
    pictures = len(first)
    if not pictures or first.shape != second.shape:
        raise ValueError(f"{pictures} and {len(second)} pictures cannot be compared in pairs")
    of = of or (lambda sums: sums[:, 0] / pictures)
    random = np.random.default_rng(seed)
    differences = []
    for begin in range(0, draws, AT_ONCE):
        drawn = random.multinomial(pictures, np.full(pictures, 1 / pictures), min(AT_ONCE, draws - begin)).astype(np.float64)
        differences.append(of(drawn @ second) - of(drawn @ first))
    spread = np.concatenate(differences)
    low, high = np.quantile(spread, [0.025, 0.975])
    ours, theirs = of(first.sum(0)[None])[0], of(second.sum(0)[None])[0]
    return Difference(float(ours), float(theirs), float(low), float(high), float(np.mean(spread <= 0)))
