"""Two evaluations side by side: how much better the second is, how sure that is, and which captions made the difference."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from showtell.errors import WrongUse, printable
from showtell.evaluation.options import ComparisonOptions
from showtell.evaluation.results import Result, load_result
from showtell.evaluation.table import aligned
from showtell.metrics import Difference, paired_bootstrap
from showtell.metrics.bleu import Floats, bleu_of
from showtell.metrics.ngrams import LONGEST

MEASURED_WITH = (
    "data", "split", "split_list", "pictures", "references", "references_sha256", "tokens", "document_frequencies", "search",
)  # fmt: skip
"""What of a protocol must be the same, or is said to differ; that the models differ is the point."""
CHANGE = ("CIDEr-D", "ROUGE-L", "METEOR", "BLEU-4")
"""The score by which captions changed, the first that both have."""


def compare(systems: Sequence[Path], options: ComparisonOptions) -> int:
    """Prints what differs between two evaluations (folders, or the scores.json or pictures.jsonl in them), second minus first.

    Raises:
        WrongUse: they are not two, one of them is none, or they have no picture in common.
        Problem: one is damaged.
    """
    if len(systems) != 2:
        raise WrongUse(f"{len(systems)} evaluations are named; name two: showtell compare evaluation_a evaluation_b.")
    first, second = systems
    one, two = _paired(load_result(first), load_result(second))
    common = [picture for picture in one.pictures if picture in two.pictures]
    if not common:
        raise WrongUse(f"{first} and {second} have no picture in common, so they cannot be compared.")
    for sentence in warnings(one, two, len(common)):
        print(f"Warning: {printable(sentence)}", file=sys.stderr)
    folders = (Path(os.path.abspath(result.path)).parent for result in (one, two))  # noqa: PTH100  (links keep their names)
    heads = (folder.name or "scores" for folder in folders)
    rows: list[tuple[str, ...]] = [("", *heads, "difference", "95 % interval", "")]
    for name, found in differences(one, two, common, options):
        rows.append((
            name, f"{100 * found.first:.1f}", f"{100 * found.second:.1f}", f"{100 * found.difference:+.1f}",
            f"{100 * found.low:+.1f} .. {100 * found.high:+.1f}",
            _verdict(found),
        ))  # fmt: skip
    print(f"{len(common):,} pictures, paired bootstrap of {options.draws:,} draws")
    print(aligned(rows))
    for line in changes(one, two, common, options.changed):
        print(line)
    return 0


def _paired(one: Result, two: Result) -> tuple[Result, Result]:
    """Both with their pictures under the same names: their files', where the references' formats number them otherwise."""
    if one.pictures.keys() & two.pictures.keys():
        return one, two
    by_file = [{line["image"]: line for line in result.pictures.values()} for result in (one, two)]
    if any(len(named) < len(result.pictures) for named, result in zip(by_file, (one, two), strict=True)):
        return one, two  # two pictures of one name
    return replace(one, pictures=by_file[0]), replace(two, pictures=by_file[1])


def _verdict(found: Difference) -> str:
    """In a word; a difference that does not show in the figures is none."""
    if not found.clear or abs(100 * found.difference) < 0.05:
        return "not clear"
    return "better" if found.difference > 0 else "worse"


def warnings(one: Result, two: Result, common: int) -> Iterator[str]:
    """What of the protocols differs, so that the numbers may not mean the same."""
    found = [told for name in MEASURED_WITH for told in _differing(name, one.protocol.get(name), two.protocol.get(name))]
    if found:
        yield f"the scores were made under different protocols: {'; '.join(found)}."
    apart = len(one.pictures) + len(two.pictures) - 2 * common
    if apart:
        yield f"{apart:,} pictures were scored in one of the two only; the {common:,} others are compared."
    changed = sum(one.pictures[i]["references"] != two.pictures[i]["references"] for i in one.pictures if i in two.pictures)
    if changed:
        yield f"{changed:,} of the pictures compared have other references in the one than in the other."


def _differing(name: str, then: Any, now: Any) -> Iterator[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*then, *now]):
            within = name if key == name else f"{name} {key}"  # the kind of search is itself called search
            yield from _differing(within, then.get(key), now.get(key))
    elif then != now:
        shown = [str(value)[:12] if name.endswith("sha256") else _short(name, value) for value in (then, now)]
        yield f"{name} ({shown[0]}, {shown[1]})"


def _short(name: str, value: Any) -> str:
    if value is None:
        return "the model's own" if name == "search no_repeat_ngram" else "unknown"
    return "known" if isinstance(value, dict) else str(value)


def differences(one: Result, two: Result, common: list[str], options: ComparisonOptions) -> Iterator[tuple[str, Difference]]:
    """Name and difference of each score that all pictures have in both. BLEU is the corpus's, the others are means."""
    seed, draws = options.bootstrap_seed, options.draws
    if all("bleu_counts" in result.pictures[i] for result in (one, two) for i in common):
        ours, theirs = _bleu_sums(one, common), _bleu_sums(two, common)
        for n in range(LONGEST):
            yield f"BLEU-{n + 1}", paired_bootstrap(ours, theirs, partial(_corpus_bleu, n=n), seed, draws)
    for name in one.scores:
        if not name.startswith("BLEU") and all(r.pictures[i].get(name) is not None for r in (one, two) for i in common):
            label = f"{name}, mean" if name == "METEOR" else name  # a corpus's METEOR is no mean of its pictures'
            ours, theirs = (np.array([result.pictures[i][name] for i in common], np.float64) for result in (one, two))
            yield label, paired_bootstrap(ours, theirs, seed=seed, draws=draws)


def _bleu_sums(result: Result, pictures: list[str]) -> Floats:
    """pictures x 10: right n-grams (4), n-grams (4), length, closest reference length."""
    counts = np.array([result.pictures[i]["bleu_counts"] for i in pictures], np.float64)
    return np.column_stack([counts[:, :4], np.maximum(counts[:, 4:5] - np.arange(LONGEST), 0), counts[:, 4:]])


def _corpus_bleu(sums: Floats, n: int) -> Floats:
    return bleu_of(sums[:, :4], sums[:, 4:8], sums[:, 8], sums[:, 9])[:, n]


def changes(one: Result, two: Result, common: list[str], number: int) -> Iterator[str]:
    """The captions that changed most, for the better and for the worse."""
    name = next((n for n in CHANGE if all(r.pictures[i].get(n) is not None for r in (one, two) for i in common)), None)
    if name is None or not number:
        return
    change = {i: two.pictures[i][name] - one.pictures[i][name] for i in common}
    ranked = sorted((i for i in common if one.pictures[i]["caption"] != two.pictures[i]["caption"]), key=change.__getitem__)
    better, worse = [i for i in reversed(ranked) if change[i] > 0], [i for i in ranked if change[i] < 0]
    for title, chosen in (("better", better), ("worse", worse)):
        if not chosen:
            continue
        yield f"\n{len(chosen):,} captions became {title} by {name}" + (", most of all:" if len(chosen) > number else ":")
        for i in chosen[:number]:
            yield f"  {100 * change[i]:+.1f}  {printable(one.pictures[i]['image'])}"
            yield f"      {printable(one.pictures[i]['caption'])}"
            yield f"   -> {printable(two.pictures[i]['caption'])}"
            yield f"      people: {printable(one.pictures[i]['references'][0])}"
