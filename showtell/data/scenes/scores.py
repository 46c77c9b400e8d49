"""How well a captioner does on the built-in set: how much of what it says is true, and whether its attention points there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showtell.data.scenes.judging import Verdict, judge
from showtell.data.scenes.scene import Relation, Scene


@dataclass(frozen=True)
class SceneScores:
    """Shares from 0 to 1; nan where there was nothing to count."""

    captions: int
    right: float
    """Share of the captions that are right in everything: every object, size and relation, in a whole sentence."""
    whole: float
    """Share of the captions that are whole sentences."""
    objects: int
    """Objects named, over all captions."""
    objects_right: float
    """Share of them that are in the picture with that shape and colour."""
    shapes_right: float
    """Share of them whose shape is in the picture."""
    colours_right: float
    """Share of them whose colour is in the picture."""
    sizes_right: float
    """Share of the sizes said that are true."""
    relations: int
    """Relations stated, over all captions."""
    relations_right: float
    """Share of them that are true of the objects they name."""
    by_relation: dict[Relation, tuple[int, int]]
    """For each relation: how often it was stated, and how often rightly. Right counts as left, below as above, and so on."""
    pointing: float | None = None
    """Share of the object words for which attention is largest in the object's box, grown by one cell; None without maps."""
    pointing_chance: float | None = None
    """The same share, had the cell been drawn at random."""

    def __str__(self) -> str:
        lines = [
            f"{self.right:6.1%} of {self.captions} captions right in everything",
            f"{self.objects_right:6.1%} of {self.objects} objects named have the right colour and shape"
            f" (colour {self.colours_right:.1%}, shape {self.shapes_right:.1%}, size where said {self.sizes_right:.1%})",
            f"{self.relations_right:6.1%} of {self.relations} relations true",
        ]
        if self.pointing is not None:
            lines.append(
                f"{self.pointing:6.1%} of object words: attention points at the object (by chance {self.pointing_chance:.1%})"
            )
        return "\n".join(lines)


def evaluate_scenes(
    captions: Sequence[str | Sequence[str]], scenes: Sequence[Scene], maps: Sequence[ArrayLike] | None = None
) -> SceneScores:
    """Judge a caption for each scene.

    Args:
        captions: sentences, or lists of words; words are needed where maps are given, which belong to them.
        scenes: what is in the pictures, in the same order.
        maps: for each caption its attention, words x rows x columns of cells that cover the whole picture.

    Raises:
        ValueError: captions, scenes and maps do not belong together.
    """
    verdicts = [judge(caption, scene) for caption, scene in zip(captions, scenes, strict=True)]
    objects = [o for verdict in verdicts for o in verdict.objects]
    relations = [r for verdict in verdicts for r in verdict.relations]
    by_relation: dict[Relation, tuple[int, int]] = {}
    for r in relations:
        stated, right = by_relation.get(r.relation, (0, 0))
        by_relation[r.relation] = stated + 1, right + r.right
    pointing, chance = None, None
    if maps is not None:
        for caption, attention in zip(captions, maps, strict=True):
            words = len(caption.split() if isinstance(caption, str) else caption)
            if words != np.shape(attention)[0]:
                raise ValueError(f"a caption has {words} words but {np.shape(attention)[0]} maps: {caption!r}")
        pointing, chance = pointing_game(verdicts, scenes, maps)
    return SceneScores(
        captions=len(verdicts),
        right=_share([v.right for v in verdicts]),
        whole=_share([v.whole for v in verdicts]),
        objects=len(objects),
        objects_right=_share([o.right for o in objects]),
        shapes_right=_share([o.shape_right for o in objects]),
        colours_right=_share([o.colour_right for o in objects]),
        sizes_right=_share([o.size_right for o in objects if o.size]),
        relations=len(relations),
        relations_right=_share([r.right for r in relations]),
        by_relation=by_relation,
        pointing=pointing,
        pointing_chance=chance,
    )


def pointing_game(verdicts: Sequence[Verdict], scenes: Sequence[Scene], maps: Sequence[ArrayLike]) -> tuple[float, float]:
    """Share of the object words whose largest cell lies in the object's box grown by one cell; and the share by chance.

    An object that is not in the picture cannot be pointed at: its word counts as missed, for chance too.
    """
    hits: list[float] = []
    chances: list[float] = []
    for verdict, scene, attention in zip(verdicts, scenes, maps, strict=True):
        cells = np.asarray(attention)  # words x rows x columns
        for named in verdict.objects:
            if named.found is None:
                hits.append(0.0)
                chances.append(0.0)
                continue
            _, rows, columns = cells.shape
            counts = cells_of(scene.objects[named.found].box, scene.side, rows, columns)
            hits.append(float(counts.ravel()[int(cells[named.word].argmax())]))
            chances.append(float(counts.mean()))
    return _share(hits), _share(chances)


def cells_of(box: tuple[float, float, float, float], side: int, rows: int, columns: int) -> NDArray[np.bool_]:
    """Which cells of a grid over a `side` x `side` picture have their centre in the box grown by one cell: rows x columns."""
    left, top, width, height = box
    cell_width, cell_height = side / columns, side / rows
    x, y = (np.arange(columns) + 0.5) * cell_width, (np.arange(rows) + 0.5) * cell_height
    across = (x >= left - cell_width) & (x <= left + width + cell_width)
    down = (y >= top - cell_height) & (y <= top + height + cell_height)
    return down[:, None] & across[None, :]


def _share(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
