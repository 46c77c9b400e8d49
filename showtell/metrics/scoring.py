"""All scores of some captions at once, each with the protocol that made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from showtell.metrics.bleu import BleuCounts, bleu_counts
from showtell.metrics.cider import CiderD, DocumentFrequencies
from showtell.metrics.diversity import Diversity, measure_diversity
from showtell.metrics.java import NotMeasured, meteor, spice
from showtell.metrics.ngrams import Texts
from showtell.metrics.options import Metric, Tokens
from showtell.metrics.rouge import rouge_l
from showtell.metrics.signature import reference_counts, signature
from showtell.metrics.tokenisers import tokenise

JAVA_SCORES = {"meteor": ("METEOR", "1.5", meteor), "spice": ("SPICE", "1.0", spice)}
"""Name, version of the jar, and what asks it."""
ENGLISH: tuple[Tokens, ...] = ("ptb", "spaces")


@dataclass(frozen=True)
class Score:
    """One number, and what it means."""

    name: str
    """As it is printed: `CIDEr-D`."""
    value: float | None
    """Of all pictures, 0..1 (CIDEr-D: 0..10); None: not measured."""
    signature: str
    """The protocol."""
    per_picture: tuple[float, ...] = field(default=(), repr=False)
    """Of each picture, in their order; empty where there is no such thing."""
    unmeasured: str | None = None
    """Why it was not measured, to be read after "not measured, because"."""


@dataclass(frozen=True)
class Scores:
    """What `score` gives: `scores["CIDEr-D"].value`."""

    scores: tuple[Score, ...]
    diversity: Diversity
    bleu_counts: BleuCounts | None = field(default=None, repr=False, compare=False)
    """For a bootstrap of corpus BLEU."""

    def __getitem__(self, name: str) -> Score:
        for score in self.scores:
            if score.name == name:
                return score
        raise KeyError(f"there is no score {name!r}; there are {', '.join(score.name for score in self.scores)}")

    def __contains__(self, name: object) -> bool:
        return any(score.name == name for score in self.scores)


def score(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    tokens: Tokens = "ptb",
    metrics: Iterable[Metric] = ("bleu", "rouge", "cider"),
    frequencies: DocumentFrequencies | None = None,
    training: Iterable[str] | None = None,
    protocol: Mapping[str, object] | None = None,
    java_seconds: float = 1800.0,
) -> Scores:
    """Scores captions against references.

        scores = score(["a dog runs"], [["a dog is running", "the dog runs"]])
        print(scores["BLEU-4"].value, scores["BLEU-4"].signature)

    Args:
        captions: one for each picture.
        references: for each picture, one or more.
        tokens: how both are tokenised; see `tokenise`.
        metrics: what to measure.
        frequencies: document frequencies for CIDEr-D; by default those of the references.
        training: the captions of training, to tell which are new; None if there are none.
        protocol: what else the signatures are to tell, `{"data": "flickr8k/val", "search": "beam5"}`.
        java_seconds: how long METEOR and SPICE may take, each.

    Raises:
        ValueError: there are no captions, not as many as pictures, a picture has no reference, or metric or tokens are unknown.
        TypeError: captions are no list of texts, or references no list of such lists.
    """
    _check(captions, references)
    ours = [tokenise(caption, tokens) for caption in captions]
    theirs = [[tokenise(reference, tokens) for reference in each] for each in references]
    our_words, their_words = [_cut(each) for each in ours], [[_cut(reference) for reference in each] for each in theirs]
    parts = {"refs": reference_counts([len(each) for each in references]), "tok": tokens}
    told = {"n": len(captions), **(protocol or {})}
    counts, found = None, []
    for metric in dict.fromkeys(metrics):
        if metric == "bleu":
            counts = bleu_counts(our_words, their_words)
            found += _bleu_scores(counts, parts | told)
        elif metric == "rouge":
            each = rouge_l(ours, theirs)
            found.append(Score("ROUGE-L", float(each.mean()), signature("rougel", parts | told), tuple(each.tolist())))
        elif metric == "cider":
            each = CiderD(their_words, frequencies).score(our_words)
            source = f"given{frequencies.pictures}" if frequencies else "refs"
            signed = signature("ciderd", parts | {"df": source} | told)
            found.append(Score("CIDEr-D", float(each.mean()), signed, tuple(each.tolist())))
        elif metric not in JAVA_SCORES:
            raise ValueError(f"there is no metric {metric!r}")
        else:
            found.append(_java_score(metric, ours, theirs, tokens, parts | told, java_seconds))
    seen = None if training is None else {tuple(tokenise(caption, tokens)) for caption in training}
    return Scores(tuple(found), measure_diversity(ours, seen), counts)


def _check(captions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """See that these are what they are called: a text too is a sequence of texts, and a dictionary one of its keys."""
    if isinstance(captions, str | Mapping) or not all(isinstance(caption, str) for caption in captions):
        raise TypeError("captions must be a list with a text for each picture")
    if isinstance(references, str | Mapping) or any(
        isinstance(each, str | Mapping) or not all(isinstance(reference, str) for reference in each) for each in references
    ):
        raise TypeError("references must be a list with a list of texts for each picture, in the order of the captions")
    if not len(captions) or len(captions) != len(references):
        raise ValueError(f"{len(captions)} captions cannot be scored against the references of {len(references)} pictures")
    if not all(len(each) for each in references):
        raise ValueError("a picture has no reference")


def _cut(tokens: list[str]) -> list[str]:
    """The words of BLEU and CIDEr-D in pycocoevalcap, which cuts tokens at the no-break space that the Penn Treebank's put into
    "3 1/2"; its ROUGE-L and METEOR keep them whole."""
    return " ".join(tokens).split()


def _bleu_scores(counts: BleuCounts, parts: Mapping[str, object]) -> list[Score]:
    """BLEU-1..4 as COCO's scorer has them, then without the penalty for short captions."""
    whole, bare = {"bp": "closest", **parts}, {"bp": "none", **parts}
    pictures = counts.per_picture().T.tolist()
    values, precisions = counts.corpus().tolist(), counts.corpus_without_brevity().tolist()
    return [
        Score(f"BLEU-{n}", value, signature(f"bleu{n}", whole), tuple(pictures[n - 1])) for n, value in enumerate(values, 1)
    ] + [Score(f"BLEU-{n} without brevity penalty", value, signature(f"bleu{n}", bare)) for n, value in enumerate(precisions, 1)]


def _java_score(
    metric: Metric, ours: Texts, theirs: Sequence[Texts], tokens: Tokens, parts: Mapping[str, object], seconds: float
) -> Score:
    name, version, measure = JAVA_SCORES[metric]
    signed = signature(metric, {"v": version, **parts})
    try:
        if tokens not in ENGLISH:
            raise NotMeasured(f"{name} knows English only, and the tokens are {tokens}")
        value, each = measure([" ".join(c) for c in ours], [[" ".join(r) for r in refs] for refs in theirs], seconds)
    except NotMeasured as why:
        return Score(name, None, signed, unmeasured=str(why))
    return Score(name, value, signed, tuple(each))
