"""What scores against references do not tell: whether captions differ, are new, use many words, and end well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from showtell.metrics.ngrams import Texts

UNFINISHED = frozenset(
    (
        "a", "an", "the", "and", "or", "but", "with", "of", "in", "on", "at", "to", "for", "from", "by", "into", "onto", "over",
        "under", "near", "next", "behind", "beside", "between", "through", "while", "as", "is", "are", "that", "which", "who",
        "his", "her", "its", "their",
    )
)  # fmt: skip
"""Words with which no English sentence ends: "a man riding a horse with a"."""
FEW = 20
"""Pictures below which nothing is said about collapse."""
COLLAPSED = 0.2
"""Share of the pictures beyond which a single caption, said of all of them, means that captions have collapsed."""


@dataclass(frozen=True)
class Diversity:
    """How varied the captions of a set of pictures are. Shares lie in 0..1."""

    captions: int
    """Pictures."""
    unique: float
    """Share of captions that are said of one picture only."""
    novel: float | None
    """Share of captions that do not stand in the training captions; None: not measured, for want of them."""
    vocabulary: int
    """Different words used."""
    mean_length: float
    """Words a caption."""
    bad_endings: float
    """Share of captions that end with a word that ends no sentence, or are empty."""
    repeated: float
    """Share of captions that say the same three words in a row twice, or a word twice in a row."""
    most_frequent: str
    """The caption that is said of most pictures."""
    most_frequent_share: float
    """Of how many it is said."""

    @property
    def warning(self) -> str | None:
        """A sentence where captions have collapsed; None where all is well."""
        if self.captions < FEW or self.most_frequent_share <= COLLAPSED:
            return None
        return (
            f'Captions have collapsed: "{self.most_frequent}" is said of {self.most_frequent_share:.0%} of the {self.captions:,} '
            "pictures; look at the training loss, and whether the model sees its pictures at all."
        )


def measure_diversity(captions: Texts, training: Collection[tuple[str, ...]] | None = None) -> Diversity:
    """Measures tokenised captions, one a picture.

    Args:
        training: the training captions, tokenised alike, as a set of tuples; None if there are none.
    """
    said = Counter(map(tuple, captions))
    total = max(len(captions), 1)
    most, times = said.most_common(1)[0] if said else ((), 0)
    return Diversity(
        captions=len(captions),
        unique=sum(count == 1 for count in said.values()) / total,
        novel=None if training is None else sum(tuple(each) not in training for each in captions) / total,
        vocabulary=len({word for each in said for word in each}),
        mean_length=sum(map(len, captions)) / total,
        bad_endings=sum(not each or each[-1] in UNFINISHED for each in captions) / total,
        repeated=sum(map(_repeats, captions)) / total,
        most_frequent=" ".join(most),
        most_frequent_share=times / total,
    )


def _repeats(words: Sequence[str]) -> bool:
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(triples)) < len(triples) or any(a == b for a, b in pairwise(words))
