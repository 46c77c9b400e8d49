"""Scores of captions: strings in, numbers out. Needs nothing of the other rooms, and can be used alone.

    from showtell.metrics import score

BLEU-1..4, ROUGE-L and CIDEr-D on the Penn Treebank's tokens, as COCO's server measures them, need neither Java nor a network;
METEOR 1.5 and SPICE go through the public jars. `CiderD` prepares references once, as a training reward needs it.

The names below are imported when they are first used, so that the options can be read without NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from showtell.metrics.bleu import BleuCounts, bleu_counts
    from showtell.metrics.cider import CiderD, DocumentFrequencies, cider_d, document_frequencies
    from showtell.metrics.comparison import Difference, paired_bootstrap
    from showtell.metrics.diversity import Diversity, measure_diversity
    from showtell.metrics.java import NotMeasured, meteor, spice
    from showtell.metrics.options import MetricOptions
    from showtell.metrics.ptb import ptb_tokens
    from showtell.metrics.rouge import rouge_l
    from showtell.metrics.scoring import Score, Scores, score
    from showtell.metrics.tokenisers import tokenise

_HOMES = {
    "bleu": ("BleuCounts", "bleu_counts"),
    "cider": ("CiderD", "DocumentFrequencies", "cider_d", "document_frequencies"),
    "comparison": ("Difference", "paired_bootstrap"),
    "diversity": ("Diversity", "measure_diversity"),
    "java": ("NotMeasured", "meteor", "spice"),
    "options": ("MetricOptions",),
    "ptb": ("ptb_tokens",),
    "rouge": ("rouge_l",),
    "scoring": ("Score", "Scores", "score"),
    "tokenisers": ("tokenise",),
}

__all__ = [
    "BleuCounts", "CiderD", "Difference", "Diversity", "DocumentFrequencies", "MetricOptions", "NotMeasured", "Score", "Scores",
    "bleu_counts", "cider_d", "document_frequencies", "measure_diversity", "meteor", "paired_bootstrap", "ptb_tokens", "rouge_l",
    "score", "spice", "tokenise",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"showtell.metrics.{home}"), name)
    raise AttributeError(f"module 'showtell.metrics' has no attribute {name!r}")
