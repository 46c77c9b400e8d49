"""The results as a table, on the screen and in a document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from showtell.files import written_whole

HEAD = ("case", "baseline", "s", "ours, s", "ratio", "turns", "goal", "memory, MB", "ours, MB", "share of limit")


@dataclass(frozen=True)
class Row:
    """What was found of a case."""

    name: str
    what: str
    baseline: str
    goal: float | None
    device: str
    baseline_seconds: list[float]
    seconds: list[float]
    """A turn each."""
    ratio: float
    """The median of the turns' ratios, baseline over ours."""
    baseline_bytes: int | None
    bytes: int | None
    """At most, beyond what was there before."""
    share: float
    """Of the machine's rate of matrix products, or of copying memory, whichever is more; by the quickest turn."""

    def told(self) -> str:
        ratios = sorted(one / other for one, other in zip(self.baseline_seconds, self.seconds, strict=True))
        return f"{self.name:18} {self.ratio:8.2f} times as fast as {self.baseline} ({ratios[0]:.2f} .. {ratios[-1]:.2f})"

    def cells(self) -> tuple[str, ...]:
        return (
            self.what,
            self.baseline,
            f"{median(self.baseline_seconds):.3g}",
            f"{median(self.seconds):.3g}",
            f"{self.ratio:.2f}" if self.ratio < 10 else f"{self.ratio:.1f}",
            str(len(self.seconds)),
            "" if self.goal is None else f"{self.goal:.3g}",
            _megabytes(self.baseline_bytes),
            _megabytes(self.bytes),
            f"{self.share:.0%}" if self.share >= 0.005 else "",
        )


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:,.0f}"


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [HEAD, ("---", "---", *["--:"] * (len(HEAD) - 2)), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def into(document: Path, device: str, text: str) -> None:
    """Puts the text in place of what stands between `<!-- bench DEVICE -->` and `<!-- end -->`."""
    begin, end = f"<!-- bench {device} -->", "<!-- end -->"
    old = document.read_text("utf-8")
    new = re.sub(
        f"({re.escape(begin)}\n).*?({re.escape(end)})", lambda found: f"{found[1]}\n{text}\n\n{found[2]}", old, flags=re.DOTALL
    )
    with written_whole(document) as file:
        file.write(new.encode())
