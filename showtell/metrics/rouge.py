"""ROUGE-L: how long a caption's and a reference's longest common subsequence is.

With P = the largest of LCS / caption's length, R = the largest of LCS / reference's length, over the picture's references (not
necessarily of one and the same), ROUGE-L = (1 + beta^2) P R / (R + beta^2 P), beta = 1.2. C.-Y. Lin, *ROUGE: A Package for
Automatic Evaluation of Summaries*, 2004; beta and maxima as in COCO's scorer, for which an empty text is one empty token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from showtell.metrics.ngrams import Texts

BETA = 1.2


def rouge_l(captions: Texts, references: Sequence[Texts]) -> npt.NDArray[np.float64]:
    """ROUGE-L of each caption, 0..1; of the corpus, it is their mean.

    Args:
        captions: a tokenised caption for each picture.
        references: for each picture, one or more tokenised references.
    """
    return np.array([_rouge_l(caption or [""], each) for caption, each in zip(captions, references, strict=True)], np.float64)


def _rouge_l(caption: Sequence[str], references: Texts) -> float:
    places: dict[str, int] = {}
    for place, token in enumerate(caption):
        places[token] = places.get(token, 0) | 1 << place
    common = [(_common(places, len(caption), reference or [""]), len(reference) or 1) for reference in references]
    precision = max(length for length, _ in common) / len(caption)
    recall = max(length / size for length, size in common)
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _common(places: dict[str, int], length: int, reference: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    Bit-parallel: a zero bit stands for a place of the caption at which the subsequence grows by one (H. Hyyrö, *Bit-parallel
    LCS-length computation revisited*, 2004).

    Args:
        places: for each token of the caption the places where it stands, as the bits of a number.
        length: of the caption.
    """
    rows = full = (1 << length) - 1
    for token in reference:
        matches = rows & places.get(token, 0)
        rows = ((rows + matches) | (rows - matches)) & full
    return length - rows.bit_count()
