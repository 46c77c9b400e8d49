"""Variety of captions, tokenisers of other languages, signatures, and the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

import showtell
from showtell.metrics import bleu_counts, measure_diversity, paired_bootstrap, score, tokenise
from showtell.metrics.bleu import bleu_of
from showtell.metrics.signature import reference_counts, signature


def test_diversity_by_hand() -> None:
    captions = ["a dog", "a dog", "a cat on a", "the the cat", "a b c a b c", ""]
    found = measure_diversity([caption.split() for caption in captions], training={("a", "dog"), ("a", "bird")})
    assert (found.captions, found.vocabulary, found.mean_length) == (6, 7, 17 / 6)
    assert found.unique == 4 / 6  # the two dogs are not
    assert found.novel == 4 / 6
    assert found.bad_endings == 2 / 6  # "... on a", and nothing at all
    assert found.repeated == 2 / 6  # "the the", "a b c" twice
    assert (found.most_frequent, found.most_frequent_share) == ("a dog", 2 / 6)
    assert found.warning is None  # six captions tell nothing
    assert measure_diversity([["a", "dog"]]).novel is None


def test_collapsed_captions_are_warned_of() -> None:
    found = measure_diversity([["a", "man"]] * 10 + [[str(i)] for i in range(30)])
    assert found.warning is not None and '"a man" is said of 25% of the 40 pictures' in found.warning
    assert measure_diversity([[str(i)] for i in range(40)]).warning is None


@pytest.mark.parametrize(
    ("tokens", "caption", "found"),
    [
        ("words", "Ein HUND, der's well-known: 1.000,5 m; 3:30!", "ein hund der's well-known 1.000,5 m 3:30"),
        ("words", "كلبٌ يجري، هنا.", "كلبٌ يجري هنا"),
        ("words", "cafe\u0301 ’tis", "café tis"),
        ("characters", "一只狗在run。3只", "一 只 狗 在 run 3 只"),
        ("spaces", "A dog , runs .", "A dog , runs ."),
        ("ptb", "A dog, it's", "a dog it 's"),
    ],
)
def test_tokenisers(tokens: str, caption: str, found: str) -> None:
    assert " ".join(tokenise(caption, tokens)) == found  # type: ignore[arg-type]


def test_signatures_tell_the_protocol() -> None:
    told = {"refs": "5", "tok": "ptb", "search": None, "data": "my set: a|b/val"}
    assert signature("bleu4", told) == f"bleu4|refs:5|tok:ptb|data:my_set__a_b/val|showtell:{showtell.__version__}"
    assert (reference_counts([5, 5]), reference_counts([7, 5])) == ("5", "5-7")
    found = score(["a"], [["a", "b"]], tokens="words", protocol={"search": "beam5"})
    assert found["BLEU-4"].signature == f"bleu4|bp:closest|refs:2|tok:words|n:1|search:beam5|showtell:{showtell.__version__}"
    assert "bp:none" in found["BLEU-4 without brevity penalty"].signature


# -------------------------------------------------------------------------------------------------------------- bootstrap


def test_a_system_that_is_always_better_is_clearly_better() -> None:
    first = np.linspace(0, 1, 50)
    found = paired_bootstrap(first, first + 0.1)
    assert found.difference == pytest.approx(0.1)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    assert found.clear and found.worse == 0


def test_luck_is_no_clear_difference() -> None:
    """Fifty pictures better by one, fifty worse by one: the interval of the mean is about 0 +- 1.96 / 10."""
    found = paired_bootstrap(np.zeros(100), np.array([1.0, -1.0] * 50))
    assert (found.first, found.second) == (0, 0)
    assert (found.low, found.high) == pytest.approx((-0.196, 0.196), abs=0.03)
    assert not found.clear and 0.4 < found.worse < 0.65


def test_corpus_bleu_is_drawn_from_counts() -> None:
    references = [[["a", "dog", "runs"]], [["a", "cat"]]]
    one, two = bleu_counts([["a"], ["a", "cat"]], references), bleu_counts([["a", "dog"], ["cat"]], references)

    def stacked(counts):  # type: ignore[no-untyped-def]
        return np.column_stack([counts.right, counts.ngrams, counts.length, counts.closest])

    found = paired_bootstrap(stacked(one), stacked(two), lambda s: bleu_of(s[:, :4], s[:, 4:8], s[:, 8], s[:, 9])[:, 1])
    assert (found.first, found.second) == pytest.approx((one.corpus()[1], two.corpus()[1]))
    assert found.low <= found.difference <= found.high


def test_different_pictures_are_not_compared() -> None:
    with pytest.raises(ValueError):
        paired_bootstrap(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError):
        paired_bootstrap(np.zeros(0), np.zeros(0))
