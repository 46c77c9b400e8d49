"""Scores of captions: strings in, numbers out. Stands on nothing of ours, and can be used alone.

    from showtell.metrics import score

BLEU-1..4, ROUGE-L and CIDEr-D on the Penn Treebank's tokens, as COCO's server measures them, need neither Java nor a network;
METEOR 1.5 and SPICE go through the public jars. `CiderD` prepares references once, as a training reward needs it.
"""

from showtell.metrics.bleu import BleuCounts, bleu
from showtell.metrics.cider import CiderD, DocumentFrequencies, cider_d, document_frequencies
from showtell.metrics.comparison import Difference, paired_bootstrap
from showtell.metrics.diversity import Diversity, diversity
from showtell.metrics.java import NotMeasured, meteor, spice
from showtell.metrics.options import MetricOptions
from showtell.metrics.ptb import ptb_tokens
from showtell.metrics.rouge import rouge_l
from showtell.metrics.scoring import Score, Scores, score
from showtell.metrics.tokenisers import tokenise

__all__ = [
    "BleuCounts", "CiderD", "Difference", "Diversity", "DocumentFrequencies", "MetricOptions", "NotMeasured", "Score", "Scores",
    "bleu", "cider_d", "diversity", "document_frequencies", "meteor", "paired_bootstrap", "ptb_tokens", "rouge_l", "score",
    "spice", "tokenise",
]  # fmt: skip
