"""CIDEr-D: how alike a caption and the references are in what they say and others do not.

For n = 1..4 a text is a vector over n-grams, each weighing (its count) x log(N / df), where N is the number of pictures and df
the number of those whose references hold it (at least 1). A caption c and a reference r give

    sum over n-grams of min(c_i, r_i) r_i / (|c| |r|) x exp(-(difference of lengths)^2 / (2 sigma^2)),

sigma = 6; the score is 10 x the mean over n and references. R. Vedantam et al., *CIDEr: Consensus-based Image Description
Evaluation*, CVPR 2015, section 5 (CIDEr-D); length is the number of pairs of tokens, as in COCO's scorer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from showtell.metrics.ngrams import LONGEST, SHIFT, GramIndex, Grams, Ints, Texts, find, pairs

Floats = npt.NDArray[np.float64]

SIGMA = 6.0


@dataclass(frozen=True)
class DocumentFrequencies:
    """In how many pictures' references each n-gram stands, of a larger set than the one that is scored."""

    pictures: int
    """How many pictures there are."""
    counts: Mapping[tuple[str, ...], int]
    """For n-grams of one to four tokens; what is missing counts as 1."""


def document_frequencies(references: Sequence[Texts]) -> DocumentFrequencies:
    """Those of tokenised references, one or more for each picture."""
    counts: Counter[tuple[str, ...]] = Counter()
    for each in references:
        counts.update({tuple(r[i : i + n]) for r in each for n in range(1, LONGEST + 1) for i in range(len(r) - n + 1)})
    return DocumentFrequencies(len(references), counts)


@dataclass(frozen=True)
class _Weights:
    """What is known of the n-grams of one length."""

    log_frequency: Floats
    """known n-grams: log df; of all others it is 0."""
    keys: Ints
    """Picture and n-gram, for each n-gram of each reference; sorted."""
    reference: Ints
    """The reference of each key."""
    count: Floats
    """How often the n-gram stands in it."""
    norm: Floats
    """references: length of their vectors; 1 where it is 0."""


class CiderD:
    """The references of some pictures, prepared once, so that many captions can be scored against them: a training reward.

    Args:
        references: for each picture, one or more tokenised references.
        frequencies: document frequencies; by default those of these references.
    """

    def __init__(self, references: Sequence[Texts], frequencies: DocumentFrequencies | None = None) -> None:
        texts = [reference for each in references for reference in each]
        counted = list(frequencies.counts) if frequencies else []
        self._index = GramIndex([*texts, *counted])
        self._per_picture = np.array([len(each) for each in references], np.int64)
        self._first = np.cumsum(self._per_picture) - self._per_picture  # of each picture's references
        self._pairs = np.array([max(len(text) - 1, 0) for text in texts], np.int64)  # tokens that have a successor
        self._log_pictures = float(np.log(max(frequencies.pictures if frequencies else len(references), 1)))
        picture = np.repeat(np.arange(len(references)), self._per_picture)
        self._weights = []
        for n, (grams, size) in enumerate(zip(self._index.own, self._index.sizes, strict=True), 1):
            own = grams.text < len(texts)
            text, gram, count = grams.text[own], grams.gram[own], grams.count[own].astype(np.float64)
            keys = pairs(picture[text], gram)
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            if frequencies is None:
                once = np.append(True, keys[1:] != keys[:-1])[: len(keys)]  # each n-gram counts once a picture
                df = np.bincount(keys[once] % SHIFT, minlength=size)
            else:
                df = np.zeros(size, np.int64)
                of_length = [number for number, each in enumerate(counted) if len(each) == n]  # each is a text of one n-gram
                at = np.searchsorted(grams.text, len(texts) + np.array(of_length, np.int64))
                df[grams.gram[at]] = [frequencies.counts[counted[number]] for number in of_length]
            log_frequency = np.log(np.maximum(df, 1.0))
            weight = count * (self._log_pictures - log_frequency[gram])
            norm = np.sqrt(np.bincount(text, weight**2, len(texts)))
            self._weights.append(_Weights(log_frequency, keys, text[order], count[order], np.where(norm > 0, norm, 1.0)))

    def score(self, captions: Texts, pictures: npt.ArrayLike | None = None) -> Floats:
        """CIDEr-D of each caption, about 0..10; of a corpus, it is their mean.

        Args:
            captions: tokenised captions.
            pictures: for each, the number of its picture in the references; by default, one caption a picture, in their order.

        Raises:
            ValueError: there are not as many captions as pictures, or a number is not a picture's.
        """
        chosen = np.arange(len(self._first)) if pictures is None else np.asarray(pictures, np.int64)
        if len(chosen) != len(captions):
            raise ValueError(f"{len(captions)} captions for {len(chosen)} pictures")
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(self._first):
            raise ValueError(f"pictures are numbered from 0 to {len(self._first) - 1}")
        number = self._per_picture[chosen]  # pairs of caption and reference stand in rows, a caption's together
        row = np.cumsum(number) - number
        reference = np.arange(number.sum()) - np.repeat(row - self._first[chosen], number)
        difference = np.repeat([max(len(each) - 1, 0) for each in captions], number) - self._pairs[reference]
        alike = np.zeros(len(reference))
        for weights, grams in zip(self._weights, self._index.grams(captions), strict=True):
            alike += self._cosines(weights, grams, chosen, row - self._first[chosen], number, reference)
        alike *= np.exp(-(difference**2) / (2 * SIGMA**2))
        caption = np.repeat(np.arange(len(captions)), number)
        return 10 / LONGEST * np.bincount(caption, alike, len(captions)) / np.maximum(number, 1)

    def _cosines(self, weights: _Weights, grams: Grams, chosen: Ints, shift: Ints, number: Ints, reference: Ints) -> Floats:
        """The cosines, clipped, of all pairs for one length of n-grams."""
        known = grams.gram < len(weights.log_frequency)
        rarity = np.full(len(grams.gram), self._log_pictures)
        rarity[known] -= weights.log_frequency[grams.gram[known]]
        norm = np.sqrt(np.bincount(grams.text, (grams.count * rarity) ** 2, len(chosen)))
        keys = pairs(chosen[grams.text], grams.gram)
        begin, there = find(weights.keys, keys)
        begin = begin[there]
        matches = np.searchsorted(weights.keys, keys[there], side="right") - begin  # references that hold the n-gram
        at = np.arange(matches.sum()) + np.repeat(begin - np.cumsum(matches) + matches, matches)
        count = np.repeat(grams.count[there], matches)
        products = np.minimum(count, weights.count[at]) * weights.count[at] * np.repeat(rarity[there] ** 2, matches)
        rows = weights.reference[at] + np.repeat(shift[grams.text[there]], matches)
        total = np.bincount(rows, products, len(reference))
        return total / (np.repeat(np.where(norm > 0, norm, 1.0), number) * weights.norm[reference])


def cider_d(captions: Texts, references: Sequence[Texts], frequencies: DocumentFrequencies | None = None) -> Floats:
    """CIDEr-D of each caption against its picture's references; see `CiderD`, which prepares references once."""
    return CiderD(references, frequencies).score(captions)
