"""BLEU: how many of the caption's n-grams stand in a reference, with a penalty for captions that are too short.

For each length n up to 4, over all captions, precision p_n = n-grams that stand in a reference of their picture (each at most as
often as in the one reference that has it most often) / n-grams. BLEU-n = (p_1 ... p_n)^(1/n) x brevity, and brevity is
exp(1 - r / c) where all captions together have c tokens, fewer than r, the sum of the reference lengths that are closest to each
caption's (of two equally close, the shorter). K. Papineni et al., *BLEU: a Method for Automatic Evaluation of Machine
Translation*, ACL 2002; constants as in COCO's scorer, which keeps quotients of nothing from failing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from showtell.metrics.ngrams import LONGEST, GramIndex, Ints, Texts, find, pairs

Floats = npt.NDArray[np.float64]

TINY, SMALL = 1e-15, 1e-9
"""Added above and below fraction bars, by COCO's scorer."""


@dataclass(frozen=True)
class BleuCounts:
    """What BLEU needs to know of each caption; sums of rows give the counts of a corpus."""

    right: Ints
    """captions x 4: n-grams that stand in a reference."""
    length: Ints
    """captions: tokens."""
    closest: Ints
    """captions: tokens of the reference whose length is closest."""

    @property
    def ngrams(self) -> Ints:
        """captions x 4: n-grams of each length."""
        ngrams: Ints = np.maximum(self.length[:, None] - np.arange(LONGEST), 0)
        return ngrams

    def per_picture(self) -> Floats:
        """captions x 4: BLEU-1..4 of each caption by itself."""
        return bleu_of(self.right, self.ngrams, self.length, self.closest)

    def corpus(self) -> Floats:
        """BLEU-1..4 of all captions together."""
        return bleu_of(self.right.sum(0), self.ngrams.sum(0), self.length.sum(), self.closest.sum())

    def corpus_without_brevity(self) -> Floats:
        """The same without the penalty for short captions: the mean precision alone, as some papers report."""
        return mean_precision(self.right.sum(0), self.ngrams.sum(0))


def mean_precision(right: npt.ArrayLike, ngrams: npt.ArrayLike) -> Floats:
    """(p_1 ... p_n)^(1/n) for n = 1..4 along the last axis."""
    precision = (np.asarray(right) + TINY) / (np.asarray(ngrams) + SMALL)
    powers: Floats = np.cumprod(precision, axis=-1) ** (1 / np.arange(1, LONGEST + 1))
    return powers


def bleu_of(right: npt.ArrayLike, ngrams: npt.ArrayLike, length: npt.ArrayLike, closest: npt.ArrayLike) -> Floats:
    """BLEU-1..4 from counts (... x 4, ... x 4, ..., ...): ... x 4."""
    ratio = (np.asarray(length) + TINY) / (np.asarray(closest) + SMALL)
    with np.errstate(under="ignore", over="ignore"):
        brevity = np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)
        return mean_precision(right, ngrams) * brevity[..., None]


def bleu_counts(captions: Texts, references: Sequence[Texts]) -> BleuCounts:
    """Counts for BLEU.

    Args:
        captions: a tokenised caption for each picture.
        references: for each picture, one or more tokenised references.
    """
    index = GramIndex([reference for each in references for reference in each])
    picture = np.repeat(np.arange(len(references)), [len(each) for each in references])  # of each reference
    right = np.zeros((len(captions), LONGEST), np.int64)
    for n, (theirs, ours) in enumerate(zip(index.own, index.grams(captions), strict=True)):
        keys, which = np.unique(pairs(picture[theirs.text], theirs.gram), return_inverse=True)
        most = np.zeros(len(keys), np.int64)
        np.maximum.at(most, which, theirs.count)
        at, known = find(keys, pairs(ours.text, ours.gram))
        np.add.at(right[:, n], ours.text[known], np.minimum(ours.count[known], most[at[known]]))
    lengths = [len(caption) for caption in captions]
    closest = [
        min((abs(len(reference) - length), len(reference)) for reference in each)[1]
        for length, each in zip(lengths, references, strict=True)
    ]
    return BleuCounts(right, np.array(lengths, np.int64), np.array(closest, np.int64))
