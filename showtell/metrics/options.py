"""How captions are scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Tokens = Literal["ptb", "words", "characters", "spaces"]
Metric = Literal["bleu", "rouge", "cider", "meteor", "spice"]


@dataclass(frozen=True)
class MetricOptions:
    """What is measured, and on which tokens."""

    tokens: Tokens = "ptb"
    """ptb: as COCO's scorer; words: any language with spaces; characters: Chinese, Japanese; spaces: it is tokenised already."""
    metrics: tuple[Metric, ...] = ("bleu", "rouge", "cider", "meteor", "spice")
    """What to measure: bleu, rouge, cider, meteor, spice; the last two need Java and the extra pycocoevalcap."""
    java_minutes: float = 30.0
    """Minutes after which METEOR or SPICE is given up and reported as not measured."""

    def problems(self) -> list[str]:
        found = []
        if self.tokens not in get_args(Tokens):
            found.append(f"tokens is {self.tokens!r}; it must be one of {', '.join(get_args(Tokens))}.")
        unknown = [name for name in self.metrics if name not in get_args(Metric)]
        if unknown or not self.metrics:
            found.append(f"metrics is {' '.join(self.metrics) or 'empty'}; choose from {', '.join(get_args(Metric))}.")
        if not self.java_minutes > 0:
            found.append(f"java_minutes is {self.java_minutes}; it must be above 0.")
        return found
