"""BLEU, ROUGE-L, CIDEr-D: values by hand, the public scorer's to 1e-6, and the published ones of its example."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from showtell.metrics import CiderD, DocumentFrequencies, bleu_counts, cider_d, document_frequencies, rouge_l, score
from showtell.metrics.tokenisers import tokenise

CAT = ["the", "cat", "is", "on", "the", "mat"]


def split(texts: Sequence[str]) -> list[list[str]]:
    return [text.split() for text in texts]


# --------------------------------------------------------------------------------------------------------------- by hand


def test_bleu_counts_each_word_as_often_as_a_reference_has_it() -> None:
    """The example of the paper: seven times "the", of which one reference has two."""
    counts = bleu_counts([["the"] * 7], [split(["the cat is on the mat", "there is a cat on the mat"])])
    assert counts.right.tolist() == [[2, 0, 0, 0]]
    assert counts.ngrams.tolist() == [[7, 6, 5, 4]]
    assert counts.closest.tolist() == [7]
    assert counts.corpus()[0] == pytest.approx(2 / 7)


def test_short_captions_are_penalised() -> None:
    counts = bleu_counts([["the", "cat"]], [[CAT]])
    assert counts.corpus()[1] == pytest.approx(exp(1 - 6 / 2))
    assert counts.corpus_without_brevity()[1] == pytest.approx(1)


def test_of_two_reference_lengths_equally_close_the_shorter_counts() -> None:
    assert bleu_counts([["a"] * 4], [[["a"] * 6, ["a"] * 2]]).closest.tolist() == [2]


def test_rouge_takes_the_longest_common_subsequence() -> None:
    """police killed the gunman / police kill the gunman: Lin's example; 3 of 4 in common both ways."""
    assert rouge_l(split(["police kill the gunman"]), [split(["police killed the gunman"])]) == pytest.approx([0.75])
    p, r = 1.0, 2 / 6
    assert rouge_l([["cat", "mat"]], [[CAT]]) == pytest.approx([(1 + 1.44) * p * r / (r + 1.44 * p)])


def test_cider_by_hand() -> None:
    """Two pictures, one reference each, words only: "a" is in both, so that it weighs nothing."""
    found = cider_d(split(["a dog", "cat"]), [split(["a dog"]), split(["a cat"])])
    # "a dog": 1-grams and 2-grams are the reference's, longer ones there are none: (1 + 1 + 0 + 0) / 4 x 10
    # "cat": the same 1-grams as far as they weigh, but one pair of words less
    assert found == pytest.approx([5, 10 / 4 * exp(-1 / (2 * 36))])


def test_cider_with_given_frequencies() -> None:
    """ "a" stands in 50 of 100 pictures, "dog" in 10, the rest in none, which counts as 1."""
    given = DocumentFrequencies(100, {("a",): 50, ("dog",): 10})
    a, dog, cat = log(2), log(10), log(100)
    cosine = a * a / (sqrt(a * a + dog * dog) * sqrt(a * a + cat * cat))
    assert cider_d([["a", "dog"]], [[["a", "cat"]]], given) == pytest.approx([10 / 4 * cosine])


def test_a_picture_can_be_scored_many_times_and_in_any_order() -> None:
    references = [split(["a dog runs fast", "the dog is running"]), split(["two cats"]), split(["a red bus", "the bus"])]
    captions = split(["a bus", "a dog runs", "the dog", "cats"])
    prepared = CiderD(references)
    alone = [prepared.score([caption], [picture])[0] for caption, picture in zip(captions, [2, 0, 0, 1], strict=True)]
    assert prepared.score(captions, [2, 0, 0, 1]) == pytest.approx(alone)
    assert prepared.score([], []).tolist() == []
    with pytest.raises(ValueError, match="4 captions for 3 pictures"):
        prepared.score(captions)
    with pytest.raises(ValueError, match="from 0 to 2"):
        prepared.score(captions, [0, 1, 2, 3])


def test_score_refuses_what_has_no_meaning() -> None:
    for captions, references in (([], []), (["a"], []), (["a"], [[]])):
        with pytest.raises(ValueError):
            score(captions, references)


# ------------------------------------------------------------------------------------------- against the public scorer


def public_scores(captions: list[str], references: list[list[str]]) -> dict[str, tuple[Any, Any]]:
    """Corpus and pictures, of captions that are tokenised already."""
    bleu_room, rouge_room, cider_room = (
        pytest.importorskip(f"pycocoevalcap.{name}.{name}") for name in ("bleu", "rouge", "cider")
    )
    gts, res = dict(enumerate(references)), {i: [caption] for i, caption in enumerate(captions)}
    return {
        "bleu": bleu_room.Bleu(4).compute_score(gts, res, verbose=0),
        "rouge": rouge_room.Rouge().compute_score(gts, res),
        "cider": cider_room.Cider().compute_score(gts, res),
    }


def assert_equal_to_the_public_scorer(captions: list[str], references: list[list[str]]) -> None:
    public = public_scores(captions, references)
    ours, theirs = split(captions), [split(each) for each in references]
    counts = bleu_counts(ours, theirs)
    assert counts.corpus() == pytest.approx(public["bleu"][0], abs=1e-9)
    assert pytest.approx(np.array(public["bleu"][1]), abs=1e-9) == counts.per_picture().T
    assert rouge_l(ours, theirs) == pytest.approx(public["rouge"][1], abs=1e-9)
    assert cider_d(ours, theirs) == pytest.approx(public["cider"][1], abs=1e-9)
    assert cider_d(ours, theirs, document_frequencies(theirs)) == pytest.approx(public["cider"][1], abs=1e-9)


TEXT = st.lists(st.sampled_from(["a", "dog", "runs", "on", "the", "red", "é", "狗"]), max_size=9).map(" ".join)


@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=4)), min_size=1, max_size=6))
@settings(max_examples=150)
def test_random_captions_score_as_with_the_public_scorer(pictures: list[tuple[str, list[str]]]) -> None:
    assume(any(reference for _, references in pictures for reference in references))  # else the public one fails
    assert_equal_to_the_public_scorer([caption for caption, _ in pictures], [references for _, references in pictures])


@pytest.mark.parametrize("captions", [[""], ["a"], ["", "a", "a a", "a a a a a a a"]])
def test_empty_captions_and_single_words(captions: list[str]) -> None:
    assert_equal_to_the_public_scorer(captions, [["a", "", "a dog", "a a"] for _ in captions])


def test_fractions_score_as_with_the_public_scorer() -> None:
    """The Penn Treebank's tokens hold a no-break space there, at which the public BLEU and CIDEr cut, and its ROUGE does not."""
    captions = ["a sign for 22 3/4 street", "call (555) 555-1234", "a sign", "3 1/2 men"]
    references = [["a sign for 3/4 street", "22 3/4 st"], ["a number (555) 555-1234"], ["a 1/2 sign"], ["3 1/2 men", "three men"]]
    public = public_scores(
        [" ".join(tokenise(c)) for c in captions], [[" ".join(tokenise(r)) for r in each] for each in references]
    )
    found = score(captions, references)
    for name, (corpus, pictures) in {"BLEU-4": (public["bleu"][0][3], public["bleu"][1][3]), "ROUGE-L": public["rouge"],
                                     "CIDEr-D": public["cider"]}.items():  # fmt: skip
        assert found[name].value == pytest.approx(corpus, abs=1e-9)
        assert found[name].per_picture == pytest.approx(pictures, abs=1e-9)


@pytest.mark.parametrize(
    ("captions", "references", "said"),
    [
        (["a dog runs"], ["a dog runs"], "references must be a list with a list of texts"),
        ("ab", [["a"], ["b"]], "captions must be a list with a text"),
        ({"1": "a dog"}, {"1": ["a dog"]}, "captions must be a list with a text"),
        (["a dog"], {"1": ["a dog"]}, "references must be a list with a list of texts"),
        ([None], [["a dog"]], "captions must be a list with a text"),
        (["a"], [[float("nan")]], "references must be a list with a list of texts"),
    ],
)
def test_what_is_no_list_of_texts_gets_no_number(captions: Any, references: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        score(captions, references)


def test_names_that_there_are_not_are_told_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="there are no tokens 'ptb2'; there are ptb, words"):
        score(["a"], [["a"]], tokens="ptb2")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="there is no score 'Bleu_4'; there are ROUGE-L"):
        score(["a"], [["a"]], metrics=["rouge"])["Bleu_4"]
    assert score(np.array(["a", "b"]), np.array([["a"], ["b"]]))["BLEU-1"].value == pytest.approx(1)  # type: ignore[arg-type]


def test_the_public_example(shared: Path) -> None:
    with gzip.open(shared / "data/coco/fakecap_tokenized.json.gz") as file:
        tokenised = json.load(file)
    known = json.loads((shared / "data/coco/fakecap_scores.json").read_text("utf-8"))
    pictures = list(tokenised["gts"])
    found = score([tokenised["res"][i][0] for i in pictures], [tokenised["gts"][i] for i in pictures], tokens="spaces")
    for name, published in (("BLEU-1", "Bleu_1"), ("BLEU-4", "Bleu_4"), ("ROUGE-L", "ROUGE_L"), ("CIDEr-D", "CIDEr")):
        assert round(found[name].value or 0, 3) == known["published"][published]
        assert found[name].value == pytest.approx(known["measured"][published], abs=1e-6)
    for name, column in (("CIDEr-D", 0), ("BLEU-4", 1), ("ROUGE-L", 2)):
        assert found[name].per_picture == pytest.approx([known["per_image"][i][column] for i in pictures], abs=1e-6)
    assert found["CIDEr-D"].signature.startswith("ciderd|refs:5-6|tok:spaces|df:refs|n:1000|showtell:")
