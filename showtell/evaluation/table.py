"""Scores and differences as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from showtell.metrics import Score, Scores

BARE = " without brevity penalty"


def score_table(scores: Scores) -> str:
    """The scores x 100, as papers print them, then what else there is to know of the captions."""
    lines = []
    for each in scores.scores:
        if not each.name.endswith(BARE):
            value = f"{100 * each.value:6.1f}" if each.value is not None else "     -"
            lines.append((each.name, value, _note(each, scores)))
    varied = scores.diversity
    lines += [
        ("unique captions", f"{varied.unique:6.1%}", f"of {varied.captions:,}"),
        ("novel captions", *(("     -", "not measured, because the data have no train split") if varied.novel is None
                             else (f"{varied.novel:6.1%}", "not among the training captions"))),
        ("vocabulary used", f"{varied.vocabulary:6,}", "words"),
        ("mean length", f"{varied.mean_length:6.1f}", "words"),
        ("bad endings", f"{varied.bad_endings:6.1%}", '"... with a"'),
        ("repeated words", f"{varied.repeated:6.1%}", "three words in a row twice, or one twice in a row"),
    ]  # fmt: skip
    measured = [each for each in scores.scores if each.value is not None and not each.name.endswith(BARE)]
    signed = next((each for each in measured if each.name == "CIDEr-D"), measured[-1] if measured else None)
    return aligned(lines) + (f"\n{signed.name} is {signed.signature}" if signed else "")


def _note(each: Score, scores: Scores) -> str:
    if each.unmeasured is not None:
        return f"not measured, because {each.unmeasured}"
    bare = each.name + BARE
    return f"{100 * (scores[bare].value or 0):.1f}{BARE}" if bare in scores else ""


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """Rows with their columns under each other; the first and the last to the left, the others to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in (0, len(row) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
